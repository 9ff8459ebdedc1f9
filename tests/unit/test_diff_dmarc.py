"""What `mailstack diff` says of DMARC: a policy is compared with the one that held before, be it a parent's."""

from pathlib import Path

import pytest

from tests.unit.diff_examples import Change, Raw, compared
from tests.unit.stack_examples import example


def told(folder: Path, base: Raw, change: Change) -> list[tuple[str, str, str]]:
    found = compared(folder, lambda: base, change).risks
    return [(risk.rule, risk.level, risk.what) for risk in found if risk.rule.startswith("dmarc-")]


def below(policy: str, **above: str) -> Raw:
    """Return a stack with a policy for shop.example.com; example.com has p=reject and ``above``."""
    raw = example()
    raw["domains"][0]["dmarc"] |= above
    raw["domains"].append({"name": "shop.example.com", "dmarc": {"policy": policy}})
    return raw


@pytest.mark.parametrize(
    ("policy", "risks"),
    [
        ("reject", []),
        ("quarantine", []),
        ("none", [("dmarc-off", "low", "DMARC policy of shop.example.com: reject (that of example.com) becomes none")]),
    ],
)
def test_the_first_policy_of_a_subdomain_is_compared_with_its_parents(
    policy: str, risks: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    further = below(policy)["domains"][-1]
    assert told(tmp_path, example(), lambda raw: raw["domains"].append(further)) == risks


def test_where_a_subdomains_policy_goes_its_parents_holds(tmp_path: Path) -> None:
    [stricter] = told(tmp_path, below("none"), lambda raw: raw["domains"].pop())
    assert stricter[1:] == ("high", "DMARC policy of shop.example.com: none becomes reject (that of example.com)")
    [kept] = told(tmp_path, below("none", subdomain_policy="none"), lambda raw: raw["domains"].pop())
    assert kept == ("dmarc-removed", "low", "shop.example.com has no DMARC record of its own any more")


def test_a_permission_for_reports_that_goes_is_told_as_no_policy(tmp_path: Path) -> None:
    raw = example()
    raw["domains"][1]["dmarc"] = {"policy": "reject", "aggregate_reports": ["dmarc@example.com"]}
    [own] = told(tmp_path, raw, lambda raw: raw["domains"].pop())
    assert own[2] == "example.org has no DMARC record of its own any more"
