"""All zones: good ones pass and broken ones are seen through, with nothing else said, by real name servers.

tests/unit/test_verify_zones.py has one of each check, and what is true of the zones without a server.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mailstack.verify.around import Around
from mailstack.verify.run import run_checks
from tests.verify.case import Filled
from tests.verify.checks_of_dns import names
from tests.verify.matching import differences
from tests.verify.world import FIRST, SECOND, internet
from tests.verify.zones import filled

FILLED = filled(FIRST, SECOND)


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    with internet(FILLED, tmp_path_factory.mktemp("world")) as found:
        yield found


@pytest.mark.parametrize("case", FILLED, ids=lambda case: case.case.name)
def test_everything_that_is_wrong_is_found_and_nothing_else(case: Filled, around: Around) -> None:
    hurried = case.case.silent or case.case.partly_silent
    patience = replace(around, seconds=0.2 if case.case.silent else 1.0, tries=1) if hurried else around
    report = run_checks(case.target(), patience, names=names())
    assert differences(case, report.findings) == []
