"""Relay throughput: a relay that this project set up against one set up by hand, on one machine, in one run.

How a run is measured:

- Both relays are hosts that exist already. They send to one upstream, a sink in a third container that
  counts what it accepts. Deliveries are counted there and nowhere else: a journal drops lines under load.
- A run is `warm_up` messages, then `messages` messages of `message_bytes` from `sessions` parallel clients,
  one connection per message (Debian's smtp-source). Runs of the two relays alternate.
- Time runs from the first injection to the last message accepted by the sink; both read the same clock.
- smtp-source is started with the network and the file system of the relay host but in the harness's own
  control group (nsenter without a cgroup), so the generator's CPU is not counted as the relay's.
- Relay CPU is what the kernel counted for the relay's whole container: Postfix, the journal, systemd.
- At 0 ms the relay reaches the sink over Docker's bridge. At any other round-trip time it goes over a `Link`
  that delays every packet. The sink's DNS responder decides which: it answers for the upstream's name. DNS
  itself always goes over the bridge, as it would to a resolver on the relay's own network.
- `other CPU` is what the rest of the machine used meanwhile. A run with more than `QUIET_SHARE` of the
  machine is marked as noisy, by a rule fixed before any result was seen.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rehearsal.bench import build
from rehearsal.bench.cgroup import CpuMeter, machine_busy_seconds
from rehearsal.bench.docker import Container, inspect
from rehearsal.bench.errors import BenchError
from rehearsal.bench.link import Link
from rehearsal.bench.relay_host import QueueError, point_at_upstream, require_empty_queue, trust_ca
from rehearsal.bench.stats import drain_rate, median, paired_ratios, rate, spread
from rehearsal.bench.upstream import Counters, Upstream, remove_upstream, start_upstream

__all__ = ["BenchError", "Comparison", "Load", "Relay", "Run", "compare", "measure", "render"]

UPSTREAM_CONTAINER = "mailstack-bench-upstream"
POLL_SECONDS = 0.1
SETTLE_SECONDS = 0.5
CLOSE_SECONDS = 45.0
# A relay slower than this is broken, not slow: the guide does 78 messages a second at 20 ms.
SLOWEST_RATE = 10.0
FIRST_MESSAGE_SECONDS = 60.0
QUIET_SHARE = 0.10
NANOSECONDS = 1e9
CPU_TICKS = os.sysconf("SC_CLK_TCK")
CLIENT_NAME = "app.bench.example.com"


@dataclass(frozen=True, kw_only=True)
class Relay:
    """A relay to measure: its container (id or name) and an envelope that it accepts on 127.0.0.1:25."""

    name: str
    container: str
    sender: str = "app@example.com"
    recipient: str = "someone@example.net"


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is sent, and how often. Round-trip times are milliseconds, sizes bytes."""

    messages: int = 3000
    warm_up: int = 100
    sessions: int = 30
    message_bytes: int = 7500
    repetitions: int = 3
    rtts_ms: tuple[float, ...] = (0.0, 20.0)
    keep_alive: bool = False


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measured run. Rates are messages a second, CPU times seconds.

    `measured_rtt_ms` is the shortest TCP handshake that the sink saw, None when every connection was kept
    from before.
    """

    relay: str
    rtt_ms: float
    repetition: int
    messages: int
    seconds: float
    inject_seconds: float
    rate: float
    drain_rate: float | None
    relay_cpu_seconds: float
    sink_cpu_seconds: float
    generator_cpu_seconds: float
    link_cpu_seconds: float
    other_cpu_seconds: float
    noisy: bool
    measured_rtt_ms: float | None
    counters: Counters

    @property
    def cpu_ms_per_message(self) -> float:
        """Relay CPU per message in milliseconds."""
        return self.relay_cpu_seconds * 1000 / self.messages

    @property
    def messages_per_connection(self) -> float:
        """Mean over the connections that carried at least one message."""
        return self.messages / self.counters.connections_with_mail


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All runs of a bench, in the order they were made."""

    base: str
    candidate: str
    load: Load
    runs: tuple[Run, ...]

    def of(self, relay: str, rtt_ms: float) -> list[Run]:
        """Runs of one relay at one round-trip time, by repetition."""
        found = [run for run in self.runs if run.relay == relay and run.rtt_ms == rtt_ms]
        return sorted(found, key=lambda run: run.repetition)

    def rate_ratio(self, rtt_ms: float) -> float:
        """Candidate / base messages per second: median over the repetitions, each paired."""
        candidate, base = self.of(self.candidate, rtt_ms), self.of(self.base, rtt_ms)
        return median(paired_ratios([run.rate for run in candidate], [run.rate for run in base]))

    def cpu_ratio(self, rtt_ms: float) -> float:
        """Candidate / base relay CPU per message: median over the repetitions, each paired."""
        candidate, base = self.of(self.candidate, rtt_ms), self.of(self.base, rtt_ms)
        return median(
            paired_ratios([run.cpu_ms_per_message for run in candidate], [run.cpu_ms_per_message for run in base])
        )


