"""From a declaration to its record set: one pure function, every rule checked, every problem reported at once."""

import hashlib
import ipaddress
import re
from dataclasses import dataclass, field

from mailstack.dns.addresses import IPAddress, read_address
from mailstack.dns.dkim import DkimKey, read_keys
from mailstack.dns.dmarc import REPORT_PERMISSION, DmarcPolicy, DmarcRecord, read_dmarc, report_permission_name
from mailstack.dns.names import NameRuleError, is_within, normalise_name, read_name
from mailstack.dns.problems import Findings, Problem, shown
from mailstack.dns.records import (
    AUTOMATIC_TTL,
    MAX_PREFERENCE,
    MAX_TEXT_BYTES,
    NULL_MX,
    Address,
    Alias,
    MailExchanger,
    Record,
    RecordData,
    RecordSet,
    Text,
    is_plain_text,
)
from mailstack.dns.spf import (
    HELO_POLICY,
    MAX_LOOKUPS,
    MAX_MX_HOSTS,
    SpfPolicy,
    SpfRecord,
    SpfTerm,
    lookup_costs,
    read_policy,
)

__all__ = ["Declared", "DnsDeclaration", "MailHost", "SendingDomain", "declare", "mta_sts_id"]

_POLICY_ID = re.compile(r"[A-Za-z0-9]{1,32}")

DEFAULT_TTL = 3600  # seconds
MIN_TTL, MAX_TTL = 60, 86400  # seconds; what Cloudflare takes outside Enterprise
TEXT_WARN_BYTES = 450  # TXT data at one name that still leaves room for the rest of a 512-byte answer
TEXT_LIMIT_BYTES = 512  # a UDP answer without EDNS (RFC 7208 §3.4)


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
class SendingDomain:
    """A domain that stands in From or MAIL FROM.

    ``mx``: its mail exchangers; None publishes a null MX (takes no mail, RFC 7505); empty leaves MX alone.
    ``dmarc`` None is for a subdomain that the policy of a declared parent covers. ``texts`` are other TXT
    values at the domain's name, such as site verifications; they count towards the size of the answer.
    """

    name: str
    mx: tuple[MailExchanger, ...] | None = ()
    spf: SpfPolicy
    dkim: tuple[DkimKey, ...] = ()
    dmarc: DmarcPolicy | None
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DnsDeclaration:
    """Everything the records follow from.

    ``ttl`` in seconds, 60 to 86400, or 1 for Cloudflare's automatic. ``production`` refuses addresses that
    the internet cannot reach. ``complete`` says that the zones hold nothing but these records (a server of our
    own); without it an exchanger below a declared domain that is no declared host is a warning, not an error.
    ``aliases`` are names known to be CNAMEs elsewhere; ``cnames`` maps names to the targets of CNAMEs to declare.
    ``external_hosts`` are hosts below a declared domain whose addresses are published elsewhere. ``mta_sts`` maps
    domains whose MTA-STS policy is served to the policy's id (see ``mta_sts_id``), which tells senders to fetch it.
    """

    ttl: int = DEFAULT_TTL
    domains: tuple[SendingDomain, ...]
    hosts: tuple[MailHost, ...] = ()
    production: bool
    complete: bool = False
    aliases: tuple[str, ...] = ()
    cnames: tuple[tuple[str, str], ...] = ()
    external_hosts: tuple[str, ...] = ()
    mta_sts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The record set, and what is legal in it but likely a mistake."""

    records: RecordSet
    warnings: tuple[Problem, ...]


def mta_sts_id(policy: str) -> str:
    """Return the id of a policy's text: the same text has the same one, any other another (RFC 8461 §3.1)."""
    return hashlib.sha256(policy.encode()).hexdigest()[:32]


def declare(declaration: DnsDeclaration) -> Declared:
    """Return the records that follow from a declaration. Raises ``DnsRuleError`` with every broken rule."""
    return _Declaring(declaration).run()


@dataclass
class _Domain:
    """A sending domain that has been read: only what was right is in it."""

    source: SendingDomain
    name: str
    exchangers: tuple[MailExchanger, ...] = ()
    keys: tuple[tuple[str, DkimKey], ...] = ()
    dmarc: DmarcRecord | None = None


@dataclass
class _Host:
    """A mail host that has been read."""

    source: MailHost
    name: str
    addresses: tuple[IPAddress, ...] = ()


