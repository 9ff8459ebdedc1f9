"""What a stack of many records is told before it becomes slow."""

import pulumi
import pytest

from components import config


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
