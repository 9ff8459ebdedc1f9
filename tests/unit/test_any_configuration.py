"""Whatever stands in a stack file, loading it ends with a plan or with sentences a person can act on."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.plan import load_plan
from mailstack.settings.problems import Problem, SettingsError
from tests.unit.mistakes import MAILGUN, SENDGRID, changed, logins
from tests.unit.stack_examples import dkim_key, dkim_public_key, example, postal_example

pytestmark = pytest.mark.slow

ROUNDS = 600
ODD: tuple[Any, ...] = (
    None, {}, [], "", " ", 0, -1, 1.5, True, "a\nb", "x" * 300, {"a": {}}, [[]], [None], "..", "example.com", "1.2.3.4",
    "::", {"host": None}, 10**30, "\u2028", "xn--", "_", "-----BEGIN PRIVATE KEY-----",
)  # fmt: skip


def places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if where:
        yield where
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*where, key))


def mutated(raw: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    changed = copy.deepcopy(raw)
    for _ in range(chance.randint(1, 4)):
        *parents, last = chance.choice(list(places(changed)))
        holder = changed
        for part in parents:
            holder = holder[part]
        match chance.choice(["odd", "odd", "drop", "unknown", "double"]):
            case "odd":
                holder[last] = copy.deepcopy(chance.choice(ODD))
            case "drop":
                holder.pop(last)
            case "unknown" if isinstance(holder, dict):
                holder["unknown_key"] = copy.deepcopy(chance.choice(ODD))
            case "double" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[last]))
    return changed


def mistakes(raw: dict[str, Any]) -> tuple[Problem, ...]:
    """Return what is wrong, nothing for a plan; anything else that is raised fails the test."""
    try:
        load_plan(raw)
    except SettingsError as error:
        return error.problems or (Problem(field="", value="", rule="", fix=""),)
    return ()


every_seed = pytest.mark.parametrize("seed", range(4))


@every_seed
def test_no_configuration_ends_in_anything_but_a_plan_or_named_mistakes(seed: int) -> None:
    every_mistake_is_a_sentence(seed, [example(), postal_example()])


def every_mistake_is_a_sentence(seed: int, bases: list[dict[str, Any]]) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    refused = 0
    for _ in range(ROUNDS // 4):
        raw = mutated(chance.choice(bases), chance)
        problems = mistakes(raw)
        refused += bool(problems)
        for problem in problems:
            assert problem.rule, raw
            assert problem.fix, raw
            assert "\n" not in str(problem), raw
    assert refused > ROUNDS // 10, "the mutations are ones that matter"


@every_seed
def test_no_choice_of_upstreams_logins_and_shared_keys_ends_in_anything_else_either(seed: int) -> None:
    newer = {
        "relay.upstreams": {"mailgun": MAILGUN, "spare": SENDGRID},
        "relay.fallback_upstream": "spare",
        "relay.strict_envelopes": True,
        "domains.1.upstream": "mailgun",
        "domains.1.dkim": [{"selector": "mail202611", "key": "common"}],
        "dns.existing": [{"name": "example.com", "type": "MX", "content": "10 mx.example.net", "action": "keep"}],
        "dns.look_seconds": 5,
    }
    raw = changed(logins(), newer)
    raw["dkim_keys"] = {"common": {"private_key": dkim_key()}}
    assert mistakes(raw) == (), "valid before it is taken apart"
    every_mistake_is_a_sentence(seed, [raw])


@every_seed
def test_nothing_that_domains_may_have_beyond_mail_ends_in_anything_else_either(seed: int) -> None:
    newer = {
        "domains.0.caa": {"iodef": ["security@example.com"], "issuewild": []},
        "domains.0.tls_rpt": {"rua": ["tls@example.com"]},
        "domains.0.bimi": {"logo": "https://example.com/logo.svg"},
        "domains.1.ses": {"region": "eu-west-1", "dkim_tokens": [letter * 32 for letter in "abc"],
                          "mail_from": "bounce.example.org"},
        "domains.1.sendgrid": {"subdomain": "em1", "host": "u1.wl1.sendgrid.net",
                               "links": {"subdomain": "url1", "owner": "1"}},
        "domains.2": {"name": "parked.example.com", "profile": "parked"},
        "domains.3": {"name": "lists.example.com", "profile": "send-only", "dkim": [],
                      "mailgun": {"dkim": [{"selector": "k1", "public_key": dkim_public_key()}], "tracking": "email"}},
        "dns.signed_zones": ["example.org"],
        "dns.records": [
            {"name": "_sip._tcp.example.org", "type": "SRV", "priority": 5, "values": ["1 5060 sip.example.net"]},
            {"name": "_443._tcp.www.example.org", "type": "TLSA", "values": [f"3 1 1 {'0a' * 32}"], "ttl": 300},
            {"name": "*.apps.example.org", "type": "A", "values": ["93.184.216.9"]},
        ],
    }  # fmt: skip
    raw = changed(postal_example(), newer)
    assert mistakes(raw) == (), "valid before it is taken apart"
    every_mistake_is_a_sentence(seed, [raw])


def test_an_empty_relay_among_other_mistakes_is_told_with_them() -> None:
    raw = example(relay={}, environment="production")
    with pytest.raises(SettingsError) as caught:
        load_plan(raw)
    fields = {problem.field for problem in caught.value.problems}
    assert {"environment", "relay.host", "relay.hostname"} <= fields
