"""One relay on several hosts, as the engine goes about it: one after the other, and nothing more than was changed.

The engine is real; the command plugin reaches no host (``dry_plugin``) and writes down what it was to do, in order.
"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from rehearsal.engine import Engine, EngineError
from tests.engine.stage import DONE
from tests.relay_only import relay_only

pytestmark = pytest.mark.engine

RELAYS = ["relay-postfix-mail1", "relay-postfix-mail2"]
CLIENTS = "dns-server-clients"
Raw = dict[str, Any]


def declared(*hosts: str) -> Raw:
    """Return a stack whose relay runs on ``hosts``."""
    raw = relay_only()
    for number, name in enumerate(("mail1", "mail2", "mail3"), 1):
        raw["hosts"][name] = raw["hosts"]["mail1"] | {
            "address": f"{name}.mailstack.test",
            "public_ipv4": f"192.0.2.{number}",
            "private_address": f"10.0.0.{number}",
        }
    del raw["relay"]["host"]
    raw["relay"] |= {"client_networks": ["10.0.0.0/24"], "client_name": "smtp.mailstack.test"}
    return on(raw, *hosts)


def on(raw: Raw, *hosts: str) -> Raw:
    changed = copy.deepcopy(raw)
    changed["relay"]["hosts"] = list(hosts)
    return changed


def on_one(raw: Raw, host: str) -> Raw:
    """Return the same with one host and what it listens on written out."""
    changed = copy.deepcopy(raw)
    del changed["relay"]["hosts"]
    private = changed["hosts"][host]["private_address"]
    changed["relay"] |= {"host": host, "listen_addresses": ["127.0.0.1", private]}
    return changed


class Fleet:
    """A stack on the real engine, and what its commands were to do."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self.engine = Engine(
            "fleet", folder / "fleet", self.lines.append, plugins={"command": "tests.engine.dry_plugin"}
        )
        self.log = folder / "log"
        self.engine.environment["DRY_LOG"] = str(self.log)
        self.engine.configure(declared("mail1", "mail2"))
        self.engine.select()

    def up(self, raw: Raw, *, failing: str | None = None) -> dict[str, str]:
        """Bring ``raw`` up, return resource name to what was done; with ``failing`` that one fails."""
        self.engine.configure(raw)
        self.lines.clear()
        self.log.write_text("")
        self.engine.environment.pop("DRY_FAILS", None)
        if failing is None:
            self.engine.up()
        else:
            self.engine.environment["DRY_FAILS"] = failing
            with pytest.raises(EngineError):
                self.engine.up()
        return {name: done for _, name, done in DONE.findall("\n".join(self.lines))}

    def done(self, *names: str) -> list[str]:
        """Return ``action name`` and ``end name`` in the order in which it was done; with ``names`` theirs only."""
        return [line for line in self.log.read_text().splitlines() if not names or line.split()[1] in names]

    def waits(self) -> dict[str, set[str]]:
        exported = json.loads(self.engine.run("stack", "export", "--stack", self.engine.stack, quiet=True))
        return {
            entry["urn"].rpartition("::")[2]: {urn.rpartition("::")[2] for urn in entry.get("dependencies", ())}
            for entry in exported["deployment"]["resources"]
        }


@pytest.fixture(scope="module")
def fleet(cli: None, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("fleet"))


def test_hosts_come_one_after_the_other_then_the_name_for_clients(fleet: Fleet) -> None:
    fleet.up(declared("mail1", "mail2"))
    assert fleet.done(*RELAYS, CLIENTS) == [
        f"{what} {name}" for name in (*RELAYS, CLIENTS) for what in ("create", "end")
    ], "the next begins when the one before has ended"
    outputs = fleet.engine.outputs()
    assert outputs["smtp_host"] == "smtp.mailstack.test"
    assert outputs["smtp_hosts"] == ["10.0.0.1", "10.0.0.2"]
    assert set(outputs["relay_rule_probes"]) == {"mail1", "mail2"}
    assert outputs["relay_rule_probe"] == outputs["relay_rule_probes"]["mail1"]


