"""The one comment of a pull request and the one issue of a stack, against a stand-in for GitHub's API."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from mailstack.pull_request.api import LONGEST_WAIT_SECONDS, TRIES, ForgeError
from mailstack.pull_request.comment import marker
from mailstack.pull_request.conversation import close_issue, keep_issue, put_comment
from mailstack.pull_request.finished_run import (
    MOST_ARTIFACT_BYTES,
    ArtifactError,
    comments,
    finished_run,
    one_file,
    pull_request,
)
from mailstack.pull_request.github import GitHub
from mailstack.pull_request.report import issue_body
from rehearsal.serving import Answer
from tests.unit.github_standin import BOT, REPOSITORY, TOKEN, GitHubStandin
from tests.unit.markdown_pages import HOSTILE, assert_harmless

pytestmark = pytest.mark.slow

MARK = marker("prod")
FIRST, SECOND = f"{MARK}\nfirst", f"{MARK}\nsecond"
SHA, FORK = "a" * 40, "stranger/mail"
Json = dict[str, Any]


@pytest.fixture
def standin() -> Iterator[GitHubStandin]:
    found = GitHubStandin()
    with found.server:
        yield found


@pytest.fixture
def waited() -> list[float]:
    return []


@pytest.fixture
def github(standin: GitHubStandin, waited: list[float]) -> GitHub:
    return GitHub(REPOSITORY, TOKEN, url=standin.server.url, sleep=waited.append)


def event(head: str = REPOSITORY, **more: Any) -> Json:
    run = {
        "id": 99,
        "path": ".github/workflows/preview.yml",
        "event": "pull_request",
        "head_repository": {"full_name": head},
        "head_branch": "change",
        "head_sha": SHA,
        **more,
    }
    return {"workflow_run": run, "repository": {"full_name": REPOSITORY, "default_branch": "main"}}


def pull(number: int, head: str = REPOSITORY, sha: str = SHA, ref: str = "change", base: str = "main") -> Json:
    return {"number": number, "head": {"sha": sha, "ref": ref, "repo": {"full_name": head}}, "base": {"ref": base}}


def told(standin: GitHubStandin, github: GitHub, head: str = REPOSITORY) -> list[tuple[str, str]]:
    run = finished_run(event(head), REPOSITORY)
    assert run is not None
    return list(comments(github, run, ["staging", "prod"]))


def test_a_comment_is_made_once_and_then_updated(standin: GitHubStandin, github: GitHub) -> None:
    assert put_comment(github, 7, MARK, FIRST) == "made"
    assert put_comment(github, 7, MARK, SECOND) == "updated"
    assert put_comment(github, 7, MARK, SECOND.replace("\n", "\r\n")) == "nothing"
    assert standin.bodies() == [SECOND]


def test_each_stack_has_a_comment_of_its_own(standin: GitHubStandin, github: GitHub) -> None:
    other = f"{marker('staging')}\nstaging"
    put_comment(github, 7, MARK, FIRST)
    put_comment(github, 7, marker("staging"), other)
    put_comment(github, 7, MARK, SECOND)
    assert standin.bodies() == [SECOND, other]


def test_comments_of_others_are_never_changed_not_even_with_our_mark(standin: GitHubStandin, github: GitHub) -> None:
    quoted = [f"{MARK}\nI am the preview", f"> {MARK}\n> first", f"look:\n{MARK}"]
    standin.say(quoted[0], "stranger")
    standin.say(quoted[1], BOT)
    standin.say(quoted[2], BOT)
    assert put_comment(github, 7, MARK, FIRST) == "made"
    assert put_comment(github, 7, MARK, SECOND) == "updated"
    assert standin.bodies() == [*quoted, SECOND]


def test_the_comment_is_found_behind_hundreds_of_others(standin: GitHubStandin, github: GitHub) -> None:
    for number in range(250):
        standin.say(f"remark {number}", "people")
    put_comment(github, 7, MARK, FIRST)
    assert put_comment(github, 7, MARK, SECOND) == "updated"
    assert len(standin.comments) == 251


def test_a_comment_without_its_mark_is_not_put(standin: GitHubStandin, github: GitHub) -> None:
    with pytest.raises(ValueError, match="does not begin with its mark"):
        put_comment(github, 7, MARK, "hello")
    assert standin.seen == []


def test_trouble_at_github_is_waited_out_and_not_for_ever(
    standin: GitHubStandin, github: GitHub, waited: list[float]
) -> None:
    standin.troubles = [Answer(content={}, status=503), Answer(content={}, status=502)]
    assert put_comment(github, 7, MARK, FIRST) == "made"
    assert waited == [1.0, 2.0]
    standin.troubles = [Answer(content={"message": "down"}, status=503)] * 20
    with pytest.raises(ForgeError, match=f"answered 503.*asked {TRIES} times"):
        put_comment(github, 7, MARK, SECOND)


def test_an_answer_that_was_lost_does_not_make_a_second_comment(standin: GitHubStandin, github: GitHub) -> None:
    standin.lost = 1
    assert put_comment(github, 7, MARK, FIRST) == "nothing", "it was there when looked at again"
    assert standin.bodies() == [FIRST]


def test_answers_that_are_always_lost_end_as_an_error(standin: GitHubStandin, github: GitHub) -> None:
    posts = Answer(content={}, status=502)
    pages = Answer(content=[])
    standin.troubles = [pages, posts] * 10
    with pytest.raises(ForgeError, match="answered 502"):
        put_comment(github, 7, MARK, FIRST)
    assert len(standin.asked("POST")) == 3


@pytest.mark.parametrize("status", [403, 429])
def test_a_limit_is_waited_for_as_long_as_github_says(
    standin: GitHubStandin, github: GitHub, waited: list[float], status: int
) -> None:
    standin.troubles = [Answer(content=[]), Answer(content={}, status=status, headers={"Retry-After": "7"})]
    assert put_comment(github, 7, MARK, FIRST) == "made"
    assert waited == [7.0]
    too_long = {"Retry-After": str(int(LONGEST_WAIT_SECONDS) + 1)}
    standin.troubles = [Answer(content={}, status=status, headers=too_long)]
    with pytest.raises(ForgeError, match=f"answered {status}"):
        put_comment(github, 7, MARK, SECOND)


def test_a_refusal_is_told_at_once_with_its_fix(standin: GitHubStandin, waited: list[float]) -> None:
    github = GitHub(REPOSITORY, "wrong", url=standin.server.url, sleep=waited.append)
    with pytest.raises(ForgeError, match=r"answered 401.*Bad credentials.*permission it needs"):
        put_comment(github, 7, MARK, FIRST)
    assert waited == []
    assert "wrong" not in repr(github.__dict__.get("_root"))


def test_nobody_there_is_said_without_the_token(standin: GitHubStandin, waited: list[float]) -> None:
    url = standin.server.url
    standin.server.stop()
    with pytest.raises(ForgeError, match="did not answer: ConnectionError") as caught:
        put_comment(GitHub(REPOSITORY, TOKEN, url=url, sleep=waited.append), 7, MARK, FIRST)
    assert TOKEN not in str(caught.value)
    assert len(waited) == TRIES - 1


def test_one_issue_is_opened_updated_and_closed_when_all_is_well(standin: GitHubStandin, github: GitHub) -> None:
    mark = marker("prod", "checks")
    assert close_issue(github, mark, "run 0") == "nothing"
    assert keep_issue(github, mark, "title", "drift A", "run 1") == "made"
    assert keep_issue(github, mark, "title", "drift A", "run 2") == "nothing"
    assert keep_issue(github, mark, "title", "drift B", "run 3") == "updated"
    [issue] = [entry for entry in standin.issues.values() if "pull_request" not in entry]
    assert "drift B" in issue["body"]
    assert "drift A" not in issue["body"]
    assert "run 3" in issue["body"]
    assert standin.bodies(issue["number"]) == ["What is found has changed. run 3"], "news only"
    assert close_issue(github, mark, "run 4") == "closed"
    assert issue["state"] == "closed"
    assert keep_issue(github, mark, "title", "drift C", "run 5") == "made", "a closed one is history"


def test_an_issue_of_somebody_else_is_neither_changed_nor_closed(standin: GitHubStandin, github: GitHub) -> None:
    mark = marker("prod", "checks")
    standin.issues[8] = {"number": 8, "state": "open", "body": f"{mark}\nmine", "user": {"login": "stranger"}}
    assert close_issue(github, mark, "run") == "nothing"
    assert keep_issue(github, mark, "title", "drift", "run") == "made"
    assert standin.issues[8]["body"] == f"{mark}\nmine"


def test_an_issues_text_is_bounded_and_nobody_is_called_by_it() -> None:
    body = issue_body("prod", {"drift": "@octocat\n```\n" * 50_000, "verify": ""})
    assert len(body) < 62_000
    assert "shortened; the run's log has all" in body
    assert "(it printed nothing)" in body
    assert "\n````text\n@octocat" in body
    assert_harmless(body)


@pytest.mark.parametrize(
    ("told", "changed", "unseen"),
    [
        ("drift: relay-postfix: main.cf\n1 differences", True, False),
        ("not seen: relay1: relay.example.com was not reached over SSH", False, True),
        ("drift: relay-postfix: main.cf\nnot seen: mail1: not reached", True, True),
        ("Traceback (most recent call last):", False, True),
    ],
)
def test_what_could_not_be_looked_at_is_not_told_as_changed_by_hand(told: str, changed: bool, unseen: bool) -> None:
    body = issue_body("prod", {"drift": told})
    assert ("changed by hand" in body, "could be looked at" in body) == (changed, unseen)
    # `pulumi up` alone runs no role whose inputs are the same.
    assert ("`mailstack drift --stack prod --repair`" in body, "`pulumi up --refresh`" in body) == (changed, changed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["a\t" * 30_000, "/\n" * 60_000, "`" * 60_000, "x" * 70_000, "\u202e" * 60_000],
    ids=["tabs", "slashes", "backticks", "one line", "unseen"],
)
def test_an_issue_is_never_longer_than_github_takes(text: str) -> None:
    many = [finding("fail", f"{number}.example.com {text[:500]}") for number in range(2_000)]
    for body in (issue_body("prod", {"drift": text}, verified(*many)), issue_body("prod", {}, text)):
        assert len(body) < 65_536
        assert "shortened" in body


def finding(state: str, subject: str, found: str = "two records", fix: str = "remove one") -> Json:
    return {"state": state, "check": "spf", "subject": subject, "found": found, "expected": "one record", "fix": fix}


def verified(*findings: Json, started: str = "2026-11-29T05:17:00Z") -> str:
    return json.dumps({"version": 1, "started": started, "findings": findings})


def test_an_issue_has_what_needs_a_person_worst_first_and_nothing_that_is_well() -> None:
    findings = [finding("ok", "fine.example.com"), finding("warn", "b.example.com"), finding("fail", HOSTILE, HOSTILE)]
    body = issue_body("prod", {}, verified(*findings))
    assert body.index("**fail** `spf`") < body.index("**warn** `spf` b.example.com: `two records`")
    assert "  - fix: remove one" in body
    assert "fine.example.com" not in body
    assert_harmless(body)


def test_the_same_findings_are_no_news_the_next_morning(standin: GitHubStandin, github: GitHub) -> None:
    mark = marker("prod", "checks")
    days = [
        issue_body(
            "prod", {}, verified(finding("warn", "relay.example.com", f"{left} days left"), started=f"2026-11-{day}")
        )
        for day, left in ((28, 12), (29, 11))
    ]
    assert keep_issue(github, mark, "title", days[0], "run 1") == "made"
    assert keep_issue(github, mark, "title", days[1], "run 2") == "nothing"
    [issue] = [entry for entry in standin.issues.values() if "pull_request" not in entry]
    assert "11 days left" in issue["body"], "it is up to date all the same"
    assert standin.bodies(issue["number"]) == []
    more = issue_body(
        "prod", {}, verified(finding("warn", "relay.example.com", "11 days left"), finding("fail", "x.example"))
    )
    assert keep_issue(github, mark, "title", more, "run 3") == "updated"


def test_the_pull_request_is_the_one_github_names_for_the_run(standin: GitHubStandin, github: GitHub) -> None:
    standin.pulls = [
        pull(1, head=FORK),
        pull(2, sha="b" * 40),
        pull(3, ref="other"),
        pull(4, base="release"),
        {**pull(5), "head": {"sha": SHA, "ref": "change", "repo": None}},
        pull(6),
    ]
    for head, number in ((REPOSITORY, 6), (FORK, 1), ("nobody/mail", None)):
        run = finished_run(event(head), REPOSITORY)
        assert run is not None
        assert pull_request(github, run) == number
    assert standin.seen[0].query["head"] == "acme:change"


@pytest.mark.parametrize("more", [{"event": "push"}, {"head_repository": None}])
def test_a_run_without_a_pull_request_tells_nobody(more: Json) -> None:
    assert finished_run(event(**more), REPOSITORY) is None


@pytest.mark.parametrize("wrong", [{"pull_request": {}}, event(path=".github/workflows/other.yml")])
def test_an_event_of_another_kind_is_refused(wrong: Json) -> None:
    with pytest.raises(ArtifactError, match=r"no workflow_run|not of \.github/workflows/preview\.yml"):
        finished_run(wrong, REPOSITORY)


def test_our_own_branchs_comment_is_put_as_it_was_rendered(standin: GitHubStandin, github: GitHub) -> None:
    standin.leave("preview-prod", {"comment.md": FIRST})
    standin.leave("declared-prod", {"diff.txt": "one record"})
    standin.leave("declared-staging", {"diff.txt": "nothing"})
    found = dict(told(standin, github))
    assert found["prod"] == FIRST
    assert "nothing" in found["staging"]


def test_nothing_a_fork_left_is_put_as_it_is(standin: GitHubStandin, github: GitHub) -> None:
    standin.leave("preview-prod", {"comment.md": f"{MARK}\n@octocat [all is well](http://evil.example)"})
    standin.leave("declared-prod", {"diff.txt": "```\n@octocat <img src=x>", "pr.txt": "1"})
    [(stack, body)] = told(standin, github, FORK)
    assert stack == "prod"
    assert "evil.example" not in body
    assert "````text\n```\n@octocat <img src=x>\n````" in body
    assert "a claim of its author" in body


@pytest.mark.parametrize("body", ["no mark", f"{marker('staging')}\nx", f"{MARK}\n{'x' * 70_000}"])
def test_a_rendered_comment_of_another_form_is_refused(standin: GitHubStandin, github: GitHub, body: str) -> None:
    standin.leave("preview-prod", {"comment.md": body})
    with pytest.raises(ArtifactError, match=r"preview-prod: comment\.md has"):
        told(standin, github)


def test_an_artifact_that_is_too_large_is_not_read(standin: GitHubStandin, github: GitHub) -> None:
    standin.leave("declared-prod", {"diff.txt": "x"}, size=MOST_ARTIFACT_BYTES + 1)
    with pytest.raises(ArtifactError, match="it was not read"):
        told(standin, github, FORK)
    assert not [path for path in standin.asked("GET") if path.endswith("/zip")]


def test_an_artifact_that_is_larger_than_it_says_is_not_read_to_its_end(standin: GitHubStandin, github: GitHub) -> None:
    standin.leave("declared-prod", {"diff.txt": "x"}, size=10)
    standin.archives[1] = b"x" * (MOST_ARTIFACT_BYTES + 10)
    with pytest.raises(ForgeError, match=f"more than {MOST_ARTIFACT_BYTES} bytes"):
        told(standin, github, FORK)


@pytest.mark.parametrize("name", ["../diff.txt", "/diff.txt", "other"])
def test_only_the_expected_file_is_looked_at_and_nothing_is_unpacked(name: str, tmp_path: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(name, "x")
    for data in (held.getvalue(), b"no archive", b""):
        with pytest.raises(ArtifactError, match=r"no ZIP archive with diff\.txt"):
            one_file(data, "diff.txt")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_is_broken_inside_is_told_as_such(method: int) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        archive.writestr("diff.txt", "".join(map(str, range(5_000))))
    whole = held.getvalue()
    for place in range(60, 400, 9):
        broken = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        with pytest.raises(ArtifactError, match=r"no ZIP archive with diff\.txt"):
            one_file(broken, "diff.txt")


def test_of_a_run_that_was_started_again_the_newest_artifact_counts(standin: GitHubStandin, github: GitHub) -> None:
    standin.leave("declared-prod", {"diff.txt": "of the first attempt"})
    standin.leave("declared-prod", {"diff.txt": "of the second attempt"})
    standin.artifacts.reverse()  # the newest first
    [(_, body)] = told(standin, github, FORK)
    assert "second attempt" in body


def test_an_expired_artifact_is_left_out(standin: GitHubStandin, github: GitHub) -> None:
    standin.leave("declared-prod", {"diff.txt": "x"})
    standin.artifacts[0]["expired"] = True
    assert told(standin, github) == []


@pytest.fixture
def job(standin: GitHubStandin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Surroundings of a job; return the file of its event."""
    path = tmp_path / "event.json"
    surroundings = {
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_API_URL": standin.server.url,
        "GITHUB_EVENT_PATH": str(path),
    }
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    return path


