"""The production stack with the real engine and the real Cloudflare plugin, against the stand-in of its API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstack.settings.initialise import rehearsal_config
from rehearsal.engine import Engine
from rehearsal.rehearse import Rehearsal
from tests.engine.conftest import missing
from tests.engine.stage import Stage

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

ROOT = Path(__file__).resolve().parents[2]
STACK = "engine-prod"


@pytest.fixture(scope="module")
def production(cli: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The production stack on a ground of its own, brought up."""
    reason = missing("cloudflare")
    if reason is not None:
        pytest.skip(reason)
    raw = rehearsal_config(ROOT / "Pulumi.prod.yaml")
    with Rehearsal(STACK, raw, lambda _line: None) as rehearsal:
        lines: list[str] = []
        engine = Engine(STACK, tmp_path_factory.mktemp("engine-prod"), lines.append)
        assert rehearsal.cloudflare is not None
        engine.environment["CLOUDFLARE_BASE_URL"] = rehearsal.cloudflare.api_url
        stage = Stage(rehearsal, engine, lines)
        up = stage.up()
        assert up.code == 0, up.text
        yield stage


def test_production_comes_up_with_all_records_at_cloudflare(production: Stage) -> None:
    checks = production.rehearsal.prove(production.engine.outputs())
    assert [f"{check.name}: {check.evidence}" for check in checks if not check.passed] == []
    names = [check.name for check in checks if check.name.startswith("DNS ")]
    assert len(names) == len(production.rehearsal.plan.dns.records)


def test_a_second_up_changes_no_record_and_refresh_finds_no_difference(production: Stage) -> None:
    cloudflare = production.rehearsal.cloudflare
    assert cloudflare is not None
    before = cloudflare.records("example.com")
    again = production.up()
    assert (again.code, again.changes) == (0, {})
    refreshed = production.run("refresh", "--preview-only", "--expect-no-changes")
    assert refreshed.code == 0, refreshed.text
    assert cloudflare.records("example.com") == before


def test_the_token_shows_nowhere(production: Stage) -> None:
    token = production.declared["dns"]["cloudflare"]["api_token"]
    assert token not in production.exported()
    assert [path.name for path, content in production.state_files() if token.encode() in content] == []
