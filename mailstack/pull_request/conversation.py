"""The one comment of a pull request, and the one issue of a stack: found by a hidden mark, made once, then updated.

Only what this token's own author wrote, beginning with the mark, is ever changed: a mark that somebody else quotes is
theirs.
"""

import re
from collections.abc import Iterable

from mailstack.pull_request.api import LostAnswerError
from mailstack.pull_request.forge import Forge, Written

__all__ = ["close_issue", "keep_issue", "put_comment"]

TRIES = 3
# What follows is of one run, and no news: a link, a date.
FOOT = "<!-- mailstack:run -->"


def put_comment(forge: Forge, change: int, mark: str, body: str) -> str:
    """Make or update the comment that begins with ``mark``; return what was done: made, updated, or nothing.

    Raises ValueError where ``body`` does not begin with the mark, ForgeError where the forge refuses.
    """
    if not body.startswith(mark):
        raise ValueError(f"the comment does not begin with its mark {mark}")
    for _ in range(TRIES):
        there = _ours(forge, forge.comments(change), mark)
        if there is not None:
            if _lines(there.body) == _lines(body):
                return "nothing"
            forge.change_comment(change, there.identity, body)
            return "updated"
        try:
            forge.make_comment(change, body)
        except LostAnswerError as error:
            lost = error  # it may be there: look again
        else:
            return "made"
    raise lost


def keep_issue(forge: Forge, mark: str, title: str, body: str, foot: str) -> str:
    """Make or update the open issue of ``mark``; return what was done: made, updated, or nothing.

    ``foot`` says which run it is of. Where more than that, and more than numbers, has changed, a comment tells those
    who follow the issue: a certificate has a day less every morning.
    """
    whole = f"{mark}\n{body.strip()}\n\n{FOOT}\n{foot}\n"
    for _ in range(TRIES):
        there = _ours(forge, forge.issues(), mark)
        if there is not None:
            forge.change_issue(there.identity, title, whole)
            before, after = (re.sub(r"\d+", "0", text.partition(FOOT)[0]) for text in (there.body, whole))
            if _lines(before) == _lines(after):
                return "nothing"
            forge.comment_issue(there.identity, f"What is found has changed. {foot}")
            return "updated"
        try:
            forge.make_issue(title, whole)
        except LostAnswerError as error:
            lost = error
        else:
            return "made"
    raise lost


def close_issue(forge: Forge, mark: str, foot: str) -> str:
    """Close the open issue of ``mark``, with a comment that says why; return closed, or nothing where none is open."""
    there = _ours(forge, forge.issues(), mark)
    if there is None:
        return "nothing"
    forge.comment_issue(there.identity, f"All is as declared again. {foot}")
    forge.close_issue(there.identity)
    return "closed"


def _ours(forge: Forge, entries: Iterable[Written], mark: str) -> Written | None:
    """Return the first that our own author wrote, beginning with the mark."""
    marked = (entry for entry in entries if entry.body.partition("\n")[0].strip() == mark)
    return next((entry for entry in marked if entry.author == forge.author), None)


def _lines(text: str) -> list[str]:
    """Return the lines as written: a forge keeps line ends as they came, and people's browsers send CRLF."""
    return [line.rstrip() for line in text.strip().splitlines()]
