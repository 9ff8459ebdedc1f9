"""The certificate that a name serves right now, whoever issued it."""

import socket
import ssl
from datetime import datetime

from cryptography import x509

__all__ = ["days_left"]

HTTPS_PORT = 443
SECONDS = 8.0


def days_left(name: str, now: datetime, *, port: int = HTTPS_PORT, address: str | None = None) -> int:
    """Return the whole days until the certificate served for ``name`` expires, negative once it has.

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
    return (x509.load_der_x509_certificate(served).not_valid_after_utc - now).days
