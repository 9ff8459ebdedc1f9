"""``make test`` tells everything that is wrong in one run: scripts/test.sh, with parts that are stand-ins."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.test_house import ROOT

pytestmark = pytest.mark.slow
BUILDS = ("engine.sh", "promtool.sh", "browser.sh")


def prepared(folder: Path, pytest_program: str, *, failing: str = "", build_exit: int = 0) -> dict[str, str]:
    """Put the script among stand-ins for all that it runs; return the environment to run it in."""
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/test.sh", folder / "scripts/test.sh")
    for name in (*BUILDS, "cluster-builds.sh"):
        code = build_exit if name in BUILDS else 0
        _program(folder / "scripts" / name, f'echo "{name} $*" >>"$NOTES"\nexit {code}')
    (folder / "tests/verify").mkdir(parents=True)
    (folder / "tests/verify/test_hosts.py").write_text("pytestmark = pytest.mark.hosts\n")
    _program(folder / "pytest", pytest_program)
    return {
        **os.environ,
        "PYTHON": str(folder / "pytest"),
        "NOTES": str(folder / "notes"),
        "FAILING": failing or "nothing",
        "TEST_PROCESSES": "3",
        "CLUSTER_PROCESSES": "1",
        "CLUSTER_SECONDS": "7",
    }


def run(folder: Path, *, failing: str = "", build_exit: int = 0) -> tuple[int, list[str], str]:
    """Run the script with a pytest that only notes what it was to test, and fails where ``failing`` is among it."""
    noting = 'echo "$*" >>"$NOTES"\necho "pytest of $*"\ncase " $* " in *" $FAILING "*) exit 1 ;; esac'
    environment = prepared(folder, noting, failing=failing, build_exit=build_exit)
    ended = subprocess.run([folder / "scripts/test.sh"], env=environment, capture_output=True, text=True, check=False)
    # Nothing is told among the lines of another part.
    last = ended.stdout.splitlines()[-3:]
    assert last[0] == "test: Kubernetes"
    assert all(line.startswith("pytest of -m pytest") for line in last[1:])
    return ended.returncode, (folder / "notes").read_text().splitlines(), ended.stderr


def _program(path: Path, body: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\n{body}\n")
    path.chmod(0o755)


def test_every_part_passes_or_the_run_fails(tmp_path: Path) -> None:
    code, ran, said = run(tmp_path)
    assert (code, said) == (0, "")
    assert [line.split()[0] for line in ran[:6]] == [*BUILDS, "cluster-builds.sh", "-m", "-m"]
    # These are side by side.
    [hosts] = [line for line in ran[6:] if "tests/roles" in line]
    [node, engine] = [line for line in ran[6:] if "tests/kubernetes" in line]
    there = "cluster-builds.sh wait node 7", "cluster-builds.sh wait all 7"
    assert sorted(ran[6:]) == sorted([hosts, *there, node, engine])
    assert [line for line in ran[6:] if line != hosts] == [there[0], node, there[1], engine]
    # No test of a cluster is in neither.
    assert "-m cluster and not engine" in node
    assert "-m cluster and engine" in engine


@pytest.mark.parametrize(
    ("failing", "part"),
    [("tests/unit", "without hosts"), ("tests/roles", "hosts and engine"), ("tests/kubernetes", "Kubernetes")],
)
def test_a_part_that_fails_fails_the_run_and_hides_no_other(tmp_path: Path, failing: str, part: str) -> None:
    code, ran, said = run(tmp_path, failing=failing)
    assert code == 1
    assert said == f"test: failed: {part}\n"
    assert len(ran) == 11


@pytest.mark.parametrize(("build_exit", "code"), [(3, 0), (1, 1)])
def test_what_cannot_be_built_here_is_left_out_and_a_build_that_breaks_is_a_failure(
    tmp_path: Path, build_exit: int, code: int
) -> None:
    ended, ran, said = run(tmp_path, build_exit=build_exit)
    assert ended == code
    assert len(ran) == 11
    assert ("build the engine" in said) is bool(code)


def test_a_part_takes_every_folder_of_tests(tmp_path: Path) -> None:
    _, ran, _ = run(tmp_path)
    words = {word for line in ran for word in line.split()}
    folders = {f"tests/{path.name}" for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py"))}
    assert folders <= words
    assert "--ignore=tests/verify/test_hosts.py" in words, "it runs with the hosts, not twice"


def test_an_interrupted_run_leaves_no_test_and_no_build_running(tmp_path: Path) -> None:
    waiting = """
case "$*" in
  *"-m cluster and not"*) trap 'echo cluster interrupted >>"$NOTES"; exit 2' INT; echo cluster >>"$NOTES" ;;
  *tests/roles*) trap 'echo hosts interrupted >>"$NOTES"; exit 2' INT; echo hosts >>"$NOTES" ;;
  *) exit 0 ;;
esac
for _ in {1..600}; do sleep 0.1; done
"""
    environment = prepared(tmp_path, waiting)
    notes = tmp_path / "notes"
    # Where this very test runs in the background, SIGINT is ignored, and a shell cannot take that back.
    command = ["env", "--default-signal=INT", str(tmp_path / "scripts/test.sh")]
    with subprocess.Popen(command, env=environment, start_new_session=True) as script:
        try:
            deadline = time.monotonic() + 30
            while not notes.exists() or not {"hosts", "cluster"} <= set(notes.read_text().splitlines()):
                assert time.monotonic() < deadline, "both parts run side by side"
                time.sleep(0.05)
            os.killpg(script.pid, signal.SIGINT)  # as Ctrl-C does
            assert script.wait(20) == 130
            while "cluster interrupted" not in notes.read_text():
                assert time.monotonic() < deadline, notes.read_text()
                time.sleep(0.05)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(script.pid, signal.SIGKILL)
    assert {"hosts interrupted", "cluster-builds.sh stop"} <= set(notes.read_text().splitlines())
