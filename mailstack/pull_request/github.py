"""GitHub as a forge: comments and issues of one repository.

Read in docs.github.com/rest (2022-11-28): issues/comments, issues/issues.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from mailstack.pull_request.api import Api
from mailstack.pull_request.forge import Written
from mailstack.pull_request.job import variables

__all__ = ["BOT", "GitHub"]

API = "https://api.github.com"
VERSION = "2022-11-28"
JSON = "application/vnd.github+json"
# Author of what a job of GitHub Actions writes with its own token.
BOT = "github-actions[bot]"


class GitHub(Api):
    """One repository, ``owner/name``, at ``url``."""

    forge = "GitHub"

    def __init__(
        self,
        repository: str,
        token: str,
        *,
        url: str = API,
        author: str = BOT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is asked yet. ``sleep`` waits so many seconds."""
        headers = {"Accept": JSON, "X-GitHub-Api-Version": VERSION, "Authorization": f"Bearer {token}"}
        super().__init__(f"{url.rstrip('/')}/repos/{repository}", headers, sleep)
        self.author = author

    @classmethod
    def of_job(cls, environment: Mapping[str, str], author: str | None = None) -> Self:
        """Return the repository of this job. Raises ForgeError naming the variable that is not there."""
        repository, token = variables(environment, "GITHUB_REPOSITORY", "GITHUB_TOKEN")
        return cls(repository, token, url=environment.get("GITHUB_API_URL") or API, author=author or BOT)

    def comments(self, change: int) -> Iterator[Written]:
        """Yield the comments of a pull request."""
        return (_written(one, "id") for one in self.pages(f"/issues/{change}/comments"))

    def make_comment(self, change: int, body: str) -> None:
        """Write a comment."""
        self.post(f"/issues/{change}/comments", {"body": body})

    def change_comment(self, _change: int, identity: int, body: str) -> None:
        """Replace a comment; its number is the repository's own."""
        self.change(f"/issues/comments/{identity}", {"body": body})

    def issues(self) -> Iterator[Written]:
        """Yield the open issues; to the API pull requests are issues too."""
        open_ones = self.pages("/issues", state="open")
        return (_written(one, "number") for one in open_ones if "pull_request" not in one)

    def make_issue(self, title: str, body: str) -> None:
        """Open an issue."""
        self.post("/issues", {"title": title, "body": body})

    def change_issue(self, identity: int, title: str, body: str) -> None:
        """Replace title and text."""
        self.change(f"/issues/{identity}", {"title": title, "body": body})

    def comment_issue(self, identity: int, body: str) -> None:
        """Write a comment to an issue."""
        self.make_comment(identity, body)

    def close_issue(self, identity: int) -> None:
        """Close an issue as done."""
        self.change(f"/issues/{identity}", {"state": "closed", "state_reason": "completed"})


def _written(entry: Mapping[str, Any], key: str) -> Written:
    author = str((entry.get("user") or {}).get("login") or "")
    return Written(int(entry[key]), author, str(entry.get("body") or ""))
