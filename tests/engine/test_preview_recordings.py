"""The recorded previews, on which the comment of a pull request is tested, are still what the engine gives."""

from pathlib import Path

import pytest

from mailstack.pull_request.comment import comment
from mailstack.pull_request.preview import read_preview
from tests.engine.preview_recordings import FOLDER, as_text, record, recording, shape

pytestmark = pytest.mark.engine


def titles(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("## ", "### ", "<details>"))]


def test_the_recorded_previews_have_the_shape_of_fresh_ones(cli: None, tmp_path: Path) -> None:
    fresh = dict(record(tmp_path))
    assert {path.stem for path in FOLDER.glob("*.json")} == set(fresh)
    for name, document in fresh.items():
        old = recording(name)
        assert shape(old) == shape(document), f"{name}: record anew by python -m tests.engine.preview_recordings"
        comments = [comment("prod", read_preview(as_text(one))) for one in (old, document)]
        assert titles(comments[0]) == titles(comments[1]), name
