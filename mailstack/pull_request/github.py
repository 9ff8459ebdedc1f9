"""GitHub's REST API, as far as comments, issues and the artifacts of a workflow's run need it.

Read in docs.github.com/rest (2022-11-28): issues/comments, issues/issues, actions/artifacts, pulls/pulls.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import requests

__all__ = ["API", "GitHub", "GitHubError", "LostAnswerError"]

API = "https://api.github.com"
VERSION = "2022-11-28"
TIMEOUT_SECONDS = 30.0
PER_PAGE = 100
# A conversation longer than this is no place for one more comment.
MOST_PAGES = 50
TRIES = 4
# The longest that a limit is waited for; GitHub's hourly one is not.
LONGEST_WAIT_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 1.0
SERVER_TROUBLE = frozenset({500, 502, 503, 504})
SHOWN_CHARACTERS = 300
JSON = "application/vnd.github+json"
CHUNK_BYTES = 65_536


class GitHubError(RuntimeError):
    """GitHub did not answer, or refused; the text says what it said, and what helps."""


class LostAnswerError(GitHubError):
    """Something was to be made, and whether it was is not known: look before it is made once more."""


class GitHub:
    """One repository, ``owner/name``, at ``url``.

    What may be done twice is tried again where GitHub is in trouble, everything where it asks to wait.
    """

    def __init__(
        self, repository: str, token: str, *, url: str = API, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Nothing is asked yet. ``sleep`` waits so many seconds."""
        self._root = f"{url.rstrip('/')}/repos/{repository}"
        self._sleep = sleep
        self._session = requests.Session()
        self._session.proxies.update(requests.utils.get_environ_proxies(url))
        self._session.trust_env = False  # a .netrc entry for the host would take the token's place
        self._session.headers.update(
            {"Accept": JSON, "X-GitHub-Api-Version": VERSION, "Authorization": f"Bearer {token}"}
        )

    @classmethod
    def of_job(cls, environment: Mapping[str, str]) -> Self:
        """Return the repository of this job. Raises GitHubError naming the variable that is not there."""
        found = {name: environment.get(name, "") for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN")}
        for name, value in found.items():
            if not value:
                raise GitHubError(
                    f"{name} is not set. Fix: run this in a job of GitHub Actions, with the token in `env`"
                )
        return cls(found["GITHUB_REPOSITORY"], found["GITHUB_TOKEN"], url=environment.get("GITHUB_API_URL") or API)

    def pages(self, path: str, key: str | None = None, **query: str) -> Iterator[dict[str, Any]]:
        """Yield every entry of a list; ``key`` names it where the answer is a mapping."""
        for page in range(1, MOST_PAGES + 1):
            answer = self.get(path, **query, per_page=str(PER_PAGE), page=str(page))
            entries = answer if key is None else answer[key]
            yield from entries
            if len(entries) < PER_PAGE:
                return
        raise GitHubError(f"{path} has more than {MOST_PAGES * PER_PAGE} entries; the rest was not read")

    def get(self, path: str, **query: str) -> Any:
        """Return what is at ``path`` below the repository."""
        return self._ask("GET", path, query=query).json()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Make something. Raises LostAnswerError where it may have been made."""
        return self._ask("POST", path, body=body).json()

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something; doing it twice is the same."""
        return self._ask("PATCH", path, body=body).json()

    def download(self, path: str, most: int) -> bytes:
        """Return the file at ``path``. Raises GitHubError where it has more than ``most`` bytes."""
        with self._ask("GET", path, stream=True) as response:
            found = b""
            for chunk in response.iter_content(CHUNK_BYTES):
                found += chunk
                if len(found) > most:
                    raise GitHubError(f"{path} has more than {most} bytes, which no comment needs; it was not read")
            return found

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        for number in range(1, TRIES + 1):
            wait: float | None = None
            try:
                response = self._session.request(
                    method, f"{self._root}{path}", params=query, json=body, timeout=TIMEOUT_SECONDS, stream=stream
                )
            except requests.RequestException as error:
                said, lost = f"GitHub did not answer: {type(error).__name__}", True
            else:
                if response.ok:
                    return response
                said = f"GitHub answered {response.status_code}: {response.text[:SHOWN_CHARACTERS]}"
                wait, lost = _limit(response), response.status_code in SERVER_TROUBLE
                if wait is None and not lost:
                    raise GitHubError(f"{method} {path}: {said}{_advice(response.status_code)}")
            if lost and method == "POST":
                raise LostAnswerError(f"{method} {path}: {said}")
            pause = FIRST_PAUSE_SECONDS * 2 ** (number - 1) if wait is None else wait
            if number == TRIES or pause > LONGEST_WAIT_SECONDS:
                break
            self._sleep(pause)
        raise GitHubError(f"{method} {path}: {said}; asked {number} times")


def _limit(response: requests.Response) -> float | None:
    """Return the seconds that GitHub asks to wait; None where it is no limit.

    The limit of an hour and the one of bursts come as 403 or 429 (docs.github.com: rate limits for the REST API).
    """
    if response.status_code not in {403, 429}:
        return None
    if (told := response.headers.get("retry-after", "")).isdigit():
        return float(told)
    if response.headers.get("x-ratelimit-remaining") == "0":
        reset = response.headers.get("x-ratelimit-reset", "")
        return max(1.0, float(reset) - time.time()) if reset.isdigit() else LONGEST_WAIT_SECONDS
    return None


def _advice(status: int) -> str:
    if status in {401, 403, 404}:
        return ". Fix: give the job the permission it needs (docs/how-to/pull-requests.md)"
    return ""
