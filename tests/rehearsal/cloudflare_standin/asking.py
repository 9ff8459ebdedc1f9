"""A client that shows status, headers and envelope."""

import json
import urllib.error
import urllib.request
from typing import Any

TOKEN = "rehearsal-token-0123456789abcdefghijklmno"
ZONE = "example.com"
ZONE_ID = "0123456789abcdef0123456789abcdef"
KEY_TEXT = "v=DKIM1; k=rsa; p=" + "A" * 400


class Api:
    """A client that shows status, headers and envelope."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.headers: dict[str, str] = {}

    def call(
        self, method: str, path: str, body: object = None, *, authorization: str | None = f"Bearer {TOKEN}"
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": "application/json"}
        if authorization is not None:
            headers["Authorization"] = authorization
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
                self.headers = dict(answer.headers)
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                self.headers = dict(error.headers)
                return error.code, json.load(error)

    def create(self, **record: object) -> tuple[int, dict[str, Any]]:
        return self.call("POST", f"/zones/{ZONE_ID}/dns_records", record)

    def made(self, **record: object) -> dict[str, Any]:
        status, answer = self.create(**record)
        assert status == 200, answer
        result: dict[str, Any] = answer["result"]
        return result

    def refusal(self, **record: object) -> tuple[int, list[int]]:
        """Status and the codes of error and chain."""
        status, answer = self.create(**record)
        assert answer["success"] is False
        assert answer["result"] is None
        return status, codes(answer)


def codes(answer: dict[str, Any]) -> list[int]:
    (error,) = answer["errors"]
    return [error["code"], *(item["code"] for item in error.get("error_chain", []))]


A = {"type": "A", "name": "mail.example.com", "content": "192.0.2.1", "ttl": 3600}
