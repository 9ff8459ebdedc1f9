"""The Docker daemon of a machine: used where it runs, started and stopped where it is ours."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rehearsal.ground import GroundError, daemon
from rehearsal.ground.state import process_start


def test_mtu_of_a_ground_is_that_of_the_way_out(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text("head\neth0 000200C0 0 1 0 0 0 00FFFFFF\nwg0 00000000 010200C0 3 0 0 0 00000000\n")
    (tmp_path / "wg0").mkdir()
    (tmp_path / "wg0" / "mtu").write_text("1380\n")
    assert daemon.default_mtu(table, tmp_path) == 1380
    assert daemon.default_mtu(tmp_path / "absent", tmp_path) == 1500


def test_a_daemon_elsewhere_is_never_replaced_by_one_started_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    monkeypatch.setattr(daemon, "_answers", lambda: False)
    files = daemon.DaemonFiles(directory=tmp_path / "daemon")
    with pytest.raises(GroundError, match="DOCKER_HOST"):
        daemon.ensure_docker(files=files)
    assert not files.note.exists()


def test_a_daemon_that_is_not_ours_is_never_stopped(tmp_path: Path) -> None:
    files = daemon.DaemonFiles(directory=tmp_path)
    assert not daemon.stop_docker_if_ours(files=files)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        # Same process id, other start time: a note from before a reboot.
        files.note.write_text(f"{stranger.pid} 1\n")
        assert not daemon.stop_docker_if_ours(files=files)
        assert stranger.poll() is None
        stranger.kill()


@pytest.fixture
def second_daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[daemon.DaemonFiles, list[str]]:
    """Files and arguments of a dockerd that shares nothing with the one the other tests use.

    It gets a network namespace of its own: a second dockerd would take the first one's bridge and packet
    filter away.
    """
    dockerd = shutil.which("dockerd", path="/usr/sbin:/usr/bin")
    if os.geteuid() != 0 or dockerd is None or shutil.which("unshare") is None:
        pytest.skip("starting a second dockerd needs root, docker.io and unshare(1)")
    wrapper = tmp_path / "dockerd"
    wrapper.write_text(f'#!/bin/sh\nexec unshare --net {dockerd} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(daemon, "_find", lambda program: str(wrapper))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    # The guard has its own test; here DOCKER_HOST keeps the second daemon apart from the first.
    monkeypatch.setattr(daemon, "_refuse_to_start", lambda environment: None)
    arguments = [
        *("--host", f"unix://{tmp_path}/docker.sock", "--pidfile", f"{tmp_path}/docker.pid"),
        *("--data-root", f"{tmp_path}/data", "--exec-root", f"{tmp_path}/exec"),
        *("--bridge", "none", "--iptables=false", "--ip6tables=false"),
    ]
    return daemon.DaemonFiles(directory=tmp_path / "daemon"), arguments


@pytest.mark.hosts
def test_a_daemon_is_started_where_none_runs_and_stopped_because_it_is_ours(
    second_daemon: tuple[daemon.DaemonFiles, list[str]],
) -> None:
    files, arguments = second_daemon
    said: list[str] = []
    daemon.ensure_docker(said.append, files, arguments)
    try:
        assert said == ["starting dockerd by hand: no service manager runs here"]
        first = files.note.read_text()
        daemon.ensure_docker(said.append, files, arguments)
        assert files.note.read_text() == first
        assert len(said) == 1
    finally:
        assert daemon.stop_docker_if_ours(said.append, files)
    assert process_start(int(first.split()[0])) is None
    assert not files.note.exists()


@pytest.mark.hosts
def test_a_daemon_that_cannot_start_shows_its_last_words(
    second_daemon: tuple[daemon.DaemonFiles, list[str]],
) -> None:
    files, arguments = second_daemon
    with pytest.raises(GroundError, match=r"(?s)dockerd exited.*unknown flag: --no-such-option"):
        daemon.ensure_docker(files=files, arguments=[*arguments, "--no-such-option"])
