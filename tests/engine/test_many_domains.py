"""Many domains at Cloudflare: from a reviewed file, with one key, within the rate limit.

The engine is real, Cloudflare's API is the stand-in with a limit of its own, and no host is reached (``dry_plugin``).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.stackfile import new_dkim_key
from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from rehearsal.engine import Engine
from rehearsal.project import copy_project
from tests.engine.conftest import ROOT

pytestmark = pytest.mark.engine

NAMES = ["example.com", *(f"d{number:03}.example" for number in range(104))]
CALLS, SECONDS = 300, 20
TOKEN = "t" * 40
# SPF, DKIM, DMARC and MX of each domain, and the two addresses of the relay with its SPF record.
RECORDS = 4 * len(NAMES) + 3


@pytest.fixture
def standin() -> Iterator[CloudflareStandin]:
    zones = tuple(ZoneConfig(id=f"{number:032x}", name=name) for number, name in enumerate(NAMES))
    config = CloudflareStandinConfig(
        token=TOKEN,
        zones=zones,
        rate_limit_requests=CALLS,
        rate_limit_window_seconds=SECONDS,
        rate_limit_block_seconds=300,
    )
    with CloudflareStandin(config) as running:
        yield running


def project(folder: Path) -> Path:
    """Return a checkout like a user's, with the file of domains beside the stack file."""
    copy_project(folder)
    document = {
        "defaults": {"dkim": [{"selector": "mail202611", "key": "common"}], "dmarc": {"policy": "reject"}},
        "domains": NAMES,
    }
    (folder / "domains.yaml").write_text(yaml.safe_dump(document))
    return folder


def test_more_records_than_the_rate_limit_takes_at_once_come_up_in_turns(
    cli: None, standin: CloudflareStandin, tmp_path: Path
) -> None:
    lines: list[str] = []
    engine = Engine(
        "many",
        tmp_path / "engine",
        lines.append,
        project_folder=project(tmp_path / "project"),
        plugins={"command": "tests.engine.dry_plugin", "cloudflare": "rehearsal.plugins.cloudflare"},
    )
    engine.environment |= {"CLOUDFLARE_BASE_URL": standin.api_url, "PULUMI_SKIP_CHECKPOINTS": "true"}
    raw = rehearsal_config(ROOT / "Pulumi.prod.yaml")
    del raw["domains"]
    raw["domains_file"] = "domains.yaml"
    raw["dkim_keys"] = {"common": {"private_key": new_dkim_key()}}
    raw["dns"]["cloudflare"] = {
        "api_token": TOKEN,
        "zones": NAMES,
        # Far below the stand-in's: on a busy machine a call is made seconds after its turn.
        "rate_limit": {"calls": CALLS * 2 // 3, "seconds": SECONDS},
    }
    engine.configure(raw)
    engine.select()
    assert engine.config_file.stat().st_size < 16_384, "the domains are not in the configuration"
    engine.preview()
    looked = len(standin.requests())
    assert looked == 3 + len(NAMES), "three pages of zones, and every zone once"
    engine.up()
    assert sum(len(standin.records(name)) for name in NAMES) == RECORDS
    requests = standin.requests()
    assert len(requests) == looked + RECORDS, "the update asked nothing again, and made each record with one call"
    assert {request.status for request in requests} == {200}, "nobody was refused for asking too much"
    text = engine.up()
    assert "created" not in text
    assert len(standin.requests()) == len(requests)
