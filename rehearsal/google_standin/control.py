"""The control API: plain HTTP with JSON, on a port of its own.

=======  ======================  ======================================================================
Method   Path                    What
=======  ======================  ======================================================================
GET      /health                 ``{"status": "ok" | "down", "ports": [...]}``; 200 also while down
GET      /messages[?since=ID]    ``{"messages": [...]}``, see :class:`.records.ReceivedMessage`
GET      /messages/ID            one message
GET      /messages/ID/raw        its bytes as Google would pass them on (``message/rfc822``)
GET      /counters               :class:`.records.Counters`
GET      /replies                the reply table
GET      /rule                   the rule, without passwords
PUT      /rule                   replace the whole rule
GET      /faults                 ``{"faults": [...]}``
POST     /faults                 switch a failure on (see :mod:`.faults`); 201 and the fault with its id
DELETE   /faults                 switch all off; ``/faults/ID`` one
POST     /reset                  forget messages, counters, limits and faults
=======  ======================  ======================================================================

Errors are ``{"error": TEXT}`` with status 400, 404, 405 or 413. There is no authentication: bind it to a network
that only the rehearsal reaches.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

from rehearsal.serving import Answer, ConfigError, HttpServer, Request

from .config import RelayRule, StandinConfig
from .faults import FaultError, FaultSet
from .records import FaultStatus
from .replies import REPLIES
from .state import StandinState

__all__ = ["ControlServer", "Controlled"]


class Controlled(Protocol):
    """What the control API may do with the stand-in."""

    config: StandinConfig
    state: StandinState
    faults: FaultSet

    def port(self, number: int = 0) -> int:
        """The port of a listener."""

    def rule(self) -> RelayRule:
        """The rule in force."""

    def set_rule(self, rule: RelayRule) -> None:
        """Replace the rule."""

    def add_fault(self, description: object) -> FaultStatus:
        """Switch a failure on."""

    def remove_fault(self, fault_id: int) -> bool:
        """Switch one failure off."""

    def clear_faults(self) -> None:
        """Switch all failures off."""

    def reset(self) -> None:
        """Forget everything but the rule."""


class _RequestError(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class ControlServer(HttpServer):
    """The HTTP server of the control API."""

    def __init__(self, standin: Controlled) -> None:
        """Remember whom to control; :meth:`start` binds the port."""
        self.controlled = standin
        super().__init__(self._answer_to, standin.config.control_host, standin.config.control_port, name="control")

    def _answer_to(self, request: Request) -> Answer:
        try:
            status, content = self._route(request.method, request.parts, request.query, _document(request.body))
        except _RequestError as error:
            status, content = error.status, {"error": str(error)}
        except (ConfigError, FaultError) as error:
            status, content = HTTPStatus.BAD_REQUEST, {"error": str(error)}
        if isinstance(content, bytes):
            return Answer(status=status, content=content, kind="message/rfc822")
        return Answer(status=status, content=content)

    def _route(
        self, method: str, parts: list[str], query: Mapping[str, str], body: object
    ) -> tuple[HTTPStatus, dict[str, Any] | bytes]:
        name = parts[0] if parts else ""
        if name == "messages" and method == "GET":
            return HTTPStatus.OK, self._messages(parts[1:], query)
        if name == "faults":
            return self._faults(method, parts[1:], body)
        simple = {
            ("GET", "health"): self._health,
            ("GET", "counters"): lambda _: self.controlled.state.counters().to_json(),
            ("GET", "replies"): lambda _: _reply_table(),
            ("GET", "rule"): lambda _: self.controlled.rule().to_json(),
            ("PUT", "rule"): self._put_rule,
            ("POST", "reset"): self._reset,
        }
        action = simple.get((method, name)) if len(parts) == 1 else None
        if action is not None:
            return HTTPStatus.OK, action(body)
        if len(parts) == 1 and name in {"messages", *(path for _, path in simple)}:
            raise _RequestError(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not possible here")
        raise _RequestError(HTTPStatus.NOT_FOUND, "no such path")

    def _health(self, _body: object) -> dict[str, Any]:
        return {
            "status": "down" if self.controlled.faults.is_down() else "ok",
            "ports": [self.controlled.port(number) for number in range(len(self.controlled.config.listeners))],
        }

    def _put_rule(self, body: object) -> dict[str, Any]:
        self.controlled.set_rule(RelayRule.from_json(body))
        return self.controlled.rule().to_json()

    def _reset(self, _body: object) -> dict[str, Any]:
        self.controlled.reset()
        return {}

    def _messages(self, rest: list[str], query: Mapping[str, str]) -> dict[str, Any] | bytes:
        state = self.controlled.state
        if not rest:
            since = _number(query.get("since", "0"))
            return {"messages": [message.to_json() for message in state.messages(since)]}
        found = state.message(_number(rest[0]))
        if found is None or len(rest) > 2 or (len(rest) == 2 and rest[1] != "raw"):
            raise _RequestError(HTTPStatus.NOT_FOUND, "no such message")
        return found[1] if len(rest) == 2 else found[0].to_json()

    def _faults(self, method: str, rest: list[str], body: object) -> tuple[HTTPStatus, dict[str, Any]]:
        if method == "GET" and not rest:
            return HTTPStatus.OK, {"faults": [fault.to_json() for fault in self.controlled.faults.active()]}
        if method == "POST" and not rest:
            return HTTPStatus.CREATED, self.controlled.add_fault(body).to_json()
        if method == "DELETE" and not rest:
            self.controlled.clear_faults()
            return HTTPStatus.OK, {}
        if method == "DELETE" and len(rest) == 1:
            if self.controlled.remove_fault(_number(rest[0])):
                return HTTPStatus.OK, {}
            raise _RequestError(HTTPStatus.NOT_FOUND, "no such fault")
        raise _RequestError(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not possible here")


def _document(body: bytes) -> object:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError as error:
        raise _RequestError(HTTPStatus.BAD_REQUEST, f"body: not JSON: {error}") from error


def _number(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise _RequestError(HTTPStatus.BAD_REQUEST, f"{text!r} is not a number")


def _reply_table() -> dict[str, Any]:
    return {
        "replies": [
            {
                "name": reply.name,
                "code": reply.code,
                "enhanced": reply.enhanced,
                "text": reply.text,
                "meaning": reply.meaning,
                "stage": reply.stage.value,
                "evidence": reply.evidence.value,
            }
            for reply in REPLIES.values()
        ]
    }
