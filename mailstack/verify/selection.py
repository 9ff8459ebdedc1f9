"""Which checks are run: by name, by number or by group."""

import difflib
from collections.abc import Iterable

import mailstack.verify.checks  # noqa: F401 - it enters all of them
from mailstack.verify.model import CHECKS, GROUPS

__all__ = ["SelectionError", "checks_numbered", "names_and_groups", "select"]


class SelectionError(ValueError):
    """A word that names no check and no group; the text says the nearest one."""


def select(only: Iterable[str] = (), skip: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of the checks, in the order of the list: those of ``only`` (all, where it is empty) less
    those of ``skip``. A word is a check's name, its number or a group's letter. Raises SelectionError.
    """
    wanted, unwanted = _named(only), _named(skip)
    chosen = [name for name in CHECKS if (not wanted or name in wanted) and name not in unwanted]
    return tuple(sorted(chosen, key=lambda name: (CHECKS[name].number, name)))


def names_and_groups() -> tuple[str, ...]:
    """Return the words that choose checks: their names, then the letters of their groups."""
    return (*CHECKS, *GROUPS)


def checks_numbered(numbers: Iterable[int]) -> tuple[str, ...]:
    """Return the names of the checks with these numbers, in the order of the numbers."""
    return tuple(name for number in numbers for name, check in CHECKS.items() if check.number == number)


def _named(words: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for word in words:
        if word in CHECKS:
            found.add(word)
        elif word.upper() in GROUPS:
            found |= {name for name, check in CHECKS.items() if check.group == word.upper()}
        elif word.isdecimal() and (numbered := checks_numbered([int(word)])):
            found |= set(numbered)
        else:
            known = names_and_groups()
            near = difflib.get_close_matches(word, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(sorted(known))}"
            raise SelectionError(f"{word!r} is no check and no group; {hint}")
    return found