def compare(
    *,
    base: Relay,
    candidate: Relay,
    load: Load,
    cache: Path,
    report: Callable[[str], None],
) -> Comparison:
    """Measure both relays and print a line per run and a table at the end through `report`.

    Both containers must share a Docker network; their Postfix must send to smtp-relay.gmail.com:587 and
    read its CAs from the system's bundle. `cache` is the project's `.cache/bench`. Needs root.
    """
    if os.geteuid() != 0:
        raise BenchError("the throughput bench enters network namespaces and reads control groups: run it as root")
    programs = build.build(cache)
    hosts = {relay.name: inspect(relay.container) for relay in (base, candidate)}
    network = _shared_network(hosts.values())
    runs: list[Run] = []
    with ExitStack() as stack:
        stack.callback(remove_upstream, program=programs["sink"], name=UPSTREAM_CONTAINER)
        upstream = start_upstream(
            program=programs["sink"],
            directory=cache / "certificates",
            beside=hosts[candidate.name],
            network=network,
            name=UPSTREAM_CONTAINER,
        )
        for host in hosts.values():
            trust_ca(host, upstream.ca_pem)
            point_at_upstream(host, upstream.address)
        for rtt_ms in load.rtts_ms:
            _wait_for_no_connections(upstream)
            with ExitStack() as links:
                pids = _connect(links, programs["wire"], upstream, hosts.values(), network, rtt_ms)
                for repetition in range(load.repetitions):
                    # Who goes first alternates, so a trend of the machine favours neither.
                    order = (base, candidate) if repetition % 2 == 0 else (candidate, base)
                    for relay in order:
                        run = measure(
                            relay=relay,
                            host=hosts[relay.name],
                            upstream=upstream,
                            load=load,
                            rtt_ms=rtt_ms,
                            repetition=repetition,
                            link_pids=pids,
                        )
                        runs.append(run)
                        report(_run_line(run))
                _wait_for_no_connections(upstream)
    comparison = Comparison(base=base.name, candidate=candidate.name, load=load, runs=tuple(runs))
    for line in render(comparison):
        report(line)
    return comparison


def measure(
    *,
    relay: Relay,
    host: Container,
    upstream: Upstream,
    load: Load,
    rtt_ms: float,
    repetition: int,
    link_pids: Sequence[int] = (),
) -> Run:
    """Warm up one relay, then measure one run; everything it needs is up already."""
    _no_queue(host)
    upstream.reset()
    _inject(relay, host, load, load.warm_up)
    _wait_for_mails(upstream, host, load.warm_up)
    warm = upstream.counters()
    upstream.reset()

    meters = {
        "relay": CpuMeter.of_process(host.pid, host.id),
        "sink": CpuMeter.of_process(upstream.container.pid, upstream.container.id),
    }
    before = {name: meter.seconds() for name, meter in meters.items()}
    busy, wires = _machine_busy(), _process_seconds(link_pids)
    children = _children_seconds()
    started_ns = time.time_ns()
    _inject(relay, host, load, load.messages)
    injected_ns = time.time_ns()
    generator = _children_seconds() - children
    _wait_for_mails(upstream, host, load.messages)
    # The relay still removes queue files and writes its log for the last messages: that is its cost too.
    time.sleep(SETTLE_SECONDS)
    used = {name: meter.seconds() - before[name] for name, meter in meters.items()}
    busy = _machine_busy() - busy
    wires = _process_seconds(link_pids) - wires
    # Read once more: the relay must not deliver a message twice.
    counters = upstream.counters(after_ns=injected_ns)
    if counters.mails != load.messages:
        raise BenchError(f"{relay.name} delivered {counters.mails} messages of {load.messages}: some came twice")

    seconds = (counters.last_message_ns - started_ns) / NANOSECONDS
    other = max(0.0, busy - sum(used.values()) - generator - wires)
    seen = [c.smallest_rtt_us for c in (warm, counters) if c.smallest_rtt_us]
    return Run(
        relay=relay.name,
        rtt_ms=rtt_ms,
        repetition=repetition,
        messages=load.messages,
        seconds=seconds,
        inject_seconds=(injected_ns - started_ns) / NANOSECONDS,
        rate=rate(load.messages, seconds),
        drain_rate=drain_rate(
            total=load.messages,
            left=counters.mails_after,
            seconds=(counters.last_message_ns - injected_ns) / NANOSECONDS,
        ),
        relay_cpu_seconds=used["relay"],
        sink_cpu_seconds=used["sink"],
        generator_cpu_seconds=generator,
        link_cpu_seconds=wires,
        other_cpu_seconds=other,
        noisy=other > QUIET_SHARE * seconds * (os.cpu_count() or 1),
        measured_rtt_ms=min(seen) / 1000 if seen else None,
        counters=counters,
    )


