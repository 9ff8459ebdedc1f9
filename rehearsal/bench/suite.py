"""`make bench`: what this project costs and what its relay carries, each figure beside something to compare it with.

Absolute times depend on the machine; the ratios are what to watch. Everything is measured in one run, with what is
compared taking turns.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mailstack.postfix.relay import RelayDefinition, role_settings
from mailstack.reach.bundle import command_line, payload
from mailstack.reach.connection import Connection
from mailstack.reach.ssh import run_over_ssh
from mailstack.settings.initialise import rehearsal_config
from rehearsal.bench.container import measure_container
from rehearsal.bench.docker import inspect
from rehearsal.bench.domains import measure_domains
from rehearsal.bench.planning import measure_planning
from rehearsal.bench.postal import measure_postal
from rehearsal.bench.relay_host import set_up_guide
from rehearsal.bench.throughput import BenchError, Load, Relay, compare
from rehearsal.bench.verify import measure_verify
from rehearsal.engine import Engine, EngineError, find_cli
from rehearsal.ground import Ground, GroundError, Host, clean_leftovers, ensure_base_image, ensure_docker

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".cache" / "bench"
PREVIEW_ROUNDS = 3
INSTALL_ROUNDS = 3
REAPPLY_ROUNDS = 5
EMPTY_PROJECT = """name: empty
runtime:
  name: python
  options:
    toolchain: pip
    virtualenv: {venv}
