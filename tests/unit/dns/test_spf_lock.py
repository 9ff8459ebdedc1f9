"""Addresses behind includes, in a file: the same addresses in the fewest networks, and never a sender less."""

import ipaddress
from collections.abc import Iterable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstack.dns.spf_lock import Flattened, SpfLockError, merged_networks, read_lock, split, write_lock

SEEN = date(2026, 11, 29)


def network(number: int, length: int) -> str:
    return str(ipaddress.ip_network((number, length), strict=False))


FOUR = st.builds(network, st.integers(0, 2**32 - 1), st.integers(20, 32))
SIX = st.builds(network, st.integers(2**120, 2**128 - 1), st.integers(40, 128))
NETWORKS = st.lists(st.one_of(FOUR, SIX), max_size=30)


def size(networks: Iterable[str]) -> int:
    return sum(ipaddress.ip_network(text).num_addresses for text in networks)


def test_neighbours_and_doubles_become_one_network() -> None:
    assert merged_networks(["198.51.100.128/25", "2001:db8::1", "198.51.100.0/25", "198.51.100.7"]) == (
        "198.51.100.0/24",
        "2001:db8::1/128",
    )


@given(networks=NETWORKS)
def test_merging_keeps_every_address_and_the_file_says_it_again(networks: list[str]) -> None:
    entry = Flattened(seen=SEEN, networks=merged_networks(networks))
    assert entry.missing_of(networks) == ()
    assert read_lock(write_lock({"spf.example.net": entry})) == {"spf.example.net": entry}
    assert size(entry.networks) <= size(networks), "nobody more may send"


@given(networks=NETWORKS)
def test_a_split_keeps_every_term_once_and_each_record_below_the_limit(networks: list[str]) -> None:
    terms = Flattened(seen=SEEN, networks=merged_networks(networks)).mechanisms
    groups = split(terms)
    assert [term for group in groups for term in group] == list(terms)
    assert all(group and len(f"v=spf1 {' '.join(group)} ~all") <= 450 for group in groups)


def test_what_is_missing_is_told_and_what_is_wider_is_not() -> None:
    entry = Flattened(seen=SEEN, networks=("198.51.100.0/24",))
    assert entry.missing_of(["198.51.100.9", "203.0.113.0/24", "2001:db8::1"]) == ("203.0.113.0/24", "2001:db8::1/128")


@pytest.mark.parametrize("text", ["", "[]", '{"a": {}}', '{"a": {"seen": "x", "networks": []}}', '{"a": {"seen": 1}}',
                                  '{"a": {"seen": "2026-11-29", "networks": ["b"]}}'])  # fmt: skip
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(SpfLockError, match="mailstack dns flatten"):
        read_lock(text)
