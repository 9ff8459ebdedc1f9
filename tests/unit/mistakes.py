"""Tables of mistakes: what is wrong, how it is told, and every way out that is named, each of which must work."""

import copy
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mailstack.plan import Plan, load_plan
from mailstack.settings.problems import Problem, SettingsError
from tests.unit.stack_examples import REMOVE, example, postal_example, with_value

__all__ = [
    "LOGINS", "MAILGUN", "SENDGRID", "SES", "Mistake", "accepted", "changed", "direct", "logins", "problems", "several",
    "spare", "told_and_mended",
]  # fmt: skip

Changes = Mapping[str, Any]

SENDGRID = {"preset": "sendgrid", "auth": "sasl", "username": "apikey", "password": "SG.abc"}
SES = {"preset": "ses", "region": "eu-west-1", "auth": "sasl", "username": "A" * 20, "password": "B" * 44}
MAILGUN = {"preset": "mailgun", "region": "eu", "auth": "sasl", "username": "relay@example.org", "password": "pw"}
# What a stack of logins needs, without a certificate.
LOGINS: dict[str, Any] = {
    "listen_addresses": ["93.184.216.34"],
    "users": [{"name": "shop", "password": "shop-password"}],
}


class Mistake(NamedTuple):
    """``changes`` break the base; ``field`` is told with a part of rule and fix; each of ``ways`` mends it.

    ``ways`` are what the fix names, taken literally: changes on top of the broken configuration.
    """

    what: str
    base: Callable[[], dict[str, Any]]
    changes: Changes
    field: str
    rule: str
    fix: str
    ways: tuple[Changes, ...]


def changed(raw: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Return ``raw`` with each value at its dotted path, in that order; REMOVE deletes."""
    for path, value in changes.items():
        raw = with_value(
            path, value if value is REMOVE else copy.deepcopy(value), functools.partial(copy.deepcopy, raw)
        )
    return raw


def problems(raw: dict[str, Any], folder: Path | None = None) -> list[Problem]:
    """Return what is wrong; nothing for a plan."""
    try:
        load_plan(raw) if folder is None else load_plan(raw, folder)
    except SettingsError as error:
        return list(error.problems)
    return []


def told_and_mended(mistake: Mistake) -> None:
    """Assert that the mistake is told at its very field, and that each way its fix names leads to a plan."""
    assert problems(mistake.base()) == [], "the base is valid"
    broken = changed(mistake.base(), mistake.changes)
    found = problems(broken)
    assert [
        problem
        for problem in found
        if problem.field == mistake.field and mistake.rule in problem.rule and mistake.fix in problem.fix
    ], [str(problem) for problem in found]
    assert mistake.ways
    for way in mistake.ways:
        assert problems(changed(broken, way)) == [], way


def accepted(base: Callable[[], dict[str, Any]], changes: Changes) -> Plan:
    return load_plan(changed(base(), changes))


def several() -> dict[str, Any]:
    """Return the example, whose second domain goes to an upstream of its own."""
    raw = example()
    raw["relay"]["upstreams"] = {"mailgun": dict(MAILGUN)}
    raw["domains"][1]["upstream"] = "mailgun"
    return raw


def spare() -> dict[str, Any]:
    """Return the example with a fallback."""
    raw = example()
    raw["relay"] |= {"upstreams": {"mailgun": dict(MAILGUN)}, "fallback_upstream": "mailgun"}
    return raw


def logins() -> dict[str, Any]:
    """Return the example with submission and a certificate of its own."""
    raw = example()
    certificate = {"certificate_file": "/etc/ssl/relay.pem", "key_file": "/etc/ssl/private/relay.pem"}
    raw["relay"]["submission"] = {**copy.deepcopy(LOGINS), "certificate": certificate}
    return raw


def direct() -> dict[str, Any]:
    """Return Postal without a relay before it."""
    raw = postal_example()
    raw["relay"]["placement"] = "none"
    raw["postal"]["sending"] = {"path": "direct"}
    return raw
