"""TLS contexts of the server side and the facts of a finished handshake."""

import hashlib
import ssl
from pathlib import Path
from typing import Any

from .config import TlsFiles
from .records import CertificateFacts, TlsFacts

__all__ = ["server_context", "tls_facts"]

_SNI_ATTRIBUTE = "standin_sni"


def server_context(files: TlsFiles, client_ca: Path | None = None) -> ssl.SSLContext:
    """A context for TLS 1.2 and newer; with ``client_ca`` it asks for a client certificate.

    Raises:
        OSError: a file cannot be read.
        ssl.SSLError: certificate and key do not belong together or are not PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(client_ca)
    context.sni_callback = _remember_sni
    return context


def _remember_sni(connection: object, name: str | None, _context: ssl.SSLContext) -> None:
    setattr(connection, _SNI_ATTRIBUTE, name)


def tls_facts(connection: ssl.SSLSocket) -> TlsFacts:
    """What was agreed in the handshake of a server-side socket."""
    cipher = connection.cipher() or ("unknown", "unknown", 0)
    return TlsFacts(
        version=connection.version() or "unknown",
        cipher=cipher[0],
        bits=cipher[2],
        resumed=bool(connection.session_reused),
        sni=getattr(connection, _SNI_ATTRIBUTE, None),
        client_certificate=_client_certificate(connection),
    )


def _client_certificate(connection: ssl.SSLSocket) -> CertificateFacts | None:
    der = connection.getpeercert(binary_form=True)
    if der is None:
        return None
    fields: dict[str, Any] = connection.getpeercert() or {}
    return CertificateFacts(
        subject=_name(fields.get("subject", ())),
        issuer=_name(fields.get("issuer", ())),
        sha256=hashlib.sha256(der).hexdigest(),
        verified=True,
        chain_length=_chain_length(connection),
    )


def _chain_length(connection: ssl.SSLSocket) -> int | None:
    # Public only from Python 3.13 on; 3.10 to 3.12 have it on the inner object.
    inner = getattr(connection, "_sslobj", None)
    chain = getattr(inner, "get_unverified_chain", None)
    found = chain() if callable(chain) else None
    return len(found) if found else None


def _name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    return ", ".join(f"{key}={value}" for part in parts for key, value in part)
