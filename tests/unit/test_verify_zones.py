"""One zone of each check is seen through, with nothing else said: every check against real name servers.

All zones are in tests/verify/test_zones.py.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstack.verify import checks  # noqa: F401 - fills the list of checks
from mailstack.verify.around import Around
from mailstack.verify.model import State
from mailstack.verify.reference import checks_page
from mailstack.verify.run import run_checks
from mailstack.verify.target import DomainTarget, Target
from tests.verify.case import Filled
from tests.verify.checks_of_dns import names
from tests.verify.matching import differences
from tests.verify.world import FIRST, SECOND, internet
from tests.verify.zones import CASES, filled

pytestmark = pytest.mark.slow


def found_in(case: Filled) -> set[str]:
    """Return the checks that fail or warn for a case."""
    return {check for check, state, _ in case.expected() if state in {State.FAIL, State.WARN}}


def one_of_each(cases: list[Filled]) -> list[Filled]:
    """Return few cases in which every check has something to say, and one in which all is well."""
    left, chosen = set(names()), [case for case in cases if case.case.name == "good"]
    while left:
        best = max(cases, key=lambda case: len(found_in(case) & left))
        if not found_in(best) & left:
            break
        chosen.append(best)
        left -= found_in(best)
    return chosen


ALL = filled(FIRST, SECOND)
FILLED = one_of_each(ALL)


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    with internet(FILLED, tmp_path_factory.mktemp("world")) as found:
        yield found


@pytest.mark.parametrize("case", FILLED, ids=lambda case: case.case.name)
def test_everything_that_is_wrong_is_found_and_nothing_else(case: Filled, around: Around) -> None:
    report = run_checks(case.target(), around, names=names())
    assert differences(case, report.findings) == []


def test_there_are_many_zones_and_most_are_broken() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert len([case for case in CASES if case.found]) >= 60
    assert len([case for case in CASES if not case.found]) >= 8


def test_every_check_fails_or_warns_somewhere() -> None:
    assert set(names()) - {check for case in ALL for check in found_in(case)} == set()
    assert set(names()) - {check for case in FILLED for check in found_in(case)} == set()
    assert len(FILLED) < 25, "the others are in tests/verify"


def test_a_domain_alone_is_judged_by_what_dns_tells_and_the_rest_is_named(around: Around) -> None:
    target = Target(domains=(DomainTarget(name="good.example"),))
    report = run_checks(target, around, names=names())
    states = {finding.check: finding.state for finding in report.findings}
    assert set(states) == set(names()), "no check is silently left out"
    loud = {(one.check, one.state) for one in report.findings if one.state in {State.WARN, State.FAIL, State.UNKNOWN}}
    assert loud == {("zone-dnssec", State.WARN)}
    told = {check for check, state in states.items() if state is State.NOT_APPLICABLE}
    assert {"host-reverse", "spf-senders", "dkim-key", "return-path"} <= told
    assert all(finding.found for finding in report.findings if finding.state is State.NOT_APPLICABLE)
    assert {"mx", "spf-record", "spf-lookups", "dmarc-record", "mta-sts", "tls-rpt", "zone-servers"} <= {
        check for check, state in states.items() if state is State.OK
    }


def test_a_domain_that_is_not_registered_is_said_to_be_so(around: Around) -> None:
    report = run_checks(Target(domains=(DomainTarget(name="nobody.example"),)), around, names=["zone-delegation"])
    assert [(one.state, one.found) for one in report.findings] == [(State.FAIL, "no such domain")]


def test_an_idn_is_checked_under_its_a_label(around: Around) -> None:
    report = run_checks(Target(domains=(DomainTarget(name="bücher.example"),)), around, names=["dmarc-record"])
    assert {finding.subject for finding in report.findings} == {"xn--bcher-kva.example"}


def test_without_any_answer_nothing_fails_and_nothing_is_well(tmp_path: object) -> None:
    around = Around(own_resolver="127.0.0.1:1", resolvers=("127.0.0.1:1",), seconds=0.2, tries=1, ipv6=False)
    case = next(case for case in FILLED if case.case.name == "good")
    report = run_checks(case.target(), around, names=names())
    states = {finding.state for finding in report.findings}
    assert State.FAIL not in states
    assert State.WARN not in states
    assert State.OK not in states, [str(one) for one in report.findings if one.state is State.OK]


def test_one_domain_takes_at_most_two_seconds(around: Around) -> None:
    case = next(case for case in FILLED if case.case.name == "good")
    began = time.monotonic()
    run_checks(case.target(), around, names=names())
    assert time.monotonic() - began < 2


def test_the_page_of_checks_is_made_from_the_checks() -> None:
    """Made with: make reference."""
    assert Path("docs/reference/checks.md").read_text() == checks_page()
