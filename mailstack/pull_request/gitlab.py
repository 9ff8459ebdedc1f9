"""GitLab as a forge: notes of merge requests, and issues of one project.

Read in docs.gitlab.com/api: notes, issues, users. A job's own token may write neither: one of the project's is
needed.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Self

from mailstack.pull_request.api import Api
from mailstack.pull_request.forge import Written
from mailstack.pull_request.job import variables

__all__ = ["GitLab"]


class GitLab(Api):
    """One project, by its number, at ``url``, which ends with the API's version."""

    forge = "GitLab"

    def __init__(self, project: int, token: str, *, url: str, sleep: Callable[[float], None] = time.sleep) -> None:
        """Nothing is asked yet. ``sleep`` waits so many seconds."""
        super().__init__(url.rstrip("/"), {"PRIVATE-TOKEN": token}, sleep)
        self._project = f"/projects/{project}"

    @classmethod
    def of_job(cls, environment: Mapping[str, str]) -> Self:
        """Return the project of this job. Raises ForgeError naming the variable that is not there."""
        url, project, token = variables(environment, "CI_API_V4_URL", "CI_PROJECT_ID", "GITLAB_TOKEN")
        return cls(int(project), token, url=url)

    @cached_property
    def author(self) -> str:
        """Return the login of the token: a project's token has a user of its own."""
        return str(self.get("/user")["username"])

    def newest_commit(self, change: int) -> str | None:
        """Return the newest commit of an open merge request's branch; None where it is open no more."""
        found = self.get(f"{self._project}/merge_requests/{change}")
        return str(found["sha"]) if found["state"] == "opened" else None

    def comments(self, change: int) -> Iterator[Written]:
        """Yield the notes of a merge request, without those GitLab writes itself."""
        path = f"{self._project}/merge_requests/{change}/notes"
        found = self.pages(path, sort="asc", order_by="created_at")
        return (_written(one, "id", "body") for one in found if not one.get("system"))

    def make_comment(self, change: int, body: str) -> None:
        """Write a note."""
        self.post(f"{self._project}/merge_requests/{change}/notes", {"body": body})

    def change_comment(self, change: int, identity: int, body: str) -> None:
        """Replace a note."""
        self.change(f"{self._project}/merge_requests/{change}/notes/{identity}", {"body": body}, "PUT")

    def issues(self) -> Iterator[Written]:
        """Yield the open issues."""
        found = self.pages(f"{self._project}/issues", state="opened")
        return (_written(one, "iid", "description") for one in found)

    def make_issue(self, title: str, body: str) -> None:
        """Open an issue."""
        self.post(f"{self._project}/issues", {"title": title, "description": body})

    def change_issue(self, identity: int, title: str, body: str) -> None:
        """Replace title and text."""
        self.change(f"{self._project}/issues/{identity}", {"title": title, "description": body}, "PUT")

    def comment_issue(self, identity: int, body: str) -> None:
        """Write a note to an issue."""
        self.post(f"{self._project}/issues/{identity}/notes", {"body": body})

    def close_issue(self, identity: int) -> None:
        """Close an issue."""
        self.change(f"{self._project}/issues/{identity}", {"state_event": "close"}, "PUT")


def _written(entry: Mapping[str, Any], key: str, text: str) -> Written:
    return Written(int(entry[key]), str(entry["author"]["username"]), str(entry.get(text) or ""))
