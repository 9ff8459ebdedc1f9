"""Security updates: what differs on each kind of system, and the files that limit them."""

import configparser
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from security_updates import systems

DNF_CONF = """\
[commands]
#  What kind of upgrade to perform:
upgrade_type = default
random_sleep = 0
apply_updates = no

[emitters]
emit_via = stdio
"""


def apt(**changes: Any) -> list[str]:
    values: dict[str, Any] = {
        "installed": True,
        "current": {systems.APT_OURS: systems.APT_POLICY},
        "enabled": {"apt-daily.timer": True, "apt-daily-upgrade.timer": True},
        "on": True,
    }
    return systems.differences("apt", **{**values, **changes})


def test_a_host_as_declared_has_nothing_to_do() -> None:
    assert apt() == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"installed": False}, "package unattended-upgrades is not installed"),
        ({"current": {}}, "52mailstack-security-updates is missing or has other content"),
        ({"enabled": {"apt-daily.timer": True, "apt-daily-upgrade.timer": False}}, "apt-daily-upgrade.timer is not"),
    ],
)
def test_every_difference_is_named(changes: dict[str, Any], what: str) -> None:
    found = apt(**changes)
    assert len(found) == 1
    assert what in found[0]


def test_apt_gets_security_origins_only_and_no_reboot() -> None:
    origins = [line for line in systems.APT_POLICY.splitlines() if "origin=" in line]
    assert origins
    assert all("security" in line.lower() for line in origins)
    # What the package's own file allows is emptied first.
    assert systems.APT_POLICY.index("#clear Unattended-Upgrade::Origins-Pattern") < systems.APT_POLICY.index("origin=")
    assert 'Automatic-Reboot "false"' in systems.APT_POLICY


@pytest.mark.parametrize("text", [DNF_CONF, "", "[emitters]\nemit_via = stdio\n", DNF_CONF.replace("\n\n", "\n")])
def test_dnf_installs_security_updates_and_keeps_what_else_is_configured(text: str) -> None:
    once = systems.automatic_conf(text)
    parsed = configparser.ConfigParser()
    parsed.read_string(once)
    commands = dict(parsed["commands"])
    assert commands["upgrade_type"] == "security"
    assert (commands["apply_updates"], commands["download_updates"], commands["reboot"]) == ("yes", "yes", "never")
    if "emit_via" in text:
        assert parsed["emitters"]["emit_via"] == "stdio"
    if "random_sleep" in text:
        assert commands["random_sleep"] == "0"
    assert systems.automatic_conf(once) == once


def test_dnf_differs_until_its_file_has_our_values() -> None:
    enabled = {"dnf-automatic.timer": True}
    path = systems.DNF_CONF
    assert systems.differences("dnf", True, {path: DNF_CONF}, enabled, True)
    assert systems.differences("dnf", True, {path: systems.automatic_conf(DNF_CONF)}, enabled, True) == []


@pytest.mark.skipif(not Path("/usr/bin/apt-config").exists(), reason="needs apt")
def test_apt_reads_the_file_and_drops_what_was_allowed_before(tmp_path: Path) -> None:
    theirs = 'Unattended-Upgrade::Origins-Pattern { "origin=Debian,codename=${distro_codename},label=Debian"; };\n'
    (tmp_path / "conf").write_text(theirs + systems.APT_POLICY)
    dump = subprocess.run(
        ["apt-config", "dump", "Unattended-Upgrade"],
        env={**os.environ, "APT_CONFIG": str(tmp_path / "conf")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    patterns = [line for line in dump.splitlines() if "Origins-Pattern::" in line]
    assert len(patterns) == systems.APT_POLICY.count("origin=")
    assert not any('label=Debian"' in line for line in patterns)
