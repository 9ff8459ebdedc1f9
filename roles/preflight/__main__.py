"""Entry point: ``python3 -m preflight [--check]``."""

import os
import sys
import time
from typing import Any, Callable, List

from preflight import checks, kernel, ready
from rolelib.protocol import Plan, Role, RoleError, main

DEFAULT_WAIT_SECONDS = 300


class Preflight(Role):
    """Waits until the host has finished booting and installing, then reports all that is missing at once.

    Settings: ``minimum_memory_mb``, ``minimum_disk_gb`` (free on /var), ``ports`` (``address``, ``port``,
    ``holder``, ``protocol`` "tcp" or "udp"), ``outbound`` (``host``, ``port``, ``ip_protocol`` "any", "ipv4"
    or "ipv6"), ``kernel_modules`` (names), ``expected_user`` (login name or null) and ``wait_seconds``. All are
    optional.
    """

    name = "preflight"
    exclusive = False

    def plan(self) -> Plan:
        """Check everything. The plan is always empty: there is nothing this role would change."""
        deadline = time.monotonic() + int(self.settings.get("wait_seconds", DEFAULT_WAIT_SECONDS))
        missing: List[checks.Missing] = []

        def look(step: str, function: Callable[..., List[checks.Missing]], *arguments: Any) -> None:
            found = function(*arguments)
            missing.extend(found)
            self.say(step, "; ".join(item.found for item in found) if found else "fine")

        host = ready.Host(self.say, self.warnings, self.facts, deadline)
        look("systemd", host.wait_for_systemd)
        look("cloud-init", host.wait_for_cloud_init)
        look("packages", host.wait_for_package_lock)
        look("system", checks.system, self.facts)
        look(
            "access",
            checks.access,
            self.facts,
            os.environ.get("SUDO_USER"),
            self.settings.get("expected_user"),
        )
        look("memory", checks.memory, self.facts, int(self.settings.get("minimum_memory_mb", 0)))
        look("disk", checks.disk, self.facts, float(self.settings.get("minimum_disk_gb", 0)))
        look("clock", host.wait_for_clock)
        look("ports", checks.ports, self.settings.get("ports", []))
        look("kernel", kernel.modules, self.settings.get("kernel_modules", []))
        look("outbound", checks.outbound, self.facts, self.warnings, self.settings.get("outbound", []))
        if missing:
            raise RoleError("host", _report(missing))
        return []

    def remove(self) -> List[str]:
        """Nothing was changed, so there is nothing to undo."""
        return []


def _report(missing: List[checks.Missing]) -> str:
    count = "1 thing is" if len(missing) == 1 else f"{len(missing)} things are"
    lines = [f"{count} missing on {os.uname().nodename}:"]
    for item in missing:
        lines += [f"- {item.what}: {item.found}", f"  needed: {item.needed}", f"  fix: {item.fix}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(Preflight, sys.argv[1:]))
