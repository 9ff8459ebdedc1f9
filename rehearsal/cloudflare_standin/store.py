"""Zones and their records, the rules between records, the rate limit and the request log. Thread-safe."""

import datetime as dt
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .config import CloudflareStandinConfig, ZoneConfig
from .errors import (
    CNAME_EXISTS,
    HOST_EXISTS,
    IDENTICAL,
    NO_RECORD,
    QUOTA,
    RATE_LIMIT,
    ApiError,
    validation_error,
)
from .records import PROXIABLE_TYPES, RecordContent, normalise_record

__all__ = ["RequestRecord", "ZoneStore"]

MAX_NAME_AND_TYPE_CHARACTERS = 8192
_KEPT_REQUESTS = 5000


@dataclass(frozen=True, kw_only=True)
class RequestRecord:
    """One request as it was answered; ``path`` is without the query."""

    method: str
    path: str
    status: int


@dataclass(kw_only=True)
class _Stored:
    id: str
    record: RecordContent
    created_on: str
    modified_on: str
    comment_modified_on: str | None

    def to_json(self) -> dict[str, Any]:
        record = self.record
        answer: dict[str, Any] = {
            "id": self.id,
            "name": record.name,
            "type": record.type,
            "content": record.content,
            "proxiable": record.type in PROXIABLE_TYPES,
            "proxied": record.proxied,
            "ttl": record.ttl,
            "settings": dict(record.settings),
            "meta": {},
            "comment": record.comment,
            "tags": [],
            "created_on": self.created_on,
            "modified_on": self.modified_on,
        }
        if record.type == "CNAME" and not record.proxied:
            # As the provider's code says: the API leaves the object out here.
            del answer["settings"]
        if record.priority is not None:
            answer["priority"] = record.priority
        if record.data is not None:
            answer["data"] = dict(record.data)
        if self.comment_modified_on is not None:
            answer["comment_modified_on"] = self.comment_modified_on
        return answer


@dataclass(kw_only=True)
class _Zone:
    config: ZoneConfig
    created_on: str
    records: dict[str, _Stored] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.config.id,
            "name": self.config.name,
            "status": self.config.status,
            "paused": False,
            "type": "full",
            "development_mode": 0,
            "name_servers": list(self.config.name_servers),
            "original_name_servers": [],
            "original_registrar": None,
            "original_dnshost": None,
            "created_on": self.config.created_on,
            "modified_on": self.config.created_on,
            "activated_on": self.config.created_on,
            "account": {"id": "0" * 32, "name": "rehearsal"},
            "owner": {"id": None, "type": "user", "email": None},
            "plan": {
                "id": "0" * 32,
                "name": self.config.plan.title(),
                "legacy_id": self.config.plan,
                "currency": "USD",
            },
            "meta": {"step": 2, "custom_certificate_quota": 0, "page_rule_quota": 3, "phishing_detected": False},
            "permissions": list(self.config.permissions),
        }