def render(comparison: Comparison) -> list[str]:
    """Lines of the result table: medians over the repetitions, and the ratios of paired runs."""
    load = comparison.load
    what = (
        f"{load.messages} messages of {load.message_bytes / 1000:g} kB from {load.sessions} clients, "
        f"{'connections kept' if load.keep_alive else 'one connection per message'}, "
        f"median of {load.repetitions} alternating runs, counted at the upstream"
    )
    head = (
        f"{'round trip':>10}  {'relay':<12}{'msg/s':>7}{'spread':>8}{'drain/s':>9}{'CPU ms/msg':>12}"
        f"{'TLS full':>10}{'resumed':>9}{'msg/conn':>10}{'peak conn':>11}{'noisy runs':>12}"
    )
    lines = [what, head]
    for rtt_ms in load.rtts_ms:
        lines += [_row(comparison.of(relay, rtt_ms)) for relay in (comparison.base, comparison.candidate)]
        lines.append(
            f"{rtt_ms:>7g} ms  {'ratio':<12}{comparison.rate_ratio(rtt_ms):>6.2f}x"
            f"{'':>17}{comparison.cpu_ratio(rtt_ms):>11.2f}x"
        )
    return lines


def _row(runs: Sequence[Run]) -> str:
    rates = [run.rate for run in runs]
    drains = [run.drain_rate for run in runs if run.drain_rate is not None]
    noisy = sum(run.noisy for run in runs)
    return (
        f"{runs[0].rtt_ms:>7g} ms  {runs[0].relay:<12}{median(rates):>7.0f}{spread(rates):>8.0%}"
        f"{f'{median(drains):.0f}' if drains else '-':>9}"
        f"{median([run.cpu_ms_per_message for run in runs]):>12.2f}"
        f"{median([run.counters.full_handshakes for run in runs]):>10.0f}"
        f"{median([run.counters.resumed_handshakes for run in runs]):>9.0f}"
        f"{median([run.messages_per_connection for run in runs]):>10.1f}"
        f"{median([run.counters.peak_open_connections for run in runs]):>11.0f}"
        f"{f'{noisy} of {len(runs)}':>12}"
    )


def _run_line(run: Run) -> str:
    drain = "no backlog" if run.drain_rate is None else f"drain {run.drain_rate:.0f}/s"
    rtt = "no new connection" if run.measured_rtt_ms is None else f"round trip {run.measured_rtt_ms:.2f} ms"
    others = {"sink": run.sink_cpu_seconds, "clients": run.generator_cpu_seconds, "link": run.link_cpu_seconds}
    return (
        f"{run.rtt_ms:g} ms #{run.repetition + 1} {run.relay}: {run.rate:.0f} msg/s in {run.seconds:.1f} s "
        f"(injection {run.inject_seconds:.1f} s, {drain}), CPU ms/msg: relay {run.cpu_ms_per_message:.2f}, "
        f"{', '.join(f'{name} {used * 1000 / run.messages:.2f}' for name, used in others.items())}; "
        f"TLS {run.counters.full_handshakes} full {run.counters.resumed_handshakes} resumed, "
        f"peak {run.counters.peak_open_connections} connections, measured: {rtt}, "
        f"other CPU {run.other_cpu_seconds:.1f} s{' NOISY' if run.noisy else ''}"
    )


