"""Reads Cloudflare's API: zones and their records. It only reads."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection
from typing import Any

__all__ = ["CLOUDFLARE_API", "CloudflareApi", "CloudflareError"]

CLOUDFLARE_API = "https://api.cloudflare.com/client/v4"
TIMEOUT_SECONDS = 30.0
# The most the API gives in one answer (developers.cloudflare.com/api: zones, dns_records).
ZONES_PER_PAGE = 50
RECORDS_PER_PAGE = 5000
TOO_MANY = 429


class CloudflareError(RuntimeError):
    """The API did not answer, or refused; the text says what it said."""


class CloudflareApi:
    """The API at ``url`` with one token. ``seconds`` bounds everything asked of it together; ``calls`` counts."""

    def __init__(self, url: str, token: str, *, seconds: float | None = None) -> None:
        """Nothing is asked yet."""
        self._url = url.rstrip("/")
        self._token = token
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self.calls = 0

    def zone_ids(self, names: Collection[str]) -> dict[str, str]:
        """Return name to ID of the zones among ``names`` that the token sees."""
        if len(names) == 1:
            return {zone["name"]: zone["id"] for zone in self._get("/zones", name=next(iter(names)))["result"]}
        wanted = frozenset(names)
        return {zone["name"]: zone["id"] for zone in self._pages("/zones", ZONES_PER_PAGE) if zone["name"] in wanted}

    def records(self, zone_id: str, **query: str) -> list[dict[str, Any]]:
        """Return the records of a zone as the API shows them; ``query`` narrows by name or type."""
        return self._pages(f"/zones/{zone_id}/dns_records", RECORDS_PER_PAGE, **query)

    def _pages(self, path: str, size: int, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page, pages = 1, 1
        while page <= pages:
            answer = self._get(path, page=str(page), per_page=str(size), **query)
            found += answer["result"]
            pages = int((answer.get("result_info") or {}).get("total_pages") or 1)
            page += 1
        return found

    def _get(self, path: str, **query: str) -> Any:
        left = TIMEOUT_SECONDS if self._deadline is None else self._deadline - time.monotonic()
        if left <= 0:
            raise CloudflareError("there was no time left to ask Cloudflare")
        request = urllib.request.Request(  # noqa: S310 - the API's own address
            f"{self._url}{path}?{urllib.parse.urlencode(query)}", headers={"Authorization": f"Bearer {self._token}"}
        )
        self.calls += 1
        try:
            with urllib.request.urlopen(request, timeout=min(left, TIMEOUT_SECONDS)) as response:  # noqa: S310 - likewise
                return json.load(response)
        except urllib.error.HTTPError as error:
            wait = error.headers.get("retry-after")
            limit = f"; its rate limit ends in {wait} s" if error.code == TOO_MANY and wait else ""
            raise CloudflareError(f"Cloudflare answered {error.code}{limit}: {error.read().decode()[:300]}") from None
        except (OSError, ValueError) as error:
            raise CloudflareError(f"Cloudflare did not answer: {error}") from None
