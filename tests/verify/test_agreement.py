"""checkdmarc, pyspf and dkimpy judge the same zones as we do; where they do not, the documentation says why."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import spf

from mailstack.verify.around import Around
from mailstack.verify.run import run_checks
from tests.verify import agreement
from tests.verify.agreement import DIFFERENCES, NOT_COMPARED, Said, differences_page, records, spf_results
from tests.verify.world import FIRST, SECOND, internet
from tests.verify.zones import filled

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
# A resolver that validates gives the others no answer for the bogus zone, and a silent server none to anybody.
SILENT = [case.case.name for case in filled(FIRST, SECOND) if case.case.silent or case.case.partly_silent]
CASES = [case for case in filled(FIRST, SECOND) if not (case.case.name in SILENT or case.case.bogus)]
NAMES = ("spf-record", "spf-lookups", "dmarc-record", "dmarc-reports", "dkim-key")


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    with internet(CASES, tmp_path_factory.mktemp("world")) as found:
        yield found


@pytest.fixture(scope="module")
def said(around: Around) -> Iterator[list[Said]]:
    before = spf.DNSLookup
    found = spf_results(CASES, around)
    for case in CASES:
        found += records(case, run_checks(case.target(), around, names=NAMES).findings, around)
    yield [one for one in found if (one.tool, one.case) not in NOT_COMPARED]
    spf.DNSLookup = before


def test_every_difference_is_explained_and_every_explanation_is_of_a_difference(said: list[Said]) -> None:
    differ = {(one.tool, one.case): (one.theirs, one.ours) for one in said if one.theirs != one.ours}
    assert {key: differ[key] for key in differ.keys() - DIFFERENCES.keys()} == {}
    assert DIFFERENCES.keys() - differ.keys() == set()


def test_much_was_compared_and_both_answers_occur(said: list[Said]) -> None:
    results = Counter(one.theirs for one in said if one.tool.startswith(agreement.PYSPF))
    assert {"pass", "fail", "permerror", "none"} <= results.keys()
    for tool in (agreement.SPF, agreement.DMARC, agreement.DKIM):
        assert {one.theirs for one in said if one.tool == tool} == {"right", "wrong"}
    assert max(int(one.theirs) for one in said if one.tool == agreement.COUNT) > 10


def test_the_page_of_differences_is_what_was_found(said: list[Said]) -> None:
    page = differences_page([one for one in said if one.theirs != one.ours])
    assert (REFERENCE / "verify-differences.md").read_text() == page
