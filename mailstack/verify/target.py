"""What is looked at: the part of a stack that the world can see, as plain data. Made of a plan, of outputs or of flags.

The stack exports it (output ``verify``), so who looks needs neither the stack's secrets nor its files.
"""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mailstack.verify.labels import a_labels

__all__ = ["DkimTarget", "DomainTarget", "HostTarget", "Listener", "MtaStsTarget", "Target"]

VERSION = 1

Name = Annotated[str, AfterValidator(a_labels)]  # lower case, no final dot, A-labels, however it was written


def _address(value: str) -> str:
    return str(ipaddress.ip_address(value))


Address = Annotated[str, AfterValidator(_address)]  # IPv4 or IPv6, in its shortest form


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DkimTarget(_Part):
    """A selector. ``text`` is the whole record as declared, None where only the selector is known.

    ``revoked``: an empty key is right. ``alias``: the name is a CNAME to this name, whose owner holds the key.
    """

    selector: str
    text: str | None = None
    revoked: bool = False
    alias: Name | None = None


class MtaStsTarget(_Part):
    """The policy that is served: mode ``enforce``, ``testing`` or ``none``, its mail hosts, its id."""

    mode: str
    mx: tuple[Name, ...] = ()
    policy_id: str | None = None


class DomainTarget(_Part):
    """A domain. What is None is not known, and then only what DNS says itself can be held against the rules.

    ``receives``: whether it takes mail; False expects a null MX. ``mx`` are the exchangers as ``(preference, host)``.
    ``spf`` is the record as declared; ``senders`` the addresses that send for it, directly or for a relay.
    ``return_paths`` are the domains in MAIL FROM. ``dmarc`` is the record as declared. ``parked``: no mail at all.
    ``tracking`` are names for links in mail, ``records`` any further declared records, ``(name, type, rdata)``.
    """

    name: Name
    receives: bool | None = None
    parked: bool = False
    mx: tuple[tuple[int, Name], ...] | None = None
    spf: str | None = None
    senders: tuple[Address, ...] = ()
    return_paths: tuple[Name, ...] = ()
    dkim: tuple[DkimTarget, ...] = ()
    dmarc: str | None = None
    mta_sts: MtaStsTarget | None = None
    tls_rpt: str | None = None
    bimi: str | None = None
    tracking: tuple[Name, ...] = ()
    records: tuple[tuple[Name, str, str], ...] = ()


class Listener(_Part):
    """A port that a host is to have open to the Internet.

    ``tls`` is ``starttls``, ``implicit`` or ``none``; ``protocol`` is ``smtp``, ``https`` or ``dns`` (UDP and TCP).
    ``role`` is ``mx`` (takes mail from strangers for its own domains), ``submission`` (AUTH asked for), ``web`` or
    ``dns``. ``name`` is the name of the certificate.
    """

    port: int
    protocol: str = "smtp"
    tls: str = "starttls"
    role: str = "mx"
    name: Name | None = None


class HostTarget(_Part):
    """A host with a name the world sees. ``helo``: it says this name in EHLO when it sends.

    ``addresses`` are those declared, empty where DNS is to say. ``ports``: what is open to the Internet; None is not
    known. ``ssh`` is ``user@address:port`` where its certificates and health can be read, None where they cannot.
    """

    name: Name
    addresses: tuple[Address, ...] = ()
    helo: bool = False
    ports: tuple[Listener, ...] | None = None


class Target(_Part):
    """Everything that is looked at. ``zones`` maps a zone to the servers it is to be delegated to (empty: unknown).

    ``issuers`` are the CAA names of the certificate authorities in use. ``web`` are names served over HTTPS.
    ``complete`` says that everything about the domains is declared here, so that what is missing is a mistake.
    """

    version: int = VERSION
    stack: str = ""
    domains: tuple[DomainTarget, ...] = ()
    hosts: tuple[HostTarget, ...] = ()
    zones: dict[Name, tuple[Name, ...]] = Field(default_factory=dict)
    issuers: tuple[str, ...] = ()
    web: tuple[Name, ...] = ()
    complete: bool = False
