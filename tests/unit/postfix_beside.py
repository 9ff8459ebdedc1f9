"""A place whose Postfix is made up: role ``relay_operations`` itself runs, on a queue and a log in memory."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from mailstack.reach.place import PlaceError, Report
from relay_operations import __main__ as role_entry
from relay_operations import log, queue, submission
from rolelib.commands import Result
from rolelib.host import RoleError

__all__ = ["MadeUpPostfix"]

UP = "250 2.0.0 OK taken"
LOCK = threading.Lock()


@dataclass
class MadeUpPostfix:
    """``messages``: queue id to its entry of `postqueue -j`. ``upstream`` is what the upstream answers."""

    name: str
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    upstream: str = UP
    lines: list[str] = field(default_factory=list)

    def add(
        self, identity: str, recipient: str, reason: str = "", *, age: int = 60, queue_name: str = "deferred"
    ) -> None:
        """Put a message into the queue."""
        self.messages[identity] = {
            "queue_name": queue_name, "queue_id": identity, "arrival_time": int(time.time()) - age,
            "message_size": 500, "sender": "app@example.com",
            "recipients": [{"address": recipient, **({"delay_reason": reason} if reason else {})}],
        }  # fmt: skip

    def run(self, role: str, settings: Mapping[str, Any], action: str = "apply", seconds: int = 300) -> Report:
        """Run the role as a host would."""
        assert role == "relay_operations"
        # The modules are patched for all threads, and the commands ask all hosts at once.
        with LOCK, pytest.MonkeyPatch.context() as patch:
            patch.setattr(queue, "run", self._command)
            patch.setattr(log, "run", self._command)
            patch.setattr(log, "_files", lambda *_: ["log"])
            patch.setattr(log, "_lines", lambda _: iter(self.lines))
            patch.setattr(submission, "_connected", lambda _: self)
            made = role_entry.RelayOperations(json.loads(json.dumps(settings)), {})
            try:
                plan = made.plan()
                if action == "apply":
                    made.apply(plan)
            except RoleError as error:
                raise PlaceError(f"{self.name}: {error}") from None
        told = json.loads(json.dumps(made.facts, sort_keys=True))  # as a role's summary travels
        return Report(place=self.name, changed=tuple(change.what for change in plan), facts=told)

    def _command(self, argv: Sequence[str], stdin: str | None = None, check: bool = True) -> Result:
        told = list(argv)
        ids = (stdin or "").split()
        if told == ["postqueue", "-j"]:
            return Result(argv, 0, "\n".join(json.dumps(one) for one in self.messages.values()), "")
        if told == ["postsuper", "-d", "-"]:
            self.messages = {name: one for name, one in self.messages.items() if name not in ids}
        elif told[:2] in (["postsuper", "-h"], ["postsuper", "-H"]):
            for one in ids:
                self.messages[one]["queue_name"] = "hold" if told[1] == "-h" else "deferred"
        elif told == ["postqueue", "-f"] or told[:2] == ["postqueue", "-i"]:
            tried = told[2:] or [one for one, entry in self.messages.items() if entry["queue_name"] != "hold"]
            if self.upstream == UP:
                self.messages = {name: one for name, one in self.messages.items() if name not in tried}
        elif told == ["postconf", "-h", "maillog_file"]:
            return Result(argv, 0, "/var/log/mailstack/postfix.log\n", "")
        else:
            raise AssertionError(told)
        return Result(argv, 0, "", "")

    # --- what an SMTP client sees

    def quit(self) -> tuple[int, bytes]:
        """Take leave."""
        return 221, b"2.0.0 Bye"

    def ehlo_or_helo_if_needed(self) -> None:
        """Greet."""

    def mail(self, sender: str) -> tuple[int, bytes]:
        """Take a sender of our domain only, as the relay does."""
        if not sender.endswith("@example.com"):
            return 554, f"5.7.1 <{sender}>: Sender address rejected: Access denied".encode()
        return 250, b"2.1.0 Ok"

    def rcpt(self, recipient: str) -> tuple[int, bytes]:
        """Take any recipient."""
        self.recipient = recipient
        return 250, b"2.1.5 Ok"

    def data(self, message: bytes) -> tuple[int, bytes]:
        """Take the message, and log what the upstream says of it."""
        identity, head = f"4bJxYz{len(self.lines):06d}", time.strftime("%b %e %H:%M:%S relay postfix")
        status = {"2": "sent", "4": "deferred", "5": "bounced"}[self.upstream[0]]
        words = (
            self.upstream
            if status == "sent"
            else f"host up.test[192.0.2.1] said: {self.upstream} (in reply to RCPT TO command)"
        )
        place = f"to=<{self.recipient}>, relay=up.test[192.0.2.1]:587, delay=0.1, delays=0/0/0.1/0"
        self.lines += [
            f"{head}/qmgr[1]: {identity}: from=<app@example.com>, size={len(message)}, nrcpt=1 (queue active)",
            f"{head}/smtp[2]: {identity}: {place}, dsn={self.upstream[0]}.0.0, status={status} ({words})",
        ]
        return 250, f"2.0.0 Ok: queued as {identity}".encode()