@dataclass
class _Declaring:
    """One run of ``declare``: first everything is read alone, then held against the rest."""

    declaration: DnsDeclaration
    findings: Findings = field(default_factory=Findings)
    domains: dict[str, _Domain] = field(default_factory=dict)
    hosts: dict[str, _Host] = field(default_factory=dict)
    spf: dict[str, SpfRecord] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()
    external_hosts: frozenset[str] = frozenset()
    cnames: dict[str, str] = field(default_factory=dict)
    data: list[tuple[str, RecordData]] = field(default_factory=list)

    def run(self) -> Declared:
        self._check_ttl()
        self.aliases = self._names("aliases", self.declaration.aliases)
        self.cnames = {
            name: target
            for source, wanted in self.declaration.cnames
            if (name := read_name(source, f"{source} CNAME", self.findings, service=True)) is not None
            and (target := read_name(wanted, f"{source} CNAME", self.findings, service=True)) is not None
        }
        self.external_hosts = self._names("external hosts", self.declaration.external_hosts)
        for host in self.declaration.hosts:
            self._read_host(host)
        for domain in self.declaration.domains:
            self._read_domain(domain)
        self._read_spf()
        for read in self.domains.values():
            self._check_exchangers(read)
            self._check_dmarc_cover(read)
            self._check_dkim(read)
            self._check_hosts_of_domain(read)
        for name in self.spf:
            self._check_lookups(name)
        self._collect()
        self._check_names()
        self.findings.raise_errors()
        records = RecordSet.of(Record.of(name, self.declaration.ttl, data) for name, data in self.data)
        return Declared(records=records, warnings=tuple(self.findings.warnings))

    # Reading each part alone.

    def _check_ttl(self) -> None:
        ttl = self.declaration.ttl
        if isinstance(ttl, bool) or not (ttl == AUTOMATIC_TTL or MIN_TTL <= ttl <= MAX_TTL):
            self.findings.error(
                "all records",
                "ttl-range",
                found=f"a TTL of {ttl!r}",
                expected=f"{MIN_TTL} to {MAX_TTL} seconds, or {AUTOMATIC_TTL} for automatic",
                fix=f"set ttl to {DEFAULT_TTL}",
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
                fix="give ipv4, ipv6 or both",
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
        self.hosts[name] = _Host(host, name, addresses)

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
                fix="merge the two into one entry",
            )
            return
        self.domains[name] = _Domain(
            domain,
            name,
            exchangers=self._read_exchangers(domain, name),
            keys=read_keys(domain.dkim, name, self.findings),
            dmarc=None if domain.dmarc is None else read_dmarc(domain.dmarc, name, self.findings),
        )
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
                fix='remove "."; an empty list, mx: [], is the null MX',
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
                fix="write an empty list, mx: [], if the domain takes no mail",
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
                fix="declare a host with that address and name it here" if is_address else error.fix,
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
                self._check_text_place(text, label)
        for text in dict.fromkeys(t for t in domain.texts if domain.texts.count(t) > 1):
            self.findings.error(
                label, "txt-duplicate", found=f"{shown(text)} twice", expected="each value once", fix="remove one"
            )

    def _check_text_place(self, text: str, label: str) -> None:
        lowered = text.strip().lower()
        if lowered.startswith("v=spf1"):
            self.findings.error(
                label,
                "spf-single",
                found=f"a second SPF record, {shown(text)}",
                expected="exactly one: with two, receivers answer permerror",
                fix="put its terms into the domain's spf",
            )
        elif lowered.startswith("spf2.0"):
            self.findings.error(
                label,
                "spf-sender-id",
                found=f"a Sender ID record, {shown(text)}",
                expected="no such record: Sender ID is dead",
                fix="remove it",
            )
        elif lowered.startswith(("v=dmarc1", "v=dkim1")):
            self.findings.error(
                label,
                "txt-place",
                found=f"{shown(text)} at the domain itself",
                expected="DMARC at _dmarc and DKIM at <selector>._domainkey; here nobody reads it",
                fix="declare it as dmarc or dkim of the domain",
            )

    # SPF: one record for each name.

    def _read_spf(self) -> None:
        for name, domain in self.domains.items():
            policy = domain.source.spf
            host = self.hosts.get(name)
            if host is not None and host.source.helo:
                # A host that says the domain's own name in EHLO shares the domain's one record.
                own = SpfPolicy(mechanisms=("a",), all=policy.all, redirect=policy.redirect)
                policy = SpfPolicy.merged(policy, own)
            self.spf[name] = read_policy(policy, name, self.findings, production=self.declaration.production)
        for name, host in self.hosts.items():
            if host.source.helo and name not in self.spf:
                self.spf[name] = read_policy(HELO_POLICY, name, self.findings, production=True)

    def _check_lookups(self, name: str) -> None:
        label = f"{name} SPF"
        for term in self.spf[name].terms:
            self._check_target(name, term)
        costs, loop = lookup_costs(name, self.spf)
        if loop is not None:
            self.findings.error(
                label,
                "spf-include-loop",
                found=f"a loop: {' -> '.join(loop)}",
                expected="includes that end",
                fix=f"remove the include of {loop[-1]}",
            )
            return
        total = sum(number for _, number in costs)
        if total > MAX_LOOKUPS:
            listed = ", ".join(f"{text} {number}" for text, number in costs)
            self.findings.error(
                label,
                "spf-lookups",
                found=f"{total} DNS lookups ({listed})",
                expected=f"at most {MAX_LOOKUPS}, nested ones counted: above that receivers answer permerror",
                fix="remove senders no longer used, write own hosts as ip4:/ip6:, or move a sender to a subdomain",
            )

    def _check_target(self, name: str, term: SpfTerm) -> None:
        label = f"{name} SPF"
        if term.kind == "mx":
            self._check_mx_term(name, term)
        if term.kind == "a":
            self._check_a_term(name, term)
        if term.kind not in {"include", "redirect"}:
            return
        if term.domain is None:
            self._check_cost(label, term)
            return
        known = term.domain in self.spf
        is_host = term.domain in self.hosts and term.domain not in self.domains
        if is_host or (not known and self._is_missing(term.domain)):
            self.findings.error(
                label,
                "spf-include-target",
                found=f"{term.text}, which " + ("is a host" if is_host else "has no SPF record in its zone"),
                expected="a name with an SPF record for other domains: without one receivers answer permerror",
                fix=f"write a:{term.domain}" if is_host else f"remove {term.text}, or declare {term.domain}",
            )
        elif not known:
            self._check_cost(label, term)

    def _check_cost(self, label: str, term: SpfTerm) -> None:
        if term.cost is None:
            self.findings.warn(
                label,
                "spf-include-cost",
                found=f"{term.text}, whose own lookups are not known",
                expected=f"its cost, so that the {MAX_LOOKUPS} lookups can be counted; 1 is assumed",
                fix="count them with an SPF checker, and give the number in spf.lookups",
            )

    def _is_missing(self, name: str) -> bool:
        """Tell whether the zone of an undeclared name is ours and complete, so that the name cannot exist."""
        return self.declaration.complete and name not in self.external_hosts and self._is_ours(name)

    def _note_void(self, label: str, term: SpfTerm, why: str) -> None:
        self.findings.error(
            label,
            "spf-void",
            found=f"{term.text}, but {why} in its zone",
            expected="names that exist: a lookup without answer matches nothing, and a third one is permerror",
            fix=f"remove {term.text}, or declare what it names",
        )

    def _check_a_term(self, name: str, term: SpfTerm) -> None:
        asked = term.target(name)
        if asked is not None and asked not in self.hosts and self._is_missing(asked):
            self._note_void(f"{name} SPF", term, f"{asked} has no address")

    def _check_mx_term(self, name: str, term: SpfTerm) -> None:
        asked = term.target(name)
        target = self.domains.get(asked or "")
        if target is None:
            if asked is not None and self._is_missing(asked):
                self._note_void(f"{name} SPF", term, f"{asked} has no MX")
            return
        if target.exchangers == (NULL_MX,):
            self.findings.error(
                f"{name} SPF",
                "spf-mx-empty",
                found=f"{term.text}, but {target.name} has a null MX",
                expected="mx only where there are exchangers: it costs a lookup and matches nothing",
                fix=f"remove {term.text}",
            )
        elif len(target.exchangers) > MAX_MX_HOSTS:
            self.findings.error(
                f"{name} SPF",
                "spf-mx-hosts",
                found=f"{term.text}, but {target.name} has {len(target.exchangers)} exchangers",
                expected=f"at most {MAX_MX_HOSTS} behind one mx: above that receivers answer permerror",
                fix="write the addresses as ip4: and ip6:",
            )

    # Each domain against the rest.

    def _check_exchangers(self, domain: _Domain) -> None:
        label = f"{domain.name} MX"
        if domain.exchangers == (NULL_MX,):
            self.findings.warn(
                label,
                "mx-null-sender",
                found="a null MX on a domain that sends",
                expected="a place for bounces: receivers may refuse mail from a domain that takes none",
                fix="give the mx of the mailboxes, unless another domain stands in MAIL FROM",
            )
        elif not domain.source.mx:
            self.findings.warn(
                label,
                "mx-none",
                found="no MX declared",
                expected="MX records, or a null MX: without either, bounces go to the address of the web site",
                fix="declare mx, unless it is published outside this stack",
            )
        for mx in domain.exchangers:
            self._check_exchange(mx.exchange, label)

    def _check_exchange(self, exchange: str, label: str) -> None:
        if exchange in self.aliases or exchange in self.cnames:
            self.findings.error(
                label,
                "mx-alias",
                found=f"{exchange}, which is a CNAME",
                expected="a name with addresses of its own",
                fix="name the target of the CNAME",
            )
        elif (
            exchange not in self.hosts
            and exchange not in self.external_hosts
            and any(is_within(exchange, name) for name in self.domains)
        ):
            note = self.findings.error if self.declaration.complete else self.findings.warn
            note(
                label,
                "mx-address",
                found=f"{exchange}, which has no address in this declaration",
                expected="an A or AAAA record for every exchanger",
                fix="name an exchanger in another zone, or a host of the stack: relay.hostname, postal.smtp_hostname",
            )

    def _check_dmarc_cover(self, domain: _Domain) -> None:
        label = f"{domain.name} DMARC"
        if domain.source.dmarc is None and not any(
            other.source.dmarc is not None and is_within(domain.name, name) for name, other in self.domains.items()
        ):
            self.findings.error(
                label,
                "dmarc-missing",
                found="no DMARC policy",
                expected="a policy here or at a declared parent domain",
                fix='set dmarc; start with policy "none" and aggregate_reports',
            )
        for receiver in domain.dmarc.report_domains if domain.dmarc is not None else ():
            self._check_receiver(domain, receiver, label)

    def _check_receiver(self, domain: _Domain, receiver: str, label: str) -> None:
        known = self.domains.get(receiver)
        if known is not None and known.exchangers == (NULL_MX,):
            self.findings.error(
                label,
                "dmarc-report-mailbox",
                found=f"reports to {receiver}, which has a null MX",
                expected="a domain that takes mail",
                fix=f"give {receiver} an mx, or send reports elsewhere",
            )
        permission = report_permission_name(domain.name, receiver, self.domains)
        if permission is not None and not self._is_ours(receiver):
            self.findings.warn(
                label,
                "dmarc-report-authorisation",
                found=f"reports to {receiver}, outside the declared domains",
                expected=f'{permission} TXT "{REPORT_PERMISSION}" in the DNS of {receiver}: without it none are sent',
                fix="ask them to publish it; report services usually do so with a wildcard",
            )

    def _is_ours(self, name: str) -> bool:
        return any(is_within(name, domain) for domain in self.domains)

    def _check_dkim(self, domain: _Domain) -> None:
        covered_subdomain = domain.source.dmarc is None
        if not domain.source.dkim or (domain.keys and all(key.revoked for _, key in domain.keys)):
            if covered_subdomain:
                return
            self.findings.warn(
                f"{domain.name} DKIM",
                "dkim-missing",
                found="no key in use" if domain.source.dkim else "no key",
                expected="a signature of the domain: without it forwarded mail fails DMARC",
                fix="declare the signer's public key; for Google Workspace the console shows it",
            )

    def _check_hosts_of_domain(self, domain: _Domain) -> None:
        """Warn when SPF lets only some addresses of a sending host pass: the others fail now and then."""
        record = self.spf[domain.name]
        for host in self.hosts.values():
            passed = [address for address in host.addresses if record.covers(address)]
            named = any(
                not term.qualifier and term.kind == "a" and term.target(domain.name) == host.name
                for term in record.terms
            )
            missing = [str(address) for address in host.addresses if address not in passed]
            if host.source.helo and passed and missing and not named:
                self.findings.warn(
                    f"{domain.name} SPF",
                    "spf-host-partial",
                    found=f"only {', '.join(map(str, passed))} of the host {host.name}",
                    expected=f"all addresses it may send from: {', '.join(missing)} would fail",
                    fix=f"add a:{host.name}, or the missing addresses",
                )

    # The records, and rules on the names that come out.

    def _collect(self) -> None:
        for host in self.hosts.values():
            self.data += [(host.name, Address(ip=str(address))) for address in host.addresses]
        for name, record in self.spf.items():
            texts = (record.text, *(self.domains[name].source.texts if name in self.domains else ()))
            if self._fits(name, record.text, texts):
                self.data.append((name, Text(value=record.text)))
        self.data += [(name, Alias(target=target)) for name, target in self.cnames.items()]
        for domain in self.domains.values():
            self.data += [(domain.name, mx) for mx in domain.exchangers]
            self.data += [(domain.name, Text(value=text)) for text in domain.source.texts if is_plain_text(text)]
            self.data += [(name, Text(value=key.text)) for name, key in domain.keys]
            if domain.dmarc is not None:
                self._collect_dmarc(domain, domain.dmarc)
        self._collect_mta_sts()

    def _collect_mta_sts(self) -> None:
        for domain, identity in self.declaration.mta_sts:
            label = f"{domain} MTA-STS"
            if not _POLICY_ID.fullmatch(identity):
                self.findings.error(
                    label,
                    "mta-sts-id",
                    found=f"the id {shown(identity)}",
                    expected="1 to 32 letters and digits",
                    fix="take the one that mta_sts_id makes of the policy",
                )
            self._add_below("_mta-sts", domain, f"v=STSv1; id={identity};", label)

    def _collect_dmarc(self, domain: _Domain, dmarc: DmarcRecord) -> None:
        self._add_below("_dmarc", domain.name, dmarc.text, f"{domain.name} DMARC")
        for receiver in dmarc.report_domains:
            permission = report_permission_name(domain.name, receiver, self.domains)
            if permission is not None and self._is_ours(receiver):
                label = permission.removesuffix(f".{receiver}")
                self._add_below(label, receiver, REPORT_PERMISSION, f"{domain.name} DMARC")

    def _add_below(self, prefix: str, parent: str, text: str, label: str) -> None:
        name = read_name(f"{prefix}.{parent}", label, self.findings, service=True)
        if name is not None:
            self.data.append((name, Text(value=text)))

    def _fits(self, name: str, spf: str, texts: tuple[str, ...]) -> bool:
        """Check the size of the TXT answer at a name; False when the SPF record alone is too long."""
        if len(spf) > TEXT_LIMIT_BYTES:
            self.findings.error(
                f"{name} SPF",
                "txt-size",
                found=f"an SPF record of {len(spf)} bytes",
                expected=f"at most {TEXT_LIMIT_BYTES}, better {TEXT_WARN_BYTES}: it must fit into a UDP answer",
                fix="join addresses to ranges, or move senders to a subdomain",
            )
            return False
        total = sum(len(text) for text in texts)
        if total > TEXT_WARN_BYTES:
            over = total > TEXT_LIMIT_BYTES
            self.findings.warn(
                f"{name} SPF",
                "txt-size",
                found=f"{total} bytes of TXT at {name}, of which SPF has {len(spf)}",
                expected=f"at most {TEXT_WARN_BYTES}: "
                + ("this does not fit" if over else "more may not fit")
                + f" into a UDP answer of {TEXT_LIMIT_BYTES} bytes",
                fix="remove verification texts no longer needed, or shorten the SPF record",
            )
        return True

    def _check_names(self) -> None:
        taken = {name for name, data in self.data if name in self.aliases}
        taken |= {name for name, data in self.data if name in self.cnames and not isinstance(data, Alias)}
        for name in sorted(taken):
            self.findings.error(
                f"{name} records",
                "cname-exclusive",
                found=f"records at {name}, which is a CNAME",
                expected="a CNAME alone at its name",
                fix="remove the CNAME, or use another name",
            )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]").removesuffix("."))
    except ValueError:
        return False
    return True
