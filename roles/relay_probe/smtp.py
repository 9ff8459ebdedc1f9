"""A small SMTP client that keeps the server's words as they are (RFC 5321, RFC 3207, RFC 4954).

smtplib joins the lines of a reply and drops their codes; a probe has to show them.
"""

import base64
import socket
import ssl
from typing import Any, Dict, List, Optional, Tuple

from rolelib.commands import remember_secret

__all__ = ["ProbeError", "Reply", "Session", "resolve", "tls_context"]

# RFC 5321 section 4.5.3.1.5: 512 bytes. Some servers send longer ones; a line without an end is an attack.
LONGEST_LINE = 4096
MOST_LINES = 100
# How long to wait for a reply; RFC 5321 section 4.5.3.2 allows five minutes, a probe need not.
REPLY_SECONDS = 60

KINDS = ("dns", "network", "tls", "reply", "protocol")


class Reply:
    """A reply: its lines as received, without the line ends."""

    def __init__(self, lines: List[str]) -> None:
        """Take at least one line."""
        self.lines = lines
        self.code = int(lines[-1][:3]) if lines[-1][:3].isdigit() else 0

    @property
    def ok(self) -> bool:
        """Tell whether the command was carried out (2xx)."""
        return 200 <= self.code < 300

    def texts(self) -> List[str]:
        """Return the lines without code and separator."""
        return [line[4:] for line in self.lines]


class ProbeError(Exception):
    """The attempt ended here. ``kind`` is one of KINDS; ``transient``: the same may work in a moment."""

    def __init__(self, kind: str, stage: str, text: str, transient: bool, reply: Optional[Reply] = None) -> None:
        """Keep the values; ``text`` is for people."""
        self.kind = kind
        self.stage = stage
        self.text = text
        self.transient = transient
        self.reply = reply
        Exception.__init__(self, text)


def tls_context(ca_file: Optional[str]) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or later that verifies chain and name.

    ``ca_file`` takes the place of the system's authorities. Raises OSError for a file that cannot be read.
    """
    context = ssl.create_default_context(cafile=ca_file)
    versions: Any = getattr(ssl, "TLSVersion", None)
    if versions is None:  # Python 3.6
        context.options |= ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
    else:
        context.minimum_version = versions.TLSv1_2
    return context


def resolve(host: str, port: int, ip_protocol: str) -> List[Tuple[int, Any]]:
    """Return (family, socket address) in the system's order. Raises ProbeError."""
    family = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}.get(ip_protocol, socket.AF_UNSPEC)
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except socket.gaierror as error:
        transient = error.errno == socket.EAI_AGAIN
        raise ProbeError("dns", "resolve", f"{host} has no address: {error.strerror}", transient) from None
    return [(int(entry[0]), entry[4]) for entry in found]


