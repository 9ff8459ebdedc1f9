"""What becomes of answers that are longer than a comment, and of one stack's that is none, beside the others'."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.main import main
from mailstack.pull_request.comment import marker
from mailstack.pull_request.finished_run import MOST_FILE_BYTES
from tests.unit.github_standin import REPOSITORY, TOKEN, GitHubStandin
from tests.unit.test_pull_request_github import FORK, event, pull

pytestmark = pytest.mark.slow

POST = ["pr", "post", "--stack", "staging", "--stack", "prod"]


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GitHubStandin]:
    """One pull request, whose run has ended, and the surroundings of the job after it."""
    found = GitHubStandin()
    with found.server:
        surroundings = {
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_API_URL": found.server.url,
            "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        }
        for name, value in surroundings.items():
            monkeypatch.setenv(name, value)
        found.pulls = [pull(7, head=FORK)]
        (tmp_path / "event.json").write_text(json.dumps(event(FORK)))
        yield found


def test_of_an_answer_that_is_too_long_the_beginning_is_told_and_that_it_is_one(standin: GitHubStandin) -> None:
    standin.leave("declared-prod", {"diff.txt": "a domain more\n" * (MOST_FILE_BYTES // 2)})
    assert main(POST) == 0
    [body] = standin.bodies()
    assert f"more than {MOST_FILE_BYTES:,} bytes: the rest was not read" in body
    assert "`mailstack diff --stack prod` tells all" in body


def test_a_rendered_comment_that_is_too_long_is_refused(
    standin: GitHubStandin, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "event.json").write_text(json.dumps(event()))
    standin.pulls = [pull(7)]
    standin.leave("preview-prod", {"comment.md": f"{marker('prod')}\n" + "\0" * (MOST_FILE_BYTES * 100)})
    assert main(POST) == 1
    assert standin.bodies() == []
    assert "preview-prod: comment.md has" in capsys.readouterr().err


def test_an_artifact_of_one_stack_that_is_none_keeps_no_other_stacks_comment_away(
    standin: GitHubStandin, capsys: pytest.CaptureFixture[str]
) -> None:
    standin.leave("declared-staging", {"something-else": "x"})
    standin.leave("declared-prod", {"diff.txt": "one record"})
    assert main(POST) == 1
    [body] = standin.bodies()
    assert body.startswith(marker("prod"))
    assert "no ZIP archive with diff.txt" in capsys.readouterr().err
