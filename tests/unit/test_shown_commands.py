"""Every command that a document shows exists, and runs in a test or is marked as needing what no test has.

A new command in a document fails here until a line of ``RUN_BY`` names the test that runs it, or the block it stands in
has the mark that ``tests/unit/documents.py`` describes.
"""

import functools
import re
from typing import Any

import pytest

from cli.main import command
from tests.unit.documents import ROOT, Shown, documents, shown

# The page of all commands is made from them: it shows how each is called, not what to type.
GENERATED = {"docs/reference/cli.md"}
# Of Pulumi's commands, those that are groups of others.
GROUPS = {"config", "stack", "state"}
# Said in messages that documents quote, and no command.
QUOTED = {"mailstack tries again"}

# Command -> files with tests that run it. Together they hold its words and every flag that documents show with it.
ON_THE_ENGINE = (
    *("tests/engine/test_shown_commands.py", "tests/engine/test_init.py", "tests/engine/test_policy_pack.py"),
    "rehearsal/engine.py",
)
POSTAL = ("tests/unit/test_postal_commands.py",)
RELAY = ("tests/unit/test_relay_commands.py",)
RUN_BY = {
    "mailstack demo": ("tests/unit/test_demo_command.py",),
    "mailstack diagnose": ("tests/unit/test_verify_command.py",),
    "mailstack diff": ("tests/unit/test_diff_source.py",),
    "mailstack dmarc report": ("tests/unit/test_dmarc_report.py", "tests/unit/test_shown_calls.py"),
    "mailstack dns diff": ("tests/unit/test_dns_diff.py",),
    "mailstack dns flatten": ("tests/unit/test_spf_flatten.py", "tests/unit/test_shown_calls.py"),
    "mailstack dns list": ("tests/unit/test_shown_calls.py",),
    "mailstack doctor": ("tests/unit/test_doctor.py",),
    "mailstack drift": (
        "tests/unit/test_drift_command.py",
        "tests/unit/test_drift_repair.py",
        "tests/unit/test_command_line.py",
    ),
    "mailstack env": ("tests/unit/test_env_command.py", "tests/consumers/test_sample_apps.py"),
    "mailstack init": ("tests/unit/test_init_command.py", "tests/unit/test_shown_init.py"),
    "mailstack monitoring": ("tests/unit/test_shown_calls.py",),
    "mailstack policy": ("tests/graph/test_policy_command.py",),
    "mailstack pr comment": ("tests/unit/test_pull_request_comment.py",),
    "mailstack pr issue": ("tests/unit/test_pull_request_github.py", "tests/unit/test_pull_request_gitlab.py"),
    "mailstack pr note": ("tests/unit/test_pull_request_gitlab.py",),
    "mailstack pr post": ("tests/unit/test_pull_request_github.py",),
    **{f"mailstack postal {name}": POSTAL for name in ("backup", "logs", "queue", "restore", "status", "upgrade")},
    "mailstack postal credential list": POSTAL,
    "mailstack postal user list": POSTAL,
    **{f"mailstack relay {name}": RELAY for name in ("logs", "test")},
    "mailstack relay queue": RELAY,
    "mailstack relay show-config": (
        "tests/unit/test_relay_configuration.py",
        "tests/engine/test_docker_placement.py",
    ),
    **{f"mailstack relay queue {name}": RELAY for name in ("delete", "flush", "hold", "list", "release")},
    "mailstack rehearse": ("tests/unit/test_command_line.py",),
    "mailstack rotate certificate": ("tests/unit/test_rotate_secrets.py",),
    "mailstack rotate dkim": ("tests/unit/test_rotate_command.py",),
    "mailstack rotate postal-credential": ("tests/unit/test_rotate_secrets.py",),
    "mailstack rotate relay-password": ("tests/unit/test_rotate_secrets.py",),
    "mailstack schema": ("tests/unit/test_shown_calls.py",),
    "mailstack send": ("tests/unit/test_send_command.py",),
    "mailstack status": ("tests/unit/test_status.py",),
    "mailstack validate": ("tests/unit/test_written.py",),
    "mailstack verify": ("tests/unit/test_verify_command.py", "tests/verify/test_message_way.py"),
    **{
        f"pulumi {name}": ON_THE_ENGINE
        for name in (
            *("up", "preview", "destroy", "refresh", "config get", "config set", "stack", "stack export", "stack init"),
            *("stack change-secrets-provider", "stack output", "stack rm", "state delete"),
        )
    },
}
# Target of make -> what its recipe runs, who runs the same in continuous integration, and the words there.
MADE_BY = {
    "check": ("lint", ".ci/run", "make lint"),
    "demo": ("-m cli rehearse", "tests/rehearsal/test_whole_stack.py", "rehearse(stack"),
    "demo-down": ("--down", "tests/unit/test_command_line.py", '["--down"]'),
    "docs": ("-m sphinx", ".ci/run", "make docs"),
    "engine": ("scripts/engine.sh", "scripts/test.sh", "build scripts/engine.sh"),
    "kubernetes": ("scripts/kubernetes.sh", "scripts/cluster-builds.sh", "scripts/kubernetes.sh"),
    "kubernetes-plugin": ("scripts/pulumi-kubernetes.sh", "scripts/cluster-builds.sh", "scripts/pulumi-kubernetes.sh"),
    "reference": ("cli.reference", "tests/unit/test_documents.py", "reference.cli_page()"),
    "lint": ("ruff", ".ci/run", "make lint"),
    "setup": ("scripts/setup.sh", "Makefile", "lint: setup"),
    "test": ("scripts/test.sh", ".ci/run", "make test"),
}


