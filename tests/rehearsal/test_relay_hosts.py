"""One relay on two hosts, on real ones: proved one by one, changed under load, and drift that names its host."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.plan import load_plan
from mailstack.postfix.relay import PROOF_HELO
from rehearsal.in_process import ResourceFailedError
from rehearsal.rehearse import Rehearsal
from rehearsal.waiting import wait_for
from tests.rehearsal.test_whole_stack import without_cli
from tests.relay_only import relay_only

pytestmark = pytest.mark.hosts

MAIN_CF = "/etc/postfix/main.cf"
# Runs on a client. Standard input: JSON with addresses, prefix and a file. Sends one message after the other until the
# file is there: as clients do that know RFC 5321 section 5.1, to the other address where one does not take it, and
# later again. Prints the subjects that were accepted.
CLIENT = """
import json, os, smtplib, sys, time
asked = json.loads(sys.stdin.read())
accepted, tries, failures = [], 0, 0
while not os.path.exists(asked["stop"]) or not accepted:
    subject, done = "%s-%d" % (asked["prefix"], len(accepted)), False
    while not done:
        tries += 1
        address = asked["addresses"][tries % len(asked["addresses"])]
        try:
            with smtplib.SMTP(address, 25, local_hostname="app.example.com", timeout=10) as smtp:
                text = "Subject: %s\\r\\n\\r\\nx\\r\\n" % subject
                smtp.sendmail("app@mailstack.test", ["someone@recipient.test"], text)
            done = True
        except (OSError, smtplib.SMTPException):
            failures += 1
            time.sleep(0.1)
    accepted.append(subject)
    time.sleep(0.02)
print(json.dumps({"accepted": accepted, "failures": failures}))
"""
# Arguments: address, EHLO name, sender, recipient. Goes on as far as it is let; prints the last answer.
STRANGER = """
import smtplib, sys
address, helo, sender, recipient = sys.argv[1:]
with smtplib.SMTP(address, 25, local_hostname=helo, timeout=20) as smtp:
    smtp.ehlo()
    for step in (lambda: smtp.mail(sender), lambda: smtp.rcpt(recipient), lambda: smtp.docmd("DATA")):
        code, text = step()
        if code >= 400:
            break
    if code == 354:
        smtp.send("Subject: stranger\\r\\n\\r\\nx\\r\\n.\\r\\n")
        code, text = smtp.getreply()
    print(code, text.decode())
"""


def two_relays() -> dict[str, Any]:
    """Return the local stack's relay on mail1 and mail2; applications are on the host of the DNS server."""
    raw = relay_only()
    raw["hosts"]["mail2"] = dict(raw["hosts"]["mail1"])
    # The rule's own probe sees what the proof sees; here the proof is to say it.
    raw["relay_rule"]["probe"] |= {"on_failure": "warn", "wait_minutes": 0}
    for number, name in enumerate(("mail1", "mail2", "ns1"), 1):
        raw["hosts"][name] |= {
            "address": f"{name}.mailstack.test",
            "public_ipv4": f"192.0.2.{number}",
            "private_address": f"10.0.0.{number}",
        }
    del raw["relay"]["host"]
    raw["relay"] |= {
        "hosts": ["mail1", "mail2"],
        "client_networks": ["10.0.0.3/32"],
        "client_name": "smtp.mailstack.test",
        "proof": {"wait_minutes": 0},
    }
    return raw


