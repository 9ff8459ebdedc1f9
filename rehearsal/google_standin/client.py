"""Client of the control API, with typed results. Standard library only."""

import json
import urllib.error
import urllib.request
from typing import Any

from rehearsal.waiting import wait_for

from .records import Counters, FaultStatus, ReceivedMessage

__all__ = ["ControlError", "GoogleStandinClient"]

_POLL_SECONDS = 0.05


class ControlError(Exception):
    """The control API answered with an error; ``status`` is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        """``text`` is the server's explanation."""
        super().__init__(f"{status}: {text}")
        self.status = status


class GoogleStandinClient:
    """Talks to one stand-in.

    Methods raise :class:`ControlError` for an error answer and ``OSError`` when nobody listens.
    """

    def __init__(self, base_url: str, *, timeout_seconds: float = 10.0) -> None:
        """``base_url`` is for example ``http://127.0.0.1:8025``."""
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout_seconds

    def _call(self, method: str, path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._base_url + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode("utf-8", "replace")
            try:
                text = str(json.loads(text)["error"])
            except (ValueError, KeyError, TypeError):
                text = text or error.reason
            raise ControlError(error.code, text) from error

    def _json(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._call(method, path, body))
        return answer

    def is_healthy(self) -> bool:
        """Whether the control API answers and the SMTP ports are open."""
        try:
            return bool(self._json("GET", "/health")["status"] == "ok")
        except OSError:
            return False

    def wait_until_healthy(self, timeout_seconds: float = 30.0) -> None:
        """Wait for :meth:`is_healthy`.

        Raises:
            TimeoutError: it did not come in time.
        """
        if not wait_for(self.is_healthy, timeout_seconds, pause=_POLL_SECONDS):
            raise TimeoutError(f"stand-in for Google at {self._base_url}: not up after {timeout_seconds} s")

    def messages(self, since: int = 0) -> list[ReceivedMessage]:
        """Accepted messages with an id above ``since``, oldest first."""
        answer = self._json("GET", f"/messages?since={since}")
        return [ReceivedMessage.from_json(item) for item in answer["messages"]]

    def wait_for_messages(self, count: int, *, since: int = 0, timeout_seconds: float = 30.0) -> list[ReceivedMessage]:
        """The messages above ``since`` as soon as there are at least ``count``.

        Raises:
            TimeoutError: fewer arrived in time; the text says how many.
        """
        found: list[ReceivedMessage] = []

        def enough() -> bool:
            found[:] = self.messages(since)
            return len(found) >= count

        if not wait_for(enough, timeout_seconds, pause=_POLL_SECONDS):
            raise TimeoutError(f"{len(found)} of {count} messages arrived within {timeout_seconds} s")
        return found

    def wait_for_subject(self, subject: str, *, timeout_seconds: float) -> ReceivedMessage | None:
        """The oldest accepted message of that subject, as soon as it is there; ``None`` when none came in time."""

        def found() -> ReceivedMessage | None:
            return next((message for message in self.messages() if message.header("Subject") == subject), None)

        return wait_for(found, timeout_seconds)

    def raw(self, message_id: int) -> bytes:
        """The bytes of a message, with the ``X-Relaying-Domain`` header on top."""
        return self._call("GET", f"/messages/{message_id}/raw")

    def counters(self) -> Counters:
        """All totals since the start or the last reset."""
        return Counters.from_json(self._json("GET", "/counters"))

    def rule(self) -> dict[str, Any]:
        """The rule in force, without passwords."""
        return self._json("GET", "/rule")

    def put_rule(self, rule: dict[str, Any]) -> None:
        """Replace the whole rule."""
        self._call("PUT", "/rule", rule)

    def faults(self) -> list[FaultStatus]:
        """The active failures."""
        return [FaultStatus.from_json(item) for item in self._json("GET", "/faults")["faults"]]

    def _add_fault(self, **description: object) -> FaultStatus:
        given = {key: value for key, value in description.items() if value is not None}
        return FaultStatus.from_json(self._json("POST", "/faults", given))

    def take_down(self) -> FaultStatus:
        """Close the SMTP ports and drop all sessions."""
        return self._add_fault(kind="down")

    def slow_down(self, seconds: float) -> FaultStatus:
        """Wait before each reply."""
        return self._add_fault(kind="slow", seconds=seconds)

    def refuse(self, reply: str, *, stage: str | None = None, count: int | None = None) -> FaultStatus:
        """Give a reply of the table, ``count`` times or until switched off."""
        return self._add_fault(kind="reply", reply=reply, stage=stage, count=count)

    def exceed_quota(self, scope: str, *, count: int | None = None) -> FaultStatus:
        """Answer as if the daily limit of ``customer`` or ``user`` were used up."""
        return self._add_fault(kind="quota", scope=scope, count=count)

    def drop(self, stage: str, *, count: int | None = None) -> FaultStatus:
        """Close the connection instead of answering at this stage."""
        return self._add_fault(kind="drop", stage=stage, count=count)

    def serve_certificate(self, name: str) -> FaultStatus:
        """Serve one of the faulty certificates of the configuration in new handshakes."""
        return self._add_fault(kind="certificate", certificate=name)

    def remove_fault(self, fault_id: int) -> None:
        """Switch one failure off."""
        self._call("DELETE", f"/faults/{fault_id}")

    def clear_faults(self) -> None:
        """Switch all failures off."""
        self._call("DELETE", "/faults")

    def reset(self) -> None:
        """Forget messages, counters, limits and faults; the rule stays."""
        self._call("POST", "/reset")
