"""The issue of a stack that is not as declared: what each check found, and what to do."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.markdown import block, code, sentence

__all__ = ["LONGEST", "issue_body", "issue_title"]

# GitHub's bound of an issue's body, less what stands around the checks.
LONGEST = 60_000
LEFT_OUT = "… shortened; the run's log has all"
CHANGED = (
    "A host or a record was changed by hand, or an update did not end. {repair} brings hosts back, and {refresh} "
    "records, containers and objects; `pulumi up` ends an update that did not."
)
UNSEEN = (
    "Not everything could be looked at: what is told as `not seen` may be as declared or not. Mend the way there; the "
    "next run looks again."
)
VERIFIED = "Each finding has its fix. docs/how-to/verify.md says what a check looks at."
# How `mailstack drift` begins a difference, and what it could not look at, which may be none.
DIFFERENCE, NOT_SEEN = (re.compile(rf"^{word}: ", re.MULTILINE) for word in ("drift", "not seen"))
# What needs a person, worst first, as the JSON of `mailstack verify` spells it.
SIGNS = {"fail": "❌", "unknown": "❔", "warn": "⚠️"}


def issue_title(stack: str) -> str:
    """Return the issue's title."""
    return f"mailstack: {stack} is not as declared"


def issue_body(stack: str, reports: Mapping[str, str], verified: str | None = None) -> str:
    """Return the issue's text.

    ``reports`` maps a check, such as drift, to what it printed; ``verified`` is the JSON of `mailstack verify`, of
    which only what needs a person is told: dates and days that are left would be news every morning.
    """
    share = LONGEST // max(1, len(reports) + (verified is not None))
    parts = [f"A scheduled check of stack {code(stack)} found this. It closes by itself once all is as declared."]
    for name, text in sorted(reports.items()):
        told = text.strip() or "(it printed nothing)"
        parts.append(f"### {code(name)}\n\n{_next(stack, name, text)}\n\n{_bounded(told, share)}")
    if verified is not None:
        parts.append(f"### {code('verify')}\n\n{VERIFIED}\n\n{_list_of(verified, share)}")
    return "\n\n".join(parts)


def _next(stack: str, name: str, text: str) -> str:
    """Return what to do about what a check has printed."""
    if name != "drift":
        return VERIFIED if name == "verify" else ""
    differs = bool(DIFFERENCE.search(text))
    unseen = not differs or bool(NOT_SEEN.search(text))
    ways = {"repair": code(f"mailstack drift --stack {stack} --repair"), "refresh": code("pulumi up --refresh")}
    return " ".join([CHANGED.format(**ways)] * differs + [UNSEEN] * unseen)


def _bounded(text: str, most: int) -> str:
    """Return text as a block of at most about ``most`` characters; a block may be longer than what it is made of."""
    made = block(text)
    while len(made) > most:
        text = text[: len(text) * most // len(made) - len(LEFT_OUT) - 10]
        made = block(f"{text}\n{LEFT_OUT}")
    return made


def _list_of(document: str, most: int) -> str:
    """Return the findings that need a person. Any other text than the document is shown as a block."""
    try:
        findings = [one for one in json.loads(document)["findings"] if one["state"] in SIGNS]
        lines = [line for state in SIGNS for one in findings if one["state"] == state for line in _lines(one)]
    except (ValueError, TypeError, KeyError):
        return _bounded(document, most)
    left = most - len(LEFT_OUT)
    told = []
    for line in lines:
        left -= len(line) + 1
        if left < 0:
            told.append(f"\n{LEFT_OUT}")
            break
        told.append(line)
    return "\n".join(told)


def _lines(finding: Mapping[str, Any]) -> Iterator[str]:
    state, subject = str(finding["state"]), str(finding["subject"]) or "all"
    about = f"{code(str(finding['check']))} {sentence(subject)}"
    yield f"- {SIGNS[state]} **{state}** {about}: {code(str(finding['found']))}"
    for name in ("expected", "fix"):
        if finding[name]:
            yield f"  - {name}: {sentence(str(finding[name]))}"
