"""Holds what was found to everything that was to be found."""

from mailstack.verify.model import Finding, State
from tests.verify.case import Filled

QUIET = {State.OK, State.NOT_APPLICABLE}


def differences(case: Filled, findings: tuple[Finding, ...]) -> list[str]:
    """Return what was found and should not, and what should have been found and was not."""
    left = [finding for finding in findings if finding.state not in QUIET]
    missing = []
    for check, state, words in case.expected():
        fitting = [one for one in left if one.check == check and one.state is state and words in one.found]
        if fitting:
            left.remove(fitting[0])
        else:
            missing.append(f"not found: {check} {state.value} {words!r}")
    shown = [f"also found: {one.check} {one.state.value} {one.subject}: {one.found!r}" for one in left]
    unhelpful = [
        f"without expected or fix: {one.check} {one.found!r}"
        for one in findings
        if one.state in {State.FAIL, State.WARN} and not (one.expected and one.fix)
    ]
    return missing + shown + unhelpful
