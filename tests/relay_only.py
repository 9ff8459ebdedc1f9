"""The local stack without Postal: what tests of the relay and the engine need, in a tenth of the time."""

from pathlib import Path
from typing import Any

from mailstack.settings.initialise import rehearsal_config

__all__ = ["relay_only"]

ROOT = Path(__file__).resolve().parent.parent


def relay_only() -> dict[str, Any]:
    """Return Pulumi.local.yaml with throw-away secrets, without Postal, Caddy and firewall."""
    raw = rehearsal_config(ROOT / "Pulumi.local.yaml")
    del raw["postal"], raw["caddy"]
    raw["domains"][0]["dkim"] = raw["domains"][0]["dkim"][:1]
    for host in raw["hosts"].values():
        host.pop("firewall", None)
        host["minimum_memory_mb"] = 200
    return raw
