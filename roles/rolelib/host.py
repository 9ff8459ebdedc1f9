"""Facts about the host that several roles need, and the few ways to change it: packages and services."""

import contextlib
import os
import re
import shutil
import time
from typing import Dict, List, Sequence

from rolelib.commands import CommandError, run
from rolelib.files import read

__all__ = [
    "RoleError",
    "install_packages",
    "installed_packages",
    "os_release",
    "package_family",
    "remove_packages",
    "service_is_active",
    "service_is_enabled",
    "systemctl",
    "unit_log",
    "wait_for_package_lock",
]

# unattended-upgrades may hold the lock for a few minutes after a first boot.
PACKAGE_LOCK_SECONDS = 600
INSTALL_SECONDS = 1200
UNIT_KINDS = (".service", ".timer", ".socket", ".path", ".target")
APT_GET = ("apt-get", "-y", "-q", "-o", f"DPkg::Lock::Timeout={PACKAGE_LOCK_SECONDS}")


class RoleError(Exception):
    """The role cannot go on. ``step`` says where, the text says what and how to mend it."""

    def __init__(self, step: str, message: str) -> None:
        """Keep the step beside the message."""
        self.step = step
        Exception.__init__(self, message)


def os_release(text: str = "") -> Dict[str, str]:
    """Return /etc/os-release (or ``text``) as a dictionary, quotes removed; see os-release(5)."""
    source = text or read("/etc/os-release") or ""
    return {key: value.strip("\"'") for key, value in re.findall(r"^([A-Z_]+)=(.*)$", source, re.MULTILINE)}


def package_family() -> str:
    """Return ``apt`` or ``dnf``. Raises RoleError on any other system."""
    if shutil.which("apt-get"):
        return "apt"
    if shutil.which("dnf"):
        return "dnf"
    raise RoleError("facts", "neither apt-get nor dnf is here: use Debian, Ubuntu, Rocky, Alma or RHEL")


def installed_packages(names: Sequence[str]) -> Dict[str, str]:
    """Return name → version for those of ``names`` that are installed."""
    found: Dict[str, str] = {}
    if package_family() == "apt":
        result = run(
            ["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n", *names],
            check=False,
        )
        for line in result.out.splitlines():
            parts = line.split()
            if len(parts) == 3 and parts[2] == "installed":
                found[parts[0]] = parts[1]
        return found
    for name in names:
        result = run(["rpm", "-q", "--qf", "%{VERSION}-%{RELEASE}", name], check=False)
        if result.ok:
            found[name] = result.out.strip()
    return found


def wait_for_package_lock(seconds: int = PACKAGE_LOCK_SECONDS) -> None:
    """Wait until no other package run holds the lock. dnf waits by itself; apt has to be asked.

    Raises RoleError after ``seconds``.
    """
    if not shutil.which("apt-get") or not os.path.exists("/var/lib/dpkg/lock-frontend"):
        return
    import fcntl  # noqa: PLC0415 - nothing else here needs it

    deadline = time.monotonic() + seconds
    while True:
        with open("/var/lib/dpkg/lock-frontend", "a") as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= deadline:
                    raise RoleError(
                        "packages",
                        f"another package run has held the lock for {seconds} s; let it finish, then repeat",
                    ) from None
            else:
                return
        time.sleep(1)


def install_packages(names: Sequence[str], debconf: str = "") -> None:
    """Install what is missing of ``names``, with no question asked and no recommended extras.

    ``debconf`` is debconf-set-selections input for Debian. A stale package list is refreshed once, and only
    when the first try fails: on an ordinary host that saves the slowest step.
    Raises RoleError with the package manager's last lines.
    """
    if package_family() == "dnf":
        _try_install(["dnf", "-y", "--setopt=install_weak_deps=False", "install", *names])
        return
    if debconf:
        run(["debconf-set-selections"], stdin=debconf)
    command = [
        *APT_GET,
        "--no-install-recommends",
        "-o",
        "Dpkg::Options::=--force-confold",
        "install",
        *names,
    ]
    if not run(command, check=False, timeout=INSTALL_SECONDS).ok:
        _try_install([*APT_GET, "update"])
        _try_install(command)


def remove_packages(names: Sequence[str]) -> None:
    """Remove packages and, on Debian, their configuration."""
    if package_family() == "dnf":
        _try_install(["dnf", "-y", "remove", *names])
    else:
        _try_install([*APT_GET, "purge", *names])


def _try_install(command: List[str]) -> None:
    try:
        run(command, timeout=INSTALL_SECONDS)
    except CommandError as error:
        raise RoleError("packages", str(error)) from None


def systemctl(*arguments: str, timeout: int = 120) -> None:
    """Run systemctl; raises RoleError with the unit's last log lines when it fails."""
    result = run(["systemctl", "--no-ask-password", *list(arguments)], check=False, timeout=timeout)
    if result.ok:
        return
    raise RoleError(
        "service", f"systemctl {' '.join(arguments)} failed: {result.err.strip()}\n{unit_log(arguments[-1])}"
    )


def unit_log(unit: str, lines: int = 15) -> str:
    """Return the last log lines of the unit, and of programs of its name, such as knotd for knot.

    On a busy host the journal is behind by some: it catches up first. It finds the unit of a line by the process that
    wrote it, and does not when that has ended; then the line has the program's name alone.
    """
    with contextlib.suppress(CommandError):  # a journal that hangs must not hide the failure it is asked about
        run(["journalctl", "--sync"], check=False, timeout=10)
    name = unit if unit.endswith(UNIT_KINDS) else f"{unit}.service"
    program = name.rpartition(".")[0]
    of_unit = [f"_SYSTEMD_UNIT={name}", "+", "_PID=1", f"UNIT={name}"]
    of_program = [f"SYSLOG_IDENTIFIER={program}", f"SYSLOG_IDENTIFIER={program}d"]
    argv = ["journalctl", *of_unit, "+", *of_program, "-n", str(lines), "--no-pager", "-o", "cat"]
    return run(argv, check=False).out.strip()


def service_is_active(unit: str) -> bool:
    """Tell whether systemd has the unit running."""
    return run(["systemctl", "is-active", "--quiet", unit], check=False).ok


def service_is_enabled(unit: str) -> bool:
    """Tell whether the unit starts at boot."""
    return run(["systemctl", "is-enabled", "--quiet", unit], check=False).ok
