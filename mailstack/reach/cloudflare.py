"""Reads Cloudflare's API: zones and their records. It only reads."""

import threading
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from mailstack.reach.pace import Pace
from mailstack.reach.recent import Recent

if TYPE_CHECKING:
    import requests

__all__ = ["AT_ONCE", "CLOUDFLARE_API", "CloudflareApi", "CloudflareError"]

CLOUDFLARE_API = "https://api.cloudflare.com/client/v4"
TIMEOUT_SECONDS = 30.0
# The most the API gives in one answer (developers.cloudflare.com/api: zones, dns_records).
ZONES_PER_PAGE = 50
RECORDS_PER_PAGE = 5000
TOO_MANY = 429
AT_ONCE = 8


class CloudflareError(RuntimeError):
    """The API did not answer, or refused; the text says what it said."""


class CloudflareApi:
    """The API at ``url`` with one token. ``seconds`` bounds everything asked of it together; ``calls`` counts.

    ``pace`` keeps within the rate limit, ``recent`` holds answers of a moment ago, which are not asked for again.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        seconds: float | None = None,
        pace: Pace | None = None,
        recent: Recent | None = None,
    ) -> None:
        """Nothing is asked yet."""
        self._url = url.rstrip("/")
        self._token = token
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._pace = pace
        self._recent = Recent(None) if recent is None else recent
        self._send: Callable[[str, float], requests.Response] | None = None
        self._lock = threading.Lock()
        self.calls = 0

    def zones(self, names: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the zones among ``names`` that the token sees, as the API shows them, by their names."""
        if len(names) == 1:
            return {zone["name"]: zone for zone in self._get("/zones", name=next(iter(names)))["result"]}
        wanted = frozenset(names)
        return {zone["name"]: zone for zone in self._pages("/zones", ZONES_PER_PAGE) if zone["name"] in wanted}

    def zone_ids(self, names: Collection[str]) -> dict[str, str]:
        """Return name to ID of the zones among ``names`` that the token sees."""
        return {name: zone["id"] for name, zone in self.zones(names).items()}

    def records(self, zone_id: str) -> list[dict[str, Any]]:
        """Return the records of a zone as the API shows them."""
        return self._pages(f"/zones/{zone_id}/dns_records", RECORDS_PER_PAGE)

    def _pages(self, path: str, size: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page, pages = 1, 1
        while page <= pages:
            answer = self._get(path, page=str(page), per_page=str(size))
            found += answer["result"]
            pages = int((answer.get("result_info") or {}).get("total_pages") or 1)
            page += 1
        return found

    def _get(self, path: str, **query: str) -> Any:
        question = f"{self._url}{path}?{urlencode(query)}"
        answer = self._recent.get(question)
        if answer is None:
            answer = self._ask(question)
            self._recent.put(question, answer)
        return answer

    def _ask(self, url: str) -> Any:
        # Only a stack that asks pays for what this needs.
        import requests  # noqa: PLC0415

        left = None if self._deadline is None else self._deadline - time.monotonic()
        wait = 0.0 if self._pace is None else self._pace.turn(left)
        if wait is None or (left is not None and left <= 0):
            raise CloudflareError("there was no time left to ask Cloudflare")
        time.sleep(wait)
        with self._lock:
            send = self._send = self._send or _sender(self._url, self._token)
            self.calls += 1
        try:
            response = send(url, TIMEOUT_SECONDS if left is None else min(left, TIMEOUT_SECONDS))
            if response.ok:
                return response.json()
        except (requests.RequestException, ValueError) as error:
            raise CloudflareError(f"Cloudflare did not answer: {error}") from None
        told = response.headers.get("retry-after")
        limit = f"; its rate limit ends in {told} s" if response.status_code == TOO_MANY and told else ""
        raise CloudflareError(f"Cloudflare answered {response.status_code}{limit}: {response.text[:300]}")


def _sender(url: str, token: str) -> Callable[[str, float], "requests.Response"]:
    """Return what sends a GET to an address below ``url``, and takes the time it has.

    One pool of connections, and what all questions share is worked out once: it costs as much as the rest of each.
    """
    import requests  # noqa: PLC0415

    session = requests.Session()
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=AT_ONCE)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    surroundings = session.merge_environment_settings(url, {}, None, None, None)
    # From here on the environment is not asked: a .netrc entry for the host would take the token's place.
    session.trust_env = False
    common = session.prepare_request(requests.Request("GET", url, headers={"Authorization": f"Bearer {token}"}))

    def send(address: str, seconds: float) -> requests.Response:
        question = common.copy()
        question.url = address
        return session.send(question, timeout=seconds, **surroundings)

    return send
