"""Reads each part of a declaration alone: names, addresses, exchangers, keys, policies and texts."""

import ipaddress
from dataclasses import dataclass

from mailstack.dns.addresses import IPAddress, read_address
from mailstack.dns.declaration import DEFAULT_TTL, DnsDeclaration, MailHost
from mailstack.dns.dkim import DkimKey, read_keys
from mailstack.dns.dmarc import DmarcRecord, read_dmarc
from mailstack.dns.mta_sts import read_mta_sts
from mailstack.dns.names import NameRuleError, holder, normalise_name, read_name
from mailstack.dns.problems import Findings, shown
from mailstack.dns.records import (
    AUTOMATIC_TTL,
    MAX_PREFERENCE,
    MAX_TEXT_BYTES,
    NULL_MX,
    MailExchanger,
    is_plain_text,
)
from mailstack.dns.sending import SendingDomain
from mailstack.dns.spf import HELO_POLICY, SpfPolicy, SpfRecord, read_policy
from mailstack.dns.text_kinds import kind_of, refuse_place

__all__ = ["Parts", "ReadDomain", "ReadHost"]

NOBODY_SENDS = SpfRecord(terms=(), all="-all")  # of a parked domain: asked for, not left over by a lost sender
MIN_TTL, MAX_TTL = 30, 86400  # seconds; what Cloudflare takes
MIN_COMMON_TTL = 60  # seconds; what Cloudflare takes outside Enterprise


@dataclass
class ReadDomain:
    """A sending domain that has been read: only what was right is in it."""

    source: SendingDomain
    name: str
    exchangers: tuple[MailExchanger, ...] = ()
    keys: tuple[tuple[str, DkimKey], ...] = ()
    dmarc: DmarcRecord | None = None


@dataclass
class ReadHost:
    """A mail host that has been read."""

    source: MailHost
    name: str
    addresses: tuple[IPAddress, ...] = ()


