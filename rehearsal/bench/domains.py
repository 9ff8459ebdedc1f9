"""What a stack of many domains costs: plan and preview, on the real engine, with Cloudflare's API stood in for."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from mailstack.plan import load_plan
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.stackfile import new_dkim_key
from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from rehearsal.engine import Engine
from rehearsal.project import copy_project

__all__ = ["measure_domains"]

ROOT = Path(__file__).resolve().parents[2]
DOMAINS = 1000
TOKEN = "t" * 40


def measure_domains(say: Callable[[str], None]) -> None:
    """Say the time of the plan and of a first preview, without keys and with one key for all."""
    names = ["example.com", *(f"d{number:04}.example" for number in range(DOMAINS - 1))]
    zones = tuple(ZoneConfig(id=f"{number:032x}", name=name) for number, name in enumerate(names))
    config = CloudflareStandinConfig(token=TOKEN, zones=zones)
    for keys in (False, True):
        with tempfile.TemporaryDirectory(prefix="mailstack-bench-") as folder, CloudflareStandin(config) as standin:
            _measure(say, Path(folder), standin, names, keys=keys)


def _measure(
    say: Callable[[str], None], folder: Path, standin: CloudflareStandin, names: list[str], *, keys: bool
) -> None:
    project = copy_project(folder / "project")
    raw = _settings(project, names, keys=keys)
    started = time.monotonic()
    plan = load_plan(raw, project)
    say(f"{len(plan.dns.records)} records of {len(names)} domains{' with a key' if keys else ''}:")
    say(f"  plan: {time.monotonic() - started:.2f} s")
    engine = Engine("many", folder / "engine", lambda _line: None, project_folder=project)
    engine.environment |= {"CLOUDFLARE_BASE_URL": standin.api_url, "PULUMI_SKIP_CHECKPOINTS": "true"}
    engine.environment.pop("PYTHONDONTWRITEBYTECODE", None)
    engine.configure(raw)
    engine.select()
    say(f"  configuration: {engine.config_file.stat().st_size} bytes")
    for what in ("first", "again, zones seen a moment ago"):
        before = len(standin.requests())
        started = time.monotonic()
        engine.preview()
        seconds = time.monotonic() - started
        say(f"  preview, {what}: {seconds:.1f} s, {len(standin.requests()) - before} calls (aim 20 s without keys)")


def _settings(project: Path, names: list[str], *, keys: bool) -> dict[str, Any]:
    raw = rehearsal_config(ROOT / "Pulumi.prod.yaml")
    defaults: dict[str, Any] = {"dmarc": {"policy": "reject"}}
    if keys:
        defaults["dkim"] = [{"selector": "mail202611", "key": "common"}]
        raw["dkim_keys"] = {"common": {"private_key": new_dkim_key()}}
    (project / "domains.yaml").write_text(yaml.safe_dump({"defaults": defaults, "domains": names}))
    del raw["domains"]
    raw["domains_file"] = "domains.yaml"
    raw["dns"]["cloudflare"] = {"api_token": TOKEN, "zones": dict.fromkeys(names)}
    return raw
