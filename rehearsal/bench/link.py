"""A link with a round-trip time between two containers, for kernels without netem."""

from __future__ import annotations

import select
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rehearsal.bench.docker import Container, DockerError
from rehearsal.bench.errors import BenchError

__all__ = ["Link", "LinkError"]

READY_SECONDS = 15.0
STOP_SECONDS = 5.0
RULE_PREFERENCE = "50"


class LinkError(BenchError):
    """The link could not be made; the message holds what the program said."""


class Link:
    """Runs the `wire` program between two containers as long as the context lasts.

    Both ends are point-to-point addresses out of 198.18.0.0/15, which RFC 2544 sets aside for
    benchmarks. Needs root on the machine that runs Docker. A routing rule at the near end sends the far
    address over the link even where other rules keep mail inside the host's own network.
    """

    def __init__(self, *, program: Path, number: int, near: Container, far: Container, rtt_ms: float) -> None:
        """Describe link `number` (1 to 255, unique among the links that are up); nothing happens yet."""
        self.near_address = f"198.18.{number}.1"
        self.far_address = f"198.18.{number}.2"
        self._arguments = [
            # Ahead of the relay and whatever else runs: a late packet would be a longer round trip.
            "nice",
            "--adjustment=-15",
            str(program),
            f"-device=bench{number}",
            f"-a={near.pid}",
            f"-a-address={self.near_address}",
            f"-b={far.pid}",
            f"-b-address={self.far_address}",
            f"-rtt={rtt_ms}ms",
        ]
        self._rule = ("pref", RULE_PREFERENCE, "to", self.far_address, "lookup", "main")
        self._near = near
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running program, for its CPU time."""
        if self._process is None:
            raise LinkError("the link is not up")
        return self._process.pid

    def __enter__(self) -> Self:
        """Bring the link up; returns once packets flow."""
        process = subprocess.Popen(
            self._arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._process = process
        output = process.stdout
        if output is None or not select.select([output], [], [], READY_SECONDS)[0] or not output.readline():
            process.kill()
            _, said = process.communicate(timeout=STOP_SECONDS)
            raise LinkError(f"no link between the containers: {said.strip() or 'no answer in time'}")
        try:
            self._near.run_in_network("ip", "rule", "add", *self._rule)
        except DockerError:
            self._stop(process)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the link away: the program ends with its standard input."""
        if self._process is None:
            return
        self._stop(self._process)
        with suppress(DockerError):
            self._near.run_in_network("ip", "rule", "del", *self._rule)

    def _stop(self, process: subprocess.Popen[str]) -> None:
        self._process = None
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate(timeout=STOP_SECONDS)
