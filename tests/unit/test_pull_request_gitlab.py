"""The one note of a merge request and the one issue of a stack, against a stand-in for GitLab's API.

Its answers have the fields of docs.gitlab.com/api (notes, issues, users) that our code reads.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from mailstack.pull_request.api import ForgeError
from mailstack.pull_request.comment import marker
from mailstack.pull_request.gitlab import GitLab
from rehearsal.serving import Answer, HttpServer, Request

PROJECT, BOT = 42, "project_42_bot"
COMMIT = "c" * 40
Json = dict[str, Any]


class GitLabStandin:
    """One project with one merge request, number 3."""

    def __init__(self) -> None:
        self.server = HttpServer(self._answer, "127.0.0.1", 0, name="gitlab")
        self.notes: list[Json] = []
        self.issues: list[Json] = []
        self.issue_notes: list[str] = []
        self.change = {"iid": 3, "state": "opened", "sha": COMMIT}

    def say(self, body: str, login: str, *, system: bool = False) -> None:
        """Let somebody write a note."""
        self.notes.append({"id": 900 + len(self.notes), "body": body, "author": {"username": login}, "system": system})

    def _answer(self, request: Request) -> Answer:
        body = json.loads(request.body) if request.body else {}
        place = request.path.removeprefix("/api/v4/").removeprefix(f"projects/{PROJECT}/").split("/")
        match request.method, place:
            case "GET", ["user"]:
                return Answer(content={"username": BOT})
            case "GET", ["merge_requests", "3"]:
                return Answer(content=self.change)
            case "GET", ["merge_requests", "3", "notes"]:
                return Answer(content=self._page(self.notes, request))
            case "POST", ["merge_requests", "3", "notes"]:
                self.say(body["body"], BOT)
                return Answer(content=self.notes[-1], status=201)
            case "PUT", ["merge_requests", "3", "notes", identity]:
                [found] = [note for note in self.notes if note["id"] == int(identity)]
                found |= body
                return Answer(content=found)
            case "GET", ["issues"]:
                return Answer(content=self._page([one for one in self.issues if one["state"] == "opened"], request))
            case "POST", ["issues"]:
                self.issues.append(
                    {**body, "iid": len(self.issues) + 1, "state": "opened", "author": {"username": BOT}}
                )
                return Answer(content=self.issues[-1], status=201)
            case "POST", ["issues", _, "notes"]:
                self.issue_notes.append(body["body"])
                return Answer(content={}, status=201)
            case "PUT", ["issues", number]:
                found = self.issues[int(number) - 1]
                found |= {"state": "closed"} if body.get("state_event") == "close" else body
                return Answer(content=found)
        return Answer(content={"message": "404 Not Found"}, status=404)

    @staticmethod
    def _page(entries: list[Json], request: Request) -> list[Json]:
        size, number = int(request.query["per_page"]), int(request.query["page"])
        return entries[(number - 1) * size : number * size]


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitLabStandin]:
    found = GitLabStandin()
    with found.server:
        surroundings = {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": f"{found.server.url}/api/v4",
            "CI_PROJECT_ID": str(PROJECT),
            "CI_MERGE_REQUEST_IID": "3",
            "CI_COMMIT_SHA": COMMIT,
            "GITLAB_TOKEN": "glpat-standin",
        }
        for name, value in surroundings.items():
            monkeypatch.setenv(name, value)
        yield found


def test_a_note_is_made_once_and_then_updated_among_those_of_others(standin: GitLabStandin, tmp_path: Path) -> None:
    for number in range(120):
        standin.say(f"remark {number}", "people")
    standin.say(f"{marker('prod')}\nnot ours", "stranger")
    standin.say(f"{marker('prod')}\nof GitLab itself", BOT, system=True)
    body = tmp_path / "comment.md"
    for text in ("first", "second", "second"):
        body.write_text(f"{marker('prod')}\n{text}")
        assert main(["pr", "note", "--stack", "prod", "--comment", str(body)]) == 0
    assert [note["body"] for note in standin.notes[120:]] == [
        f"{marker('prod')}\nnot ours",
        f"{marker('prod')}\nof GitLab itself",
        f"{marker('prod')}\nsecond",
    ]


@pytest.mark.parametrize(
    ("change", "variables"),
    [
        ({"sha": "d" * 40}, {}),
        ({"state": "merged"}, {}),
        ({"state": "closed"}, {}),
        ({}, {"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "d" * 40}),
    ],
)
def test_a_pipeline_that_a_newer_commit_or_the_end_has_overtaken_tells_nobody(
    standin: GitLabStandin,
    change: Json,
    variables: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    standin.change |= change
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    body = tmp_path / "comment.md"
    body.write_text(f"{marker('prod')}\nold")
    assert main(["pr", "note", "--stack", "prod", "--comment", str(body)]) == 0
    assert standin.notes == []
    assert "!3: nobody to tell" in capsys.readouterr().out


def test_in_a_pipeline_of_merged_results_the_branchs_own_commit_counts(
    standin: GitLabStandin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_COMMIT_SHA", "e" * 40)
    monkeypatch.setenv("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", COMMIT)
    body = tmp_path / "comment.md"
    body.write_text(f"{marker('prod')}\nnew")
    assert main(["pr", "note", "--stack", "prod", "--comment", str(body)]) == 0
    assert len(standin.notes) == 1


def test_the_issue_is_kept_while_something_is_wrong_and_closed_then(standin: GitLabStandin, tmp_path: Path) -> None:
    call = ["pr", "issue", "--stack", "prod", "--reports", str(tmp_path), "--run-url", "https://example.org/1"]
    (tmp_path / "looked").touch()
    (tmp_path / "verify.txt").write_text("SPF is missing")
    for _ in range(2):
        assert main(call) == 0
    [issue] = standin.issues
    assert "SPF is missing" in issue["description"]
    assert standin.issue_notes == []
    (tmp_path / "verify.txt").unlink()
    assert main(call) == 0
    assert issue["state"] == "closed"
    assert standin.issue_notes == ["All is as declared again. Run: https://example.org/1"]


def test_a_refusal_is_told_with_its_fix(standin: GitLabStandin) -> None:
    gitlab = GitLab(7, "glpat-standin", url=f"{standin.server.url}/api/v4")
    with pytest.raises(ForgeError, match=r"GitLab answered 404.*permission it needs"):
        list(gitlab.comments(3))
