"""The table of old commands and their counterparts: complete both ways, for the commands that look after a stack."""

import re
from pathlib import Path

import typer

from cli.main import command, commands

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
# All but those that nobody types against a running stack.
ASIDE = {"check", "demo", "monitoring", "pr", "rehearse", "schema", "validate"}
GROUPS = tuple(name for name in commands() if name not in ASIDE)
CODE = re.compile(r"`([^`]+)`")


def paths(command: object, words: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Return every command below ``command``, each as its words."""
    below = getattr(command, "commands", None)
    if not below:
        return {words}
    return {path for name, one in below.items() for path in paths(one, (*words, name))}


def ours() -> set[tuple[str, ...]]:
    return {path for path in paths(command()) if path[0] in GROUPS}


def counterparts() -> list[str]:
    """Return what stands in backticks on the right-hand side of the tables, but for the last one."""
    rows = [re.split(r"(?<!\\)\|", line) for line in TABLE.partition("## All commands")[0].splitlines()]
    return [code for row in rows if len(row) == 4 for code in CODE.findall(row[2])]


def test_every_command_that_the_table_names_is_there_with_its_options() -> None:
    known = ours()
    # One word alone is a section of the settings, such as `relay`.
    told = [tuple(code.split()) for code in counterparts() if code.split()[0] in GROUPS and " " in code]
    assert len(told) > 20, "the table is read"
    for words in told:
        assert any(words[: len(path)] == path for path in known), f"mailstack {' '.join(words)}"


def test_every_command_that_looks_after_a_stack_is_in_the_table() -> None:
    listed = TABLE.partition("## All commands")[2]
    told = {tuple(CODE.findall(line)[0].split()) for line in listed.splitlines() if line.startswith("| `")}
    assert told == ours()


def test_every_option_that_the_table_names_is_taken() -> None:
    known = {path: {flag for one in _command(path).params for flag in one.opts} for path in ours()}
    for line in TABLE.splitlines():
        for code in CODE.findall(line):
            words = tuple(word for word in code.split() if not word.startswith("-"))
            path = next((path for path in known if words[: len(path)] == path), None)
            if path is not None:
                assert {word for word in code.split() if word.startswith("--")} <= known[path], code


def _command(path: tuple[str, ...]) -> typer.core.TyperCommand:
    found: object = command()
    for word in path:
        found = found.commands[word]  # type: ignore[attr-defined]
    assert isinstance(found, typer.core.TyperCommand)
    return found