class ZoneStore:
    """All state of the stand-in."""

    def __init__(self, config: CloudflareStandinConfig, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds for the rate limit; tests move it."""
        self._config = config
        self._clock = clock
        self._lock = threading.RLock()
        self._zones = {zone.id: _Zone(config=zone, created_on=_now()) for zone in config.zones}
        self._recent: deque[float] = deque()
        self._blocked_until = 0.0
        self._requests: deque[RequestRecord] = deque(maxlen=_KEPT_REQUESTS)

    # -- requests -----------------------------------------------------------------------------------------

    def admit(self) -> None:
        """Count a request against the rate limit.

        Raises:
            ApiError: 429 with ``retry-after``.
        """
        with self._lock:
            now = self._clock()
            limit, window = self._config.rate_limit_requests, self._config.rate_limit_window_seconds
            while self._recent and self._recent[0] <= now - window:
                self._recent.popleft()
            if now >= self._blocked_until and len(self._recent) >= limit:
                self._blocked_until = now + self._config.rate_limit_block_seconds
            if now < self._blocked_until:
                wait = max(int(self._blocked_until - now + 0.999), 1)
                raise ApiError(
                    RATE_LIMIT,
                    headers={
                        "retry-after": str(wait),
                        "Ratelimit": f'"default";r=0;t={wait}',
                        "Ratelimit-Policy": f'"default";q={limit};w={window}',
                    },
                )
            self._recent.append(now)

    def log_request(self, request: RequestRecord) -> None:
        """Remember an answered request."""
        with self._lock:
            self._requests.append(request)

    def requests(self) -> list[RequestRecord]:
        """The last answered requests, oldest first."""
        with self._lock:
            return list(self._requests)

    def reset(self) -> None:
        """Forget records, requests and the rate limit; the zones stay."""
        with self._lock:
            for zone in self._zones.values():
                zone.records.clear()
            self._recent.clear()
            self._requests.clear()
            self._blocked_until = 0.0

    # -- zones --------------------------------------------------------------------------------------------

    def zones(self, name: str | None = None) -> list[dict[str, Any]]:
        """All zones, or those of that name."""
        with self._lock:
            wanted = None if name is None else name.lower().rstrip(".")
            return [zone.to_json() for zone in self._zones.values() if wanted in {None, zone.config.name}]

    def zone(self, zone_id: str) -> dict[str, Any] | None:
        """One zone, or ``None``."""
        with self._lock:
            found = self._zones.get(zone_id)
            return found.to_json() if found else None

    # -- records ------------------------------------------------------------------------------------------

    def records(self, zone_id: str) -> list[dict[str, Any]]:
        """The records of a zone, sorted by name and type as Cloudflare lists them."""
        with self._lock:
            stored = self._zones[zone_id].records.values()
            found = sorted(stored, key=lambda item: (item.record.type, item.record.name, item.created_on))
            return [item.to_json() for item in found]

    def record(self, zone_id: str, record_id: str) -> dict[str, Any]:
        """One record.

        Raises:
            ApiError: 81044.
        """
        with self._lock:
            return self._stored(zone_id, record_id).to_json()

    def create(self, zone_id: str, body: object) -> dict[str, Any]:
        """Add a record.

        Raises:
            ApiError: the record is wrong, in conflict, or too many.
        """
        with self._lock:
            zone = self._zones[zone_id]
            record = normalise_record(body, zone.config.name)
            _check_conflicts(record, zone, replaced=None)
            if len(zone.records) >= self._config.record_quota:
                raise ApiError(QUOTA)
            now = _now()
            stored = _Stored(
                id=secrets.token_hex(16),
                record=record,
                created_on=now,
                modified_on=now,
                comment_modified_on=now if record.comment else None,
            )
            zone.records[stored.id] = stored
            return stored.to_json()

    def update(self, zone_id: str, record_id: str, body: object, *, merge: bool) -> dict[str, Any]:
        """Replace a record (PUT), or with ``merge`` only the fields given (PATCH).

        Raises:
            ApiError: 81044, or the new record is wrong or in conflict.
        """
        with self._lock:
            zone = self._zones[zone_id]
            stored = self._stored(zone_id, record_id)
            if merge and isinstance(body, dict):
                body = {**stored.to_json(), **body}
            record = normalise_record(body, zone.config.name)
            _check_conflicts(record, zone, replaced=record_id)
            now = _now()
            if record.comment != stored.record.comment:
                stored.comment_modified_on = now if record.comment else None
            if record != stored.record:
                stored.modified_on = now
            stored.record = record
            return stored.to_json()

    def delete(self, zone_id: str, record_id: str) -> None:
        """Remove a record.

        Raises:
            ApiError: 81044.
        """
        with self._lock:
            self._stored(zone_id, record_id)
            del self._zones[zone_id].records[record_id]

    def _stored(self, zone_id: str, record_id: str) -> _Stored:
        found = self._zones[zone_id].records.get(record_id)
        if found is None:
            raise ApiError(NO_RECORD)
        return found


def _check_conflicts(record: RecordContent, zone: _Zone, *, replaced: str | None) -> None:
    others = [item.record for item in zone.records.values() if item.id != replaced]
    if any(other.identity == record.identity for other in others):
        raise ApiError(IDENTICAL)
    same_name = [other for other in others if other.name == record.name]
    if record.type == "CNAME" and any(other.type in PROXIABLE_TYPES for other in same_name):
        raise ApiError(HOST_EXISTS)
    if record.type in {"A", "AAAA"} and any(other.type == "CNAME" for other in same_name):
        raise ApiError(CNAME_EXISTS)
    together = sum(len(other.content) for other in same_name if other.type == record.type) + len(record.content)
    if together > MAX_NAME_AND_TYPE_CHARACTERS:
        text = "Combined content of records with the same name and type must not exceed 8192 characters."
        raise validation_error([(9999, text)])


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
