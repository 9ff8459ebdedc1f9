"""Runs the checks, side by side, each within the time that is left."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mailstack.verify.around import Around
from mailstack.verify.asking import Dns
from mailstack.verify.context import Context
from mailstack.verify.host import HostAccess
from mailstack.verify.message import MessagePath
from mailstack.verify.model import CHECKS, Check, Finding, State, unknown
from mailstack.verify.target import Target

__all__ = ["Report", "run_checks"]

AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run found. ``started`` is in UTC, ``seconds`` how long it took."""

    target: Target
    started: datetime
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> State:
        """Return the worst state there is; what is not applicable is no worse than ok."""
        order = (State.FAIL, State.WARN, State.UNKNOWN)
        found = {finding.state for finding in self.findings}
        return next((state for state in order if state in found), State.OK)


def run_checks(
    target: Target,
    around: Around,
    *,
    names: Iterable[str] | None = None,
    seconds: float = 60.0,
    done: Callable[[Check], None] = lambda _check: None,
    access: HostAccess | None = None,
    drift: Callable[[], list[str]] | None = None,
    probe_outbound: bool = False,
    message: MessagePath | None = None,
) -> Report:
    """Run the checks called ``names`` (None: all); ``done`` is called after each, from any thread.

    What is to be asked for (``access`` and what follows) is described at ``Context``.
    """
    started, began = datetime.now(UTC), time.monotonic()
    deadline = began + seconds
    context = Context(
        target=target,
        dns=Dns(around, deadline=deadline),
        around=around,
        deadline=deadline,
        access=access,
        drift=drift,
        probe_outbound=probe_outbound,
        message=message,
    )
    chosen = [CHECKS[name] for name in (CHECKS if names is None else names)]

    def one(check: Check) -> list[Finding]:
        found = _looked(check, context)
        done(check)
        return found

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        found = [finding for findings in pool.map(one, chosen) for finding in findings]
    return Report(target=target, started=started, seconds=time.monotonic() - began, findings=tuple(found))


def _looked(check: Check, context: Context) -> list[Finding]:
    found: list[Finding] = []
    try:
        for finding in check.look(context):
            found.append(finding)  # noqa: PERF402 - what was found before a failure is kept
    except TimeoutError as error:
        found.append(unknown("", str(error) or "no answer in time"))
    except Exception as error:  # noqa: BLE001 - one check's mistake must not hide what the others found
        found.append(unknown("", f"the check itself failed: {type(error).__name__}: {error}"))
    return [replace(finding, check=check.name) for finding in found]