@functools.cache
def everything() -> tuple[Shown, ...]:
    found = (one for document in documents() if document not in GENERATED for one in shown(document))
    return tuple(one for one in found if " ".join((one.program, *one.words)) not in QUOTED)


def command_of(arguments: tuple[str, ...]) -> tuple[str, Any, list[str]]:
    """Return the name of a command of ours, the command, and the arguments behind its name.

    What stands behind `demo` is a command by itself, of a stack that need not be named.
    """
    found: Any = command()
    rest, names = list(arguments), ["mailstack"]
    if rest[0] == "demo" and len(rest) > 1:
        rest = [*rest[1:], *([] if "--stack" in rest else ["--stack", "local"])]
    while rest and rest[0] in getattr(found, "commands", {}):
        found = found.commands[rest[0]]
        names.append(rest.pop(0))
    return " ".join(names), found, rest


def name_of(one: Shown) -> str:
    if one.program == "mailstack":
        return command_of(one.arguments)[0]
    grouped = one.program == "pulumi" and one.arguments[0] in GROUPS and not "".join(one.arguments[1:2]).startswith("-")
    return " ".join((one.program, *one.arguments[: 1 + grouped]))


def mistake(one: Shown) -> str:
    """Return why the command line would refuse a command of ours; empty where it takes it."""
    name, command, rest = command_of(one.arguments)
    if hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        return f"{name} has no command {rest[0]}"
    options = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)} | {"--help"}
    if unknown := [flag for flag in one.flags if flag not in options]:
        return f"{name} has no {unknown[0]}"
    if one.whole and not hasattr(command, "commands") and "--help" not in rest:
        try:
            command.make_context(name, rest)
        except Exception as error:  # noqa: BLE001 - whatever it says, it is not how the command is called
            # A file of the reader's is not there, which says nothing about the call.
            return "" if "does not exist" in str(error) else f"{name}: {error}"
    return ""


def unproved(one: Shown, run_by: dict[str, tuple[str, ...]]) -> str:
    """Return what no test runs of a command; empty where a test does, or the block says why none can."""
    if one.needs is not None:
        return ""
    name = name_of(one)
    if one.program == "make":
        return "" if one.words[0] in MADE_BY else f"{name}: not in MADE_BY"
    if name not in run_by:
        return f"{name}: not in RUN_BY"
    text = "".join((ROOT / file).read_text() for file in run_by[name] if (ROOT / file).is_file())
    wanted = [*name.split()[1:], *(flag for flag in one.flags if flag not in {"--stack", "--help"})]
    missing = [word for word in wanted if f'"{word}"' not in text]
    return f"{name} {missing[0]}: not in {', '.join(run_by[name])}" if missing else ""


def test_every_command_of_ours_is_one_that_the_command_line_takes() -> None:
    ours = [one for one in everything() if one.program == "mailstack"]
    assert sorted({f"{one.place}: {said}" for one in ours if (said := mistake(one))}) == []
    assert len(ours) > 50


def test_every_command_runs_in_a_test_or_is_marked() -> None:
    assert sorted({f"{one.place}: {said}" for one in everything() if (said := unproved(one, RUN_BY))}) == []


def test_the_tables_name_no_command_that_no_document_shows() -> None:
    named = {name_of(one) for one in everything() if one.needs is None}
    assert [name for name in RUN_BY if name not in named] == []
    assert [target for target in MADE_BY if f"make {target}" not in named] == []


def test_make_runs_what_continuous_integration_runs_too() -> None:
    recipes = dict(re.findall(r"^([a-z-]+):(.*\n(?:\t.*\n)*)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target, (runs, file, words) in MADE_BY.items():
        assert runs in recipes[target], target
        assert words in (ROOT / file).read_text(), target


def a(command: str, *, needs: str | None = None) -> Shown:
    program, *arguments = command.split()
    return Shown("page.md:1", program, tuple(arguments), whole=True, needs=needs)


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("mailstack verfy", "no command verfy"),
        ("mailstack rotate dikm", "no command dikm"),
        ("mailstack verify --only-spf", "no --only-spf"),
        ("mailstack validate", "Missing parameter"),
        ("mailstack validate --stack prod extra", "extra"),
        ("mailstack monitoring everything", "everything"),
        ("mailstack verify --stack prod --fail-on never", "never"),
        ("mailstack demo relay tset --to a@example.org", "no command tset"),
        ("mailstack demo relay test --twice", "no --twice"),
    ],
)
def test_a_call_that_would_be_refused_is_seen(command: str, part: str) -> None:
    assert part in mistake(a(command))


def test_a_command_that_nothing_runs_is_seen_unless_it_is_marked() -> None:
    assert "not in RUN_BY" in unproved(a("mailstack verify --only spf"), {})
    assert "--unheard-of" in unproved(a("mailstack verify --unheard-of"), RUN_BY)
    assert "not in MADE_BY" in unproved(a("make coffee"), RUN_BY)
    assert "not in RUN_BY" in unproved(a("pulumi logs"), RUN_BY)
    assert unproved(a("pulumi logs", needs="account"), RUN_BY) == ""
    assert unproved(a("mailstack verify --only spf"), RUN_BY) == ""