class Parts:
    """The parts of a declaration that were right, read in its order; what was wrong is in ``findings``."""

    def __init__(self, declaration: DnsDeclaration, findings: Findings) -> None:
        """Read everything."""
        self.declaration = declaration
        self.findings = findings
        self.domains: dict[str, ReadDomain] = {}
        self.hosts: dict[str, ReadHost] = {}
        self.spf: dict[str, SpfRecord] = {}
        self._check_ttl()
        self.aliases = self._names("aliases", declaration.aliases)
        self.cnames = {
            name: target
            for source, wanted in declaration.cnames
            if (name := read_name(source, f"{source} CNAME", findings, service=True)) is not None
            and (target := read_name(wanted, f"{source} CNAME", findings, service=True)) is not None
        }
        self.external_hosts = self._names("external hosts", declaration.external_hosts)
        for host in declaration.hosts:
            self._read_host(host)
        for domain in declaration.domains:
            self._read_domain(domain)
        self._read_spf()
        self.mta_sts = read_mta_sts(declaration.mta_sts, self.domains, findings)

    def is_ours(self, name: str) -> bool:
        """Tell whether a name is a declared domain or below one."""
        return holder(name, self.domains) is not None

    def is_missing(self, name: str) -> bool:
        """Tell whether the zone of an undeclared name is ours and complete, so that the name cannot exist."""
        return self.declaration.complete and name not in self.external_hosts and self.is_ours(name)

    def _check_ttl(self) -> None:
        ttl = self.declaration.ttl
        if isinstance(ttl, bool) or not (ttl == AUTOMATIC_TTL or MIN_TTL <= ttl <= MAX_TTL):
            self.findings.error(
                "all records",
                "ttl-range",
                found=f"a TTL of {ttl!r}",
                expected=f"{MIN_TTL} to {MAX_TTL} seconds, or {AUTOMATIC_TTL} for automatic",
                fix=f"set `dns.ttl` to {DEFAULT_TTL}",
            )
        elif AUTOMATIC_TTL < ttl < MIN_COMMON_TTL:
            self.findings.warn(
                "all records",
                "ttl-range",
                found=f"a TTL of {ttl}",
                expected=f"at least {MIN_COMMON_TTL} seconds: Cloudflare takes less from Enterprise zones only",
                fix=f"set `dns.ttl` to {DEFAULT_TTL}, unless a change is near",
            )

    def _names(self, label: str, names: tuple[str, ...]) -> frozenset[str]:
        read = (read_name(name, label, self.findings, service=True) for name in names)
        return frozenset(name for name in read if name is not None)

    def _read_host(self, host: MailHost) -> None:
        label = f"{host.name} host"
        addresses = tuple(
            address
            for values, version in ((host.ipv4, 4), (host.ipv6, 6))
            for value in values
            if (address := self._address(value, version, label, internal=host.internal)) is not None
        )
        for address in dict.fromkeys(a for a in addresses if addresses.count(a) > 1):
            self.findings.error(
                label,
                "address-duplicate",
                found=f"{address} twice",
                expected="each address once",
                fix="remove one of them",
            )
        if not host.ipv4 and not host.ipv6:
            self.findings.error(
                label,
                "host-address",
                found="a host without addresses",
                expected="at least one: receivers look up the name in EHLO",
                fix="give `public_ipv4`, `public_ipv6` or both",
            )
        name = read_name(host.name, label, self.findings)
        if name is None:
            return
        if name in self.hosts:
            self.findings.error(
                label,
                "host-duplicate",
                found=f"the host {name} declared twice",
                expected="one declaration with all its addresses",
                fix="merge the two",
            )
            return
        self.hosts[name] = ReadHost(host, name, addresses)

    def _address(self, value: str, version: int, label: str, *, internal: bool) -> IPAddress | None:
        production = self.declaration.production and not internal
        return read_address(value, version, label, self.findings, production=production)

    def _read_domain(self, domain: SendingDomain) -> None:
        name = read_name(domain.name, f"{domain.name} domain", self.findings)
        if name is None:
            return
        if name in self.domains:
            self.findings.error(
                f"{name} domain",
                "domain-duplicate",
                found=f"the domain {name} declared twice",
                expected="one declaration: two SPF or DMARC records at one name cancel each other",
                fix="merge the two entries of `domains`",
            )
            return
        self.domains[name] = ReadDomain(
            domain,
            name,
            exchangers=self._read_exchangers(domain, name),
            keys=read_keys(domain.dkim, name, self.findings),
            dmarc=None if domain.dmarc is None else read_dmarc(domain.dmarc, name, self.findings),
        )
        # A name that is an alias of the provider's holds no key of ours.
        aliases = {place: key.alias for place, key in self.domains[name].keys if key.alias is not None}
        self.cnames |= {place: normalise_name(target, service=True) for place, target in aliases.items()}
        self._check_texts(domain, name)

    def _read_exchangers(self, domain: SendingDomain, name: str) -> tuple[MailExchanger, ...]:
        label = f"{name} MX"
        if domain.mx is None:
            return (NULL_MX,)
        read = [exchanger for mx in domain.mx if (exchanger := self._read_exchanger(mx, label)) is not None]
        if NULL_MX in read and len(domain.mx) > 1:
            self.findings.error(
                label,
                "mx-null",
                found='a null MX (".") beside other exchangers',
                expected="the null MX alone: it says that the domain takes no mail",
                fix='remove ".", or write `mx` as an empty list',
            )
        names = [mx.exchange for mx in read]
        for exchange in dict.fromkeys(exchange for exchange in names if names.count(exchange) > 1):
            self.findings.error(
                label,
                "mx-duplicate",
                found=f"{exchange} {names.count(exchange)} times",
                expected="each exchanger once: a second preference for one host changes nothing",
                fix="keep the one with the lower preference",
            )
        return tuple(read)

    def _read_exchanger(self, mx: MailExchanger, label: str) -> MailExchanger | None:
        preference = mx.preference
        if not isinstance(preference, int) or isinstance(preference, bool) or not 0 <= preference <= MAX_PREFERENCE:
            self.findings.error(
                label,
                "mx-preference",
                found=f"preference {preference!r} for {shown(mx.exchange)}",
                expected=f"a whole number of 0 to {MAX_PREFERENCE}",
                fix="write 10, or a lower number for the host to try first",
            )
            return None
        if mx.exchange in {".", ""}:
            if mx == NULL_MX:
                return NULL_MX
            self.findings.error(
                label,
                "mx-null",
                found=f"{shown(mx.exchange)} with preference {preference}",
                expected='a null MX of preference 0 and exchange ".", or a host name',
                fix="write `mx` as an empty list if the domain takes no mail",
            )
            return None
        try:
            return MailExchanger(preference=preference, exchange=normalise_name(mx.exchange))
        except NameRuleError as error:
            is_address = _is_address(mx.exchange)
            self.findings.error(
                label,
                "mx-target" if is_address else error.rule,
                found=f"the IP address {shown(mx.exchange)}" if is_address else error.found,
                expected="the name of a mail host" if is_address else error.expected,
                fix="write the name that has this address" if is_address else error.fix,
            )
            return None

    def _check_texts(self, domain: SendingDomain, name: str) -> None:
        label = f"{name} TXT"
        for text in domain.texts:
            if not is_plain_text(text) or not text:
                self.findings.error(
                    label,
                    "txt-characters",
                    found=repr(text)[:80],
                    expected="printable ASCII on one line",
                    fix="remove line breaks and other control or non-ASCII characters",
                )
            elif len(text) > MAX_TEXT_BYTES:
                self.findings.error(
                    label,
                    "txt-length",
                    found=f"a value of {len(text)} bytes",
                    expected=f"at most {MAX_TEXT_BYTES}",
                    fix="shorten it",
                )
            else:
                self._check_text_place(text, name, label)
        for text in dict.fromkeys(t for t in domain.texts if domain.texts.count(t) > 1):
            self.findings.error(
                label, "txt-duplicate", found=f"{shown(text)} twice", expected="each value once", fix="remove one"
            )

    def _check_text_place(self, text: str, name: str, label: str) -> None:
        if kind_of(name, text) != "SPF":
            refuse_place(name, text, label, self.findings)
            return
        self.findings.error(
            label,
            "spf-single",
            found=f"a second SPF record, {shown(text)}",
            expected="exactly one: with two, receivers answer permerror",
            fix="put its terms into `spf.include` and `spf.mechanisms`",
        )

    def _read_spf(self) -> None:
        for name, domain in self.domains.items():
            if domain.source.profile == "parked":
                self.spf[name] = NOBODY_SENDS
                continue
            policy = domain.source.spf
            host = self.hosts.get(name)
            if host is not None and host.source.helo:
                # A host that says the domain's own name in EHLO shares the domain's one record.
                policy = SpfPolicy.merged(policy, SpfPolicy(mechanisms=("a",), all=policy.all))
            self.spf[name] = read_policy(policy, name, self.findings, production=self.declaration.production)
        for part, policy in self.declaration.spf_parts:
            self.spf[part] = read_policy(policy, part, self.findings, production=self.declaration.production)
        for name, host in self.hosts.items():
            if host.source.helo and name not in self.spf:
                self.spf[name] = read_policy(HELO_POLICY, name, self.findings, production=True)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]").removesuffix("."))
    except ValueError:
        return False
    return True
