"""How SSH reaches a host: one definition for the components, for drift and for the rehearsal's plugins."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Connection", "Jump"]

DIAL_SECONDS = 15
# What pulumi-command does without dialErrorLimit.
DEFAULT_ATTEMPTS = 10


@dataclass(frozen=True, kw_only=True)
class Jump:
    """A place to log in to. ``private_key`` None: the SSH agent of whoever connects; ``host_key`` None: unpinned."""

    address: str
    port: int
    user: str
    private_key: str | None = field(repr=False)
    host_key: str | None


@dataclass(frozen=True, kw_only=True)
class Connection(Jump):
    """A host. A ``host_key`` that is given is the only one accepted; ``attempts`` counts dials."""

    attempts: int
    jump: Jump | None = None
    dial_seconds: int = DIAL_SECONDS

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Connection":
        """Read ``command:remote:Connection``, in the engine's spelling (privateKey, dialErrorLimit, proxy)."""
        proxy = record.get("proxy")
        return cls(
            **_place(record),
            attempts=int(record.get("dialErrorLimit") or DEFAULT_ATTEMPTS),
            jump=Jump(**_place(proxy)) if proxy else None,
        )


def _place(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "address": record["host"],
        "port": int(record.get("port") or 22),
        "user": record.get("user") or "root",
        "private_key": record.get("privateKey"),
        "host_key": record.get("hostKey"),
    }