def test_a_second_run_does_nothing(fleet: Fleet) -> None:
    assert fleet.up(declared("mail1", "mail2")) == {}
    assert fleet.done() == []


def test_a_failure_on_the_first_host_leaves_the_second_alone(fleet: Fleet) -> None:
    raw = declared("mail1", "mail2")
    raw["relay"]["concurrency"] = 9
    assert fleet.up(raw, failing=RELAYS[0]) == {}
    assert fleet.done() == [f"update {RELAYS[0]}"]
    assert fleet.up(raw) == dict.fromkeys(RELAYS, "updated")
    assert fleet.done() == [f"{what} {name}" for name in RELAYS for what in ("update", "end")]
    fleet.up(declared("mail1", "mail2"))


def test_another_order_changes_no_host(fleet: Fleet) -> None:
    assert fleet.up(declared("mail2", "mail1")).keys().isdisjoint(RELAYS)
    assert RELAYS[1] in fleet.waits()[RELAYS[0]]
    fleet.up(declared("mail1", "mail2"))


def test_a_further_host_touches_no_other_and_is_in_the_name_once_it_is_ready(fleet: Fleet) -> None:
    done = fleet.up(declared("mail1", "mail2", "mail3"))
    assert done["relay-postfix-mail3"] == "created"
    assert [name for name in done if name in RELAYS] == []
    order = fleet.done("relay-postfix-mail3", CLIENTS)
    assert order == [f"{what} {name}" for what, name in (
        ("create", "relay-postfix-mail3"), ("end", "relay-postfix-mail3"), ("update", CLIENTS), ("end", CLIENTS),
    )]  # fmt: skip


def test_a_host_that_goes_leaves_the_name_first_and_the_others_are_not_touched(fleet: Fleet) -> None:
    done = fleet.up(declared("mail1", "mail2"))
    assert done["relay-postfix-mail3"] == "deleted"
    assert [name for name in done if name in RELAYS] == []
    order = fleet.done("relay-postfix-mail3", CLIENTS)
    assert order.index(f"end {CLIENTS}") < order.index("delete relay-postfix-mail3")


def test_a_host_that_goes_stays_while_the_change_of_the_others_fails(fleet: Fleet) -> None:
    fleet.up(declared("mail1", "mail2", "mail3"))
    raw = declared("mail1", "mail2")
    raw["relay"]["concurrency"] = 8
    done = fleet.up(raw, failing=RELAYS[1])
    assert done[RELAYS[0]] == "updated"
    assert [line for line in fleet.done() if line.startswith("delete")] == []
    assert "relay-postfix-mail3" in fleet.waits(), "still there"
    fleet.up(declared("mail1", "mail2"))


def test_one_host_becomes_several_and_one_again_without_a_removal(fleet: Fleet) -> None:
    """The resource of the host that stays is the same one, whatever its place in the list."""
    raw = declared("mail1", "mail2")
    several = on(raw, "mail1", "mail2")
    done = fleet.up(on_one(raw, "mail2"))
    assert done["relay-postfix-mail1"] == "deleted"
    assert done["relay-postfix"] == "updated"
    assert f"delete {RELAYS[1]}" not in fleet.done()
    done = fleet.up(several)
    assert (done[RELAYS[0]], done[RELAYS[1]]) == ("created", "updated")
    assert [line for line in fleet.done() if line.startswith("delete")] == []
    assert fleet.up(several) == {}


def test_destroy_takes_the_name_then_one_host_after_the_other(fleet: Fleet) -> None:
    fleet.log.write_text("")
    fleet.engine.destroy()
    relays = [f"{what} {name}" for name in reversed(RELAYS) for what in ("delete", "end")]
    assert fleet.done(*RELAYS) == relays
    assert fleet.done(CLIENTS, *RELAYS).index(f"end {CLIENTS}") == 1