class Stack:
    """The stack, up on the in-process back end."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.rehearsal = rehearsal
        self.declared = rehearsal.raw
        self.outputs = rehearsal.bring_up()
        self.checks = rehearsal.prove(self.outputs)

    def up(self, **relay: Any) -> None:
        """Bring it up with these settings of the relay."""
        self.rehearsal.raw = {**self.declared, "relay": {**self.declared["relay"], **relay}}
        self.rehearsal.plan = load_plan(self.rehearsal.raw)
        self.rehearsal.bring_up()

    def on(self, name: str, *argv: str, stdin: str | None = None) -> str:
        return self.rehearsal.ground.exec(self.rehearsal.hosts[name], argv, input=stdin, check=False).stdout

    def state(self, name: str) -> tuple[str, str]:
        """Return what a role that touched the host would change: the configuration and when it was written."""
        return self.on(name, "cat", MAIN_CF), self.on(name, "stat", "-c", "%Z", MAIN_CF, "/etc/postfix/mailstack")

    def address(self, name: str) -> str:
        return self.rehearsal.hosts[name].address


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patched:
        without_cli(patched)
        with Rehearsal("relay-hosts", two_relays(), lambda _line: None) as rehearsal:
            yield Stack(rehearsal)


@pytest.fixture(autouse=True)
def willing(stack: Stack) -> Iterator[None]:
    yield
    stack.rehearsal.google.clear_faults()


def test_both_relays_deliver_from_their_own_addresses_and_one_name_has_them_all(stack: Stack) -> None:
    assert [f"{check.name}: {check.evidence}" for check in stack.checks if not check.passed] == []
    names = {check.name for check in stack.checks}
    for host in ("mail1", "mail2"):
        assert {f"{host}: a message arrives at the upstream", f"{host}: from the host's own address"} <= names
        assert f"{host}: relay rule probe" in names
    assert "DNS A smtp.mailstack.test" in names
    addresses = [stack.address("mail1"), stack.address("mail2")]
    assert (stack.outputs["smtp_host"], stack.outputs["smtp_hosts"]) == ("smtp.mailstack.test", addresses)


@pytest.mark.parametrize("fault", ["certificate", "login"])
def test_what_fails_on_the_first_host_never_reaches_the_second(stack: Stack, fault: str) -> None:
    before = {name: stack.state(name) for name in ("mail1", "mail2")}
    changes: dict[str, Any] = {"concurrency": 7}
    if fault == "certificate":
        stack.rehearsal.google.serve_certificate("wrong-name")
    else:
        login = {"auth": "sasl", "username": "relay@mailstack.test", "password": "never right"}
        changes["upstream"] = {**stack.declared["relay"]["upstream"], **login}
    with pytest.raises(ResourceFailedError, match="relay-postfix-mail1") as failed:
        stack.up(**changes)
    assert {"certificate": "ertificate not verified", "login": "535"}[fault] in str(failed.value)
    assert "FAILED in step 'prove'" in str(failed.value)
    assert stack.state("mail2") == before["mail2"], "not touched"
    assert stack.state("mail1")[0] == before["mail1"][0], "back to what it was, and running"
    assert stack.on("mail1", "systemctl", "is-active", "postfix").strip() == "active"


def test_a_client_that_tries_both_addresses_loses_nothing_during_a_change(stack: Stack) -> None:
    google = stack.rehearsal.google
    stop = "/run/stop-sending"
    stack.on("ns1", "rm", "-f", stop)
    asked = {"addresses": stack.outputs["smtp_hosts"], "prefix": "rolling", "stop": stop}
    printed: list[str] = []
    client = threading.Thread(
        target=lambda: printed.append(stack.on("ns1", "python3", "-c", CLIENT, stdin=json.dumps(asked)))
    )
    client.start()
    try:
        stack.up(concurrency=9)
    finally:
        stack.on("ns1", "touch", stop)
        client.join()
    sent = json.loads(printed[0])["accepted"]

    def arrived() -> list[str]:
        subjects = [str(message.header("Subject")) for message in google.messages()]
        return sorted(subject for subject in subjects if subject.startswith("rolling-"))

    wait_for(lambda: set(arrived()) >= set(sent), seconds=60)
    assert arrived() == sorted(sent), "each once"
    peers = {message.peer_ip for message in google.messages() if str(message.header("Subject")) in set(sent)}
    assert peers == {stack.address("mail1"), stack.address("mail2")}


@pytest.mark.parametrize("helo", ["app.example.com", PROOF_HELO])
@pytest.mark.parametrize(
    ("place", "sender"), [("mail1", "app@mailstack.test"), ("ns1", "someone@elsewhere.test")], ids=["client", "sender"]
)
def test_a_stranger_and_a_foreign_sender_get_nowhere_whatever_they_say(
    stack: Stack, helo: str, place: str, sender: str
) -> None:
    """The recipient that Postfix exempts from its lists, the sender of the proof, is none to get through by."""
    for recipient in ("someone@recipient.test", "postmaster@mailstack.test", "abuse@mailstack.test"):
        answer = stack.on(place, "python3", "-c", STRANGER, stack.address("mail2"), helo, sender, recipient)
        assert answer.startswith("554"), f"{recipient}: {answer}"
    assert "stranger" not in [message.header("Subject") for message in stack.rehearsal.google.messages()]
    queued = [json.loads(line) for line in stack.on("mail2", "postqueue", "-j").splitlines()]
    # What has no recipients is the rest of a session that an earlier test's change has cut off: nobody's mail.
    assert [entry for entry in queued if entry["recipients"]] == []


def test_drift_says_on_which_host(stack: Stack) -> None:
    stack.on("mail2", "postconf", "-e", "maximal_queue_lifetime=1h")
    drift = stack.rehearsal.drift()
    assert [line for line in drift if not line.startswith("relay-postfix-mail2: ")] == []
    assert any("maximal_queue_lifetime" in line for line in drift)
