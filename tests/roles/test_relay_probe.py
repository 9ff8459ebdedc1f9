"""The probe on a real host against the stand-in for smtp-relay.gmail.com."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mailstack.reach.bundle import Action
from mailstack.relay_rule import probe_replies
from rehearsal.google_standin import GoogleStandinClient
from rehearsal.ground import Ground, Host
from rehearsal.pki import ServerPki, make_server_pki
from rehearsal.standins import start_google
from tests.roles.support import Run, run_role

pytestmark = pytest.mark.hosts

NAME = "smtp-relay.gmail.com"
Probe = Callable[..., Run]

PASSWORD = "abcd efgh ijkl mnop"


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("relay-probe-role") as made:
        yield made


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return make_server_pki(NAME)


@pytest.fixture(scope="module")
def host(ground: Ground, pki: ServerPki) -> Host:
    """A host that trusts the stand-in's authority in its system store, as a real one trusts Google's."""
    return ground.create_host("sender", hostname="relay.example.com", ca_certificates=[pki.ca_certificate])


@pytest.fixture(scope="module")
def rule(host: Host) -> dict[str, Any]:
    return {
        "domains": ["example.com"],
        "allowed_ips": [f"{host.address}/32"],
        "allowed_senders": "domain-addresses",
        "registered_users": [],
        "require_tls": True,
        "require_smtp_auth": False,
        "smtp_auth_users": {"relay@example.com": PASSWORD},
    }


@pytest.fixture(scope="module")
def standin(ground: Ground, pki: ServerPki, rule: dict[str, Any]) -> GoogleStandinClient:
    return start_google(ground, pki, rule, host_name=NAME, service="google")


@pytest.fixture
def google(standin: GoogleStandinClient, rule: dict[str, Any]) -> Iterator[GoogleStandinClient]:
    standin.put_rule(rule)
    standin.reset()
    yield standin
    assert standin.messages() == [], "the probe sent a message"
    assert standin.counters().messages_accepted == 0


@pytest.fixture
def probe(ground: Ground, host: Host) -> Probe:
    def run(secrets: dict[str, str] | None = None, action: Action = "apply", **changes: Any) -> Run:
        settings = {
            "host": NAME,
            "port": 587,
            "implicit_tls": False,
            "helo": "relay.example.com",
            "ca_file": None,
            "sender": "probe@example.com",
            "recipient": "postmaster@example.com",
            "ip_protocol": "ipv4",
            "source_address": None,
            "connect_timeout": 5,
            "deadline_seconds": 0,
            "interval_seconds": 1,
            "on_failure": "fail",
            "replies": probe_replies(),
            **changes,
        }
        return run_role(ground, host, "relay_probe", settings, secrets, action=action)

    return run


def test_a_listed_host_passes_twice_and_by_check(probe: Probe, google: GoogleStandinClient, host: Host) -> None:
    for action in ("apply", "apply", "check"):
        done = probe(action=action)
        assert (done.code, done.status, done.summary["changed"]) == (0, "unchanged", []), done.progress
    facts = done.summary["facts"]["probe"]
    steps = {step["step"]: step for step in facts["steps"]}
    assert facts["ok"] is True
    assert steps["connect"]["source_address"] == host.address
    assert steps["tls"]["version"] == "TLSv1.3"
    assert steps["tls"]["certificate"]["names"] == [NAME]
    assert steps["rcpt"]["reply"][0].startswith("250")


def test_implicit_tls_passes_too(probe: Probe, google: GoogleStandinClient) -> None:
    assert probe(port=465, implicit_tls=True).code == 0


def test_an_address_that_is_not_listed_is_explained_with_cause_and_fix(
    probe: Probe, google: GoogleStandinClient, rule: dict[str, Any], host: Host
) -> None:
    google.put_rule({**rule, "allowed_ips": ["192.0.2.1/32"], "domains": ["elsewhere.example"]})
    done = probe()
    assert done.code == 1
    assert done.summary["facts"]["probe"]["failure"]["name"] == "relay-denied"
    assert f"550-5.7.0 Mail relay denied [{host.address}]" in done.error
    assert "fix: add the address in brackets to the rule" in done.error


def test_an_address_listed_for_another_domain_is_explained(
    probe: Probe, google: GoogleStandinClient, rule: dict[str, Any]
) -> None:
    google.put_rule({**rule, "allowed_ips": ["192.0.2.1/32"]})
    done = probe(on_failure="warn")
    assert (done.code, done.status) == (0, "unchanged")
    assert done.summary["facts"]["probe"]["failure"]["name"] == "invalid-credentials-for-relay"
    assert "would not take mail from this host" in done.summary["warnings"][0]


def test_a_general_ehlo_name_is_explained(probe: Probe, google: GoogleStandinClient) -> None:
    done = probe(helo="localhost")
    assert done.code == 1
    assert done.summary["facts"]["probe"]["failure"]["name"] == "ehlo-refused"


@pytest.mark.parametrize("certificate", ["wrong-name", "unknown-ca", "expired"])
def test_nothing_is_said_to_a_server_that_cannot_prove_its_name(
    probe: Probe, google: GoogleStandinClient, certificate: str
) -> None:
    google.serve_certificate(certificate)
    done = probe(deadline_seconds=60)
    assert done.code == 1
    failure = done.summary["facts"]["probe"]["failure"]
    assert (failure["kind"], failure["stage"], failure["curable"]) == ("tls", "tls", False)
    assert google.counters().tls_sessions == 0


def test_auth_is_asked_for_and_given_without_showing_the_password(
    probe: Probe, google: GoogleStandinClient, rule: dict[str, Any]
) -> None:
    google.put_rule({**rule, "require_smtp_auth": True})
    without = probe()
    assert without.summary["facts"]["probe"]["failure"]["name"] == "auth-required"
    done = probe({"username": "relay@example.com", "password": PASSWORD})
    assert done.code == 0, done.progress
    assert PASSWORD not in json.dumps(dict(done.summary)) + done.progress


def test_a_rule_that_spreads_late_is_waited_for_with_progress(
    probe: Probe, google: GoogleStandinClient, rule: dict[str, Any]
) -> None:
    google.put_rule({**rule, "allowed_ips": ["192.0.2.1/32"]})
    timer = threading.Timer(3, google.put_rule, [rule])
    timer.start()
    try:
        done = probe(deadline_seconds=60)
    finally:
        timer.join()
    assert done.code == 0, done.progress
    assert done.summary["facts"]["probe"]["attempts"] >= 2
    assert "[relay_probe] poll: attempt 1:" in done.progress


def test_a_stand_in_that_is_down_is_a_network_failure(probe: Probe, google: GoogleStandinClient) -> None:
    google.take_down()
    done = probe(connect_timeout=2)
    google.clear_faults()
    assert done.code == 1
    assert done.summary["facts"]["probe"]["failure"]["kind"] == "network"
