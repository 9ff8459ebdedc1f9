"""Undoing the role."""

import os
import shutil
from typing import Any, Dict, List

from docker import daemon, paths
from docker.facts import engine_version
from docker.planning import desired
from rolelib.commands import run
from rolelib.files import DesiredFile, read, write
from rolelib.host import APT_GET, INSTALL_SECONDS, RoleError, package_family, systemctl, wait_for_package_lock

__all__ = ["remove"]

REPOSITORY_FILES = (paths.APT_SOURCES, paths.APT_KEY, paths.DNF_REPOSITORY, paths.DNF_KEY)


def remove(settings: Dict[str, Any], state: Dict[str, Any], state_directory: str, warnings: List[str]) -> List[str]:
    """Undo everything in ``state``, what the role has made; return what was done, in words.

    Raises RoleError, having changed nothing, while containers are in use.
    """
    if not state:
        return []
    network = desired(settings).network.name
    running = engine_version() is not None
    if running:
        _refuse_while_in_use(network, bool(state["packages"]))
    done = _remove_unit()
    if running and run(["docker", "network", "rm", network], check=False).ok:
        done.append(f"network {network} removed")
    if state["packages"]:
        done += _remove_packages(state, warnings)
    done += _restore_daemon_json(state["before"], running and not state["packages"])
    shutil.rmtree(state_directory, ignore_errors=True)
    return done


def _names(filters: List[str]) -> List[str]:
    return sorted(run(["docker", "ps", "--all", *filters, "--format", "{{.Names}}"]).out.split())


def _refuse_while_in_use(network: str, with_packages: bool) -> None:
    users = _names(["--filter", f"network={network}"])
    if users:
        raise RoleError("remove", f"containers use network {network}: {', '.join(users)}. Remove them first")
    others = _names([]) if with_packages else []
    if others:
        raise RoleError(
            "remove",
            f"Docker came with this role, but there are containers in it: {', '.join(others)}. Remove them first",
        )


def _remove_unit() -> List[str]:
    if not os.path.exists(paths.NETWORK_UNIT_PATH):
        return []
    run(["systemctl", "disable", "--now", paths.NETWORK_UNIT], check=False)
    os.unlink(paths.NETWORK_UNIT_PATH)
    systemctl("daemon-reload")
    return [f"{paths.NETWORK_UNIT} removed"]


def _remove_packages(state: Dict[str, Any], warnings: List[str]) -> List[str]:
    """Remove without purging: Debian's package deletes all images and volumes when it is purged."""
    names = list(state["packages"])
    run(["systemctl", "disable", "--now", "docker.service", "docker.socket"], check=False)
    if package_family() == "dnf":
        run(["dnf", "-y", "remove", *names], timeout=INSTALL_SECONDS)
    else:
        wait_for_package_lock()
        run([*APT_GET, "remove", *names], timeout=INSTALL_SECONDS)
    for path in REPOSITORY_FILES:
        if os.path.exists(path):
            os.unlink(path)
    warnings.append("images and volumes are still in /var/lib/docker: delete that directory if nobody needs them")
    return [f"packages removed: {', '.join(names)}"]


def _restore_daemon_json(before: Dict[str, Any], running: bool) -> List[str]:
    content = before["daemon_json"]
    if read(paths.DAEMON_JSON) == content:
        return []
    if content is None:
        os.unlink(paths.DAEMON_JSON)
    else:
        write(DesiredFile(paths.DAEMON_JSON, content, 0o644))
    if running:
        systemctl("restart", "docker.service")
        daemon.wait_until_it_answers()
    return [f"{paths.DAEMON_JSON} is as it was"]
