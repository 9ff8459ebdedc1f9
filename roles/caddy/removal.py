"""Taking Caddy off a host."""

import os
import shutil
from typing import Any, Callable, Dict, List

from caddy import paths
from caddy.container import CONTAINER
from caddy.runtime import Runtime
from caddy.service import UNIT
from caddy.smtp_delivery import SmtpDelivery
from caddy.state import State
from rolelib.commands import run
from rolelib.host import installed_packages, package_family, remove_packages, systemctl

__all__ = ["remove"]


def remove(
    settings: Dict[str, Any], runtime: Runtime, smtp: SmtpDelivery, say: Callable[[str, str], None]
) -> List[str]:
    """Put the host back to what it was before the first run; return what was done, in words."""
    original = State.original()
    if original is None:
        return []
    done = smtp.uninstall() + smtp.remove_pair()
    say("remove", "stopping Caddy")
    runtime.stop()
    if runtime.placement == "container":
        done.append(f"container {CONTAINER} removed")
    done += _remove_our_files()
    if original["installed_by_us"] and package_family() and installed_packages(["caddy"]):
        say("remove", "removing the package, this role installed it")
        _remove_package()
        done.append("package caddy removed")
    elif runtime.placement == "service":
        done += _restore(original)
    done += _remove_data(settings, original)
    shutil.rmtree(State.directory, ignore_errors=True)
    return done


def _remove_our_files() -> List[str]:
    done = []
    for path in (paths.CADDYFILE, paths.CANDIDATE, paths.DNS_TOKEN, paths.ACME_CA, paths.SERVICE_DROP_IN):
        if os.path.exists(path):
            os.unlink(path)
            done.append(f"{path} removed")
    shutil.rmtree(paths.PAIRS, ignore_errors=True)
    drop_ins = os.path.dirname(paths.SERVICE_DROP_IN)
    if os.path.isdir(drop_ins) and not os.listdir(drop_ins):
        os.rmdir(drop_ins)
    run(["systemctl", "daemon-reload"], check=False)
    return done


def _remove_package() -> None:
    """Remove the package. Debian's purge deletes the data directory as well: it steps aside meanwhile."""
    aside = paths.SERVICE_HOME + ".mailstack-kept"
    os.rename(paths.SERVICE_HOME, aside)
    try:
        remove_packages(["caddy"])
    finally:
        shutil.rmtree(paths.SERVICE_HOME, ignore_errors=True)
        os.rename(aside, paths.SERVICE_HOME)
    shutil.rmtree(paths.CONFIG_DIRECTORY, ignore_errors=True)
    shutil.rmtree(paths.LOG_DIRECTORY, ignore_errors=True)


def _restore(original: Dict[str, Any]) -> List[str]:
    done = []
    copy = State.path("original.Caddyfile")
    if os.path.exists(copy):
        shutil.copy2(copy, paths.CADDYFILE)
        done.append(f"{paths.CADDYFILE} restored as it was before mailstack")
    if original["enabled"]:
        systemctl("enable", UNIT)
    if original["active"]:
        systemctl("start", UNIT)
        done.append("Caddy runs again as it did before mailstack")
    return done


def _remove_data(settings: Dict[str, Any], original: Dict[str, Any]) -> List[str]:
    places = [path for path in (paths.CONTAINER_DATA, paths.SERVICE_HOME) if os.path.isdir(path)]
    if settings["on_remove"] == "keep":
        return [f"{path} stays: it holds certificates and the ACME account" for path in places]
    if not original["installed_by_us"]:  # the home of the package's user stays, Caddy's data in it goes
        places = [path + "/.local" if path == paths.SERVICE_HOME else path for path in places]
    for path in places:
        shutil.rmtree(path, ignore_errors=True)
    return [f"{path} removed with all certificates" for path in places]
