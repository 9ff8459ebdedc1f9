"""The HTTP side: the API under ``/client/v4``, and an inspection path outside of it.

``GET /state`` answers ``{"zones": [{"id", "name", "records"}], "requests": [{"method", "path", "status"}]}``
without a token; ``POST /state/reset`` forgets records and requests; ``GET /health`` answers ``{"status": "ok"}``.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import asdict
from hmac import compare_digest
from http import HTTPStatus
from typing import Any, Self

from rehearsal.serving import Answer, HttpServer, Request

from .config import CloudflareStandinConfig
from .errors import (
    AUTHENTICATION,
    BAD_AUTHORIZATION,
    INVALID_BODY,
    INVALID_TOKEN,
    METHOD,
    NO_ROUTE,
    NOT_AN_ID,
    ZONE_FORBIDDEN,
    ApiError,
)
from .store import RequestRecord, ZoneStore

__all__ = ["CloudflareStandin"]

_LOG = logging.getLogger("cloudflare_standin")
_BASE = "/client/v4"
_ID = re.compile(r"[0-9a-f]{32}")
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{8,256})")
# What a page holds when nothing is said, and at most.
_ZONES_PER_PAGE = (20, 50)
_RECORDS_PER_PAGE = (100, 5_000_000)
_TOKEN_ID = "f" * 32

Query = Mapping[str, str]
Envelope = dict[str, Any]


class CloudflareStandin(HttpServer):
    """A running stand-in; usable as a context manager. The server has its own thread; ``url`` is for inspection."""

    def __init__(self, config: CloudflareStandinConfig) -> None:
        """Prepare the zones; nothing listens before :meth:`start`."""
        self.config = config
        self.store = ZoneStore(config)
        self._api = _Api(config, self.store)
        super().__init__(self._answer_to, config.host, config.port, name="cloudflare-standin")

    def start(self) -> Self:
        """Bind the port and return at once.

        Raises:
            OSError: the port is taken.
        """
        super().start()
        _LOG.info("listening on %s", self.api_url)
        return self

    def _answer_to(self, request: Request) -> Answer:
        if not request.path.startswith(_BASE + "/"):
            return self._inspect(request.method, request.path)
        status, headers = HTTPStatus.OK.value, {}
        try:
            content = self._api.answer(request)
        except ApiError as error:
            status, headers = error.status, error.headers
            content = {"success": False, "errors": [error.to_json()], "messages": [], "result": None}
            _LOG.info("%s %s: %d %s", request.method, request.path, status, [error.code, *error.chain])
        self.store.log_request(RequestRecord(method=request.method, path=request.path, status=status))
        return Answer(status=status, content=content, headers=headers)

    def _inspect(self, method: str, path: str) -> Answer:
        if (method, path) == ("GET", "/state"):
            return Answer(content=self._api.state())
        if (method, path) == ("POST", "/state/reset"):
            self.store.reset()
            return Answer(content={})
        if (method, path) == ("GET", "/health"):
            return Answer(content={"status": "ok"})
        return Answer(status=HTTPStatus.NOT_FOUND, content={"error": f"no such path; the API is under {_BASE}"})

    @property
    def api_url(self) -> str:
        """What goes into ``CLOUDFLARE_BASE_URL``: with ``/client/v4``, without a final slash."""
        return self.url + _BASE

    def zone_id(self, name: str) -> str:
        """The id of a zone.

        Raises:
            KeyError: there is no such zone.
        """
        found = self.store.zones(name)
        if not found:
            raise KeyError(name)
        return str(found[0]["id"])

    def records(self, zone: str) -> list[Envelope]:
        """The records of the zone of that name, as the API would list them."""
        return self.store.records(self.zone_id(zone))

    def requests(self) -> list[RequestRecord]:
        """The last answered API requests, oldest first."""
        return self.store.requests()


class _Api:
    """Routes and answers; knows nothing of sockets."""

    def __init__(self, config: CloudflareStandinConfig, store: ZoneStore) -> None:
        self._config = config
        self.store = store

    def answer(self, request: Request) -> Envelope:
        """The envelope of a successful request; errors are raised as :class:`ApiError`."""
        self.store.admit()
        method, query = request.method, request.query
        parts = request.parts[len(_BASE.split("/")) - 1 :]
        self._authorise(request.authorization, verifying=parts == ["user", "tokens", "verify"])
        body = _parse(request.body) if method in {"POST", "PUT", "PATCH"} else None
        if parts == ["user", "tokens", "verify"] and method == "GET":
            message = {"code": 10000, "message": "This API Token is valid and active", "type": None}
            return {**_envelope({"id": _TOKEN_ID, "status": "active"}), "messages": [message]}
        if parts[:1] != ["zones"] or len(parts) > 4 or (len(parts) > 2 and parts[2] != "dns_records"):
            raise ApiError(NO_ROUTE)
        if len(parts) == 1:
            _only(method, "GET")
            seen = [zone for zone in self.store.zones(query.get("name")) if "#zone:read" in zone["permissions"]]
            return _page(seen, query, *_ZONES_PER_PAGE)
        zone = self._zone(parts[1])
        if len(parts) == 2:
            _only(method, "GET")
            _need("#zone:read", zone, ZONE_FORBIDDEN)
            return _envelope(zone)
        _need("#dns_records:read" if method == "GET" else "#dns_records:edit", zone, AUTHENTICATION)
        if len(parts) == 3:
            return self._collection(method, zone["id"], query, body)
        return self._single(method, zone["id"], parts[3], body)

    def _authorise(self, authorization: str | None, *, verifying: bool) -> None:
        match = _BEARER.fullmatch(authorization or "")
        if authorization is None:
            raise ApiError(AUTHENTICATION)
        if match is None:
            raise ApiError(BAD_AUTHORIZATION, chain=[(6111, "Invalid format for Authorization header")])
        if not compare_digest(match.group(1), self._config.token):
            raise ApiError(INVALID_TOKEN if verifying else AUTHENTICATION)

    def _zone(self, zone_id: str) -> Envelope:
        if not _ID.fullmatch(zone_id):
            raise ApiError(NOT_AN_ID)
        zone = self.store.zone(zone_id)
        if zone is None:
            raise ApiError(ZONE_FORBIDDEN)
        return zone

    def _collection(self, method: str, zone_id: str, query: Query, body: object) -> Envelope:
        if method == "POST":
            return _envelope(self.store.create(zone_id, body))
        _only(method, "GET")
        found = [item for item in self.store.records(zone_id) if _matches(item, query)]
        return _page(found, query, *_RECORDS_PER_PAGE)

    def _single(self, method: str, zone_id: str, record_id: str, body: object) -> Envelope:
        if not _ID.fullmatch(record_id):
            raise ApiError(NOT_AN_ID)
        if method == "GET":
            return _envelope(self.store.record(zone_id, record_id))
        if method in {"PUT", "PATCH"}:
            return _envelope(self.store.update(zone_id, record_id, body, merge=method == "PATCH"))
        _only(method, "DELETE")
        self.store.delete(zone_id, record_id)
        return _envelope({"id": record_id})

    def state(self) -> Envelope:
        """Everything there is, for inspection."""
        return {
            "zones": [
                {"id": zone["id"], "name": zone["name"], "records": self.store.records(zone["id"])}
                for zone in self.store.zones()
            ],
            "requests": [asdict(request) for request in self.store.requests()],
        }


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        raise ApiError(METHOD)


def _need(permission: str, zone: Envelope, otherwise: tuple[int, int, str]) -> None:
    if permission not in zone["permissions"]:
        raise ApiError(otherwise)


def _parse(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except ValueError as error:
        raise ApiError(INVALID_BODY) from error


def _matches(record: Envelope, query: Query) -> bool:
    wanted = {
        "name": query.get("name") or query.get("name.exact"),
        "type": query.get("type"),
        "content": query.get("content") or query.get("content.exact"),
    }
    checks = [
        str(record[key]).lower() == text.lower() if key != "content" else record[key] == text
        for key, text in wanted.items()
        if text is not None
    ]
    return any(checks) if checks and query.get("match") == "any" else all(checks)


def _envelope(result: object) -> Envelope:
    return {"success": True, "errors": [], "messages": [], "result": result}


def _page(found: list[Envelope], query: Query, default: int, most: int) -> Envelope:
    page = max(_whole(query.get("page"), 1), 1)
    per_page = min(max(_whole(query.get("per_page"), default), 1), most)
    shown = found[(page - 1) * per_page : page * per_page]
    return {
        **_envelope(shown),
        "result_info": {
            "page": page,
            "per_page": per_page,
            "count": len(shown),
            "total_count": len(found),
            "total_pages": max(-(-len(found) // per_page), 1),
        },
    }


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else default
