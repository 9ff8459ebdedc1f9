"""`mailstack demo`: any command, asked of what a kept rehearsal left up, and never of the stack itself."""

import os
from pathlib import Path

import pytest

from cli.main import main
from rehearsal import kept
from rehearsal import rehearse as rehearsals

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for what rehearsals leave."""
    monkeypatch.setattr(kept, "STATE", tmp_path)
    return tmp_path


def left_by_a_rehearsal(stack: str, text: str, **variables: str) -> Path:
    """Leave what a kept rehearsal does, with a stack file of its own."""
    folder = kept.engine_folder(kept.rehearsal_name(stack, keep=True))
    folder.mkdir(parents=True)
    (folder / f"Pulumi.{stack}.yaml").write_text(text)
    way = kept.Way(programs=(), variables=variables)
    kept.leave_environment(kept.environment_file(stack), folder, stack, way, resolver=None, authorities="")
    return folder


@pytest.mark.slow
def test_a_command_reads_the_stack_file_of_the_rehearsal_and_not_that_of_the_checkout(
    state: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "Pulumi.local.yaml").read_text()
    left_by_a_rehearsal("local", text.replace("hostname: relay.mailstack.test", "hostname: localhost"))
    assert main(["demo", "validate"]) == 1
    assert 'mailstack:relay.hostname is "localhost"' in capfd.readouterr().err
    assert main(["validate", "--stack", "local"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("stack", [["--stack", "docker"], ["--stack=docker"]])
def test_another_rehearsal_is_chosen_by_its_stack(
    state: Path, stack: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    left_by_a_rehearsal("docker", (ROOT / "Pulumi.docker.yaml").read_text())
    assert main(["demo", "validate", *stack]) == 0
    assert "Pulumi.docker.yaml is valid" in capfd.readouterr().out


@pytest.mark.slow
def test_the_command_gets_what_the_rehearsal_left_and_no_other_login(
    state: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = state / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$PULUMI_BACKEND_URL ${PULUMI_CONFIG_PASSPHRASE-none}" >&2; exit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://of-the-company")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "of the company")
    left_by_a_rehearsal("local", "config: {}\n", PULUMI_BACKEND_URL="file:///of-the-rehearsal")
    assert main(["demo", "env"]) == 1
    assert "file:///of-the-rehearsal none" in capfd.readouterr().err


def test_without_a_rehearsal_it_says_how_one_is_made(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "status"]) == 1
    assert "no rehearsal of local is up: `make demo`" in capsys.readouterr().err
    assert main(["demo", "status", "--stack", "prod"]) == 1
    assert "mailstack rehearse --stack prod --keep" in capsys.readouterr().err


def test_the_last_words_of_the_demo_say_what_to_type_next() -> None:
    lines = list(rehearsals._afterwards("local", {"mail1": "mailstack-local-1-mail1"}))
    assert lines[0].endswith("mailstack demo status")
    assert lines[1].endswith("docker exec -it mailstack-local-1-mail1 bash")
    assert lines[-1].endswith("make demo-down")
    assert next(rehearsals._afterwards("docker", {})).endswith("mailstack demo status --stack docker")
