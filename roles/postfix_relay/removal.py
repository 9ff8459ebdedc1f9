"""Taking the relay off a host."""

import os
import shutil
from typing import Any, Callable, Dict, List

from postfix_relay import candidate, monitoring, paths, service, submission
from postfix_relay.facts import gather, host_platform, queue_counts
from postfix_relay.state import State
from rolelib.commands import run
from rolelib.host import RoleError, remove_packages, systemctl

__all__ = ["remove"]


def remove(state: State, settings: Dict[str, Any], say: Callable[[str, str], None]) -> List[str]:
    """Put the host back to what it was before the first run; return what was done, in words.

    Mail in the queue is never lost by this: as long as there is some, RoleError says how to deal with it.
    """
    facts = gather(settings, state.directory)
    original = state.load("original.json")
    if original is None:
        return []
    installed = "postfix" in facts["packages"]
    _refuse_with_mail()
    if installed:
        say("remove", "stopping Postfix")
        service.stop()
        try:
            _refuse_with_mail()  # some may have come in meanwhile
        except RoleError:
            service.start()
            raise
    done = submission.uninstall() + monitoring.uninstall() + _remove_our_files()
    brought = (state.load("submission.json") or {}).get("package")
    if brought and brought in facts["packages"]:
        remove_packages([brought])
        done.append(f"package {brought} removed")
    if original["installed_by_us"] and installed:
        say("remove", "purging the package, this role installed it")
        # Purging does not undo the enabling, which was this role's.
        run(["systemctl", "disable", "postfix.service"], check=False)
        remove_packages(["postfix"])
        done.append("package postfix removed")
    elif installed:
        done += _restore(state, original)
    shutil.rmtree(os.path.dirname(host_platform().log_file), ignore_errors=True)
    shutil.rmtree(state.directory, ignore_errors=True)
    return done


def _refuse_with_mail() -> None:
    counts = {queue: number for queue, number in queue_counts().items() if number}
    if counts:
        listed = ", ".join(f"{number} {queue}" for queue, number in sorted(counts.items()))
        raise RoleError(
            "remove",
            f"{sum(counts.values())} messages are queued ({listed}). Send them with `postqueue -f` and wait until "
            "`postqueue -p` says the queue is empty, or delete them with `postsuper -d ALL`; then repeat",
        )


def _remove_our_files() -> List[str]:
    done = []
    if os.path.exists(os.path.join(paths.SYSTEM_UNITS, paths.LOG_TIMER)):
        run(["systemctl", "disable", "--now", paths.LOG_TIMER], check=False)
    candidate.discard()
    shutil.rmtree(paths.MAPS_DIRECTORY, ignore_errors=True)
    units = [os.path.join(paths.SYSTEM_UNITS, name) for name in (paths.LOG_SERVICE, paths.LOG_TIMER)]
    units += [*paths.LOG_DROP_INS, *paths.AFTER_UNIT_DROP_INS]
    for path in [paths.MAIN_CF, paths.MASTER_CF, paths.STATISTICS, *units, paths.LOG_TIMER_STAMP]:
        if os.path.exists(path):
            os.unlink(path)
            done.append(f"{path} removed")
    shutil.rmtree(paths.PROGRAMS, ignore_errors=True)
    run(["systemctl", "daemon-reload"], check=False)
    return done


def _restore(state: State, original: Dict[str, Any]) -> List[str]:
    done = []
    for path in original["files"]:
        shutil.copy2(os.path.join(state.path("original"), os.path.basename(path)), path)
        done.append(f"{path} restored as it was before mailstack")
    if os.path.isdir("/sys/fs/selinux"):
        run(["restorecon", "-R", paths.CONFIG_DIRECTORY], check=False)
    if not original["enabled"]:
        systemctl("disable", "postfix.service")
    if original["active"]:
        service.start()
        done.append("Postfix runs again as it did before mailstack")
    return done
