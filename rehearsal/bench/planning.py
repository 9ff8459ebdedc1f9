"""What a plan of many domains costs in pure Python: time and memory, each number of domains in a process of its own."""

import gc
import resource
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mailstack.plan import load_plan
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.stackfile import new_dkim_key

__all__ = ["measure_planning"]

ROOT = Path(__file__).resolve().parents[2]
COUNTS = (1, 10, 100, 1000)
ROUNDS = 3


def measure_planning(say: Callable[[str], None]) -> None:
    """Say time and memory for each number of domains; a line through the last two points is what to expect."""
    raw = rehearsal_config(ROOT / "Pulumi.prod.yaml")
    raw["dkim_keys"] = {"common": {"private_key": new_dkim_key()}}
    for count in COUNTS:
        # A process that begins anew: memory is what it took at the most, and nothing was read before.
        with get_context("spawn").Pool(1) as pool:
            records, seconds, before, most = pool.apply(_planned, (raw, count))
        say(
            f"plan of {count} domain{'s' if count > 1 else ''}, {records} records: processor time {seconds:.3f} s "
            f"(best of {ROUNDS}), {most:.0f} MB at the most, {most - before:.1f} MB of it for the plan"
        )


def _planned(raw: dict[str, Any], count: int) -> tuple[int, float, float, float]:
    """Return records, seconds of processor time, and megabytes before and at the most."""
    load_plan(_settings(raw, 1))  # imports and what is read once
    settings = _settings(raw, count)
    gc.collect()
    before = _most_memory()
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        records = len(load_plan(settings).dns.records)
        best = min(best, time.process_time() - began)
    return records, best, before, _most_memory()


def _settings(raw: dict[str, Any], count: int) -> dict[str, Any]:
    """Return the stack with so many domains, each with MX, SPF, DKIM, DMARC, TLS-RPT and CAA."""
    names = ["example.com", *(f"d{number:04}.example" for number in range(1, count))]
    each = {
        "dmarc": {"policy": "reject"},
        "dkim": [{"selector": "mail202611", "key": "common"}],
        "tls_rpt": {"rua": ["tls@example.com"]},
        "caa": {"issue": ["letsencrypt.org"]},
    }
    return {
        **raw,
        "domains": [{"name": name, **each} for name in names],
        "dns": {**raw["dns"], "cloudflare": {"api_token": "t" * 40}},
    }


def _most_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
