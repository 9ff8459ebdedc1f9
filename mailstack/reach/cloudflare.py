"""Reads Cloudflare's API."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

__all__ = ["CLOUDFLARE_API", "CloudflareApi", "CloudflareError"]

CLOUDFLARE_API = "https://api.cloudflare.com/client/v4"
TIMEOUT_SECONDS = 30


class CloudflareError(RuntimeError):
    """The API did not answer, or refused; the text says what it said."""


class CloudflareApi:
    """The API at ``url`` with one token. It only reads."""

    def __init__(self, url: str, token: str) -> None:
        """Nothing is asked yet."""
        self._url = url
        self._token = token

    def zone_id(self, name: str) -> str:
        """Return the ID of a zone. Raises CloudflareError where the token sees no such zone."""
        found = self._get("/zones", name=name)
        if not found:
            raise CloudflareError(f"the token sees no zone {name}")
        identity: str = found[0]["id"]
        return identity

    def records(self, zone_id: str, name: str, type: str) -> list[dict[str, Any]]:  # noqa: A002 - DNS term
        """Return the records of one name and type as the API shows them."""
        found: list[dict[str, Any]] = self._get(f"/zones/{zone_id}/dns_records", name=name, type=type)
        return found

    def _get(self, path: str, **query: str) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the API's own address
            f"{self._url}{path}?{urllib.parse.urlencode(query)}", headers={"Authorization": f"Bearer {self._token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - likewise
                return json.load(response)["result"]
        except urllib.error.HTTPError as error:
            raise CloudflareError(f"Cloudflare answered {error.code}: {error.read().decode()}") from None
        except OSError as error:
            raise CloudflareError(f"Cloudflare did not answer: {error}") from None
