"""Why Postfix put a message off or gave it back: each of its own words has a cause and a fix."""

import pytest

from mailstack.relay_rule.reasons import CAUSES, explain, reply_in

SAID = "host smtp-relay.gmail.com[192.0.2.1] said: {} (in reply to RCPT TO command)"


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("connect to up.test[192.0.2.1]:587: Connection refused", "connection-refused"),
        ("connect to up.test[192.0.2.1]:587: Connection timed out", "not-reached"),
        ("lost connection with up.test[192.0.2.1] while sending RCPT TO", "not-reached"),
        ("Host or domain name not found. Name service error for name=up.test type=A: Host not found", "name-not-found"),
        ("TLS is required, but was not offered by host up.test[192.0.2.1]", "no-starttls"),
        ("Server certificate not verified", "tls-not-verified"),
        ("Cannot start TLS: handshake failure", "tls-not-verified"),
        ("SASL authentication failed; server up.test[192.0.2.1] said: 535 5.7.8 bad credentials", "login-refused"),
        ("554 5.7.1 <a@else.test>: Sender address rejected: Access denied", "sender-not-allowed"),
        ("554 5.7.1 <app[192.0.2.7]>: Client host rejected: Access denied", "client-not-allowed"),
        (SAID.format("550 5.1.1 <x@y.test>: User unknown"), "recipient-refused"),
        (SAID.format("451 4.3.5 something of their own"), "temporary-reply"),
        (SAID.format("552 5.3.4 something of their own"), "permanent-reply"),
        ("something nobody has seen", "unknown"),
    ],
)
def test_a_reason_names_its_cause_and_a_fix(reason: str, name: str) -> None:
    found = explain(reason, google=False)
    assert found.name == name
    assert found.cause
    assert found.fix


def test_what_google_says_is_looked_up_in_googles_own_table() -> None:
    reason = SAID.format("550-5.7.0 Mail relay denied [192.0.2.1]. Invalid credentials for relay")
    assert explain(reason, google=True).name == "relay-denied"
    assert "SMTP relay service" in explain(reason, google=True).fix
    assert explain(reason, google=False).name == "permanent-reply"


def test_the_other_servers_own_words_are_taken_out_of_a_reason() -> None:
    assert reply_in(SAID.format("450 4.2.1 later, please")) == "450 4.2.1 later, please"
    assert reply_in("connect to up.test[192.0.2.1]:587: Connection refused") is None


def test_every_cause_has_a_name_of_its_own() -> None:
    names = [cause.name for _, cause in CAUSES]
    assert len(set(names)) == len(names)
