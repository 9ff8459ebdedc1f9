"""The stand-in's configuration."""

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehearsal.serving import ConfigError, read_json

__all__ = ["PERMISSIONS", "CloudflareStandinConfig", "ZoneConfig"]

# "Zone Read" shows the zone itself, "DNS Read" its records, "DNS Write" changes them.
PERMISSIONS = ("#dns_records:read", "#dns_records:edit", "#zone:read")

_ZONE_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z0-9-]{2,63}")
_KEYS = {
    "token": str,
    "zones": list,
    "host": str,
    "port": int,
    "record_quota": int,
    "rate_limit_requests": int,
    "rate_limit_window_seconds": int,
    "rate_limit_block_seconds": int,
}
_ZONE_KEYS = {"name", "id", "status", "name_servers", "permissions", "plan", "created_on"}


@dataclass(frozen=True, kw_only=True)
class ZoneConfig:
    """One zone. ``id`` is made up when not given. ``permissions`` are what the token may do in it.

    ``plan`` is ``free``, ``pro``, ``business`` or ``enterprise``: shown only, ``record_quota`` is what holds.
    """

    name: str
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    status: str = "active"
    name_servers: tuple[str, ...] = ("ada.ns.cloudflare.com", "bob.ns.cloudflare.com")
    permissions: tuple[str, ...] = PERMISSIONS
    plan: str = "free"
    created_on: str = "2026-01-05T10:00:00Z"


@dataclass(frozen=True, kw_only=True)
class CloudflareStandinConfig:
    """Token, zones and limits.

    ``record_quota`` is the number of records a zone may hold (200 for a free zone made since 2024-09). The rate
    limit is Cloudflare's 1,200 requests in five minutes for a token; whoever exceeds it is blocked for
    ``rate_limit_block_seconds``. ``port`` 0 takes a free one.
    """

    token: str = field(repr=False)
    zones: tuple[ZoneConfig, ...]
    host: str = "127.0.0.1"
    port: int = 0
    record_quota: int = 200
    rate_limit_requests: int = 1200
    rate_limit_window_seconds: int = 300
    rate_limit_block_seconds: int = 300

    @classmethod
    def from_json(cls, value: object) -> "CloudflareStandinConfig":
        """Read a JSON object.

        Raises:
            ConfigError: with every problem found.
        """
        if not isinstance(value, dict):
            raise ConfigError(["config: expected an object"])
        problems = [f"{key}: unknown key" for key in sorted(set(value) - set(_KEYS))]
        problems += [
            f"{key}: expected {kind.__name__}, got {type(value[key]).__name__}"
            for key, kind in _KEYS.items()
            if key in value and (not isinstance(value[key], kind) or isinstance(value[key], bool))
        ]
        if not value.get("token"):
            problems.append("token: is needed")
        given = value.get("zones")
        zones = [_zone(item, number, problems) for number, item in enumerate(given if isinstance(given, list) else [])]
        if not zones:
            problems.append("zones: at least one is needed")
        if problems:
            raise ConfigError(problems)
        rest: dict[str, Any] = {key: value[key] for key in value if key != "zones"}
        return cls(zones=tuple(zone for zone in zones if zone), **rest)

    @classmethod
    def from_file(cls, path: Path) -> "CloudflareStandinConfig":
        """Read a JSON file.

        Raises:
            OSError: the file cannot be read.
            ConfigError: the text is not JSON or not a valid configuration.
        """
        return cls.from_json(read_json(path))


def _zone(item: object, number: int, problems: list[str]) -> ZoneConfig | None:
    where = f"zones[{number}]"
    before = len(problems)
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        problems.append(f"{where}: expected an object with a name")
        return None
    problems += [f"{where}.{key}: unknown key" for key in sorted(set(item) - _ZONE_KEYS)]
    name = item["name"].lower().rstrip(".")
    if not _NAME.fullmatch(name):
        problems.append(f"{where}.name: {item['name']!r} is not a domain name")
    if "id" in item and not _ZONE_ID.fullmatch(str(item["id"])):
        problems.append(f"{where}.id: {item['id']!r} is not 32 hexadecimal digits")
    wanted = item.get("permissions", [])
    if not isinstance(wanted, list) or not set(map(str, wanted)) <= set(PERMISSIONS):
        problems.append(f"{where}.permissions: expected a list of some of {', '.join(PERMISSIONS)}")
    if len(problems) > before:
        return None
    optional: dict[str, Any] = {key: item[key] for key in ("id", "status", "plan", "created_on") if key in item}
    optional |= {key: tuple(str(one) for one in item[key]) for key in ("name_servers", "permissions") if key in item}
    return ZoneConfig(name=name, **optional)
