"""Postal's ``smtp_relays``: names of TLS modes that mean what they say, and hosts Postal can really look up.

Source: lib/postal/config_schema.rb, app/lib/smtp_client/{ssl_modes,endpoint,server}.rb of postalserver/postal 3.3.6.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["SSL_MODES", "Relay", "RelayError", "Tls", "relay_url"]

Tls = Literal["auto", "tls", "none", "starttls-verified"]

# Postal compares case-sensitively, and anything it does not know means plain text. The verified STARTTLS mode is
# spelt "STARTLS" in its source: the correct spelling would switch TLS off.
SSL_MODES: Mapping[str, str] = {"auto": "Auto", "tls": "TLS", "none": "None", "starttls-verified": "STARTLS"}
HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")


class RelayError(ValueError):
    """The relay cannot be used by Postal; the text says why and what to write instead."""


@dataclass(frozen=True, kw_only=True)
class Relay:
    """A host Postal hands all outgoing mail to. Postal cannot log in there: the relay must know it by address."""

    name: str
    port: int = 25
    tls: Tls = "starttls-verified"

    def __post_init__(self) -> None:
        """Refuse what Postal would accept and then fail on, or send in clear."""
        if _is_address(self.name):
            raise RelayError(
                f"relay {self.name}: Postal only asks DNS for relays and never tries an address; "
                "use a name with an A record, it may point to a private address"
            )
        if self.name.rstrip(".").lower() in {"localhost", "localhost.localdomain"}:
            raise RelayError(
                f"relay {self.name}: inside a container this is the container itself; use a name with an A record"
            )
        if not HOST_NAME.match(self.name):
            raise RelayError(f"relay {self.name!r}: not a host name in lower case (RFC 1123)")
        if not 1 <= self.port <= 65535:
            raise RelayError(f"relay {self.name}: port {self.port} is not between 1 and 65535")
        if self.tls not in SSL_MODES:
            raise RelayError(f"relay {self.name}: tls {self.tls!r} is none of {', '.join(SSL_MODES)}")
        if self.tls == "tls" and self.port in {25, 587}:
            raise RelayError(
                f"relay {self.name}: port {self.port} starts in clear, so tls mode 'tls' cannot work; "
                "use 'starttls-verified', or port 465"
            )


def relay_url(relay: Relay) -> str:
    """Return the entry for ``postal.smtp_relays``. Only host, port and mode are ever read by Postal."""
    return f"smtp://{relay.name}:{relay.port}?ssl_mode={SSL_MODES[relay.tls]}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
