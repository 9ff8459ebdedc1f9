"""Where a relay runs, as the promises of ``test_promises`` see it: an application on one side, Google on the other.

The tests know nothing of the placement; what differs between placements is in the subclasses, one file each.
"""

import json
import re
import subprocess
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailstack.plan import Plan, load_plan
from mailstack.plan.operations import operations
from mailstack.reach.entry import Entry
from mailstack.settings.initialise import rehearsal_config
from rehearsal.ground import Ground
from rehearsal.pki import PrivateCa, ServerPki, make_server_pki
from rehearsal.standins import start_google
from rehearsal.waiting import wait_for

__all__ = ["CLIENT", "PASSWORD", "READ_METRICS", "UPSTREAM", "USER", "Load", "Place", "Sent", "login", "stack_of"]

UPSTREAM = "smtp-relay.gmail.com"
USER, PASSWORD = "relay@mailstack.test", "p#ss word \\ $x"
# Argument: URL. Runs where only Debian's Python is.
READ_METRICS = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"
CLIENT = (Path(__file__).parent / "client.py").read_text(encoding="utf-8")
# Beyond this nothing a test waits for is worth waiting for on a busy machine.
PATIENCE_SECONDS = 90
# A sample of the exposition format.
LINE = re.compile(r"(?P<name>[a-z_]+)(\{.*\})? (?P<value>[0-9.e+-]+)\Z")

# Everything but where it runs and who its clients are: that belongs to the place.
RELAY = {
    "hostname": "relay.mailstack.test",
    "masquerade_domains": ["mailstack.test"],
    "upstream": {"preset": "google-workspace"},
}
LOCAL = Path(__file__).parents[2] / "Pulumi.local.yaml"


def login(password: str) -> dict[str, Any]:
    """Return the part of the relay's settings with which it logs in."""
    return {"upstream": {"preset": "google-workspace", "auth": "sasl", "username": USER, "password": password}}


