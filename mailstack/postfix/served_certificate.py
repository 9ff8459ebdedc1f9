"""When the certificate ends that clients of submission see: asked over TLS, as they ask, so no file has to be readable.

A role and the container image carry this module, so it keeps to Python 3.6 and the standard library.
"""

import calendar
import contextlib
import smtplib
import socket
import ssl
import time
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple

from mailstack.postfix.log_lines import PROBE_ADDRESS

__all__ = ["CertificateWatch", "Place", "end_of", "submission_places"]

TIMEOUT_SECONDS = 3.0
SEQUENCE, CONTEXT_0, UTC_TIME = 0x30, 0xA0, 0x17


class Place(NamedTuple):
    """A port of submission: where, and whether TLS starts with the first byte."""

    address: str
    port: int
    wrapped: bool


def submission_places(settings: Mapping[str, Any]) -> Iterator[Place]:
    """Yield one place for each port of submission, from a relay's settings; none where nobody logs in."""
    submission = settings.get("submission")
    if not submission:
        return
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104 - a name to look up
        submission["listen_addresses"][0], submission["listen_addresses"][0]
    )
    for port in submission["starttls_ports"]:
        yield Place(address, port, wrapped=False)
    for port in submission["tls_ports"]:
        yield Place(address, port, wrapped=True)


def end_of(der: bytes) -> float:
    """Return the end of a certificate in DER, seconds since 1970. Raises ValueError for anything else.

    RFC 5280 §4.1: TBSCertificate is [0] version, serial number, signature, issuer, validity; validity two times.
    """
    try:
        fields = [field for field in _values(_values(_values(der)[0][1])[0][1]) if field[0] != CONTEXT_0]
        tag, text = _values(fields[3][1])[1]
        form = "%y%m%d%H%M%SZ" if tag == UTC_TIME else "%Y%m%d%H%M%SZ"
        return float(calendar.timegm(time.strptime(text.decode("ascii"), form)))
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"no certificate: {error}") from None


def _values(data: bytes) -> "list[Tuple[int, bytes]]":
    """Return tag and content of the values that stand one after another (X.690)."""
    found, position = [], 0
    while position + 2 <= len(data):
        tag, size, start = data[position], data[position + 1], position + 2
        if size >= 0x80:  # the long form: that many octets say it
            octets = size - 0x80
            size = int.from_bytes(data[start : start + octets], "big")
            start += octets
        found.append((tag, data[start : start + size]))
        position = start + size
    return found


class CertificateWatch:
    """Asks each place, at most once an hour when it answers, once a minute while it does not."""

    FRESH_SECONDS, RETRY_SECONDS = 3600.0, 60.0

    def __init__(self, places: Sequence[Place]) -> None:
        """Ask nothing yet. One asker at a time: the caller holds a lock."""
        self.places = tuple(places)
        self._known: Dict[int, float] = {}
        self._next: Dict[int, float] = {}

    def look(self) -> Mapping[int, float]:
        """Return port -> end of its certificate, without ports that do not answer."""
        for place in self.places:
            if time.monotonic() >= self._next.get(place.port, float("-inf")):
                end = _asked(place)
                if end is None:
                    self._known.pop(place.port, None)
                else:
                    self._known[place.port] = end
                wait = self.RETRY_SECONDS if end is None else self.FRESH_SECONDS
                self._next[place.port] = time.monotonic() + wait
        return self._known


def _asked(place: Place) -> Optional[float]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Not to be trusted, only to be read.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    source = ("", 0) if ":" in place.address else (PROBE_ADDRESS, 0)
    try:
        with contextlib.ExitStack() as stack:
            if place.wrapped:
                plain = socket.create_connection(place[:2], TIMEOUT_SECONDS, source_address=source)
                shown: Any = stack.enter_context(context.wrap_socket(stack.enter_context(plain)))
            else:
                client = stack.enter_context(
                    smtplib.SMTP(*place[:2], "localhost", TIMEOUT_SECONDS, source_address=source)
                )
                client.starttls(context=context)
                shown = client.sock
            return end_of(shown.getpeercert(binary_form=True) or b"")
    except (OSError, smtplib.SMTPException, ValueError):
        return None
