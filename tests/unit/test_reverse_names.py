"""A sending address over IPv6 without a reverse name is refused before anything is made."""

from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.plan import Plan, load_plan
from mailstack.plan.first_day import Ours, Surroundings, first_day
from mailstack.settings.problems import SettingsError
from tests.unit.mistakes import changed
from tests.unit.name_server import NameServer
from tests.unit.stack_examples import REMOVE, example

ADDRESS = "2606:2800:220:1:248:1893:25c8:1946"
PLACE = "6.4.9.1.8.c.5.2.3.9.8.1.8.4.2.0.1.0.0.0.0.2.2.0.0.0.8.2.6.0.6.2.ip6.arpa."
SOA = "@ 300 SOA ns1 h 1 2 3 4 5\n@ 300 NS ns1\n"


def declared(change: dict[str, Any] | None = None) -> Plan:
    server = {"host": "relay1", "nameservers": ["ns1.provider.net"], "hostmaster": "dns@example.com"}
    stack = changed(example(), {"dns": {"provider": "server", "server": server}})
    return load_plan(changed(stack, change or {}))


def looked(plan: Plan, port: int | None, ours: Ours | None = None) -> tuple[str, ...]:
    resolvers = () if port is None else (f"127.0.0.1:{port}",)
    around = Surroundings(cloudflare_url="http://127.0.0.1:1", resolvers=resolvers)
    _, notes = first_day(plan, ours or Ours(), around)
    return tuple(note for note in notes if "reverse" in note)


def served(*records: str) -> dict[str, str]:
    zones = ("example.com", "example.org")
    return dict.fromkeys(zones, SOA) | {"ip6.arpa": SOA + "".join(f"{PLACE} 300 PTR {one}.\n" for one in records)}


@pytest.fixture
def bare() -> Iterator[NameServer]:
    with NameServer(served(), recursive=True) as running:
        yield running


def test_an_address_without_a_reverse_name_is_refused_with_the_name_to_set(bare: NameServer) -> None:
    with pytest.raises(SettingsError) as told:
        looked(declared(), bare.port)
    [problem] = told.value.problems
    assert problem.field == "hosts.relay1.public_ipv6"
    assert problem.value == ADDRESS
    assert "has no reverse name, and relay.example.com is about to get it as AAAA" in problem.rule
    assert "PTR) to relay.example.com" in problem.fix


def test_the_right_reverse_name_passes_and_another_is_a_warning() -> None:
    with NameServer(served("relay.example.com"), recursive=True) as right:
        assert looked(declared(), right.port) == ()
    with NameServer(served("host-7.provider.net"), recursive=True) as other:
        [note] = looked(declared(), other.port)
    assert f"the reverse name of {ADDRESS} is host-7.provider.net, not relay.example.com" in note


@pytest.mark.parametrize(
    "way", [{"relay.ip_protocol": "ipv4"}, {"hosts.relay1.public_ipv6": REMOVE}, {"dns.look_seconds": 0}]
)
def test_each_way_out_is_one(bare: NameServer, way: dict[str, Any]) -> None:
    assert looked(declared(way), bare.port) == ()


def test_an_address_that_is_published_already_blocks_no_later_change(bare: NameServer) -> None:
    plan = declared()
    assert looked(plan, bare.port, Ours(zones=dict.fromkeys(plan.dns.zones, ""))) == ()


def test_who_does_not_know_refuses_nothing() -> None:
    assert looked(declared(), None) == ()
    with NameServer({"example.com": SOA, "example.org": SOA}, recursive=True) as closed:
        assert looked(declared(), closed.port) == (), "it denies all names of the Internet"
