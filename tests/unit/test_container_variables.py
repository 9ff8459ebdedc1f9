"""The relay's image from environment variables: what they mean, and every mistake told."""

from pathlib import Path
from typing import Any

import pytest

from mailstack.postfix.relay import main_cf
from postfix_container.configuration import ConfigurationError, read_configuration
from postfix_container.variables import KNOWN, VariablesError, from_variables

GOOGLE = {
    "RELAYHOST": "[smtp-relay.gmail.com]:587",
    "ALLOWED_SENDER_DOMAINS": "example.com",
    "SERVER_HOSTNAME": "relay.example.com",
    "CLIENT_NETWORKS": "172.18.0.0/16",
}
SENDGRID = {
    "RELAYHOST": "smtp.sendgrid.net:587",
    "RELAYHOST_USERNAME": "apikey",
    "RELAYHOST_PASSWORD": "SG.x",
    "ALLOWED_SENDER_DOMAINS": "example.com",
    "MASQUERADE_DOMAINS": "example.com",
    "SERVER_HOSTNAME": "relay.example.com",
    "CLIENT_NETWORKS": "172.18.0.0/16",
}


def test_the_seeds_example_becomes_a_relay_that_verifies_and_logs_in() -> None:
    wanted = from_variables(SENDGRID)
    assert (wanted.definition.next_hop, wanted.password) == ("[smtp.sendgrid.net]:587", "SG.x")
    parameters = main_cf(wanted.definition)
    assert parameters["smtp_tls_security_level"] == "secure"
    assert parameters["smtp_sasl_auth_enable"] is True
    assert parameters["masquerade_domains"] == ("example.com",)
    assert parameters["message_size_limit"] == 30_000_000, "what SendGrid takes"


@pytest.mark.parametrize(
    ("changes", "host", "port", "implicit"),
    [
        ({"RELAYHOST": "smtp-relay.gmail.com"}, "smtp-relay.gmail.com", 587, False),
        ({"RELAYHOST": "smtp-relay.gmail.com:465"}, "smtp-relay.gmail.com", 465, True),
        ({"RELAYHOST": "[smtp.example.net]", "SMTP_PORT": "2525"}, "smtp.example.net", 2525, False),
        (
            {"RELAYHOST": "", "SMTP_SERVER": "smtp-relay.gmail.com", "SMTP_PORT": "587"},
            "smtp-relay.gmail.com",
            587,
            False,
        ),
        ({"SMTP_SERVER": "smtp-relay.gmail.com", "SMTP_PORT": "587"}, "smtp-relay.gmail.com", 587, False),
        ({"RELAYHOST": "", "relayhost": "[smtp-relay.gmail.com]:587"}, "smtp-relay.gmail.com", 587, False),
    ],
)
def test_the_upstream_may_be_written_in_each_of_the_seeds_ways(
    changes: dict[str, str], host: str, port: int, implicit: bool
) -> None:
    definition = from_variables(GOOGLE | changes).definition
    assert (definition.upstream_host, definition.upstream_port, definition.implicit_tls) == (host, port, implicit)


