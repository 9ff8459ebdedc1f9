"""The scripts of the forges' jobs: what they leave and how they end, whatever the commands they call say.

``pulumi`` and the command line are stand-ins that answer as they are told, and note how they were called.
"""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests/unit/recorded_previews"
STANDIN = """#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
[ "$1" = -m ] && shift 2
case "$1" in
  preview) cat "$PREVIEW"; while [ $# -gt 0 ]; do [ "$1" = --event-log ] && cp "$EVENTS" "$2"; shift; done; exit 1 ;;
  up) exit "${UP:-0}" ;;
  diff) printf '%s' "${TOLD-told by diff}"; echo "said by diff" >&2; exit "${DIFF:-0}" ;;
  policy) echo "told by policy"; exit "${POLICY:-0}" ;;
  drift) echo "told by drift"; exit "${DRIFT:-0}" ;;
  verify) echo "told by verify"; exit "${VERIFY:-0}" ;;
  pr) PYTHONPATH=$ROOT exec "$REAL" -m cli "$@" ;;
esac
"""


class Job:
    """A job's surroundings; ``calls`` are the commands it made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("pulumi", "python"):
            (folder / name).write_text(STANDIN)
            (folder / name).chmod(0o755)
        self._notes = folder / "calls"

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        surroundings = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "MAILSTACK_PYTHON": str(self.folder / "python"),
            "MAILSTACK_TOOLS": str(self.folder / "none"),  # a real Pulumi of this checkout is not to be asked
            "REAL": str(ROOT / ".venv/bin/python"),
            "ROOT": str(ROOT),
            "CALLS": str(self._notes),
            "PREVIEW": str(RECORDED / "policies.json"),
            "EVENTS": str(RECORDED / "policies-events.json"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
            **environment,
        }
        command = [str(ROOT / "scripts" / script), *arguments]
        return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, cwd=self.folder)

    @property
    def calls(self) -> list[str]:
        return self._notes.read_text().splitlines() if self._notes.exists() else []


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.mark.parametrize(("code", "ends", "text"), [("0", 0, "told"), ("2", 0, "told"), ("1", 1, "said by diff")])
def test_what_a_branch_declares_is_left_and_only_a_mistake_fails(job: Job, code: str, ends: int, text: str) -> None:
    assert job.run("pr-declared.sh", "prod", "HEAD^1", f"{job.folder}/out", DIFF=code).returncode == ends
    assert text in (job.folder / "out/diff.txt").read_text()
    calls = ["python -m cli diff --stack prod --base HEAD^1 --format text", "python -m cli policy --stack prod"]
    assert job.calls == (calls if ends == 0 else calls[:1])


def test_a_preview_that_fails_leaves_its_comment_with_policies_and_diff(job: Job) -> None:
    done = job.run("pr-preview.sh", "prod", "HEAD^1", f"{job.folder}/out", COMMIT="c" * 40)
    assert done.returncode == 1, done.stderr
    comment = (job.folder / "out/comment.md").read_text()
    assert comment.startswith("<!-- mailstack:preview:prod -->")
    assert "dmarc-rejects" in comment
    assert "told by diff" in comment
    assert "<code>cccccccccccc</code>" in comment
    assert (job.folder / "summary.md").read_text() == comment
    assert "--policy-pack policy" in job.calls[0]


def test_an_engine_that_says_nothing_leaves_no_comment_and_the_reason(job: Job) -> None:
    (job.folder / "out").mkdir()
    (job.folder / "out/comment.md").write_text("of the run before")
    done = job.run("pr-preview.sh", "prod", "HEAD^1", f"{job.folder}/out", PREVIEW="/dev/null", EVENTS="/dev/null")
    assert done.returncode == 1
    assert "holds no JSON" in done.stderr
    assert not (job.folder / "out/comment.md").exists()


@pytest.mark.parametrize(("code", "ends"), [("0", 0), ("1", 1)])
def test_policies_are_told_without_a_secret_and_a_mandatory_one_fails(job: Job, code: str, ends: int) -> None:
    assert job.run("pr-declared.sh", "prod", "HEAD^1", f"{job.folder}/out", DIFF="2", POLICY=code).returncode == ends
    assert (job.folder / "out/diff.txt").read_text() == "told by diff\ntold by policy\n"


def test_a_wrong_call_of_diff_is_no_answer(job: Job) -> None:
    assert job.run("pr-declared.sh", "prod", "HEAD^1", f"{job.folder}/out", DIFF="2", TOLD="").returncode == 1
    assert (job.folder / "out/diff.txt").read_text() == "said by diff\n"


@pytest.mark.parametrize(("up", "verify", "ends"), [("0", "0", 0), ("0", "1", 1), ("0", "4", 1), ("255", "0", 255)])
def test_an_update_counts_as_done_once_the_world_sees_it(job: Job, up: str, verify: str, ends: int) -> None:
    done = job.run("up-and-verify.sh", "staging", UP=up, VERIFY=verify)
    assert done.returncode == ends
    assert [call.split()[:2] for call in job.calls[:1]] == [["pulumi", "up"]]
    assert ("told by verify" in done.stdout) == (up == "0"), "no look at a stack that is half way"


def test_stack_local_is_not_deployed(job: Job) -> None:
    assert job.run("up-and-verify.sh", "local").returncode == 2
    assert job.calls == []


@pytest.mark.parametrize(
    ("drift", "verify", "left"),
    [("0", "0", []), ("2", "0", ["drift.txt"]), ("0", "1", ["verify.txt"]), ("1", "3", ["drift.txt", "verify.txt"])],
)
def test_what_is_not_well_is_left_and_both_checks_are_made(job: Job, drift: str, verify: str, left: list[str]) -> None:
    (job.folder / "out").mkdir()
    (job.folder / "out/drift.txt").write_text("of the run before")
    assert job.run("scheduled-checks.sh", "prod", f"{job.folder}/out", DRIFT=drift, VERIFY=verify).returncode == 0
    assert sorted(path.name for path in (job.folder / "out").glob("*.txt")) == left
    assert (job.folder / "out/looked").is_file()
    assert len(job.calls) == 2
    if "drift.txt" in left:
        told = (job.folder / "out/drift.txt").read_text()
        assert told == f"told by drift\n(drift ended with exit code {drift})\n"


@pytest.mark.parametrize("script", ["pr-declared.sh", "pr-preview.sh", "up-and-verify.sh", "scheduled-checks.sh"])
def test_a_wrong_call_is_refused_with_the_right_one(job: Job, script: str) -> None:
    done = job.run(script)
    assert done.returncode == 2
    assert f"usage: scripts/{script} STACK" in done.stderr