class Session:
    """One connection. Every method raises ProbeError; ``stage`` names in it are those of the steps."""

    def __init__(self, timeout: float, source_address: Optional[str]) -> None:
        """``timeout`` in seconds is for the connection; replies have their own."""
        self.timeout = timeout
        self.source_address = source_address
        self._socket: Optional[socket.socket] = None
        self._buffer = b""

    def connect(self, addresses: List[Tuple[int, Any]]) -> Dict[str, Any]:
        """Connect to the first address that answers; return the addresses and what failed before."""
        failed = []
        for family, address in addresses:
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(self.timeout)
                if self.source_address:
                    connection.bind((self.source_address, 0))
                connection.connect(address)
            except OSError as error:
                connection.close()
                failed.append(f"{address[0]}: {_words(error, self.timeout)}")
                continue
            connection.settimeout(REPLY_SECONDS)
            self._socket = connection
            return {
                "address": str(address[0]),
                "port": int(address[1]),
                "source_address": str(connection.getsockname()[0]),
                "failed": failed,
            }
        raise ProbeError("network", "connect", "no connection: " + "; ".join(failed), True)

    def start_tls(self, context: ssl.SSLContext, host: str) -> Dict[str, Any]:
        """Do the handshake; return version, cipher and the certificate's facts."""
        # What came before the handshake is not protected and must not count afterwards (CVE-2011-0411).
        if self._buffer:
            raise ProbeError("protocol", "tls", "the server sent data between STARTTLS and TLS", False)
        try:
            secure = context.wrap_socket(self._peer(), server_hostname=host)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise ProbeError("network", "tls", "the server hung up in the TLS handshake", True) from None
        except (ssl.SSLError, ssl.CertificateError) as error:  # in Python 3.6 the latter is no SSLError
            raise ProbeError("tls", "tls", f"TLS failed: {_ssl_words(error)}", False) from None
        except OSError as error:
            raise ProbeError("network", "tls", f"connection lost in the TLS handshake: {error}", True) from None
        self._socket = secure
        return _tls_facts(secure)

    def read(self, stage: str) -> Reply:
        """Read one reply."""
        lines: List[str] = []
        while len(lines) < MOST_LINES:
            line = self._line(stage)
            lines.append(line)
            if line[3:4] != "-":
                if not line[:3].isdigit():
                    raise ProbeError("protocol", stage, f"this is not SMTP: {line[:200]!r}", False)
                return Reply(lines)
        raise ProbeError("protocol", stage, f"a reply of more than {MOST_LINES} lines", False)

    def command(self, stage: str, text: str, wanted: "tuple[int, ...]" = ()) -> Reply:
        """Send a command, return its reply. Raises ProbeError unless that is 2xx or one of ``wanted``."""
        self._send(stage, text)
        reply = self.read(stage)
        if reply.ok or reply.code in wanted:
            return reply
        raise ProbeError(
            "reply", stage, f"the server answered {stage} with: {' / '.join(reply.lines)}",
            transient=400 <= reply.code < 500, reply=reply,
        )  # fmt: skip

    def authenticate(self, mechanisms: List[str], username: str, password: str) -> Reply:
        """Sign in by PLAIN or LOGIN (RFC 4616; LOGIN is what older servers offer)."""
        plain = _base64(f"\0{username}\0{password}")
        for secret in (plain, _base64(password)):
            remember_secret(secret)
        if "PLAIN" in mechanisms or not mechanisms:
            return self.command("auth", f"AUTH PLAIN {plain}")
        if "LOGIN" in mechanisms:
            self.command("auth", "AUTH LOGIN", (334,))
            self.command("auth", _base64(username), (334,))
            return self.command("auth", _base64(password))
        raise ProbeError(
            "protocol", "auth", f"the server offers {', '.join(mechanisms)}, the relay PLAIN and LOGIN", False
        )

    def close(self) -> None:
        """Drop the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _peer(self) -> socket.socket:
        if self._socket is None:
            raise RuntimeError("connect first")
        return self._socket

    def _send(self, stage: str, text: str) -> None:
        if not text.isprintable():  # a line break in an address would be a command of its own
            raise ProbeError("protocol", stage, f"this cannot be sent as one command: {text!r}", False)
        try:
            self._peer().sendall(text.encode() + b"\r\n")
        except OSError as error:
            words = _words(error, REPLY_SECONDS)
            raise ProbeError("network", stage, f"connection lost: {words}", True) from None

    def _line(self, stage: str) -> str:
        while b"\n" not in self._buffer:
            if len(self._buffer) > LONGEST_LINE:
                raise ProbeError("protocol", stage, "a line without end", False)
            try:
                data = self._peer().recv(4096)
            except OSError as error:
                raise ProbeError("network", stage, f"no reply: {_words(error, REPLY_SECONDS)}", True) from None
            if not data:
                raise ProbeError("network", stage, "the server closed the connection without a reply", True)
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "replace")


def _words(error: OSError, seconds: float) -> str:
    if isinstance(error, socket.timeout):
        return f"nothing within {seconds:g} seconds"
    return error.strerror or str(error)


def _ssl_words(error: Exception) -> str:
    """Prefer OpenSSL's sentence about the certificate to Python's line about its own source file."""
    return str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or error)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _tls_facts(connection: ssl.SSLSocket) -> Dict[str, Any]:
    certificate: Any = connection.getpeercert() or {}
    cipher = connection.cipher()
    return {
        "version": connection.version(),
        "cipher": cipher[0] if cipher else None,
        "certificate": {
            "subject": _name(certificate.get("subject", ())),
            "issuer": _name(certificate.get("issuer", ())),
            "names": [value for kind, value in certificate.get("subjectAltName", ()) if kind in _NAME_KINDS],
            "not_before": certificate.get("notBefore"),
            "not_after": certificate.get("notAfter"),
        },
    }


_NAME_KINDS = ("DNS", "IP Address")


def _name(parts: Any) -> str:
    return ", ".join(f"{key}={value}" for group in parts for key, value in group)
