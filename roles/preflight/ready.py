"""Waiting until a fresh host has settled: systemd, cloud-init, the package manager, the clock."""

import os
import re
import shutil
import time
from typing import Any, Callable, Dict, List, Optional

from preflight.checks import Missing
from rolelib.commands import CommandError, run
from rolelib.host import RoleError, wait_for_package_lock

__all__ = ["Host", "clock_answer", "cloud_init_status"]

POLL_SECONDS = 2
# "degraded": a unit failed, ours or not; the roles look after their own.
GOOD_STATES = ("running", "degraded")
# A line for the reader now and then; not one per look.
SAY_SECONDS = 15
# A time service needs some seconds after boot; longer only costs time, for then it has no server.
CLOCK_SECONDS = 60


def cloud_init_status(text: str) -> str:
    """Return the state in ``cloud-init status`` output: "done", "running", "not run", "error", "disabled"."""
    found = re.search(r"^status:\s*(.+?)\s*$", text, re.MULTILINE)
    return found.group(1) if found else ""


def clock_answer(timedatectl: str, chrony: str, ntp: str) -> Optional[bool]:
    """Return whether the clock is synchronised, from three programs' output ("" where one is not there).

    None where none of them can tell.
    """
    found = re.search(r"^(?:NTPSynchronized=|.*[Ss]ynchronized: )(yes|no)$", timedatectl, re.MULTILINE)
    if found and found.group(1) == "yes":
        return True
    leap = re.search(r"^Leap status\s*:\s*(.+)$", chrony, re.MULTILINE)
    if leap:
        return leap.group(1).strip() != "Not synchronised"
    if ntp:
        return "leap_none" in ntp and "sync_unspec" not in ntp
    return False if found else None


class Host:
    """The waiting part of the preflight. Each method returns what is still missing when time is up."""

    def __init__(
        self, say: Callable[[str, str], None], warnings: List[str], facts: Dict[str, Any], deadline: float
    ) -> None:
        """``deadline`` is a value of time.monotonic(), common to all waits."""
        self.say = say
        self.warnings = warnings
        self.facts = facts
        self.deadline = deadline

    def _wait(self, step: str, what: str, done: Callable[[], bool], limit: Optional[float] = None) -> bool:
        """Look every two seconds until ``done`` or the deadline; tell whether it was done."""
        deadline = self.deadline if limit is None else min(self.deadline, time.monotonic() + limit)
        spoken = 0.0
        while not done():
            now = time.monotonic()
            if now >= deadline:
                return False
            if now - spoken >= SAY_SECONDS:
                self.say(step, f"waiting for {what}")
                spoken = now
            time.sleep(min(POLL_SECONDS, max(0.0, deadline - now)))
        return True

    def wait_for_systemd(self) -> List[Missing]:
        """Wait for systemd to finish starting the host. A failed unit of someone else is no obstacle."""
        state = [""]

        def started() -> bool:
            state[0] = run(["systemctl", "is-system-running"], check=False).out.strip() or "offline"
            return state[0] not in ("initializing", "starting")

        booted = os.path.isdir("/run/systemd/system")
        if booted and self._wait("systemd", "systemd to finish starting", started) and state[0] in GOOD_STATES:
            return []
        return [
            Missing(
                "systemd",
                f"state: {state[0] or 'not running'}",
                "a host run by systemd that has finished starting",
                "see what it waits for: systemctl list-jobs; a plain container has no systemd, use a VM",
            )
        ]

    def wait_for_cloud_init(self) -> List[Missing]:
        """Wait for cloud-init, where there is one. Its errors are warnings: what they broke shows itself."""
        if not shutil.which("cloud-init"):
            return []
        text = [""]

        def finished() -> bool:
            # Newer releases exit with 2 for "done, with errors", so the exit code says too little.
            text[0] = run(["cloud-init", "status", "--long"], check=False, timeout=60).out
            return cloud_init_status(text[0]) not in ("running", "not run", "not started")

        if not self._wait("cloud-init", "cloud-init to finish", finished):
            return [
                Missing(
                    "cloud-init",
                    f"still '{cloud_init_status(text[0])}' after the waiting time",
                    "a finished first boot",
                    "see /var/log/cloud-init-output.log, or raise wait_seconds",
                )
            ]
        state = cloud_init_status(text[0])
        self.facts["cloud_init"] = state
        if state.startswith("error") or "degraded" in state:
            detail = " ".join(text[0].split())
            self.warnings.append(f"cloud-init reports errors of the first boot: {detail}")
        return []

    def wait_for_package_lock(self) -> List[Missing]:
        """Wait for another package run to end, such as the updates of a first boot."""
        try:
            wait_for_package_lock(max(1, int(self.deadline - time.monotonic())))
        except (RoleError, OSError) as error:
            return [
                Missing(
                    "package manager",
                    str(error),
                    "a free package lock",
                    "see what holds it: fuser -v /var/lib/dpkg/lock-frontend",
                )
            ]
        return []

    def wait_for_clock(self) -> List[Missing]:
        """Wait for a synchronised clock: certificates depend on it. A container has its host's clock."""
        container = run(["systemd-detect-virt", "--container"], check=False).out.strip()
        if container not in ("", "none"):
            self.facts["clock"] = f"that of the host of this container ({container})"
            return []
        answer: List[Optional[bool]] = [None]

        def synchronised() -> bool:
            answer[0] = clock_answer(
                _output("timedatectl", "show", "-p", "NTPSynchronized"),
                _output("chronyc", "-n", "tracking"),
                _output("ntpq", "-c", "rv"),
            )
            return answer[0] is not False

        if self._wait("clock", "the clock to be synchronised", synchronised, CLOCK_SECONDS) and answer[0]:
            self.facts["clock"] = "synchronised"
            return []
        found = "not synchronised" if answer[0] is False else "no time service can tell"
        self.facts["clock"] = found
        return [
            Missing(
                "clock",
                f"{found}, it shows {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC",
                "a synchronised clock",
                "install and start a time service (apt-get install systemd-timesyncd; dnf install chrony), "
                "and let it reach its servers (UDP port 123)",
            )
        ]


def _output(*argv: str) -> str:
    if not shutil.which(argv[0]):
        return ""
    try:
        return run(list(argv), check=False, timeout=20).out
    except CommandError:
        return ""
