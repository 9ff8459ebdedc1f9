"""A colleague who has the repository and little else: each command says what is missing, and how to get it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mailstack.reach.drift import DriftError, decrypted_config
from mailstack.reach.engine_drift import engine_preview
from mailstack.reach.outputs import OutputError, opened_outputs, stack_output, stack_outputs
from mailstack.settings.stackfile import StackFileError

ASKED: list[Callable[[str, Path], object]] = [
    stack_outputs,
    opened_outputs,
    decrypted_config,
    lambda stack, folder: stack_output("verify", stack, folder, instead="--from-file"),
]
REFUSALS = [
    (
        "PULUMI_ACCESS_TOKEN must be set for login",
        "`pulumi login file://DIRECTORY`",
    ),
    ("no stack named 'prod' found", "`pulumi whoami -v`"),
    (
        "passphrase must be set with PULUMI_CONFIG_PASSPHRASE",
        "PULUMI_CONFIG_PASSPHRASE_FILE",
    ),
    ("incorrect passphrase", "the one that the file was encrypted with"),
]


def a_cli(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    program = folder / "pulumi"
    program.write_text(f'#!/bin/sh\necho "error: {said}" >&2\nexit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@pytest.mark.parametrize(("said", "fix"), REFUSALS)
def test_what_everybody_meets_once_is_told_with_its_way_out(
    said: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_cli(tmp_path, monkeypatch, said)
    for ask in ASKED:
        with pytest.raises((OutputError, StackFileError)) as told:
            ask("prod", tmp_path)
        assert said in str(told.value)
        assert fix in str(told.value).partition("\nFix: ")[2]
        assert "until then" not in str(told.value)
        assert "`pulumi up` went through" not in str(told.value), "nobody knows whether it did"


def test_a_stack_that_never_came_up_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_cli(tmp_path, monkeypatch, "current stack does not have output property 'operations'")
    with pytest.raises(OutputError, match="a stack tells it once `pulumi up` went through"):
        stack_output("operations", "prod", tmp_path)


@pytest.mark.parametrize("ask", [*ASKED, engine_preview])
def test_who_has_no_cli_is_told_how_to_get_it(
    ask: Callable[[str, Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises((OutputError, StackFileError, DriftError), match=r"run scripts/install-pulumi\.sh"):
        ask("prod", tmp_path)
