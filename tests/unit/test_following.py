"""Following a log ends when its reader does: a pipe that is closed, or a signal, leaves nothing running or behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tells lines for half a minute, as a role does on a host and kubectl of a pod; of two only one does, the other waits.
FAR = """#!/bin/sh
echo $$ >>{folder}/pids
mkdir {folder}/loud 2>/dev/null || exec sleep 60
for i in $(seq 300); do echo "{mark}line $i" {where}; sleep 0.1; done
"""
PROGRAM = """
import sys
from functools import partial
from unittest import mock
from cli.following import follow_all
from cli.main import main
from mailstack.operate.relay import follow
from mailstack.postfix.log_search import LogChoice
from mailstack.reach.connection import Connection
from mailstack.reach.kubectl import Kubectl
from mailstack.reach.place import HostPlace, PodPlace
at = Connection(address="192.0.2.1", port=22, user="root", private_key="a key", host_key=None, attempts=1)
host = lambda name: HostPlace(name=name, connection=at)
pod = lambda name: PodPlace(name=name, kubectl=Kubectl("a kubeconfig"), namespace="mail", container="")
make = {"host": host, "pod": pod}[sys.argv[1]]
def logs(*_given, **_named):
    follow_all({name: partial(follow, make(name), LogChoice(), since=None) for name in ("one", "other")})
with mock.patch("cli.init.init_stack", logs):
    sys.exit(main(["init", "--stack", "x", "--yes"]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "tmp").mkdir()
    for name, mark, where in (("ssh", "| ", ">&2"), ("kubectl", "", "")):
        (tmp_path / name).write_text(FAR.format(folder=tmp_path, mark=mark, where=where))
        (tmp_path / name).chmod(0o755)
    yield tmp_path
    while RUNNING:
        RUNNING.pop().kill()
    for one in (tmp_path / "pids").read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(one), 0)
    assert not list((tmp_path / "tmp").iterdir()), "a key or a kubeconfig is left"


RUNNING: "list[subprocess.Popen[str]]" = []


def started(folder: Path, kind: str) -> "subprocess.Popen[str]":
    """Return the command once it follows both places and has told a line."""
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-c", PROGRAM, kind]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    RUNNING.append(process)
    assert process.stdout is not None
    assert "line 1" in process.stdout.readline()
    deadline = time.monotonic() + 30
    while len((folder / "pids").read_text().split()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["host", "pod"])
def test_a_log_that_nobody_reads_any_more_is_followed_no_longer(folder: Path, kind: str) -> None:
    process = started(folder, kind)
    assert process.stdout is not None
    process.stdout.close()  # as `| head -1` does
    assert process.wait(timeout=20) == 1
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("kind", ["host", "pod"])
def test_a_signal_ends_following_at_once(folder: Path, kind: str, number: signal.Signals) -> None:
    process = started(folder, kind)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 128 + number
