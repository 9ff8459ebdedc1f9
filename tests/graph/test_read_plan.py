"""What the program says of the configuration before anything is registered."""

from pathlib import Path

import pulumi
import pytest

from components import config
from tests.graph.recording import run_graph
from tests.unit.stack_examples import example


def test_a_file_that_only_the_engine_takes_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the first document and leaves the second; we refuse, and our words are all that is shown."""
    (tmp_path / "Pulumi.test.yaml").write_text("config: {}\n---\nconfig: {}\n")
    monkeypatch.setattr(config, "PROJECT_FOLDER", tmp_path)
    monkeypatch.setattr(pulumi, "get_stack", lambda: "test")
    with pytest.raises(pulumi.RunError, match=r"Pulumi\.test\.yaml is not YAML: expected a single document"):
        run_graph(example())


@pytest.mark.parametrize(
    ("records", "organization", "skipped", "told"),
    [
        (config.SLOW_FROM + 1, "organization", None, True),
        (config.SLOW_FROM, "organization", None, False),
        (config.SLOW_FROM + 1, "organization", "true", False),
        (config.SLOW_FROM + 1, "example-inc", None, False),
    ],
    ids=["files and many records", "few records", "checkpoints are left out already", "Pulumi Cloud"],
)
def test_checkpoints_that_take_minutes_are_told_where_they_do(
    records: int, organization: str, skipped: str | None, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi, "get_organization", lambda: organization)
    monkeypatch.delenv("PULUMI_SKIP_CHECKPOINTS", raising=False)
    if skipped is not None:
        monkeypatch.setenv("PULUMI_SKIP_CHECKPOINTS", skipped)
    sentences = list(config._slow_back_end(records))
    assert bool(sentences) is told
    assert all("PULUMI_SKIP_CHECKPOINTS=true" in sentence for sentence in sentences)
