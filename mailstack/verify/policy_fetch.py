"""Fetches an MTA-STS policy as a sender does: HTTPS with a verified certificate, no redirects (RFC 8461 §3.3).

By hand: checkdmarc's own download follows the system's DNS and trust only, and knows nothing of our deadline.
"""

import http.client
import socket
import ssl
from dataclasses import dataclass

from mailstack.verify.context import Context
from mailstack.verify.tls import strict

__all__ = ["PATH", "Fetched", "fetch_policy"]

PATH = "/.well-known/mta-sts.txt"
LARGEST = 64 * 1024  # RFC 8461 §3.3 lets senders stop reading there
SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """``text`` is the policy, None where there is none: ``problem`` says why. ``late``: it is not known whether there
    is one.
    """

    text: str | None = None
    problem: str = ""
    late: bool = False


def fetch_policy(context: Context, domain: str) -> Fetched:
    """Fetch the policy of a domain, once in a run."""
    return context.once(("mta-sts", domain), lambda: _fetch(context, f"mta-sts.{domain}"))


def _fetch(context: Context, name: str) -> Fetched:
    answers = [context.dns.follow(name, kind) for kind in ("A", "AAAA")]
    addresses = [value for answer in answers for value in answer.values if ":" not in value or context.dns.ipv6]
    if not addresses:
        unknown = [answer.why for answer in answers if not answer.known]
        return Fetched(problem=unknown[0] if unknown else f"{name} has no address", late=bool(unknown))
    found = Fetched()
    for address in addresses:
        found = _fetch_from(context, name, address)
        if found.text is not None:
            return found
    return found


def _fetch_from(context: Context, name: str, address: str) -> Fetched:
    places = context.around.places
    place = places.get((name, 443)) or places.get((address, 443)) or (address, 443)
    try:
        with (
            socket.create_connection(place, timeout=context.left(SECONDS)) as plain,
            strict(context.around.authorities).wrap_socket(plain, server_hostname=name) as connection,
        ):
            connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            response = http.client.HTTPResponse(connection)
            response.begin()
            return _judged(response)
    except TimeoutError:
        return Fetched(problem=f"https://{name}{PATH}: no answer in time", late=True)
    except ssl.SSLCertVerificationError as error:
        return Fetched(problem=f"the certificate of {name}: {error.verify_message}")
    except (OSError, http.client.HTTPException) as error:
        return Fetched(problem=f"https://{name}{PATH}: {error or type(error).__name__}")


def _judged(response: http.client.HTTPResponse) -> Fetched:
    kind = response.headers.get_content_type() if response.headers.get("Content-Type") else "no Content-Type"
    if response.status != 200:
        to = f" to {response.headers['Location']}" if response.headers.get("Location") else ""
        return Fetched(problem=f"HTTP status {response.status}{to}, which senders take for no policy")
    if kind != "text/plain":
        return Fetched(problem=f"{kind} instead of text/plain")
    body = response.read(LARGEST + 1)
    if len(body) > LARGEST:
        return Fetched(problem=f"more than {LARGEST} bytes")
    try:
        return Fetched(text=body.decode("utf-8"))
    except UnicodeDecodeError:
        return Fetched(problem="not UTF-8")
