"""Mail exchangers over IPv6: who takes connections there, who refuses, and when nothing can be said."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mailstack.verify.model import Finding, State
from mailstack.verify.reaching import Unreached
from tests.unit.name_server import LOOPBACK
from tests.unit.verify_world import DOMAIN, HOST, ZONE, around, context, free_port, host, named, only, target

SIX = "2606:2800:220:1::25"
WITH_IPV6 = ZONE + f"mx 300 IN AAAA {SIX}\n"
OURS, THEIRS = target(host()), target(mx=None)


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield int(listener.getsockname()[1])


def seen(zone: str, looked_at: object = THEIRS, *, six: int = 0, four: int = 0, ipv6: bool = True) -> Finding:
    """Run the check; ``six`` and ``four`` are the ports on loopback that stand for port 25 of the addresses."""
    places = {(SIX, 25): (LOOPBACK, six), (LOOPBACK, 25): (LOOPBACK, four)}
    with named({DOMAIN: zone}) as fields:
        sent = {key: place for key, place in places.items() if place[1]}
        where = replace(around(**{**fields, "ipv6": ipv6}), places=sent)
        return only("mx-ipv6", context(looked_at, around=where))  # type: ignore[arg-type]


def test_an_exchanger_that_takes_connections_over_ipv6_is_right(listening: int) -> None:
    found = seen(WITH_IPV6, six=listening)
    assert (found.state, found.subject) == (State.OK, f"{HOST} [{SIX}]:25")


@pytest.mark.parametrize(("looked_at", "state"), [(OURS, State.FAIL), (THEIRS, State.WARN)], ids=["ours", "theirs"])
def test_an_exchanger_that_refuses_only_over_ipv6_is_told(looked_at: object, state: State, listening: int) -> None:
    found = seen(WITH_IPV6, looked_at, six=free_port(), four=listening)
    assert (found.state, found.found) == (state, "over IPv6: connection refused, while IPv4 takes connections")


def test_an_exchanger_with_ipv6_alone_that_refuses_is_told() -> None:
    assert seen(WITH_IPV6.replace(f"mx 300 IN A {LOOPBACK}\n", ""), six=free_port()).state is State.WARN


def test_one_that_refuses_everywhere_may_be_behind_a_network_that_does() -> None:
    found = seen(WITH_IPV6, six=free_port(), four=free_port())
    assert (found.state, "nor is there a connection over IPv4" in found.found) == (State.UNKNOWN, True)


def test_without_ipv6_here_it_is_unknown_and_no_failure_of_theirs() -> None:
    found = seen(WITH_IPV6, ipv6=False)
    assert (found.state, found.found) == (State.UNKNOWN, "over IPv6: this machine has no IPv6")


@pytest.mark.parametrize("why", ["no answer in time", "no connection: Network is unreachable"])
def test_without_a_way_out_it_is_unknown(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_way(*_: object) -> socket.socket:
        raise Unreached(why)

    monkeypatch.setattr("mailstack.verify.mx_ipv6.connect", no_way)
    assert seen(WITH_IPV6).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        (ZONE, "no mail exchanger has an IPv6 address"),
        (WITH_IPV6.replace(f"10 {HOST}.", "0 ."), "no mail exchanger is known"),
    ],
    ids=["no address", "null MX"],
)
def test_without_an_address_there_is_nothing_to_ask(zone: str, words: str) -> None:
    found = seen(zone)
    assert (found.state, found.found) == (State.NOT_APPLICABLE, words)
