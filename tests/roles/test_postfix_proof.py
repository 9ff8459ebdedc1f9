"""The proof on a real host: mail passes, or the change is taken back with the upstream's own words. No mail is sent."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.postfix.relay import PROOF_HELO, RelayDefinition, role_settings
from mailstack.relay_rule import probe_replies
from rehearsal.ground import Ground
from tests.roles.support import Run, run_role
from tests.roles.test_postfix_faults import DEFINITION, PASSWORD, USER, Site, pki, site, whole

__all__ = ["pki", "site", "whole"]  # fixtures: a host with the relay, mail going to a stand-in for Google

pytestmark = pytest.mark.hosts

PROVED = dataclasses.replace(DEFINITION, proof_sender="postmaster@example.com")
LOGIN = dataclasses.replace(PROVED, sasl_username=USER)
# Arguments: EHLO name, sender, recipient. Prints the answer to RCPT TO, or to MAIL FROM where that is refused.
ASK = """
import smtplib, sys
helo, sender, recipient = sys.argv[1:]
with smtplib.SMTP("127.0.0.1", 25, local_hostname=helo, timeout=60) as smtp:
    smtp.ehlo()
    code, text = smtp.mail(sender)
    if code == 250:
        code, text = smtp.rcpt(recipient)
    print(code, text.decode())
"""


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("postfix-proof") as made:
        yield made


def apply(
    site: Site, definition: RelayDefinition = PROVED, password: str | None = None, action: Any = "apply", **proof: Any
) -> Run:
    told = {
        "helo": PROOF_HELO,
        "sender": "postmaster@example.com",
        "recipient": "abuse@example.com",
        "wait_seconds": 0,
        "interval_seconds": 6,
        "on_failure": "fail",
        "replies": probe_replies(),
        **proof,
    }
    settings = {**role_settings(definition), "proof": told}
    secrets = {} if password is None else {"sasl_password": password}
    return run_role(site.ground, site.host, "postfix_relay", settings, secrets, action=action)


def ask(site: Site, helo: str, recipient: str = "abuse@example.com") -> str:
    done = site.ground.exec(site.host, ["python3", "-", helo, "app@example.com", recipient], input=ASK, check=False)
    return done.stdout.strip()


def denied(site: Site) -> None:
    site.google.put_rule({**site.rule, "allowed_ips": ["192.0.2.1/32"]})


def test_a_change_is_proved_without_a_message_and_what_is_proved_is_not_asked_again(site: Site) -> None:
    first = apply(site)
    assert (first.code, first.summary["facts"]["proved"]) == (0, True), first.progress
    counted = site.google.counters()
    assert (counted.transactions, counted.messages_accepted, counted.recipients_accepted) == (1, 0, 0)
    second = apply(site)
    assert (second.code, second.status, second.summary["changed"]) == (0, "unchanged", [])
    assert second.summary["facts"]["proved"] is True
    assert apply(site, action="check").code == 0
    assert site.google.counters().transactions == 1
    stats = json.loads(site.sh("mailstack-relay-stats"))["recipients"]
    assert stats == {"sent": 0, "deferred": 0, "bounced": 0, "expired": 0}, "asking is no delivery"
    assert site.queued() == []


def test_a_refusal_takes_the_change_back_with_the_upstreams_words_and_the_cause(site: Site) -> None:
    apply(site)
    main_cf = site.sh("cat /etc/postfix/main.cf")
    denied(site)
    failed = apply(site, dataclasses.replace(PROVED, concurrency=7))
    assert failed.code == 1
    assert failed.summary["error"]["step"] == "prove"
    assert "said: 550-5.7" in failed.error
    assert "\ncause: " in failed.error
    assert "\nfix: " in failed.error
    assert "the previous configuration is back and running" in failed.error
    assert site.sh("cat /etc/postfix/main.cf") == main_cf
    assert site.send("still accepted") == ["accepted"]
    site.google.put_rule(site.rule)
    assert apply(site, action="check").code == 0
    assert apply(site, dataclasses.replace(PROVED, concurrency=7)).code == 0


def test_a_wrong_password_and_a_wrong_certificate_are_found_and_told_apart(site: Site) -> None:
    site.google.put_rule({**site.rule, "require_smtp_auth": True})
    assert apply(site, LOGIN, PASSWORD).code == 0
    wrong = apply(site, LOGIN, "never right")
    assert wrong.code == 1
    assert "535" in wrong.error
    assert "user name or password is wrong" in wrong.error
    assert "never right" not in wrong.progress
    site.google.serve_certificate("wrong-name")
    certificate = apply(site, dataclasses.replace(LOGIN, concurrency=8), PASSWORD)
    assert certificate.code == 1
    assert "ertificate not verified" in certificate.error
    assert "cannot prove its name" in certificate.error
    site.google.clear_faults()
    assert site.send("with the password of before") == ["accepted"]
    site.flush()
    site.wait(lambda: site.arrived() == ["with the password of before"], "mail after two changes that failed")


def test_a_failure_that_clears_within_the_wait_is_no_failure(site: Site) -> None:
    site.google.refuse("temporary-system-problem", stage="rcpt", count=1)
    done = apply(site, dataclasses.replace(PROVED, concurrency=9), wait_seconds=60)
    assert done.code == 0, done.progress
    assert "attempt 1: " in done.progress


def test_a_warning_keeps_the_change_and_asks_again_with_the_next_run(site: Site) -> None:
    apply(site)
    denied(site)
    warned = apply(site, dataclasses.replace(PROVED, concurrency=6), on_failure="warn")
    assert (warned.code, warned.status, warned.summary["facts"]["proved"]) == (0, "changed", False)
    assert any("said: 550-5.7" in warning for warning in warned.summary["warnings"])
    again = apply(site, dataclasses.replace(PROVED, concurrency=6))
    assert (again.code, again.summary["error"]["step"]) == (1, "prove")
    site.google.put_rule(site.rule)
    site.wait(lambda: apply(site, dataclasses.replace(PROVED, concurrency=6)).code == 0, "the proof")


def test_only_who_greets_as_the_proof_has_the_upstream_asked(site: Site) -> None:
    apply(site)
    denied(site)
    assert ask(site, "app.example.com").startswith("250"), "ordinary mail waits in the queue, as ever"
    # An answer is kept for some seconds, and the proof has just had one.
    site.wait(lambda: "Recipient address rejected" in ask(site, PROOF_HELO), "the upstream's own answer")


def test_a_first_installation_that_cannot_deliver_fails_and_keeps_what_it_accepts(ground: Ground, site: Site) -> None:
    fresh = ground.create_host("fresh", hostname="relay.example.com", unsafe_dpkg=True)
    stranger = Site(ground, fresh, site.google, site.rule)
    failed = apply(stranger)
    assert (failed.code, failed.summary["error"]["step"]) == (1, "prove"), failed.progress
    assert stranger.send("kept") == ["accepted"], "there is nothing to go back to: it runs, and holds its mail"
    assert apply(stranger, action="check").code == 0
    again = apply(stranger)
    assert again.code == 1, "unproved as it is, it is asked again"
