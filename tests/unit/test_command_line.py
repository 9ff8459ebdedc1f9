"""The command line as people and the Makefile call it: flags reach what does the work, and exit codes come back."""

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.common import SOURCE
from cli.main import command, main
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

    def up(stack: str, _say: object, *, keep: bool, report: object) -> int:
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
    monkeypatch.setattr("cli.stacks.called", str)
    assert main(["init", "--stack", "local"]) == 0
    command = "pulumi config set --secret --path 'mailstack:dns.cloudflare.api_token' --stack local"
    assert capsys.readouterr().out == f"still needed: Cloudflare API token. Set it with: {command}\nnext: {command}\n"


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


def test_the_engine_that_the_checkouts_own_script_installed_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    for _ in range(2):
        assert main(["--help"]) == 0
    assert os.environ["PATH"].split(os.pathsep) == ["/usr/bin", str(SOURCE / ".tools/bin")]
    assert "init" in capsys.readouterr().out


# Each with the form that its answer has.
NO_DOCUMENT = {
    "demo": "what the other command answers",
    "env": "--format json",
    "monitoring": "what Prometheus and Grafana read",
    "schema": "JSON itself",
    "pr comment": "Markdown of a pull request",
    "pr issue": "Markdown of an issue",
    "pr note": "Markdown of a merge request",
    "pr post": "posts what another command wrote",
}


def every_command(group: Any, *names: str) -> Iterator[tuple[str, Any]]:
    for name, below in getattr(group, "commands", {}).items():
        yield from every_command(below, *names, name)
    if not hasattr(group, "commands"):
        yield " ".join(names), group


def test_every_command_answers_machines_by_json() -> None:
    found = dict(every_command(command()))
    flags = {name: {flag for each in one.params for flag in each.opts} for name, one in found.items()}
    without = {name for name, known in flags.items() if "--json" not in known}
    assert without == {*NO_DOCUMENT}
    assert {"relay queue delete", "postal credential revoke", "verify", "diagnose", "rehearse"} <= {*found}


def test_what_validate_finds_is_a_document_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["validate", "--stack", "local", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["valid"], told["problems"]) == (True, [])
    assert told["missing_secrets"]


def test_mistakes_are_a_document_with_field_rule_and_fix(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path("Pulumi.local.yaml").read_text().replace("hostname: relay.mailstack.test", "hostname: localhost")
    (tmp_path / "Pulumi.broken.yaml").write_text(text)
    monkeypatch.setattr("cli.stacks.ROOT", tmp_path)
    assert main(["validate", "--stack", "broken", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["valid"] is False
    assert "relay.hostname" in {one["field"] for one in told["problems"]}
    assert all(one["rule"] and one["fix"] for one in told["problems"])


@pytest.mark.parametrize("flags", [[], ["--down"]])
def test_a_rehearsal_tells_machines_one_document_and_people_the_rest(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def up(stack: str, say: Callable[[str], None], *, keep: bool, report: Callable[[Mapping[str, Any]], None]) -> int:
        say("[1/6] hosts")
        report({"stack": stack, "passed": True, "checks": [], "kept": keep})
        return 0

    def down(_stack: str, say: Callable[[str], None]) -> int:
        say("nothing is left")
        return 0

    monkeypatch.setattr(rehearse, "rehearse", up)
    monkeypatch.setattr(rehearse, "tear_down", down)
    assert main(["rehearse", "--stack", "local", "--json", *flags]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["stack"] == "local"
    assert printed.err


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_terminal_without_unicode_ends_no_command(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()

    def step(*_arguments: object, say: Callable[[str], None], **_options: object) -> int:
        say("name → §")
        return 0

    monkeypatch.setattr("cli.spf.flatten", step)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="iso-8859-1"))
    assert main(["dns", "flatten", "--stack", "local", *flags]) == 0
    sys.stdout.flush()
    told = raw.getvalue().decode("iso-8859-1")
    assert told == "name ? §\n" if not flags else json.loads(told)["said"] == ["name → §"]


def test_what_goes_wrong_is_a_document_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Who reads standard output by a program gets a reason, not the end of an empty file."""

    def broken(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("the resolver does not answer")

    monkeypatch.setattr("cli.spf.flatten", broken)
    assert main(["dns", "flatten", "--stack", "local", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"error": "the resolver does not answer"}
    assert printed.err == "the resolver does not answer\n"


@pytest.mark.parametrize(
    "call", [["relay", "test", "--stack", "local", "--to", "nobody"], ["relay", "logs", "--stack", "local", "-f"]]
)
def test_a_wrong_call_is_a_document_too(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*call, "--json"])
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"] in printed.err


def test_every_table_is_printed_where_a_pipe_breaks_no_line() -> None:
    """`mailstack … | grep` finds a name that would be cut in two at 80 columns; progress goes elsewhere."""
    own = {"operate_show.py": "makes it"}
    bare = {
        path.name
        for path in (SOURCE / "cli").glob("*.py")
        if path.name not in own and re.search(r"Console\((?!stderr=True)", path.read_text())
    }
    assert bare == set()
