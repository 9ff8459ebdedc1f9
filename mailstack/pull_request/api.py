"""Asks a forge's REST API, in pages and again where it is in trouble, and never for ever."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests

__all__ = ["Api", "ForgeError", "LostAnswerError"]

TIMEOUT_SECONDS = 30.0
PER_PAGE = 100
# A conversation longer than this is no place for one more comment.
MOST_PAGES = 50
TRIES = 4
# The longest that a limit is waited for; one of an hour is not.
LONGEST_WAIT_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 1.0
SERVER_TROUBLE = frozenset({500, 502, 503, 504})
SHOWN_CHARACTERS = 300
CHUNK_BYTES = 65_536


class ForgeError(RuntimeError):
    """The forge did not answer, or refused; the text says what it said, and what helps."""


class LostAnswerError(ForgeError):
    """Something was to be made, and whether it was is not known: look before it is made once more."""


class Api:
    """What is below ``root``, a URL, asked with ``headers``; ``forge`` is the name in messages.

    What may be done twice is tried again where the forge is in trouble, everything where it asks to wait.
    """

    forge = "the forge"

    def __init__(self, root: str, headers: Mapping[str, str], sleep: Callable[[float], None] = time.sleep) -> None:
        """Nothing is asked yet. ``sleep`` waits so many seconds."""
        self._root = root
        self._sleep = sleep
        self._session = requests.Session()
        self._session.proxies.update(requests.utils.get_environ_proxies(root))
        self._session.trust_env = False  # a .netrc entry for the host would take the token's place
        self._session.headers.update(headers)

    def pages(self, path: str, key: str | None = None, **query: str) -> Iterator[dict[str, Any]]:
        """Yield every entry of a list; ``key`` names it where the answer is a mapping."""
        for page in range(1, MOST_PAGES + 1):
            answer = self.get(path, **query, per_page=str(PER_PAGE), page=str(page))
            entries = answer if key is None else answer[key]
            yield from entries
            if len(entries) < PER_PAGE:
                return
        raise ForgeError(f"{path} has more than {MOST_PAGES * PER_PAGE} entries; the rest was not read")

    def get(self, path: str, **query: str) -> Any:
        """Return what is at ``path``."""
        return self._ask("GET", path, query=query).json()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Make something. Raises LostAnswerError where it may have been made."""
        return self._ask("POST", path, body=body).json()

    def change(self, path: str, body: Mapping[str, Any], method: str = "PATCH") -> Any:
        """Change something; doing it twice is the same."""
        return self._ask(method, path, body=body).json()

    def download(self, path: str, most: int) -> bytes:
        """Return the file at ``path``. Raises ForgeError where it has more than ``most`` bytes."""
        with self._ask("GET", path, stream=True) as response:
            found = b""
            for chunk in response.iter_content(CHUNK_BYTES):
                found += chunk
                if len(found) > most:
                    raise ForgeError(f"{path} has more than {most} bytes, which no comment needs; it was not read")
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
                said, lost = f"{self.forge} did not answer: {type(error).__name__}", True
            else:
                if response.ok:
                    return response
                said = f"{self.forge} answered {response.status_code}: {response.text[:SHOWN_CHARACTERS]}"
                wait, lost = _limit(response), response.status_code in SERVER_TROUBLE
                if wait is None and not lost:
                    raise ForgeError(f"{method} {path}: {said}{_advice(response.status_code)}")
            if lost and method == "POST":
                raise LostAnswerError(f"{method} {path}: {said}")
            pause = FIRST_PAUSE_SECONDS * 2 ** (number - 1) if wait is None else wait
            if number == TRIES or pause > LONGEST_WAIT_SECONDS:
                break
            self._sleep(pause)
        raise ForgeError(f"{method} {path}: {said}; asked {number} times")


def _limit(response: requests.Response) -> float | None:
    """Return the seconds that the forge asks to wait; None where it is no limit.

    GitHub's limit of an hour and the one of bursts come as 403 or 429 (docs.github.com: rate limits for the REST API),
    GitLab's as 429.
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
