"""``make test`` builds a Kubernetes beside other work: scripts/cluster-builds.sh, with builds that are stand-ins."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.test_house import ROOT

pytestmark = pytest.mark.slow
Wait = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/cluster-builds.sh", tmp_path / "scripts")
    yield tmp_path
    with suppress(FileNotFoundError, ProcessLookupError, ValueError):
        os.killpg(int((tmp_path / ".tools/cluster-builds.pid").read_text()), signal.SIGKILL)


def started(folder: Path, node: str, plugin: str) -> Wait:
    """Start with two builds; return what waits for them."""
    script = folder / "scripts/cluster-builds.sh"
    for name, body in (("kubernetes.sh", node), ("pulumi-kubernetes.sh", plugin)):
        program = folder / "scripts" / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    subprocess.run([script, "start"], check=True, timeout=10)

    def wait(part: str, seconds: int = 20) -> subprocess.CompletedProcess[str]:
        command = [str(script), "wait", part, str(seconds)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return wait


def runs(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def assert_ended(folder: Path) -> None:
    group = int((folder / ".tools/cluster-builds.pid").read_text())
    deadline = time.monotonic() + 5
    while runs(group):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_needs_a_node_alone_does_not_wait_for_the_plugin(folder: Path) -> None:
    wait = started(folder, "exit 0", f"while [ ! -e {folder}/go ]; do sleep 0.05; done")
    node = wait("node")
    assert (node.returncode, node.stdout) == (0, "cluster-builds: node is there\n")
    (folder / "go").touch()
    everything = wait("all")
    assert (everything.returncode, everything.stdout) == (0, "cluster-builds: all is there\n")


def test_where_nothing_can_be_built_the_reason_is_told_and_nothing_has_failed(folder: Path) -> None:
    wait = started(folder, "echo 'kubernetes: Go is not installed'; exit 3", "echo never")
    for part in ("node", "all"):
        told = wait(part)
        assert (told.returncode, told.stdout) == (0, "kubernetes: Go is not installed\n")


@pytest.mark.parametrize(
    ("node", "plugin", "codes"), [("echo broken; exit 1", "exit 0", (1, 1)), ("exit 0", "echo broken; exit 1", (0, 1))]
)
def test_a_build_that_breaks_is_a_failure_with_its_last_words(
    folder: Path, node: str, plugin: str, codes: tuple[int, int]
) -> None:
    wait = started(folder, node, plugin)
    told = [wait("node"), wait("all")]
    assert tuple(one.returncode for one in told) == codes
    assert "broken" in told[1].stderr


@pytest.mark.parametrize(("node", "plugin", "late"), [("sleep 60", "exit 0", "node"), ("exit 0", "sleep 60", "all")])
def test_a_build_that_is_late_is_ended_and_what_needs_it_is_left_out(
    folder: Path, node: str, plugin: str, late: str
) -> None:
    wait = started(folder, node, plugin)
    told = wait(late, 1)
    assert (told.returncode, told.stdout.split(";")[0]) == (0, "cluster-builds: not ready after 1 s more")
    assert_ended(folder)
    assert wait("all", 1).returncode == 0, "it was told, and is no failure"


def test_stop_ends_the_builds_and_nobody_who_has_their_id_since(folder: Path) -> None:
    started(folder, "sleep 60", "exit 0")
    stop = [str(folder / "scripts/cluster-builds.sh"), "stop"]
    subprocess.run(stop, check=True, timeout=10)
    assert_ended(folder)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        (folder / ".tools/cluster-builds.pid").write_text(f"{other.pid}\n")
        subprocess.run(stop, check=True, timeout=10)
        assert other.poll() is None
        other.kill()