def stack_of(placed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stack of nothing but what ``placed`` says: the relay, and where it runs."""
    stack = rehearsal_config(LOCAL)
    domain = {**stack["domains"][0], "dkim": stack["domains"][0]["dkim"][:1]}
    return {"environment": "local", "domains": [domain], "dns": {"provider": "none"}, **placed}


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of one message, as its application saw it."""

    subject: str
    outcome: str
    reply: str
    unsure: int


class Load(threading.Thread):
    """Messages on their way while the test does something else; ``sent`` grows to one entry each."""

    def __init__(self, send: Callable[[], list[Sent]]) -> None:
        """Start at once."""
        super().__init__(daemon=True)
        self._send = send
        self._sent: list[Sent] = []
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Send until all is told."""
        try:
            self._sent = self._send()
        except BaseException as error:
            self._error = error
            raise

    def sent(self) -> list[Sent]:
        """Wait for the end and return what became of every message."""
        self.join()
        assert self._error is None, self._error
        return self._sent


class Place(ABC):
    """One relay between an application and the stand-in for Google, on a ground of its own."""

    @property
    def cut_off_by_stop(self) -> int:
        """Deliveries that an orderly stop may cut off after the upstream has taken them: they arrive twice."""
        return 0

    @property
    def cut_off_by_change(self) -> int:
        """The same of an update."""
        return self.cut_off_by_stop

    @property
    def sessions(self) -> int:
        """How many deliveries may be under way at once."""
        return self.plan().relay.definition.concurrency

    def __init__(self, ground: Ground) -> None:
        """Start upstream and application; the relay comes with ``apply``."""
        self.ground = ground
        self._applied: Mapping[str, Any] | None = None
        self.authority = PrivateCa()
        self.pki: ServerPki = make_server_pki(UPSTREAM, ca=self.authority)
        self.granted = self.rule(allowed_ips=[str(ground.subnet)])
        self.google = start_google(ground, self.pki, self.granted, host_name=UPSTREAM, service="upstream")
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Start the application, and somebody who may not send."""

    def grant(self, **changes: Any) -> None:
        """Let Google have the usual rule with ``changes``."""
        self.granted = self.rule(**changes)
        self.google.put_rule(self.granted)

    def raw(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return a stack of nothing but the relay; ``changes`` are keys of ``relay``."""
        return stack_of(self.placed({**RELAY, **changes}))

    def plan(self, **changes: Any) -> Plan:
        """Return the plan of that stack."""
        return load_plan(self.raw(changes))

    @abstractmethod
    def placed(self, relay: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sections of the stack that say where ``relay`` runs."""

    @property
    def egress(self) -> str:
        """The network that mail leaves from."""
        return str(self.ground.subnet)

    def rule(self, **changes: Any) -> dict[str, Any]:
        """Return Google's rule: it knows the addresses of the ground."""
        return {
            "domains": ["mailstack.test"],
            "allowed_ips": changes.get("allowed_ips") or [self.egress],
            "allowed_senders": "domain-addresses",
            "registered_users": [],
            "require_tls": True,
            "require_smtp_auth": False,
            "smtp_auth_users": {USER: PASSWORD},
            **changes,
        }

    @property
    @abstractmethod
    def addresses(self) -> Sequence[str]:
        """Where applications connect, each with port 25."""

    @property
    def stranger_addresses(self) -> Sequence[str]:
        """Where somebody connects who is no client."""
        return self.addresses

    def close(self) -> None:  # noqa: B027 - most places have nothing of the kind
        """Remove what the ground does not know of."""

    def apply(self, **changes: Any) -> None:
        """Bring the relay to changed settings the way an update does, mail or no mail; return once it greets."""
        self._applied = changes
        self.update(**changes)

    @abstractmethod
    def update(self, **changes: Any) -> None:
        """Do what ``apply`` says."""

    @abstractmethod
    def stop(self) -> None:
        """Ask it to end, as an operator or orchestrator does, and wait for the end."""

    @abstractmethod
    def kill(self) -> None:
        """End it without a word."""

    @abstractmethod
    def start(self) -> None:
        """Start it again, with the queue it had; return once it greets."""

    @abstractmethod
    def run(self, *command: str) -> str:
        """Run a command beside Postfix, on each instance where there are several, and return what they print."""

    @abstractmethod
    def log(self) -> str:
        """Return what Postfix has logged, as far as the place keeps it."""

    @abstractmethod
    def forget(self) -> None:
        """Empty the queue, and the log where that can be done."""

    @abstractmethod
    def ask(self, command: Sequence[str], stdin: str, *, stranger: bool) -> subprocess.CompletedProcess[str]:
        """Run a command where an application is, or somebody who is no client."""

    @abstractmethod
    def metrics(self) -> str:
        """Return what Prometheus is told, of all instances one after the other."""

    def counted(self, name: str) -> float:
        """Return the sum of a metric over its labels and all instances."""
        found = (LINE.match(line) for line in self.metrics().splitlines())
        return sum(float(line["value"]) for line in found if line and line["name"] == name)

    def messages(self, subjects: Sequence[str], *, stranger: bool = False, **changes: Any) -> list[Sent]:
        """Send one message each from an application; ``changes`` are keys of ``client``'s input."""
        asked = {
            "addresses": list(self.addresses), "port": 25, "sender": "app@mailstack.test", "from": "app@mailstack.test",
            "recipient": "someone@recipient.test", "subjects": list(subjects), "threads": 1, "seconds": 20, **changes,
        }  # fmt: skip
        done = self.ask(["python3", "-c", CLIENT], json.dumps(asked), stranger=stranger)
        assert done.returncode == 0, done.stderr
        return [Sent(**json.loads(line)) for line in done.stdout.splitlines()]

    def send(self, subject: str, **changes: Any) -> Sent:
        """Send one message."""
        [sent] = self.messages([subject], **changes)
        return sent

    def send_as_stranger(self, subject: str) -> Sent:
        """Send one message from a machine that is not among the clients."""
        return self.send(subject, stranger=True, addresses=list(self.stranger_addresses), seconds=0)

    def load(self, count: int, *, threads: int = 8, seconds: int = 120) -> Load:
        """Send many messages, in the background."""
        subjects = [f"load {number}" for number in range(count)]
        return Load(lambda: self.messages(subjects, threads=threads, seconds=seconds))

    def queued(self) -> list[Mapping[str, Any]]:
        """Return the messages of the queue (postqueue(1) -j).

        What has no recipient is none: the rest of a session that a restart has cut off before its message was taken.
        """
        entries = [json.loads(line) for line in self.run("postqueue", "-j").splitlines()]
        return [entry for entry in entries if entry["recipients"]]

    def cut_sessions(self) -> None:
        """End what is open between relay and upstream: the next delivery makes a connection of its own."""
        self.google.remove_fault(self.google.take_down().id)

    @property
    def kubectl(self) -> str:
        """The program that reaches a cluster."""
        return "kubectl"

    def entry(self) -> Entry:
        """Return the ways in that an operator's commands have, by what the stack's outputs would tell."""
        plan = self.plan()
        return Entry(
            operations=operations(plan), stack="behaviour", folder=LOCAL.parent, open_plan=lambda: plan,
            kubectl=self.kubectl,
        )  # fmt: skip

    def retry_now(self) -> None:
        """Try what was put off, as an operator does once the upstream is back."""
        self.run("postqueue", "-f")

    def arrived(self) -> Counter[str]:
        """Return how often each subject arrived."""
        return Counter(str(message.header("Subject")) for message in self.google.messages())

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for ``condition``; fail with ``what`` and the end of the log."""
        assert wait_for(condition, seconds, pause=0.2), f"{what}: not within {seconds} s\n{self.log()[-3000:]}"

    def settled(self) -> "Place":
        """Return the place with the plain relay, nothing in the queue, and a willing upstream."""
        self.google.clear_faults()
        self.grant()
        if self._applied != {}:
            self.apply()
        self.forget()
        self.google.reset()
        return self
