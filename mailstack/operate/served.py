"""The certificate that a name serves right now, whoever issued it."""

import socket
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

__all__ = ["Served", "look_at"]

HTTPS_PORT = 443
SECONDS = 8.0


# A certificate that is renewed by itself is so in the last third of its time; later than this something is wrong.
LATE_SHARE = 0.25
SOON = timedelta(days=14)


@dataclass(frozen=True, kw_only=True)
class Served:
    """How long a certificate is valid for, from now (negative: it has expired) and in all."""

    left: timedelta
    life: timedelta

    @property
    def late(self) -> bool:
        """Tell whether somebody has to look: it expires soon, for one of its length."""
        return self.left < min(SOON, self.life * LATE_SHARE)


def look_at(name: str, now: datetime, *, port: int = HTTPS_PORT, address: str | None = None) -> Served:
    """Return the times of the certificate that is served for ``name``.

    Who issued it is not asked: that is `mailstack verify`'s. ``address`` is connected to instead of what DNS says.
    Raises OSError where nobody answers, or not in TLS.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((address or name, port), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        served = secured.getpeercert(binary_form=True)
    if served is None:
        raise OSError(f"{name} showed no certificate")
    read = x509.load_der_x509_certificate(served)
    ends = read.not_valid_after_utc
    return Served(left=ends - now, life=ends - read.not_valid_before_utc)
