"""What it costs to look at domains: the checks of DNS and policies, of one domain and of a hundred.

Name servers, resolvers and HTTPS are the tests' (tests/verify/world.py), on loopback, in a process of their own: its
time is not that of the checks, though both share the machine.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from mailstack.verify.around import Around
from mailstack.verify.model import State
from mailstack.verify.run import Report, run_checks
from mailstack.verify.target import Target
from tests.verify.case import Case, Filled
from tests.verify.checks_of_dns import names
from tests.verify.world import FIRST, SECOND, internet

__all__ = ["measure_verify"]

ROUNDS = 3
AIM_SECONDS = 2.0  # for one domain


def measure_verify(say: Callable[[str], None]) -> None:
    """Say how long a look at one domain takes, and at many side by side."""
    for count in (1, 10, 100):
        _measure(say, count)


def _measure(say: Callable[[str], None], count: int) -> None:
    process = get_context("spawn")
    ours, theirs = process.Pipe()
    server = process.Process(target=_serve, args=(count, theirs), daemon=True)
    server.start()
    try:
        around: Around = ours.recv()
        target = _target(_cases(count))
        rounds = [_round(target, around) for _ in range(ROUNDS)]
    finally:
        ours.send("enough")
        server.join()
    seconds, processor = (statistics.median(values) for values in zip(*rounds, strict=True))
    aim = f", aim {AIM_SECONDS:.0f} s" if count == 1 else f", {1000 * seconds / count:.0f} ms each"
    say(
        f"verify, {count} domain{'s' if count > 1 else ''}: {seconds:.2f} s (median of {ROUNDS}{aim}), "
        f"processor time {processor:.2f} s"
    )


def _round(target: Target, around: Around) -> tuple[float, float]:
    """Return seconds and seconds of processor time."""
    began, used = time.monotonic(), time.process_time()
    report = run_checks(target, around, names=names())
    seconds = time.monotonic() - began, time.process_time() - used
    _must_be_well(report)
    return seconds


def _must_be_well(report: Report) -> None:
    """Refuse to call a look fast that did not see everything."""
    wrong = [str(finding) for finding in report.findings if finding.state in {State.FAIL, State.UNKNOWN}]
    if wrong:
        raise RuntimeError(f"{len(wrong)} findings of faultless zones: {wrong[0]}")


def _cases(count: int) -> list[Filled]:
    return [Case(name=f"d{number}").filled(number, FIRST, SECOND) for number in range(1, count + 1)]


def _target(cases: list[Filled]) -> Target:
    """Return one target of all cases."""
    each = [case.target() for case in cases]
    return Target(
        domains=tuple(domain for target in each for domain in target.domains),
        hosts=tuple(host for target in each for host in target.hosts),
        zones={zone: servers for target in each for zone, servers in target.zones.items()},
        issuers=each[0].issuers,
    )


def _serve(count: int, parent: Connection) -> None:
    """Run everything that is asked, until the parent says so."""
    with (
        tempfile.TemporaryDirectory(prefix="mailstack-bench-") as folder,
        internet(_cases(count), Path(folder)) as there,
    ):
        parent.send(there)
        parent.recv()
