"""Fetches a small file over HTTPS: a verified certificate, so many bytes, so many seconds, HTTPS only.

By hand, on http.client: a policy, a logo or a certificate is fetched from where our resolver says, with our trust, and
a server that sends a byte a second must not hold a run up. Libraries follow the system's DNS and wait for each byte.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from mailstack.dns.addresses import special_purpose
from mailstack.verify.context import Context
from mailstack.verify.tls import strict

__all__ = ["Fetched", "fetch"]

SECONDS = 10.0
HTTPS = 443
SAFE = "/:?@!$&'()*+,;=%~"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """An answer, or why there is none: ``problem``; ``late``: it is not known whether there is one.

    ``kind`` is the media type, empty where none is given. ``body`` has one byte more than allowed where there are more.
    """

    status: int = 0
    kind: str = ""
    location: str = ""
    body: bytes = b""
    problem: str = ""
    late: bool = False


def fetch(context: Context, url: str, *, largest: int, redirects: int = 0, inside: bool = True) -> Fetched:
    """Fetch ``url``, at most ``largest`` bytes, following so many redirects, to HTTPS only.

    ``inside`` False: not from an address that only this machine's network has. A record may name any host, and must not
    make us ask there.
    """
    for _ in range(redirects + 1):
        try:
            parts = urlsplit(url)
            port = parts.port or HTTPS
        except ValueError as error:
            return Fetched(problem=f"{url}: {error}")
        if parts.scheme.lower() != "https" or not parts.hostname:
            return Fetched(problem=f"{url} is no https:// address")
        found = _fetch(context, _Place(parts.hostname, port, _path(parts)), largest, inside=inside)
        if not redirects or not 300 <= found.status < 400 or not found.location:
            return found
        url = urljoin(url, found.location)
    return Fetched(problem=f"more than {redirects} redirects")


def _path(parts: SplitResult) -> str:
    # What is no URL character would end the request line, and begin another.
    return quote(parts.path or "/", safe=SAFE) + (f"?{quote(parts.query, safe=SAFE)}" if parts.query else "")


@dataclass(frozen=True)
class _Place:
    name: str
    port: int
    path: str

    @property
    def host(self) -> str:
        return self.name if self.port == HTTPS else f"{self.name}:{self.port}"

    @property
    def request(self) -> bytes:
        return f"GET {self.path} HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode()

    def __str__(self) -> str:
        return f"https://{self.host}{self.path}"


def _fetch(context: Context, place: _Place, largest: int, *, inside: bool) -> Fetched:
    name = place.name
    answers = [context.dns.follow(name, kind) for kind in ("A", "AAAA")]
    addresses = [value for answer in answers for value in answer.values if ":" not in value or context.dns.ipv6]
    if not addresses:
        unknown = [answer.why for answer in answers if not answer.known]
        return Fetched(problem=unknown[0] if unknown else f"{name} has no address", late=bool(unknown))
    found = Fetched()
    for address in addresses:
        special = special_purpose(ipaddress.ip_network(address))
        there = context.around.placed(name, address, place.port)
        if special and not inside and there == (address, place.port):
            found = Fetched(problem=f"{name} is {address} from here, {special}: it is not asked", late=True)
        else:
            found = _fetch_from(context, place, there, largest)
        if not found.problem:
            return found
    return found


def _fetch_from(context: Context, place: _Place, there: tuple[str, int], largest: int) -> Fetched:
    over = threading.Event()
    try:
        seconds = context.left(SECONDS)
        trust = strict(context.around.authorities)
        with (
            socket.create_connection(there, timeout=seconds) as plain,
            trust.wrap_socket(plain, server_hostname=place.name, do_handshake_on_connect=False) as connection,
            _hung_up_after(connection, seconds, over),
        ):
            connection.do_handshake()
            connection.sendall(place.request)
            response = http.client.HTTPResponse(connection)
            response.begin()
            body = response.read(largest + 1)
    except TimeoutError:
        return Fetched(problem=f"{place}: no answer in time", late=True)
    except ssl.SSLCertVerificationError as error:
        return Fetched(problem=f"the certificate of {place.name}: {error.verify_message}")
    except (OSError, http.client.HTTPException) as error:
        if not over.is_set():
            return Fetched(problem=f"{place}: {error or type(error).__name__}")
        body = b""
    if over.is_set():
        return Fetched(problem=f"{place}: no answer in time", late=True)
    return Fetched(
        status=response.status,
        kind=response.headers.get_content_type() if response.headers.get("Content-Type") else "",
        location=response.headers.get("Location", ""),
        body=body,
    )


@contextlib.contextmanager
def _hung_up_after(connection: socket.socket, seconds: float, over: threading.Event) -> Iterator[None]:
    """End a connection from outside after so many seconds: a timeout of a socket is for each of its reads anew."""

    def hang_up() -> None:
        over.set()
        with contextlib.suppress(OSError):
            # Not SSLSocket's own, which takes the TLS layer from under whoever is reading.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
