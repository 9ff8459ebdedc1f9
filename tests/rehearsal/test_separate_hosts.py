"""Postal, MariaDB, Postfix and Caddy, each on a machine of its own, by settings alone."""

from pathlib import Path
from typing import Any

import pytest

from mailstack.settings.initialise import rehearsal_config
from rehearsal.rehearse import Rehearsal
from tests.rehearsal.test_whole_stack import without_cli

pytestmark = pytest.mark.hosts


def four_hosts() -> dict[str, Any]:
    """Return the local stack spread over four machines; the private addresses become the throw-away hosts' own."""
    raw = rehearsal_config(Path("Pulumi.local.yaml"))
    machine = raw["hosts"].pop("mail1") | {"minimum_memory_mb": 200}
    for number, name in enumerate(("mail1", "db1", "relay1", "web1"), 10):
        raw["hosts"][name] = machine | {
            "address": f"{name}.mailstack.test",
            "public_ipv4": f"192.0.2.{number}",
            "private_address": f"10.0.0.{number}",
        }
    raw["relay"] |= {
        "host": "relay1",
        "listen_addresses": ["127.0.0.1", "10.0.0.12"],
        "client_networks": ["10.0.0.10/32"],
    }
    # Caddy's certificate reaches the SMTP server only where both are on one machine.
    raw["postal"] |= {"smtp_tls": False}
    raw["postal"]["database"]["host"] = "db1"
    raw["caddy"]["host"] = "web1"
    return raw


def test_every_part_works_on_a_host_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    without_cli(monkeypatch)
    said: list[str] = []
    with Rehearsal("separate", four_hosts(), said.append) as rehearsal:
        checks = rehearsal.prove(rehearsal.bring_up())
    assert [f"{check.name}: {check.evidence}" for check in checks if not check.passed] == [], "\n".join(said)
    names = {check.name for check in checks}
    assert {f"{name}: exactly the declared ports are open" for name in ("mail1", "db1", "relay1", "web1")} <= names
    assert {"SMTP: DKIM verifies against the key in DNS", "a late bounce reaches the message"} <= names
