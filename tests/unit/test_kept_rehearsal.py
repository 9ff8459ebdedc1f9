"""What a kept rehearsal leaves: with it the commands for a running stack find hosts, keys and names, engine or not."""

import json
import os
import shlex
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mailstack.reach.drift import decrypted_config
from mailstack.reach.environment import resolving
from mailstack.reach.outputs import OutputError, secret_output, stack_output, stack_outputs
from mailstack.settings.stackfile import StackFileError, read_stack_file, throwaway
from rehearsal.kept import Way, leave_answers, leave_environment
from tests.unit.name_server import NameServer
from tests.unit.stack_examples import example

SECRET = {
    "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
    "value": {"key": "hunter2", "n": 25.0},
}
OUTPUTS = {"contract_version": 1.0, "operations": '{"version": 1}', "mail_servers": {"a/b": SECRET}, "names": ["one"]}


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Way]:
    """A folder whose name a shell would stumble over, and the way there."""
    folder = tmp_path_factory.mktemp("kept") / "it's here"
    return folder, leave_answers(folder, "demo", example(), OUTPUTS)


@pytest.fixture
def folder(left: tuple[Path, Way], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", ":".join([*map(str, left[1].programs), os.environ["PATH"]]))
    return left[0]


@pytest.mark.slow
def test_outputs_are_read_as_from_the_engine(folder: Path) -> None:
    assert stack_output("operations", "demo", folder) == '{"version": 1}'
    told = stack_outputs("demo", folder)
    assert (told["contract_version"], told["names"], told["mail_servers"]) == (1, ["one"], {"a/b": "[secret]"})
    assert secret_output("mail_servers", "demo", folder) == {"a/b": {"key": "hunter2", "n": 25}}
    with pytest.raises(OutputError, match="no stack named 'other'"):
        stack_output("operations", "other", folder)
    with pytest.raises(OutputError, match="does not have output property 'gone'"):
        stack_output("gone", "demo", folder)


@pytest.mark.slow
def test_the_configuration_is_read_with_its_secrets(folder: Path) -> None:
    config: dict[str, Any] = decrypted_config("demo", folder)
    assert config == json.loads(json.dumps(example(), default=str))
    sealed = (folder / "Pulumi.demo.yaml").read_text()
    assert "PRIVATE KEY" not in sealed
    assert read_stack_file(folder / "Pulumi.demo.yaml", throwaway)["hosts"].keys() == example()["hosts"].keys()


@pytest.mark.slow
def test_what_needs_the_engine_says_so(folder: Path) -> None:
    done = subprocess.run(["pulumi", "up", "--stack", "demo"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "make engine" in done.stderr
    with pytest.raises(StackFileError):
        decrypted_config("other", folder)


def test_secrets_are_for_their_owner_alone(folder: Path) -> None:
    for path in (folder / "answers.json", folder / "Pulumi.demo.yaml"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.slow
def test_a_shell_that_reads_the_file_finds_the_stack(left: tuple[Path, Way], tmp_path: Path) -> None:
    folder, way = left
    path = tmp_path / "demo.env"
    leave_environment(path, folder, "demo", way, resolver="192.0.2.53", authorities="PEM\n")
    show = f"{shlex.quote(sys.executable)} -c 'from cli.common import ROOT, SOURCE; print(ROOT); print(SOURCE)'"
    script = f'. {shlex.quote(str(path))} && {show} && pulumi stack output names --stack demo && cat "$SSL_CERT_FILE"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.splitlines() == [str(folder), str(Path.cwd()), '["one"]', "PEM"]


def test_names_are_asked_for_where_the_environment_says_and_as_usual_afterwards() -> None:
    try:
        server = NameServer(
            {"demo.test": "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nmx A 192.0.2.7\n"},
            recursive=True,
            address="127.0.0.77",
            port=53,
        )
    except OSError as error:
        pytest.skip(f"only root may answer on port 53: {error}")
    usual = socket.getaddrinfo
    with server:
        with resolving({"MAILSTACK_RESOLVERS": "127.0.0.77"}):
            assert socket.gethostbyname("mx.demo.test") == "192.0.2.7"
            with pytest.raises(socket.gaierror):
                socket.gethostbyname("gone.demo.test")
        assert ("mx.demo.test", "A", "udp") in server.questions
        asked = len(server.questions)
        for closed in ({}, {"MAILSTACK_RESOLVERS": ""}):
            with resolving(closed):
                assert socket.getaddrinfo is usual
        assert len(server.questions) == asked
