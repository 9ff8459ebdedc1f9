"""What this host serves for a name, asked over its own network interface: certificate, redirect, policy text."""

import http.client
import socket
import ssl
from typing import Any, Dict, Optional

from caddy.pairs import Certificate, covers, read_certificate

__all__ = ["HTTPS_PORT", "HTTP_PORT", "certificate_of", "policy_fault", "redirect_fault", "site_fault"]

HTTP_PORT = 80
HTTPS_PORT = 443
HERE = "127.0.0.1"
ANSWER_SECONDS = 10


def certificate_of(name: str) -> Optional[Certificate]:
    """Return the certificate shown for ``name``, None where there is none (the handshake fails, or nothing listens)."""
    try:
        plain = socket.create_connection((HERE, HTTPS_PORT), timeout=ANSWER_SECONDS)
        with plain, _context().wrap_socket(plain, server_hostname=name) as secured:
            der = secured.getpeercert(True)
    except OSError:
        return None
    return read_certificate(ssl.DER_cert_to_PEM_cert(der)) if der else None


def _context() -> ssl.SSLContext:
    # Any certificate is taken here: it is then compared with the one that should be served.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def site_fault(name: str, served: Optional[Certificate], expected: Optional[str], now: float) -> Optional[str]:
    """Say what is wrong with the certificate served for ``name``; ``expected`` is the SHA-256 it should have."""
    if served is None:
        return f"https://{name} is not served with any certificate"
    if expected is None:
        return f"https://{name} is served with a certificate of {served.issuer}, not one of the issuer declared"
    if served.sha256 != expected:
        return f"https://{name} is served with another certificate ({served.issuer}) than the current one"
    if not covers(served.names, name):
        return f"https://{name} is served with a certificate for {', '.join(served.names)}"
    if served.not_after <= now:
        return f"https://{name} is served with a certificate that has expired"
    return None


def redirect_fault(name: str) -> Optional[str]:
    """Say what is wrong with the answer to plain HTTP for ``name``; None: it leads to HTTPS."""
    try:
        client = http.client.HTTPConnection(HERE, HTTP_PORT, timeout=ANSWER_SECONDS)
        client.request("GET", "/", headers={"Host": name})
        answer = client.getresponse()
    except (OSError, http.client.HTTPException) as error:
        return f"http://{name} does not answer: {error}"
    location = answer.getheader("Location")
    if answer.status != 308 or location != f"https://{name}/":
        return f"http://{name} answers {answer.status} to {location}, not 308 to https://{name}/"
    return None


class _Connection(http.client.HTTPSConnection):
    """HTTPS to this host, with the site's name in the handshake."""

    def connect(self) -> None:
        plain = socket.create_connection((HERE, HTTPS_PORT), timeout=ANSWER_SECONDS)
        self.sock = _context().wrap_socket(plain, server_hostname=self.host)


def policy_fault(site: Dict[str, Any]) -> Optional[str]:
    """Say what is wrong with the MTA-STS policy served at a site; None where it has none or it is exact (RFC 8461)."""
    if site["body"] is None:
        return None
    url = f"https://{site['name']}/.well-known/mta-sts.txt"
    try:
        client = _Connection(site["name"], context=_context())
        client.request("GET", "/.well-known/mta-sts.txt")
        answer = client.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {error}"
    media = (answer.getheader("Content-Type") or "").partition(";")[0].strip()
    if answer.status != 200 or media != "text/plain" or body != site["body"].encode():
        return f"{url} answers {answer.status} {media} with {len(body)} bytes, not the policy declared"
    return None
