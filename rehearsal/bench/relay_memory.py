"""How much memory the relay's container takes: at rest, and with bursts of mail, below each of the memory tiers.

A burst is clients that connect at the same time, each with one message. What counts is what the kernel cannot give
back: anonymous memory (``rss`` of memory.stat, ``anon`` on cgroup v2), sampled while mail flows; memory of files in the
cache goes when it is needed. Processes killed for lack of memory are counted, and messages that did not arrive.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mailstack.settings.relay_tiers import TIERS
from rehearsal.bench.cgroup import Memory
from rehearsal.bench.container import UPSTREAM, start_relay
from rehearsal.endpoints import google_rule
from rehearsal.ground import Ground, Service
from rehearsal.ground.docker import docker
from rehearsal.images.relay import ensure_relay_image
from rehearsal.pki import PrivateCa, make_server_pki
from rehearsal.standins import start_google
from rehearsal.waiting import wait_for

__all__ = ["main"]

ARRIVAL_SECONDS = 300
SAMPLE_SECONDS = 0.05
MEGABYTE = 1024 * 1024
# Arguments: relay, how many at once, how many each, size of a message. Prints how many were accepted.
BURST = """
import smtplib, sys, threading, time
place, clients, each, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
text = "Subject: burst\\r\\nFrom: <app@example.com>\\r\\n\\r\\n" + ("x" * 998 + "\\r\\n") * (size // 1000 or 1)
accepted = []
def one(number):
    for turn in range(each):
        for attempt in range(20):
            try:
                with smtplib.SMTP(place, 25, timeout=240) as smtp:
                    smtp.sendmail("app@example.com", ["someone@recipient.test"], text)
                accepted.append(1)
                break
            except (OSError, smtplib.SMTPException):
                time.sleep(0.5)
threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(accepted))
"""


@dataclass(frozen=True, kw_only=True)
class Burst:
    """``clients`` at once, each with ``each`` messages of ``size`` bytes, one after the other."""

    name: str
    clients: int
    each: int
    size: int


BURSTS = (
    Burst(name="100 messages of 10 kB, 2 at once", clients=2, each=50, size=10_000),
    Burst(name="1,000 messages of 10 kB, 20 at once", clients=20, each=50, size=10_000),
    Burst(name="5 messages of 25 MB at once", clients=5, each=1, size=24_000_000),
    Burst(name="20 messages of 25 MB at once", clients=20, each=1, size=24_000_000),
    Burst(name="2,000 messages of 10 kB, 100 at once", clients=100, each=20, size=10_000),
)


@contextmanager
def _sampled(memory: Memory, peaks: list[int]) -> Iterator[None]:
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_SECONDS):
            with suppress(OSError):
                peaks.append(memory.anonymous())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Bench:
    """A ground with an upstream and an application."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        """Start them."""
        self._ground, self._authorities = ground, folder / "authorities.pem"
        self._image = ensure_relay_image(lambda _line: None)
        authority = PrivateCa()
        self._authorities.write_text(authority.certificate)
        pki = make_server_pki(UPSTREAM, ca=authority)
        self._google = start_google(ground, pki, self._rule("192.0.2.1"), host_name=UPSTREAM, service="upstream")
        self._app = ground.create_service("app", ["sleep", "infinity"])

    def measure(self, limit: int, processes: int) -> dict[str, Any]:
        """Return what a container of ``limit`` megabytes with ``processes`` smtpd takes, at rest and for each burst."""
        relay = self._relay(limit, processes)
        memory = Memory(relay.container_id)
        time.sleep(5)
        rows: dict[str, Any] = {"at rest": {"peak_mb": round(memory.anonymous() / MEGABYTE)}}
        for burst in BURSTS:
            self._google.reset()
            before, peaks = memory.kills(), [memory.anonymous()]
            with _sampled(memory, peaks):
                started = time.monotonic()
                arguments = [
                    "python3",
                    "-c",
                    BURST,
                    relay.address,
                    str(burst.clients),
                    str(burst.each),
                    str(burst.size),
                ]
                accepted = int(self._ground.exec(self._app, arguments, timeout=900).stdout)
                wait_for(partial(self._arrived, accepted), ARRIVAL_SECONDS)
                seconds = time.monotonic() - started
            rows[burst.name] = {
                "peak_mb": round(max(peaks) / MEGABYTE),
                "sent": burst.clients * burst.each,
                "accepted": accepted,
                "arrived": self._google.counters().messages_accepted,
                "killed": memory.kills() - before,
                "seconds": round(seconds, 1),
            }
            sys.stderr.write(f"{limit} MB, {processes} processes, {burst.name}: {rows[burst.name]}\n")
        self._ground.remove(relay)
        return rows

    def _arrived(self, wanted: int) -> bool:
        return self._google.counters().messages_accepted >= wanted

    def _relay(self, limit: int, processes: int) -> Service:
        made = start_relay(self._ground, self._image, self._authorities, memory_mb=limit, processes=processes)
        self._google.put_rule(self._rule(made.address))
        return made

    @staticmethod
    def _rule(address: str) -> dict[str, Any]:
        return google_rule(
            domains=["example.com"], allowed_ips=[f"{address}/32"], allowed_senders="domain-addresses",
            require_tls=True, login=None, require_smtp_auth=False,
        )  # fmt: skip


def main() -> int:
    """Measure every tier and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limits", nargs="*", default=[f"{tier.megabytes}:{tier.processes}" for tier in TIERS])
    found: dict[str, Any] = {}
    with Ground("bench-memory") as ground:
        folder = ground.state
        bench = Bench(ground, folder)
        for text in parser.parse_args().limits:
            limit, _, processes = text.partition(":")
            found[text] = bench.measure(int(limit), int(processes))
    found["engine"] = docker(["version", "--format", "{{.Server.Version}}"])
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
