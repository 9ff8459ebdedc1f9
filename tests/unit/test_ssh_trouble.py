"""SSH that fails: one sentence that says what to do, nothing begun twice, and no key left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mailstack.reach import ssh
from mailstack.reach.connection import Connection
from mailstack.reach.ssh import SshError, run_over_ssh

PINNED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMLieKFhuNb9XvbWrO4pfdop1BrKJYQm5gn9QdYZPqam"
AT = Connection(
    address="mail.example.com", port=22, user="root", private_key="a key", host_key=PINNED, attempts=3
)  # fmt: skip
# What OpenSSH 9.2 says, with a fingerprint of its kind.
CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
The fingerprint for the ED25519 key sent by the remote host is
SHA256:Z5MqYTdO8vMeTjv1Yw8P1rYdYcJ8u3V0Jq0pG3pS0aU.
Please contact your system administrator.
Offending ED25519 key in /tmp/mailstack-ssh-x/target.known_hosts:1
Host key for mailstack-{which} has changed and you have requested strict checking.
Host key verification failed.
"""


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand for the ssh program: each call adds a line to ``calls`` and does what ``does`` says; ``$2`` is its file."""
    (tmp_path / "ssh").write_text(f"#!/bin/bash\necho call >>{tmp_path}/calls\n. {tmp_path}/does\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(ssh, "RETRY_SECONDS", 0.0)
    return tmp_path


def failed(far: Path, said: str, *, arrived: bool = False) -> tuple[str, int]:
    """Return the error of a run whose ssh program says ``said``, and how often it was called."""
    (far / "said").write_text(said)
    # As the ssh program does it once somebody is logged in.
    local = """eval "$(sed -n 's/^  LocalCommand //p' "$2")";""" if arrived else ""
    (far / "does").write_text(f"{local} cat {far}/said >&2; exit 255\n")
    with pytest.raises(SshError) as error:
        run_over_ssh(AT, "true")
    return str(error.value), len((far / "calls").read_text().splitlines())


@pytest.mark.parametrize(("which", "whose"), [("target", "mail.example.com"), ("jump", "jump host")])
def test_another_host_key_is_told_in_one_line_with_its_fingerprint(far: Path, which: str, whose: str) -> None:
    told, calls = failed(far, CHANGED.format(which=which))
    assert "\n" not in told
    assert "@@@" not in told
    assert whose in told
    assert "Host key verification failed" in told
    assert "SHA256:Z5MqYTdO8vMeTjv1Yw8P1rYdYcJ8u3V0Jq0pG3pS0aU" in told
    assert "host_key" in told
    assert calls == 1, "who answers with another key is not asked again"


def test_a_refused_login_says_where_the_key_belongs(far: Path) -> None:
    told, _ = failed(far, "root@mail.example.com: Permission denied (publickey).\n")
    assert "Permission denied (publickey)" in told
    assert "authorized_keys" in told


def test_what_was_never_reached_is_tried_again(far: Path) -> None:
    told, calls = failed(far, "ssh: connect to host mail.example.com port 22: Connection refused\n")
    assert "Connection refused" in told
    assert calls == 3


def test_what_was_begun_is_not_begun_again_when_the_connection_breaks(far: Path) -> None:
    """A second restore over the first, or a second test message, is worse than an error."""
    told, calls = failed(far, "client_loop: send disconnect: Broken pipe\n", arrived=True)
    assert "Broken pipe" in told
    assert "goes on" in told
    assert calls == 1


def test_words_in_another_encoding_hold_nothing_up(far: Path) -> None:
    (far / "does").write_text("printf 'gr\\xfc\\xdfe\\n' >&2; printf 'm\\xfcde'\n")
    heard: list[str] = []
    assert run_over_ssh(AT, "true", on_line=heard.append).stdout == "m\ufffdde"
    assert heard == ["gr\ufffd\ufffde"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_is_ended_leaves_no_key_and_no_connection(far: Path, number: signal.Signals) -> None:
    (far / "does").write_text(f"echo $$ >>{far}/pids; exec sleep 60\n")
    folders = far / "tmp"
    folders.mkdir()
    program = (
        "import sys\nfrom unittest import mock\nfrom cli.main import main\n"
        "from mailstack.reach.bundle import command_line\nfrom mailstack.reach.ssh import run_over_ssh\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from tests.unit.test_ssh_trouble import AT\n"
        "def two(*_given, **_named):\n"
        "    with ThreadPoolExecutor() as pool:\n"
        "        list(pool.map(lambda one: run_over_ssh(AT, command_line(one)), ('check', 'apply')))\n"
        "with mock.patch('cli.init.init_stack', two):\n"
        "    sys.exit(main(['init', '--stack', 'x', '--yes']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(folders)}, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not (far / "pids").exists() or len((far / "pids").read_text().split()) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert told == "interrupted here: what was begun on a host goes on there to its end; look before you repeat it\n"
    assert not list(folders.iterdir())
    for one in (far / "pids").read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(one), 0)
