"""What the stand-in tells about itself: plain values with a JSON form, shared by server and client."""

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["CertificateFacts", "ConnectionFacts", "Counters", "FaultStatus", "ReceivedMessage", "TlsFacts"]


@dataclass(frozen=True, kw_only=True)
class CertificateFacts:
    """A client certificate as the server saw it.

    ``sha256`` is the hex digest of the DER form. ``verified`` is always true: OpenSSL ends the handshake when
    a certificate that was sent does not verify. ``chain_length`` is ``None`` where Python cannot tell.
    """

    subject: str
    issuer: str
    sha256: str
    verified: bool
    chain_length: int | None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "CertificateFacts":
        """Build from the control API's JSON object."""
        return cls(**value)


@dataclass(frozen=True, kw_only=True)
class TlsFacts:
    """The TLS session of a connection. ``bits`` is the cipher's secret length."""

    version: str
    cipher: str
    bits: int
    resumed: bool
    sni: str | None
    client_certificate: CertificateFacts | None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "TlsFacts":
        """Build from the control API's JSON object."""
        certificate = value["client_certificate"]
        return cls(
            **{
                **value,
                "client_certificate": CertificateFacts.from_json(certificate) if certificate else None,
            }
        )


@dataclass(frozen=True, kw_only=True)
class ReceivedMessage:
    """One accepted message.

    ``size`` counts the bytes as sent (dot-stuffing removed, without the header we add), ``received_at`` is
    ISO 8601 in UTC, ``tls`` is ``None`` for a message taken in clear, ``relaying_domain`` is the account
    domain that Google would write into ``X-Relaying-Domain``.
    """

    id: int
    connection: int
    port: int
    mail_from: str
    rcpt_to: tuple[str, ...]
    ehlo: str
    peer_ip: str
    tls: TlsFacts | None
    auth_user: str | None
    relaying_domain: str
    received_at: str
    size: int
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """The first header of that name (any case), or ``None``."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def to_json(self) -> dict[str, Any]:
        """The control API's JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ReceivedMessage":
        """Build from the control API's JSON object."""
        tls = value["tls"]
        return cls(
            **{
                **value,
                "rcpt_to": tuple(value["rcpt_to"]),
                "tls": TlsFacts.from_json(tls) if tls else None,
                "headers": tuple((key, text) for key, text in value["headers"]),
            }
        )


@dataclass(frozen=True, kw_only=True)
class ConnectionFacts:
    """One connection: how many messages it carried, and whether its TLS session was a resumed one."""

    id: int
    peer_ip: str
    port: int
    messages: int
    tls: bool
    resumed: bool


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Totals since the start or the last reset.

    ``refused`` counts replies by their name in the table (protocol errors are under their code).
    ``handshake_failures`` includes clients that refused our certificate and said so in TLS; Postfix does not, it
    finishes the handshake and leaves without a message.
    """

    connections: int
    open_connections: int
    peak_open_connections: int
    tls_sessions: int
    tls_full_handshakes: int
    tls_resumed_handshakes: int
    handshake_failures: int
    transactions: int
    messages_accepted: int
    recipients_accepted: int
    refused: dict[str, int] = field(default_factory=dict)
    per_connection: tuple[ConnectionFacts, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The control API's JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Counters":
        """Build from the control API's JSON object."""
        per_connection = tuple(ConnectionFacts(**item) for item in value["per_connection"])
        return cls(**{**value, "per_connection": per_connection})


@dataclass(frozen=True, kw_only=True)
class FaultStatus:
    """An active fault. ``remaining`` is the number of uses left (``None``: no end), ``used`` those so far."""

    id: int
    kind: str
    reply: str | None = None
    stage: str | None = None
    seconds: float | None = None
    certificate: str | None = None
    remaining: int | None = None
    used: int = 0

    def to_json(self) -> dict[str, Any]:
        """The control API's JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "FaultStatus":
        """Build from the control API's JSON object."""
        return cls(**value)
