"""What people declare: domains that send, hosts that mail passes, and what is known of names elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailstack.dns.caa import CertificateUse
from mailstack.dns.further import FurtherRecord
from mailstack.dns.mta_sts import MtaStsRecord
from mailstack.dns.problems import Problem
from mailstack.dns.providers import Provider
from mailstack.dns.records import RecordSet
from mailstack.dns.sending import SendingDomain
from mailstack.dns.services import MailService
from mailstack.dns.spf import SpfPolicy
from mailstack.dns.spf_tree import Answers
from mailstack.dns.tlsa import TlsaHost

__all__ = ["DEFAULT_TTL", "Declared", "DnsDeclaration", "MailHost", "SendingDomain"]

DEFAULT_TTL = 3600  # seconds


@dataclass(frozen=True, kw_only=True)
class MailHost:
    """A host that mail passes: its public addresses, and whether it says this name in EHLO (``helo``).

    ``internal`` is a name for programs on our own hosts only: its address need not be one the Internet reaches.
    """

    name: str
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    helo: bool = False
    internal: bool = False


@dataclass(frozen=True, kw_only=True)
class DnsDeclaration:
    """Everything the records follow from.

    ``ttl`` in seconds, 30 to 86400, or 1 for Cloudflare's automatic. ``production`` refuses addresses that
    the internet cannot reach. ``complete`` says that the zones hold nothing but these records (a server of our
    own); without it an exchanger below a declared domain that is no declared host is a warning, not an error.
    ``aliases`` are names known to be CNAMEs elsewhere; ``cnames`` maps names to the targets of CNAMEs to declare.
    ``external_hosts`` are hosts below a declared domain whose addresses are published elsewhere. ``mta_sts`` are
    the records of the MTA-STS policies that are served. ``spf_answers`` are what DNS said a moment ago of the names
    that SPF records lead to; empty: nobody was asked. ``spf_parts`` are names that hold a part of an SPF record.

    ``certificates`` are those fetched by ACME, which CAA must permit. ``services`` are announced by SRV records.
    ``tlsa`` counts only in ``signed_zones``. ``providers`` are sending services with records in the domains' zones.
    ``further`` records are declared as they are.
    """

    ttl: int = DEFAULT_TTL
    domains: tuple[SendingDomain, ...]
    hosts: tuple[MailHost, ...] = ()
    production: bool
    complete: bool = False
    aliases: tuple[str, ...] = ()
    cnames: tuple[tuple[str, str], ...] = ()
    external_hosts: tuple[str, ...] = ()
    mta_sts: tuple[MtaStsRecord, ...] = ()
    spf_answers: Answers = field(default_factory=dict)
    spf_parts: tuple[tuple[str, SpfPolicy], ...] = ()
    certificates: tuple[CertificateUse, ...] = ()
    services: tuple[MailService, ...] = ()
    tlsa: tuple[TlsaHost, ...] = ()
    signed_zones: tuple[str, ...] = ()
    providers: tuple[Provider, ...] = ()
    further: tuple[FurtherRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The record set, and what is legal in it but likely a mistake.

    ``spf_lookups`` maps each name with an SPF record to the DNS lookups it costs a receiver (RFC 7208 §4.6.4).
    """

    records: RecordSet
    warnings: tuple[Problem, ...]
    spf_lookups: Mapping[str, int]
