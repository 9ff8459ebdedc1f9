"""Macros in the domain-spec of an SPF term: names that a receiver makes of the message at hand (RFC 7208 §7)."""

import re
from dataclasses import dataclass

from mailstack.dns.names import NameRuleError, normalise_name
from mailstack.dns.problems import shown

__all__ = ["MacroTarget", "read_macros", "spf_target"]

MAX_LABELS = 127  # of a name, and what implementations must support as number of parts (RFC 7208 §7.3)
_LETTERS = "slodiphv"  # RFC 7208 §7.2
_EXPLANATION_LETTERS = "crt"  # only in the text that exp= points to (same place)

_EXPANSION = re.compile(
    r"%(?:\{(?P<letter>[A-Za-z])(?P<parts>[0-9]*)(?P<reverse>[rR]?)(?P<delimiters>[-.+,/_=]*)\}|[%_-])"
)
_SHOWN_MACRO = re.compile(r"%(\{[^}.]*\}?|.)?")
_END = re.compile(r".*\.[A-Za-z0-9-]+\.?", re.DOTALL)  # what may follow the last macro (RFC 7208 §7.1)


@dataclass(frozen=True, kw_only=True)
class MacroTarget:
    """A domain-spec with macros: ``text`` in one form, and whether ``%{p}``, which §7.2 advises against, is in it."""

    text: str
    has_validated_name: bool


def read_macros(target: str) -> MacroTarget:
    """Read a domain-spec that has macros. Raises ``NameRuleError``.

    The parts between the macros come out in lower case; macros stay, since capital letters ask for URL escapes.
    """
    expansions = list(_EXPANSION.finditer(target))
    _refuse_stray_percent(target, {match.start() for match in expansions})
    letters = "".join(match["letter"] or "" for match in expansions).lower()
    for match in expansions:
        _check_expansion(match)
    tail = target[expansions[-1].end() :]
    if tail and not _END.fullmatch(tail):
        raise NameRuleError(
            "spf-macro",
            found=f"{shown(tail)} right after a macro, at the end of {shown(target)}",
            expected="a macro at the end, or a dot and a top-level domain",
            fix="end the target with a domain, such as %{d}.example.com",
        )
    try:
        normalise_name(_EXPANSION.sub(_stand_in, target), service=True)
    except NameRuleError as error:
        raise NameRuleError(
            error.rule, found=f"{shown(target)}, which makes no domain name", expected=error.expected, fix=error.fix
        ) from error
    pieces, position = [], 0
    for match in expansions:
        pieces += [target[position : match.start()].lower(), match[0]]
        position = match.end()
    text = "".join([*pieces, target[position:].lower().removesuffix(".")])
    return MacroTarget(text=text, has_validated_name="p" in letters)


def spf_target(value: str) -> str:
    """Return what may stand behind include: or redirect=, a name or a name with macros, in one form.

    Raises ``NameRuleError``.
    """
    return read_macros(value).text if "%" in value else normalise_name(value, service=True)


def _stand_in(match: re.Match[str]) -> str:
    """Return what an expansion may become, so that the rest of the name can be checked."""
    return "m.m" if match["letter"] else "m"


def _refuse_stray_percent(target: str, starts: set[int]) -> None:
    # The second sign of "%%" starts nothing of its own.
    inside = {start + 1 for start in starts if target.startswith("%%", start)}
    for position, character in enumerate(target):
        if character != "%" or position in starts or position in inside:
            continue
        match = _SHOWN_MACRO.match(target, position)
        what = match[0] if match is not None else "%"
        raise NameRuleError(
            "spf-macro",
            found=f"{shown(what)} in {shown(target)}",
            expected="%{letter}, the letter followed by a number of parts, r and delimiters in this order "
            "(%{ir}, %{d2}, %{l1r-}), or %% for a percent sign",
            fix="correct the macro",
        )


def _check_expansion(match: re.Match[str]) -> None:
    letter = (match["letter"] or "").lower()
    if letter and letter not in _LETTERS:
        why = " (only for the text that exp= names)" if letter in _EXPLANATION_LETTERS else ""
        raise NameRuleError(
            "spf-macro",
            found=f"the macro letter {match['letter']}{why}",
            expected=f"one of the letters {' '.join(_LETTERS)}",
            fix="correct the macro: i stands for the address of the client, d for the domain, l for the local part, "
            "h for the name in HELO",
        )
    parts = match["parts"]
    if parts and not (len(parts) <= len(str(MAX_LABELS)) and 1 <= int(parts) <= MAX_LABELS):
        raise NameRuleError(
            "spf-macro",
            found=f"{parts} parts in {match[0]}",
            expected=f"1 to {MAX_LABELS}: the number of labels to keep, counted from the right",
            fix="correct the number, or leave it out to keep all",
        )