@pytest.mark.slow
def test_the_job_after_the_preview_puts_every_stacks_comment(
    standin: GitHubStandin, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job.write_text(json.dumps(event(FORK)))
    standin.pulls = [pull(7, head=FORK)]
    standin.leave("declared-prod", {"diff.txt": "one record"})
    standin.leave("declared-staging", {"diff.txt": "two records"})
    for _ in range(2):
        assert main(["pr", "post", "--stack", "staging", "--stack", "prod"]) == 0
    assert [body.splitlines()[0] for body in standin.bodies()] == [marker("staging"), MARK]
    assert "#7: comment of prod: nothing" in capsys.readouterr().out


def test_a_run_that_a_newer_commit_has_overtaken_tells_nobody(
    standin: GitHubStandin, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job.write_text(json.dumps(event()))
    standin.pulls = [pull(7, sha="b" * 40)]
    standin.leave("declared-prod", {"diff.txt": "old"})
    assert main(["pr", "post", "--stack", "prod"]) == 0
    assert standin.bodies() == []
    assert "nobody to tell" in capsys.readouterr().out


def test_the_command_keeps_and_closes_the_issue(standin: GitHubStandin, job: Path, tmp_path: Path) -> None:
    report = tmp_path / "found/drift.txt"
    report.parent.mkdir()
    report.write_text("drift: relay-postfix: main.cf")
    call = ["pr", "issue", "--stack", "prod", "--reports", str(report.parent), "--run-url", "https://example.org/run/1"]
    assert main(call) == 1, "checks that did not end say nothing"
    assert len(standin.issues) == 1
    (report.parent / "looked").touch()
    assert main(call) == 0
    [issue] = [entry for entry in standin.issues.values() if "pull_request" not in entry]
    assert issue["title"] == "mailstack: prod is not as declared"
    assert "drift: relay-postfix: main.cf" in issue["body"]
    report.unlink()
    (report.parent / "verify.json").write_text(verified(finding("fail", "b.example.com")))
    assert main(call) == 0
    assert "**fail** `spf` b.example.com" in issue["body"]
    (report.parent / "verify.json").unlink()
    assert main(call) == 0
    assert issue["state"] == "closed"


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "GITHUB_REPOSITORY", "GITHUB_EVENT_PATH"])
def test_a_variable_of_the_job_that_is_missing_is_named(
    job: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job.write_text(json.dumps(event()))
    monkeypatch.delenv(name)
    assert main(["pr", "post", "--stack", "prod"]) == 1
    assert f"{name} is not set. Fix: " in capsys.readouterr().err
