"""The ways into machines that follow from a plan: which machine has an address, what is to be compared there."""

from mailstack.plan import load_plan
from mailstack.plan.machine_access import machine_access
from postal import paths
from tests.unit.stack_examples import example, postal_example, with_value

SUBMISSION = {
    "listen_addresses": ["0.0.0.0"],
    "certificate": {"certificate_file": "/etc/ssl/relay.pem", "key_file": "/etc/ssl/relay.key"},
    "users": [{"name": "shop", "password": "a-password-of-its-own"}],
}


def test_a_host_of_the_relay_alone_has_nothing_to_compare() -> None:
    access = machine_access(load_plan(example()))
    assert access.machines() == ("relay1",)
    assert (access.at("93.184.216.34"), access.at("2606:2800:220:1:248:1893:25c8:1946")) == ("relay1", "relay1")
    assert access.at("93.184.216.35") is None
    machine = access.known["relay1"]
    assert (machine.connection.user, machine.certificates, machine.backups) == ("admin", {}, None)


def test_postals_certificate_and_backups_are_where_its_role_puts_them() -> None:
    machine = machine_access(load_plan(postal_example())).known["relay1"]
    assert machine.certificates == {25: paths.SMTP_CERTIFICATE}
    assert machine.backups == "/var/backups/mailstack-postal"


def test_without_tls_or_a_schedule_nothing_is_expected_of_postal() -> None:
    plain = load_plan(with_value("postal.backup.schedule", None, postal_example))
    assert machine_access(plain).known["relay1"].backups is None


def test_submission_shows_one_certificate_at_all_its_ports() -> None:
    machine = machine_access(load_plan(with_value("relay.submission", SUBMISSION))).known["relay1"]
    assert machine.certificates == {587: "/etc/ssl/relay.pem", 465: "/etc/ssl/relay.pem"}