def _shared_network(hosts: Iterable[Container]) -> str:
    networks = [set(host.addresses) for host in hosts]
    shared = sorted(set.intersection(*networks))
    if not shared:
        raise BenchError(f"the relay hosts share no Docker network: {[sorted(names) for names in networks]}")
    return shared[0]


def _connect(
    stack: ExitStack,
    wire: Path,
    upstream: Upstream,
    hosts: Iterable[Container],
    network: str,
    rtt_ms: float,
) -> list[int]:
    """Point the upstream's name at the right address for each relay; pids of the links that were made."""
    answers: dict[str, str] = {}
    pids: list[int] = []
    for number, host in enumerate(hosts, start=1):
        answers[host.addresses[network]] = upstream.address
        if rtt_ms > 0:
            link = stack.enter_context(
                Link(program=wire, number=number, near=host, far=upstream.container, rtt_ms=rtt_ms)
            )
            answers[host.addresses[network]] = link.far_address
            pids.append(link.pid)
    upstream.answer_dns(answers)
    return pids


def _inject(relay: Relay, host: Container, load: Load, messages: int) -> None:
    """Send messages to the relay's own port 25 and wait until the last one was accepted."""
    command = [
        "nsenter",
        f"--net=/proc/{host.pid}/ns/net",
        f"--mount=/proc/{host.pid}/ns/mnt",
        "/usr/sbin/smtp-source",
        "-s",
        str(load.sessions),
        "-l",
        str(load.message_bytes),
        "-m",
        str(messages),
        "-M",
        CLIENT_NAME,
        "-f",
        relay.sender,
        "-t",
        relay.recipient,
        *(["-d"] if load.keep_alive else []),
        "127.0.0.1:25",
    ]
    limit = FIRST_MESSAGE_SECONDS + messages / SLOWEST_RATE
    try:
        finished = subprocess.run(command, check=False, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{relay.name} did not accept {messages} messages in {limit:.0f} s") from error
    if finished.returncode != 0:
        raise BenchError(
            f"smtp-source could not hand {messages} messages from {relay.sender} to {relay.recipient} to "
            f"{relay.name}: {finished.stderr.strip()[-1000:]}"
        )


def _wait_for_mails(upstream: Upstream, host: Container, messages: int) -> None:
    deadline = time.monotonic() + FIRST_MESSAGE_SECONDS + messages / SLOWEST_RATE
    while (counters := upstream.counters()).mails < messages:
        if time.monotonic() > deadline:
            raise BenchError(
                f"only {counters.mails} of {messages} messages from {host.name} reached the upstream "
                f"({counters.failed_handshakes} TLS handshakes failed); end of the relay's queue:\n"
                f"{host.run('postqueue', '-p')[-1500:]}"
            )
        time.sleep(POLL_SECONDS)


def _wait_for_no_connections(upstream: Upstream) -> None:
    """Cached connections lead to the address the name had before; wait until the relays let go of them."""
    deadline = time.monotonic() + CLOSE_SECONDS
    while (count := upstream.counters().open_connections) > 0:
        if time.monotonic() > deadline:
            raise BenchError(
                f"{count} connections to the upstream are still open after {CLOSE_SECONDS:g} s without mail"
            )
        time.sleep(POLL_SECONDS)


def _no_queue(host: Container) -> None:
    try:
        require_empty_queue(host)
    except QueueError:
        # The relay removes a queue file a moment after the upstream took the message.
        time.sleep(1.0)
        require_empty_queue(host)


def _machine_busy() -> float:
    return machine_busy_seconds(Path("/proc/stat").read_text(), CPU_TICKS)


def _process_seconds(pids: Iterable[int]) -> float:
    """CPU seconds of running processes: fields 14 and 15 of /proc/PID/stat (proc(5))."""
    total = 0
    for pid in pids:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(after_name[11]) + int(after_name[12])
    return total / CPU_TICKS


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
