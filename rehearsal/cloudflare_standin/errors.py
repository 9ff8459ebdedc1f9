"""Error answers of the API: HTTP status, Cloudflare's code, text, and the chain behind a validation error."""

from typing import Any

__all__ = ["ApiError", "validation_error"]

# https://developers.cloudflare.com/dns/manage-dns-records/ and public issue threads; see the package docstring.
AUTHENTICATION = (403, 10000, "Authentication error")
BAD_AUTHORIZATION = (400, 6003, "Invalid request headers")
CNAME_EXISTS = (400, 81054, "A CNAME record with that host already exists.")
HOST_EXISTS = (400, 81053, "An A, AAAA, or CNAME record with that host already exists.")
IDENTICAL = (400, 81058, "An identical record already exists.")
INVALID_BODY = (400, 9207, "Request body is invalid.")
INVALID_TOKEN = (401, 1000, "Invalid API Token")
NO_RECORD = (404, 81044, "Record does not exist.")
NO_ROUTE = (404, 7000, "No route for that URI")
NOT_AN_ID = (404, 7003, "Could not route to that path, perhaps your object identifier is invalid?")
METHOD = (405, 10405, "Method not allowed for this authentication scheme")
QUOTA = (400, 81045, "Record quota exceeded.")
RATE_LIMIT = (429, 971, "Please wait and consider throttling your request speed")
ZONE_FORBIDDEN = (403, 9109, "Unauthorized to access requested resource")


class ApiError(Exception):
    """An error answer. ``chain`` holds ``(code, message)`` pairs."""

    def __init__(
        self,
        reason: tuple[int, int, str],
        *,
        chain: list[tuple[int, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """``reason`` is HTTP status, code and message."""
        super().__init__(reason[2])
        self.status, self.code, self.message = reason
        self.chain = chain or []
        self.headers = headers or {}

    def to_json(self) -> dict[str, Any]:
        """One element of the envelope's ``errors``."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.chain:
            error["error_chain"] = [{"code": code, "message": message} for code, message in self.chain]
        return error


def validation_error(chain: list[tuple[int, str]]) -> ApiError:
    """The record itself is wrong: code 1004 and all reasons found."""
    return ApiError((400, 1004, "DNS Validation Error"), chain=chain)