def test_domains_are_separated_by_blanks_or_commas_and_maildomain_is_the_first() -> None:
    wanted = from_variables(
        GOOGLE | {"ALLOWED_SENDER_DOMAINS": "b.example, c.example  a.example", "maildomain": "A.example"}
    )
    assert wanted.definition.sender_domains == ("a.example", "b.example", "c.example")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"RELAYHOST": ""}, "RELAYHOST is missing"),
        ({"RELAYHOST": "smtp.example.net:smtp"}, "RELAYHOST is smtp.example.net:smtp: must be"),
        ({"RELAYHOST": "a b"}, "RELAYHOST is a b: must be"),
        ({"SMTP_PORT": "25"}, "SMTP_PORT is 25, RELAYHOST names port 587"),
        ({"SMTP_PORT": "x"}, "SMTP_PORT is x: must be a port number"),
        ({"SMTP_SERVER": "smtp.example.net"}, "SMTP_SERVER is smtp.example.net, RELAYHOST names"),
        ({"relayhost": "smtp.example.net"}, "RELAYHOST is given twice"),
        ({"ALLOWED_SENDER_DOMAINS": ""}, "ALLOWED_SENDER_DOMAINS is missing"),
        ({"ALLOWED_SENDER_DOMAINS": "example com,-x"}, "must be a domain name"),
        ({"RELAYHOST_USERNAME": "x@example.com"}, "RELAYHOST_PASSWORD is missing"),
        ({"RELAYHOST_PASSWORD": "x"}, "RELAYHOST_USERNAME is missing"),
        ({"RELAYHOST": "smtp.mailgun.org:587"}, "RELAYHOST_USERNAME is missing: Mailgun takes mail after a login only"),
        ({"RELAYHOST": "email-smtp.eu-west-1.amazonaws.com:587"}, "RELAYHOST_USERNAME is missing: Amazon SES"),
        ({"MASQUERADE_DOMAINS": "example.org"}, "masquerade_domains 'example.org': must be one of sender_domains"),
        ({"CLIENT_NETWORKS": "0.0.0.0/0"}, "open relay"),
        ({"CLIENT_NETWORKS": "10.0.0.1/8"}, "must be a network"),
        (
            {"RELAYHOST_PASSWORD_FILE": "/nonexistent/password"},
            "RELAYHOST_PASSWORD_FILE is /nonexistent/password: cannot be read",
        ),
    ],
)
def test_what_is_missing_or_contradicts_itself_is_told(changes: dict[str, str], told: str) -> None:
    with pytest.raises(VariablesError) as error:
        from_variables(GOOGLE | changes)
    assert told in str(error.value)


def test_the_readme_says_what_each_variable_means() -> None:
    text = Path("images/postfix-relay/README.md").read_text(encoding="utf-8")
    table = "".join(line.rpartition("|")[0].partition("| ")[2].partition(" | ")[0] for line in text.splitlines())
    assert [name for name in (*KNOWN, "LOG_FORMAT", "GRACE_SECONDS", "METRICS_PORT") if f"`{name}`" not in table] == []


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as error:
        read_configuration({"SERVER_HOSTNAME": "relay.example.com"}, settings=Path("/nonexistent"))
    assert "RELAYHOST is missing" in str(error.value)
    assert "ALLOWED_SENDER_DOMAINS is missing" in str(error.value)


def test_a_secret_comes_from_a_file_without_its_line_end_and_not_from_both(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("SG.y\n")
    from_file = {name: value for name, value in SENDGRID.items() if name != "RELAYHOST_PASSWORD"}
    from_file["RELAYHOST_PASSWORD_FILE"] = str(file)
    assert from_variables(from_file).password == "SG.y"
    with pytest.raises(VariablesError, match="RELAYHOST_PASSWORD is given twice") as error:
        from_variables({**from_file, "RELAYHOST_PASSWORD": "hunter2"})
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT is xml"),
        ({"GRACE_SECONDS": "soon"}, "GRACE_SECONDS is soon"),
        ({"METRICS_PORT": "http"}, "METRICS_PORT is http"),
        ({"METRICS_PORT": "65536"}, "METRICS_PORT is 65536"),
        ({"METRICS_PORT": "25"}, "METRICS_PORT is 25: mail comes in there"),
    ],
)
def test_the_containers_own_settings_are_checked_too(environment: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read_configuration({**GOOGLE, **environment}, settings=Path("/nonexistent"))


def test_mounted_settings_and_variables_contradict_each_other(tmp_path: Path) -> None:
    settings = tmp_path / "relay.json"
    settings.write_text("{}")
    with pytest.raises(ConfigurationError, match="is mounted and RELAYHOST, ALLOWED_SENDER_DOMAINS"):
        read_configuration(GOOGLE, settings=settings)
    with pytest.raises(ConfigurationError, match="holds no settings of a relay"):
        read_configuration({}, settings=settings)
    settings.write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        read_configuration({}, settings=settings)


def test_mounted_secrets_are_read_by_name_and_never_shown(tmp_path: Path) -> None:
    settings, secrets = tmp_path / "relay.json", tmp_path / "secrets"
    settings.write_text('{"main_cf": []}')
    secrets.mkdir()
    (secrets / "sasl_password").write_text("hunter2")
    (secrets / "upstream_password_second").write_text("hunter3\n")
    (secrets / "..data").mkdir()
    found: Any = read_configuration({}, settings=settings, secrets=secrets)
    assert found.secrets == {"sasl_password": "hunter2", "upstream_passwords": {"second": "hunter3"}}
    assert "hunter" not in repr(found)
