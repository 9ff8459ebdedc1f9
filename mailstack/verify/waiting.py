"""Waits until DNS shows everywhere what was changed: looks again at what is wrong and may still come right."""

import time
from collections.abc import Callable, Collection
from dataclasses import replace

from mailstack.verify.model import CHECKS
from mailstack.verify.run import Report
from mailstack.verify.verdict import FailOn, is_wrong

__all__ = ["CAN_PROPAGATE", "merged", "pending", "wait_until_seen"]

# Numbers of the checks that an answer from DNS decides. Others do not come right by waiting for caches.
CAN_PROPAGATE = frozenset(
    {1, 2, 3, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 17, 18, 20, 21, 23, 24, 31, 32, 34, 35, 36, 37, 45}
)
# Of those numbers, these look at what is served, which no wait mends.
SERVED = frozenset({"mx-ipv6", "bimi-logo", "bimi-certificate"})
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 60.0


def pending(report: Report, fail_on: FailOn = FailOn.FAIL) -> tuple[str, ...]:
    """Return the names of the checks that found something wrong which may still come right by itself."""
    wrong = dict.fromkeys(finding.check for finding in report.findings if is_wrong(finding, fail_on))
    return tuple(
        name for name in wrong if name in CHECKS and name not in SERVED and CHECKS[name].number in CAN_PROPAGATE
    )


def merged(report: Report, later: Report, names: Collection[str]) -> Report:
    """Return ``report`` with the findings of the checks called ``names`` taken from a later look."""
    kept = [finding for finding in report.findings if finding.check not in names]
    return replace(report, findings=(*kept, *later.findings), seconds=report.seconds + later.seconds)


def wait_until_seen(
    report: Report,
    look: Callable[[tuple[str, ...]], Report],
    *,
    seconds: float,
    fail_on: FailOn = FailOn.FAIL,
    tell: Callable[[tuple[str, ...], float, float], None] = lambda _names, _pause, _left: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Look again, at what is pending only, until nothing is or ``seconds`` are over; return what was seen last.

    ``tell`` is called before each pause with the checks that are waited for, the pause and the time left, in seconds.
    """
    end, pause = clock() + seconds, FIRST_PAUSE_SECONDS
    while (names := pending(report, fail_on)) and (left := end - clock()) > 0:
        tell(names, min(pause, left), left)
        sleep(min(pause, left))
        report = merged(report, look(names), names)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
    return report
