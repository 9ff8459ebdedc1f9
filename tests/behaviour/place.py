"""Where a relay runs, as the promises of ``test_promises`` see it: an application on one side, Google on the other.

The tests know nothing of the placement; what differs between placements is in the subclasses, one file each.
"""

import json
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailstack.postfix.relay import RelayDefinition
from mailstack.upstreams import PRESETS
from rehearsal.ground import Ground, Service
from rehearsal.pki import PrivateCa, ServerPki, make_server_pki
from rehearsal.standins import start_google
from rehearsal.waiting import wait_for

__all__ = ["DEFINITION", "PASSWORD", "UPSTREAM", "USER", "Load", "Place", "Sent"]

UPSTREAM = "smtp-relay.gmail.com"
USER, PASSWORD = "relay@example.com", "p#ss word \\ $x"
CLIENT = (Path(__file__).parent / "client.py").read_text(encoding="utf-8")
# Beyond this nothing a test waits for is worth waiting for on a busy machine.
PATIENCE_SECONDS = 90

# Everything but where it listens and who its clients are: that belongs to the place.
DEFINITION = RelayDefinition(
    hostname="relay.example.com",
    sender_domains=("example.com",),
    masquerade_domains=("example.com",),
    upstream_host=UPSTREAM,
    temporary_reply_patterns=PRESETS["google-workspace"].temporary_replies,
)


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

    # Deliveries that an orderly stop may cut off after the upstream has taken them: they arrive twice.
    cut_off_by_stop = 0

    def __init__(self, ground: Ground) -> None:
        """Start upstream and application; the relay comes with ``apply``."""
        self.ground = ground
        self.pki: ServerPki = make_server_pki(UPSTREAM, ca=PrivateCa())
        self.google = start_google(ground, self.pki, self.rule(), host_name=UPSTREAM, service="google")
        self.app = ground.create_service("app", ["sleep", "infinity"])
        self.stranger = ground.create_service("stranger", ["sleep", "infinity"])

    def rule(self, **changes: Any) -> dict[str, Any]:
        """Return Google's rule: it knows the addresses of the ground."""
        return {
            "domains": ["example.com"],
            "allowed_ips": [str(self.ground.subnet)],
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

    @abstractmethod
    def apply(self, definition: RelayDefinition = DEFINITION, password: str | None = None) -> None:
        """Bring the relay to a definition the way an update does, mail in the queue or not; return once it greets."""

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
        """Return what Postfix has logged since ``forget``, as far as the place keeps it."""

    @abstractmethod
    def forget(self) -> None:
        """Empty queue and log."""

    def messages(self, subjects: Sequence[str], *, client: Service | None = None, **changes: Any) -> list[Sent]:
        """Send one message each from an application; ``changes`` are keys of ``client``'s input."""
        asked = {
            "addresses": list(self.addresses), "port": 25, "sender": "app@example.com", "from": "app@example.com",
            "recipient": "someone@recipient.test", "subjects": list(subjects), "threads": 1, "seconds": 20, **changes,
        }  # fmt: skip
        command = ["python3", "-c", CLIENT]
        done = self.ground.exec(client or self.app, command, input=json.dumps(asked), check=False, timeout=900)
        assert done.returncode == 0, done.stderr
        return [Sent(**json.loads(line)) for line in done.stdout.splitlines()]

    def send(self, subject: str, **changes: Any) -> Sent:
        """Send one message."""
        [sent] = self.messages([subject], **changes)
        return sent

    def send_as_stranger(self, subject: str) -> Sent:
        """Send one message from a machine that is not among the clients."""
        return self.send(subject, client=self.stranger, seconds=0)

    def load(self, count: int, *, threads: int = 8, seconds: int = 120) -> Load:
        """Send many messages, in the background."""
        subjects = [f"load {number}" for number in range(count)]
        return Load(lambda: self.messages(subjects, threads=threads, seconds=seconds))

    def queued(self) -> list[Mapping[str, Any]]:
        """Return the entries of the queue (postqueue(1) -j)."""
        return [json.loads(line) for line in self.run("postqueue", "-j").splitlines()]

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
        self.google.put_rule(self.rule())
        self.apply()
        self.forget()
        self.google.reset()
        return self
