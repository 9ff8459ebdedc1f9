"""Compare two relays that run already: `python -m rehearsal.bench --base CONTAINER --candidate CONTAINER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rehearsal.bench.docker import inspect
from rehearsal.bench.errors import BenchError
from rehearsal.bench.relay_host import set_up_guide
from rehearsal.bench.throughput import Load, Relay, compare

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "bench"


def main() -> int:
    """Parse the arguments, compare, print; 1 when something could not be measured."""
    load = Load()
    parser = argparse.ArgumentParser(prog="python -m rehearsal.bench", description=__doc__)
    parser.add_argument("--base", required=True, help="container of the relay to compare with")
    parser.add_argument("--base-is-fresh", action="store_true", help="set the base up by the guide first")
    parser.add_argument("--candidate", required=True, help="container of the relay under test")
    parser.add_argument("--sender", default="app@example.com", help="envelope sender that both relays accept")
    parser.add_argument("--recipient", default="someone@example.net")
    parser.add_argument("--messages", type=int, default=load.messages)
    parser.add_argument("--repetitions", type=int, default=load.repetitions)
    parser.add_argument("--rtt", type=float, nargs="+", default=list(load.rtts_ms), help="milliseconds")
    parser.add_argument("--keep-alive", action="store_true", help="clients keep their connections")
    arguments = parser.parse_args()
    try:
        if arguments.base_is_fresh:
            set_up_guide(inspect(arguments.base))
        compare(
            base=_relay("guide" if arguments.base_is_fresh else "base", arguments.base, arguments),
            candidate=_relay("candidate", arguments.candidate, arguments),
            load=Load(
                messages=arguments.messages,
                repetitions=arguments.repetitions,
                rtts_ms=tuple(arguments.rtt),
                keep_alive=arguments.keep_alive,
            ),
            cache=CACHE,
            report=_say,
        )
    except (BenchError, OSError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    return 0


def _relay(name: str, container: str, arguments: argparse.Namespace) -> Relay:
    return Relay(name=name, container=container, sender=arguments.sender, recipient=arguments.recipient)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
