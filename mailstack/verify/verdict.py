"""What a run amounts to: the exit code, and what counts as wrong."""

from enum import Enum

from mailstack.verify.model import Finding, State
from mailstack.verify.run import Report

__all__ = ["EXIT_FAIL", "EXIT_OK", "EXIT_UNKNOWN", "EXIT_WAITED", "EXIT_WRONG_CALL", "FailOn", "exit_code", "is_wrong"]

EXIT_OK, EXIT_FAIL, EXIT_WRONG_CALL, EXIT_UNKNOWN, EXIT_WAITED = range(5)


class FailOn(Enum):
    """From which state on a finding is wrong: ``UNKNOWN`` counts fail and warn too, ``WARN`` counts fail too."""

    FAIL = "fail"
    WARN = "warn"
    UNKNOWN = "unknown"


COUNTED = {
    FailOn.FAIL: {State.FAIL},
    FailOn.WARN: {State.FAIL, State.WARN},
    FailOn.UNKNOWN: {State.FAIL, State.WARN, State.UNKNOWN},
}


def is_wrong(finding: Finding, fail_on: FailOn) -> bool:
    """Tell whether a finding counts as wrong."""
    return finding.state in COUNTED[fail_on]


def exit_code(report: Report, fail_on: FailOn) -> int:
    """Return 0 where nothing counts as wrong, 1 where something does, 3 where it is only what was not seen."""
    wrong = {finding.state for finding in report.findings if is_wrong(finding, fail_on)}
    if not wrong:
        return EXIT_OK
    return EXIT_UNKNOWN if wrong == {State.UNKNOWN} else EXIT_FAIL
