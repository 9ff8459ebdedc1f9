"""Every committed stack file is one the engine takes; a preview needs neither hosts nor the real secrets."""

from pathlib import Path

import pytest

from mailstack.settings.initialise import rehearsal_config
from rehearsal.engine import Engine
from tests.engine.conftest import missing
from tests.engine.stage import PLANNED

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("stack", ["local", "staging", "prod"])
def test_the_engine_previews_every_committed_stack(cli: None, stack: str, tmp_path: Path) -> None:
    if stack == "prod" and (reason := missing("cloudflare")):
        pytest.skip(reason)
    lines: list[str] = []
    engine = Engine(stack, tmp_path, lines.append)
    engine.configure(rehearsal_config(ROOT / f"Pulumi.{stack}.yaml"))
    engine.select()
    planned = {name: what for _, name, what in PLANNED.findall(engine.preview())}
    assert set(planned.values()) == {"create"}
    assert {"relay-postfix", "relay-rule-probe", "mail1-preflight"} <= set(planned)
    assert ("dns-server" in planned) == (stack != "prod")
