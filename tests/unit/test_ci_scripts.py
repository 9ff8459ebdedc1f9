"""The scripts of the forges' jobs: what they leave and how they end, whatever the commands they call say.

``pulumi`` and the command line are stand-ins that answer as they are told, and note how they were called.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

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
  drift) printf '%s' "${DRIFT_TOLD-told by drift
}"; echo "said by drift" >&2; exit "${DRIFT:-0}" ;;
  verify)
    echo "told by verify"
    while [ $# -gt 0 ]; do [ "$1" = --output ] && [ "${REPORT:-yes}" = yes ] && echo '{}' >"$2"; shift; done
    exit "${VERIFY:-0}" ;;
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

    def run(
        self, script: str, *arguments: str, checkout: Path = ROOT, **environment: str
    ) -> subprocess.CompletedProcess[str]:
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
        command = [str(checkout / "scripts" / script), *arguments]
        return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, cwd=self.folder)

    @property
    def calls(self) -> list[str]:
        return self._notes.read_text().splitlines() if self._notes.exists() else []


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.mark.parametrize(
    ("code", "ends", "text"), [("0", 0, "told"), ("2", 0, "told"), ("1", 1, "said by diff"), ("3", 0, "said by diff")]
)
def test_what_a_branch_declares_is_left_and_only_a_mistake_fails(job: Job, code: str, ends: int, text: str) -> None:
    assert job.run("pr-declared.sh", "prod", "HEAD^1", f"{job.folder}/out", DIFF=code).returncode == ends
    assert text in (job.folder / "out/diff.txt").read_text()
    calls = ["python -m cli diff --stack prod --base HEAD^1 --format text", "python -m cli policy --stack prod"]
    assert job.calls == (calls if ends == 0 else calls[:1])


def test_a_branch_that_removes_a_stack_file_fails_for_no_policy(job: Job) -> None:
    assert job.run("pr-declared.sh", "removed", "HEAD^1", f"{job.folder}/out", DIFF="2").returncode == 0
    assert [call.split()[3] for call in job.calls] == ["diff"]


def test_a_preview_that_fails_leaves_its_comment_with_policies_and_diff(job: Job) -> None:
    done = job.run("pr-preview.sh", "prod", "HEAD^1", f"{job.folder}/out", COMMIT="c" * 40)
    assert done.returncode == 1, done.stderr
    comment = (job.folder / "out/comment.md").read_text()
    assert comment.startswith("<!-- mailstack:preview:prod -->")
    assert "dmarc-rejects" in comment
    assert "told by diff" in comment
    assert "`cccccccccccc`" in comment
    assert (job.folder / "summary.md").read_text() == comment
    assert "--policy-pack policy" in job.calls[0]


@pytest.mark.parametrize("code", ["1", "3"])
def test_risks_that_nobody_could_judge_are_told_as_that_and_not_as_none(job: Job, code: str) -> None:
    job.run("pr-preview.sh", "prod", "HEAD^1", f"{job.folder}/out", DIFF=code, TOLD="")
    comment = (job.folder / "out/comment.md").read_text()
    assert "Not judged" in comment
    assert "said by diff" in comment


@pytest.mark.parametrize(
    ("script", "arguments"), [("pr-preview.sh", ["HEAD^1", "out"]), ("up-and-verify.sh", [])], ids=["preview", "up"]
)
def test_the_engine_is_given_the_exceptions_of_the_stack_and_no_others(
    script: str, arguments: list[str], job: Job, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "checkout/scripts")
    (tmp_path / "checkout/policies-prod.json").write_text("{}")
    for stack in ("prod", "staging"):
        job.run(script, stack, *arguments, checkout=tmp_path / "checkout")
    own, other = (call for call in job.calls if call.startswith("pulumi "))
    assert own.endswith(" --policy-pack policy --policy-pack-config policies-prod.json")
    assert other.endswith(" --policy-pack policy")


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
    ("drift", "verify", "report", "left"),
    [
        ("0", "0", "yes", []),
        ("2", "0", "yes", ["drift.txt"]),
        ("0", "1", "yes", ["verify.json"]),
        ("1", "3", "yes", ["drift.txt", "verify.json"]),
        ("0", "2", "no", ["verify.txt"]),
    ],
)
def test_what_is_not_well_is_left_and_both_checks_are_made(
    job: Job, drift: str, verify: str, report: str, left: list[str]
) -> None:
    (job.folder / "out").mkdir()
    for name in ("drift.txt", "verify.txt", "verify.json"):
        (job.folder / "out" / name).write_text("of the run before")
    done = job.run("scheduled-checks.sh", "prod", f"{job.folder}/out", DRIFT=drift, VERIFY=verify, REPORT=report)
    assert done.returncode == 0
    assert sorted(path.name for path in (job.folder / "out").iterdir()) == sorted([*left, "looked"])
    assert len(job.calls) == 2
    if "drift.txt" in left:
        told = (job.folder / "out/drift.txt").read_text()
        assert told == f"told by drift\n(drift ended with exit code {drift})\n"


def test_a_check_that_found_nothing_since_it_broke_off_leaves_the_reason(job: Job) -> None:
    job.run("scheduled-checks.sh", "prod", f"{job.folder}/out", DRIFT="1", DRIFT_TOLD="")
    told = (job.folder / "out/drift.txt").read_text()
    assert told == "said by drift\n(drift ended with exit code 1)\n"


@pytest.mark.parametrize("script", ["pr-declared.sh", "pr-preview.sh", "up-and-verify.sh", "scheduled-checks.sh"])
def test_a_wrong_call_is_refused_with_the_right_one(job: Job, script: str) -> None:
    done = job.run(script)
    assert done.returncode == 2
    assert f"usage: scripts/{script} STACK" in done.stderr
