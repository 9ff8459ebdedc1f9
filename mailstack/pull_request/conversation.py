"""The one comment of a pull request, and the one issue of a stack: found by a hidden mark, made once, then updated.

Only what this token's own author wrote, beginning with the mark, is ever changed: a mark that somebody else quotes is
theirs.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from mailstack.pull_request.github import GitHub, LostAnswerError

__all__ = ["BOT", "close_issue", "keep_issue", "put_comment"]

# Author of what a job of GitHub Actions writes with its own token.
BOT = "github-actions[bot]"
TRIES = 3
# What follows is of one run, and no news: a link, a date.
FOOT = "<!-- mailstack:run -->"


def put_comment(github: GitHub, number: int, mark: str, body: str, *, author: str = BOT) -> str:
    """Make or update the comment that begins with ``mark``; return what was done: made, updated, or nothing.

    Raises ValueError where ``body`` does not begin with the mark, GitHubError where GitHub refuses.
    """
    if not body.startswith(mark):
        raise ValueError(f"the comment does not begin with its mark {mark}")
    path = f"/issues/{number}/comments"
    for _ in range(TRIES):
        there = _ours(github.pages(path), mark, author)
        if there is not None:
            if _same(str(there["body"]), body):
                return "nothing"
            github.patch(f"/issues/comments/{there['id']}", {"body": body})
            return "updated"
        try:
            github.post(path, {"body": body})
        except LostAnswerError as error:
            lost = error  # it may be there: look again
        else:
            return "made"
    raise lost


def keep_issue(github: GitHub, mark: str, title: str, body: str, foot: str, *, author: str = BOT) -> str:
    """Make or update the open issue of ``mark``; return what was done: made, updated, or nothing.

    ``foot`` says which run it is of. Where more than that has changed, a comment tells those who follow the issue.
    """
    whole = f"{mark}\n{body.strip()}\n\n{FOOT}\n{foot}\n"
    for _ in range(TRIES):
        there = _ours(_open_issues(github), mark, author)
        if there is not None:
            github.patch(f"/issues/{there['number']}", {"title": title, "body": whole})
            before, after = (_lines(text.partition(FOOT)[0]) for text in (str(there["body"]), whole))
            if before == after:
                return "nothing"
            github.post(f"/issues/{there['number']}/comments", {"body": f"What is found has changed. {foot}"})
            return "updated"
        try:
            github.post("/issues", {"title": title, "body": whole})
        except LostAnswerError as error:
            lost = error
        else:
            return "made"
    raise lost


def close_issue(github: GitHub, mark: str, foot: str, *, author: str = BOT) -> str:
    """Close the open issue of ``mark``, with a comment that says why; return closed, or nothing where none is open."""
    there = _ours(_open_issues(github), mark, author)
    if there is None:
        return "nothing"
    github.post(f"/issues/{there['number']}/comments", {"body": f"All is as declared again. {foot}"})
    github.patch(f"/issues/{there['number']}", {"state": "closed", "state_reason": "completed"})
    return "closed"


def _open_issues(github: GitHub) -> Iterable[Mapping[str, Any]]:
    """Return open issues; to the API pull requests are issues too."""
    return (issue for issue in github.pages("/issues", state="open") if "pull_request" not in issue)


def _ours(entries: Iterable[Mapping[str, Any]], mark: str, author: str) -> Mapping[str, Any] | None:
    """Return the first that this author wrote, beginning with the mark."""
    for entry in entries:
        first = str(entry.get("body") or "").partition("\n")[0].strip()
        if first == mark and (entry.get("user") or {}).get("login") == author:
            return entry
    return None


def _lines(text: str) -> list[str]:
    """Return the lines as written: GitHub keeps a body's line ends as they came, people's browsers send CRLF."""
    return [line.rstrip() for line in text.strip().splitlines()]


def _same(one: str, other: str) -> bool:
    return _lines(one) == _lines(other)
