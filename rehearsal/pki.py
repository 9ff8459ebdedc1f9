"""Throw-away certificates for the rehearsal ground: a private CA, good server certificates and bad ones.

Everything is made in memory and handed out as PEM text; nothing here is meant to outlive a rehearsal.
"""

import datetime as dt
import http.client
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import trustme

__all__ = ["FAULTY_KINDS", "PemPair", "PrivateCa", "ServerPki", "make_server_pki"]

FAULTY_KINDS = ("wrong-name", "unknown-ca", "expired")
"""Names of the bad certificates, as the stand-in for Google calls them."""

CONNECT_SECONDS = 10.0
_WRONG_NAME = "somebody-else.example.net"


@dataclass(frozen=True, kw_only=True)
class PemPair:
    """A certificate chain (leaf first) and its private key, PEM texts."""

    certificate: str
    key: str = field(repr=False)

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write ``name.crt`` and ``name.key`` (mode 0600); the result is the two paths.

        Raises:
            OSError: the directory cannot be written.
        """
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        certificate.write_text(self.certificate, encoding="ascii")
        key.touch(mode=0o600)
        key.chmod(0o600)
        key.write_text(self.key, encoding="ascii")
        return certificate, key


class PrivateCa:
    """A certificate authority that nobody but the rehearsal trusts."""

    def __init__(self, name: str = "mailstack rehearsal") -> None:
        """Make a new CA key; ``name`` is the organisation in its subject."""
        self._ca = trustme.CA(organization_name=name)

    @property
    def certificate(self) -> str:
        """The CA certificate, PEM text."""
        return self._ca.cert_pem.bytes().decode("ascii")

    @property
    def key(self) -> str:
        """The CA's private key, PEM text, for programs that issue certificates themselves."""
        return self._ca.private_key_pem.bytes().decode("ascii")

    def issue(
        self,
        *names: str,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        common_name: str | None = None,
        organization: str | None = None,
    ) -> PemPair:
        """A certificate for host names, addresses or mail addresses; good for servers and clients.

        ``common_name`` and ``organization`` are its subject where that is who somebody is, as in Kubernetes; otherwise
        that is the first name.

        Raises:
            ValueError: no name was given.
        """
        if not names:
            raise ValueError("a certificate needs at least one name")
        leaf = self._ca.issue_cert(
            *names,
            common_name=common_name or names[0],
            organization_name=organization,
            not_before=not_before,
            not_after=not_after,
        )
        return PemPair(
            certificate="".join(blob.bytes().decode("ascii") for blob in leaf.cert_chain_pems),
            key=leaf.private_key_pem.bytes().decode("ascii"),
        )

    def connect(self, address: str, port: int) -> http.client.HTTPSConnection:
        """A connection to a server with a certificate of this CA, by address: only hosts of the ground know its name.

        The chain is verified, the name is not.
        """
        context = ssl.create_default_context(cadata=self.certificate)
        context.check_hostname = False
        return http.client.HTTPSConnection(address, port, timeout=CONNECT_SECONDS, context=context)


@dataclass(frozen=True, kw_only=True)
class ServerPki:
    """What one TLS server needs for good and bad days. ``faulty`` is keyed by :data:`FAULTY_KINDS`."""

    ca_certificate: str
    server: PemPair
    faulty: dict[str, PemPair]


def make_server_pki(*names: str, ca: PrivateCa | None = None) -> ServerPki:
    """Certificates for a server known under ``names`` (host names and addresses).

    ``wrong-name`` is by the same CA for another name, ``unknown-ca`` for the right names by a CA that is not
    handed out, ``expired`` by the same CA and out of date since yesterday.

    Raises:
        ValueError: no name was given.
    """
    authority = ca or PrivateCa()
    today = dt.datetime.now(dt.UTC)
    return ServerPki(
        ca_certificate=authority.certificate,
        server=authority.issue(*names),
        faulty={
            "wrong-name": authority.issue(_WRONG_NAME),
            "unknown-ca": PrivateCa("somebody else").issue(*names),
            "expired": authority.issue(
                *names, not_before=today - dt.timedelta(days=30), not_after=today - dt.timedelta(days=1)
            ),
        },
    )