"""
# What a person types: the package, no questions, no extras. It ends with a running Postfix, as the role does.
PLAIN_INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends install postfix"
# A server has no overlay file system under its queue; neither relay shall have one here.
QUEUE_VOLUME = ("--volume=/var/spool/postfix",)
DEFINITION = RelayDefinition(
    hostname="relay.bench.example.com", sender_domains=("example.com",), upstream_host="smtp-relay.gmail.com"
)


def main(arguments: list[str] | None = None) -> int:
    """Run all parts, or those named; return 1 when a part that could run did not."""
    parts: dict[str, Callable[[], None]] = {
        "preview": _preview,
        "planning": _planning,
        "domains": _domains,
        "verify": _verify,
        "role": _role,
        "postal": _postal,
        "throughput": _throughput,
        "container": _container,
    }
    parser = argparse.ArgumentParser(prog="python -m rehearsal.bench.suite", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; default: all")
    chosen = parser.parse_args(arguments).parts or list(parts)
    unknown = [name for name in chosen if name not in parts]
    if unknown:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(parts)}")
    failed = 0
    for name in chosen:
        _say(f"\n== {name}")
        try:
            parts[name]()
        except (BenchError, EngineError, GroundError, OSError, RuntimeError) as error:
            _say(f"{name} FAILED: {error}")
            failed = 1
    return failed


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _preview() -> None:
    """Preview time of our stacks against an empty Pulumi program; aim 1.3."""
    if find_cli() is None:
        _say("skipped: no Pulumi CLI on PATH (scripts/install-pulumi.sh installs one)")
        return
    with tempfile.TemporaryDirectory(prefix="mailstack-bench-") as folder:
        engines = {"empty": _empty_engine(Path(folder))}
        for stack in ("local", "prod"):
            engine = Engine(stack, Path(folder) / stack, lambda _line: None)
            engine.configure(rehearsal_config(ROOT / f"Pulumi.{stack}.yaml"))
            engine.select()
            engines[stack] = engine
        for engine in engines.values():  # as on a user's machine: modules are compiled once, not at every preview
            engine.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        engines["local"].preview()
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        for _ in range(PREVIEW_ROUNDS):
            for name in list(engines):
                started = time.monotonic()
                try:
                    engines[name].preview()
                except EngineError as error:
                    if name == "empty" or "plugin" not in str(error):
                        raise
                    missing = next(line.strip() for line in str(error).splitlines() if "plugin" in line)
                    _say(f"{name}: skipped, a provider plugin is missing: {missing}")
                    del engines[name]
                else:
                    seconds[name].append(time.monotonic() - started)
    empty = statistics.median(seconds["empty"])
    _say(f"empty program: {empty:.2f} s (median of {PREVIEW_ROUNDS})")
    for name in engines:
        if name != "empty":
            own = statistics.median(seconds[name])
            _say(f"{name} stack: {own:.2f} s, ratio {own / empty:.2f} (aim 1.3)")


def _planning() -> None:
    """Time and memory of the plan alone, for 1 to 1,000 domains."""
    measure_planning(_say)


def _verify() -> None:
    """A look at one domain, aim 2 s, and at a hundred side by side."""
    measure_verify(_say)


def _domains() -> None:
    """Plan and preview of a thousand domains; aim 20 s."""
    if find_cli() is None:
        _say("skipped: no Pulumi CLI (`make engine` builds one)")
        return
    measure_domains(_say)


def _empty_engine(folder: Path) -> Engine:
    project = folder / "empty-project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text(EMPTY_PROJECT.format(venv=ROOT / ".venv"))
    (project / "__main__.py").write_text("import pulumi\n")
    engine = Engine("empty", folder / "empty", lambda _line: None, project_folder=project)
    engine.configure({}, project="empty")
    engine.select()
    return engine


def _role() -> None:
    """Time of the relay role on a bare host against the package alone (aim 1.25), and unchanged again (aim 2 s)."""
    with _ground("bench-role") as ground:
        plain: list[float] = []
        ours: list[float] = []
        for number in range(INSTALL_ROUNDS):
            # Who goes first alternates, so a trend of the machine favours neither.
            for kind in ("plain", "ours") if number % 2 == 0 else ("ours", "plain"):
                host = ground.create_host(f"{kind}{number}")
                seconds = _install(host) if kind == "plain" else _apply(host)
                (plain if kind == "plain" else ours).append(seconds)
                if kind == "plain" or number < INSTALL_ROUNDS - 1:
                    ground.remove(host)
                else:
                    last = host
        again = [_apply(last) for _ in range(REAPPLY_ROUNDS)]
    base, own = statistics.median(plain), statistics.median(ours)
    _say("single runs: package " + _listed(plain) + " s; role " + _listed(ours) + " s")
    _say(f"package alone: {base:.1f} s (median of {INSTALL_ROUNDS}, over SSH)")
    _say(f"relay role on a bare host: {own:.1f} s, ratio {own / base:.2f} (aim 1.25)")
    _say(f"unchanged again: {statistics.median(again):.2f} s (median of {REAPPLY_ROUNDS}, aim 2 s)")


def _postal() -> None:
    """Role postal when nothing changes (aim 3 s), and the way of a message from an application to the upstream."""
    measure_postal(_say)


def _throughput() -> None:
    """Relay throughput against the main.cf of the old wiki page, at 0 ms and 20 ms to the upstream."""
    with _ground("bench-throughput") as ground:
        guide, ours = (ground.create_host(name, extra_run_args=QUEUE_VOLUME) for name in ("guide", "ours"))
        _apply(ours)
        set_up_guide(inspect(guide.container))
        compare(
            base=Relay(name="guide", container=guide.container),
            candidate=Relay(name="ours", container=ours.container),
            load=Load(),
            cache=CACHE,
            report=_say,
        )


def _container() -> None:
    """The relay as a container: size, start, memory, and throughput against the main.cf of the old wiki page."""
    with _ground("bench-container") as ground:
        measure_container(ground, CACHE, _say)


def _ground(name: str) -> Ground:
    ensure_docker(log=_say)
    ensure_base_image(log=_say)
    clean_leftovers(log=_say)
    return Ground(name, log=lambda _line: None)


def _install(host: Host) -> float:
    started = time.monotonic()
    _must(run_over_ssh(_connection(host), PLAIN_INSTALL).code == 0, "the plain installation failed")
    return time.monotonic() - started


def _listed(seconds: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in seconds)


def _apply(host: Host) -> float:
    """Run the relay role as Pulumi does and return the seconds it took."""
    started = time.monotonic()
    finished = run_over_ssh(
        _connection(host), command_line("apply"), payload("postfix_relay", role_settings(DEFINITION), {})
    )
    _must(finished.code == 0, f"the relay role failed:\n{finished.stderr}")
    return time.monotonic() - started


def _connection(host: Host) -> Connection:
    record = {"host": host.address, "user": host.user, "privateKey": host.private_key, "hostKey": host.host_key}
    return Connection.of_record(record)


def _must(condition: bool, message: str) -> None:
    if not condition:
        raise RuntimeError(message)


if __name__ == "__main__":
    sys.exit(main())
