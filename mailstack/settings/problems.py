"""What is wrong with a stack's settings, in words a person can act on."""

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "SHOWN_VALUE_CHARACTERS",
    "Location",
    "Problem",
    "SettingsError",
    "definition_problems",
    "dotted",
    "duplicates",
    "not_a_host",
    "one_of",
]

Location = tuple[str | int, ...]

SHOWN_VALUE_CHARACTERS = 80


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake: the field (dotted path), the value found, the rule it breaks and what to do.

    ``value`` is already safe to show: a secret arrives here as ``[secret]``. ``refers_to`` is the entry that the field
    names and that is not there, as a dotted path.
    """

    field: str
    value: str
    rule: str
    fix: str
    refers_to: str = ""

    def __str__(self) -> str:
        """Return one line for a log."""
        value = self.value if self.value.isprintable() else repr(self.value)
        value = value if len(value) <= SHOWN_VALUE_CHARACTERS else value[:SHOWN_VALUE_CHARACTERS] + "…"
        found = f" is {value}" if value else ""
        return f"mailstack:{self.field}{found}: {self.rule}. Fix: {self.fix}."


def dotted(location: Location) -> str:
    """Return a place in the configuration as `pulumi config set --path` takes it: ``domains[0].dkim[1].key``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def duplicates(values: Iterable[str]) -> list[str]:
    """Return what is listed more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


def one_of(names: Iterable[str], wanted: str) -> str:
    """Return the fix for a name that is none of ``names``: the nearest of them, or all."""
    known = sorted(names)
    nearest = difflib.get_close_matches(wanted, known, n=1)
    return f"did you mean {nearest[0]}?" if nearest else f"use one of {', '.join(known)}"


def not_a_host(field: str, name: str, hosts: Iterable[str]) -> Problem:
    """Return the problem of a field that names a machine nobody declared."""
    return Problem(
        field=field, value=name, rule="must name one of hosts", fix=one_of(hosts, name), refers_to=f"hosts.{name}"
    )


def definition_problems(field: str, text: str) -> list["Problem"]:
    """Return the problems of a definition that checked itself: one a line of ``text``, which names the setting."""
    return [Problem(field=field, value="", rule=line, fix="correct the setting it names") for line in text.splitlines()]


class SettingsError(ValueError):
    """The settings break at least one rule; ``problems`` lists all of them, sorted by field."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Sort and keep the problems."""
        self.problems = tuple(sorted(set(problems), key=lambda problem: (problem.field, problem.rule)))
        count = len(self.problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{count} mistake{'s' if count != 1 else ''} in the settings:\n{lines}")
