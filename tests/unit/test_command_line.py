"""The command line as people and the Makefile call it: flags reach what does the work, and exit codes come back."""

import json
from pathlib import Path

import pytest

from cli.main import main
from mailstack.settings import initialise
from mailstack.settings.schema import stack_file_schema
from rehearsal import rehearse


@pytest.mark.parametrize(
    ("flags", "called"),
    [
        ([], "rehearse local keep=False"),
        (["--keep"], "rehearse local keep=True"),
        (["--down"], "tear_down local"),
        (["--down", "--keep"], "tear_down local"),
    ],
)
def test_rehearse_brings_up_or_takes_down(flags: list[str], called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def up(stack: str, _say: object, *, keep: bool) -> int:
        calls.append(f"rehearse {stack} keep={keep}")
        return 0

    def down(stack: str, _say: object) -> int:
        calls.append(f"tear_down {stack}")
        return 1

    monkeypatch.setattr(rehearse, "rehearse", up)
    monkeypatch.setattr(rehearse, "tear_down", down)
    assert main(["rehearse", "--stack", "local", *flags]) == (1 if "--down" in flags else 0)
    assert calls == [called]


def test_init_says_what_only_a_person_has(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    step = initialise.Step(path="mailstack:dns.cloudflare.api_token", what="Cloudflare API token")
    monkeypatch.setattr("cli.init.initialise", lambda *_arguments, **_options: [step])
    assert main(["init", "--stack", "local"]) == 0
    command = "pulumi config set --secret --path 'mailstack:dns.cloudflare.api_token' --stack local"
    assert capsys.readouterr().out == f"still needed: Cloudflare API token. Set it with: {command}\n"


def test_what_a_person_can_mend_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise initialise.InitError("there is no passphrase; set PULUMI_CONFIG_PASSPHRASE")

    monkeypatch.setattr("cli.init.initialise", broken)
    assert main(["init", "--stack", "local"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "there is no passphrase; set PULUMI_CONFIG_PASSPHRASE"
    assert "Traceback" not in "".join(told)


def test_a_mistake_of_ours_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("cli.init.initialise", broken)
    with pytest.raises(ZeroDivisionError):
        main(["init", "--stack", "local"])


@pytest.mark.parametrize("arguments", [[], ["unheard-of"], ["validate"], ["monitoring", "else"]])
def test_a_wrong_call_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "".join(capsys.readouterr())


def test_schema_prints_the_schema_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in Path("docs/reference").iterdir()}
    assert main(["schema"]) == 0
    printed = capsys.readouterr().out
    assert printed == stack_file_schema()
    json.loads(printed)
    assert {path: path.read_bytes() for path in Path("docs/reference").iterdir()} == before
