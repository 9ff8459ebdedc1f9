"""What a forge is to us: comments of a change, and issues. GitHub and GitLab are such."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Forge", "Written"]


@dataclass(frozen=True)
class Written:
    """A comment, or an open issue: its number, who wrote it, and what."""

    identity: int
    author: str
    body: str


class Forge(Protocol):
    """One repository. ``author`` is the login that what we write is written by. Methods raise ForgeError."""

    @property
    def author(self) -> str:
        """Return the login of the token."""

    def comments(self, change: int) -> Iterator[Written]:
        """Yield the comments of a change, oldest first."""

    def make_comment(self, change: int, body: str) -> None:
        """Write a comment. Raises LostAnswerError where it may have been written."""

    def change_comment(self, change: int, identity: int, body: str) -> None:
        """Replace a comment."""

    def issues(self) -> Iterator[Written]:
        """Yield the open issues."""

    def make_issue(self, title: str, body: str) -> None:
        """Open an issue. Raises LostAnswerError where it may have been opened."""

    def change_issue(self, identity: int, title: str, body: str) -> None:
        """Replace title and text of an issue."""

    def comment_issue(self, identity: int, body: str) -> None:
        """Write a comment to an issue."""

    def close_issue(self, identity: int) -> None:
        """Close an issue."""
