"""Security updates on a real host, with the real unattended-upgrades."""

from typing import Any

import pytest

from rehearsal.ground import Ground
from security_updates import systems
from tests.roles.support import run_role


@pytest.mark.hosts
def test_on_a_host_it_goes_on_stays_and_goes_off_again() -> None:
    with Ground("security-updates") as ground:
        host = ground.create_host("host", unsafe_dpkg=True)

        def run(action: Any = "apply", **settings: Any) -> Any:
            return run_role(ground, host, "security_updates", settings, action=action)

        def look(script: str) -> str:
            return ground.exec(host, ["sh", "-c", script]).stdout

        units = "systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer; ls /etc/apt/apt.conf.d"
        before = look(f"{units} || true")
        first = run(enabled=True)
        assert (first.code, first.status) == (0, "changed"), first.progress
        second = run(enabled=True)
        assert (second.code, second.status) == (0, "unchanged"), second.progress
        allowed = look("unattended-upgrade --dry-run --debug 2>&1 | grep -A1 -i 'allowed origins are'")
        assert "label=Debian-Security" in allowed
        assert "label=Debian," not in allowed
        assert "label=Debian\n" not in allowed
        look(f"rm {systems.APT_OURS}; systemctl disable --now apt-daily-upgrade.timer")
        drift = run("check", enabled=True)
        assert (drift.code, len(drift.summary["changed"])) == (2, 2)
        assert run(enabled=True).code == 0
        off = run(enabled=False)
        assert (off.code, off.status) == (0, "changed"), off.progress
        assert run(enabled=False).status == "unchanged"
        assert look(f"{units} || true") == before
        assert look("dpkg-query -W -f '${db:Status-Status}' unattended-upgrades 2>&1 || true") != "installed"
