"""A TLS handshake as clients do it, and what it shows: version, cipher, certificate, whether that is trusted.

Uses the standard library's ssl; what that cannot ask, ``hello`` does.
"""

import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Handshake", "handshake_of", "lenient", "strict", "why_not"]


@dataclass(frozen=True, kw_only=True)
class Handshake:
    """``version`` as OpenSSL names it (TLSv1.3), ``certificate`` in DER.

    ``distrust`` is why the chain or the name is not to be trusted, empty where it is.
    """

    version: str
    cipher: str
    compression: str | None
    certificate: bytes
    distrust: str = ""


@cache
def strict(authorities: Path | None) -> ssl.SSLContext:
    """Return how a careful client connects: TLS 1.2 or newer, a chain to a known authority, the right name.

    ``authorities`` is a PEM file of further ones. Kept, since reading the system's takes longer than a handshake.
    """
    context = ssl.create_default_context()
    if authorities is not None:
        context.load_verify_locations(authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def lenient() -> ssl.SSLContext:
    """Return what connects to nearly anything, to see what is there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Not to be trusted, only to be read.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def handshake_of(connection: ssl.SSLSocket, distrust: str = "") -> Handshake:
    """Return what a handshake that was done shows."""
    cipher = connection.cipher()
    return Handshake(
        version=connection.version() or "",
        cipher=cipher[0] if cipher else "",
        compression=connection.compression(),
        certificate=connection.getpeercert(binary_form=True) or b"",
        distrust=distrust,
    )


def why_not(error: OSError) -> str:
    """Return a TLS failure in words, without OpenSSL's source lines."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or "").lower().replace("_", " ") if isinstance(error, ssl.SSLError) else str(error)
