"""The daemon's configuration: what is ours is merged with what is there. Pure.

Source of the keys: https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
"""

import json
from typing import Any, Dict, List, Optional, Sequence

from rolelib.host import RoleError

__all__ = ["merged", "needs_restart", "parse", "render"]

LOG_DRIVER = "json-file"
# Docker's own default keeps everything for ever; five files of 10 MB per container hold days of mail logs.
LOG_OPTIONS = {"max-size": "10m", "max-file": "5"}
# What dockerd takes from the file on SIGHUP; everything else needs a new start.
RELOADABLE = frozenset(
    [
        "debug", "labels", "live-restore", "max-concurrent-downloads", "max-concurrent-uploads",
        "max-download-attempts", "default-runtime", "runtimes", "authorization-plugins", "insecure-registries",
        "registry-mirrors", "shutdown-timeout", "features",
    ]
)  # fmt: skip


def parse(text: Optional[str], path: str) -> Dict[str, Any]:
    """Return the file as a dictionary, empty where there is none. Raises RoleError for anything but an object."""
    if text is None or not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise RoleError("daemon", f"{path} is not JSON: {error}. Mend it or move it away, then repeat") from None
    if not isinstance(found, dict):
        raise RoleError("daemon", f"{path} holds {found!r}, not an object. Mend it or move it away, then repeat")
    return found


def merged(current: Dict[str, Any], mirrors: Sequence[str], swarm: bool, selinux: bool) -> Dict[str, Any]:
    """Return the configuration as it should be.

    Foreign keys stay, and so do log settings somebody chose. ``swarm``: the daemon is part of a swarm, which cannot
    be combined with live-restore. ``selinux``: label containers unless the file says something else.
    """
    wanted = json.loads(json.dumps(current))
    wanted.setdefault("log-driver", LOG_DRIVER)
    if wanted["log-driver"] == LOG_DRIVER:
        wanted["log-opts"] = dict(LOG_OPTIONS, **wanted.get("log-opts", {}))
    if not swarm:
        wanted["live-restore"] = True
    if mirrors:
        wanted["registry-mirrors"] = list(mirrors)
    if selinux:
        wanted.setdefault("selinux-enabled", True)
    return dict(wanted)


def needs_restart(current: Dict[str, Any], wanted: Dict[str, Any]) -> bool:
    """Tell whether a reload is not enough to go from one configuration to the other."""
    return any(key not in RELOADABLE for key in changed_keys(current, wanted))


def changed_keys(current: Dict[str, Any], wanted: Dict[str, Any]) -> List[str]:
    """Return the names of the top-level keys that differ."""
    return sorted(key for key in set(current) | set(wanted) if current.get(key) != wanted.get(key))


def render(configuration: Dict[str, Any]) -> str:
    """Return the text of the file."""
    return json.dumps(configuration, indent=2, sort_keys=True) + "\n"
