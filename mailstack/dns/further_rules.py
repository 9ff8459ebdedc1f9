"""Further records held against the rules of their type and against the records that follow from the stack."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mailstack.dns.addresses import read_address
from mailstack.dns.caa import check_caa
from mailstack.dns.domain_rules import check_exchange
from mailstack.dns.further import FurtherRecord
from mailstack.dns.names import WILDCARD, NameRuleError, lineage, normalise_owner
from mailstack.dns.parts import MAX_TTL, MIN_COMMON_TTL, Parts
from mailstack.dns.presentation import read_data
from mailstack.dns.problems import Findings, shown
from mailstack.dns.rdata import (
    MAX_NUMBER,
    NULL_MX,
    RECORD_TYPES,
    Address,
    Alias,
    Caa,
    MailExchanger,
    NameServer,
    RecordData,
    Srv,
    Text,
    Tlsa,
    data_fault,
    type_of,
)
from mailstack.dns.records import AUTOMATIC_TTL
from mailstack.dns.services import check_srv
from mailstack.dns.text_kinds import SETTINGS, kind_of, refuse_place
from mailstack.dns.tlsa import check_tlsa

__all__ = ["check_further", "read_further"]

NamedData = tuple[str, RecordData]
MAIL_PORTS = ("_25.", "_465.", "_587.")  # how the names of their TLSA records begin
EXAMPLES: Mapping[str, str] = {
    "A": "198.51.100.7",
    "AAAA": "2001:db8::7",
    "CNAME": "www.example.net",
    "MX": "10 mx.example.net",
    "NS": "ns1.example.net",
    "SRV": "0 1 465 mail.example.net",
    "TLSA": "3 1 1 and 64 hexadecimal digits",
    "CAA": '0 issue "letsencrypt.org"',
}


@dataclass(frozen=True, kw_only=True)
class Read:
    """One further record that could be read."""

    label: str
    name: str
    ttl: int
    data: RecordData


def read_further(parts: Parts) -> list[Read]:
    """Return the further records that could be read; what is wrong with the others is noted."""
    return [read for record in parts.declaration.further for read in _read(record, parts)]


def _read(record: FurtherRecord, parts: Parts) -> Iterator[Read]:
    label, findings = f"{record.place} {record.name} {record.type}", parts.findings
    try:
        name = normalise_owner(record.name)
    except NameRuleError as error:
        findings.refuse(label, error)
        return
    if record.type not in RECORD_TYPES:
        findings.error(
            label,
            "record-type",
            found=f"the type {shown(record.type)}",
            expected=f"one of {', '.join(RECORD_TYPES)}",
            fix="publish it where the zone is kept; other records of a zone stay as they are",
        )
        return
    ttl = parts.declaration.ttl if record.ttl is None else record.ttl
    if record.ttl is not None and ttl != AUTOMATIC_TTL and not MIN_COMMON_TTL <= ttl <= MAX_TTL:
        findings.error(
            label,
            "ttl-range",
            found=f"a TTL of {ttl}",
            expected=f"{MIN_COMMON_TTL} to {MAX_TTL} seconds",
            fix="leave `dns.records.ttl` out, or write 3600",
        )
        return
    for value in record.values:
        data = _data(record.type, name, value, label, parts)
        if data is not None:
            yield Read(label=label, name=name, ttl=ttl, data=data)


def _data(type_: str, name: str, value: str, label: str, parts: Parts) -> RecordData | None:
    """Return the data of a value; what is wrong with it is noted and None returned."""
    findings = parts.findings
    if type_ in {"A", "AAAA"}:
        address = read_address(
            value, 4 if type_ == "A" else 6, label, findings, production=parts.declaration.production
        )
        return None if address is None else Address(ip=str(address))
    try:
        data = read_data(type_, value)
    except NameRuleError as error:
        findings.refuse(label, error)
        return None
    except ValueError:
        findings.error(
            label,
            "record-data",
            found=shown(value),
            expected=f"the data of a record of type {type_} as a zone file has it",
            fix=f"write it like {EXAMPLES[type_]}",
        )
        return None
    # Records of these types are read by their own rules, which say more.
    if isinstance(data, Caa):
        return data if check_caa(data, label, findings) else None
    if isinstance(data, Tlsa):
        return data if check_tlsa(data, label, findings, smtp=name.startswith(MAIL_PORTS)) else None
    return data if _is_whole(data, label, findings) else None


def _is_whole(data: RecordData, label: str, findings: Findings) -> bool:
    fault = data_fault(data)
    if fault is None:
        return True
    if isinstance(data, MailExchanger) and data.exchange == ".":
        rule, fix = "mx-null", 'write "0 ." for a domain that takes no mail'
    elif isinstance(data, MailExchanger):
        rule, fix = "mx-preference", f"write a number of 0 to {MAX_NUMBER} and a host"
    elif isinstance(data, Text):
        rule, fix = "txt-characters", "remove what is not printable ASCII, and shorten it to 3,800 bytes"
    else:
        rule, fix = "record-data", f"write it like {EXAMPLES[type_of(data)]}"
    findings.error(label, rule, found=fault, expected="data that every server reads alike", fix=fix)
    return False


def check_further(further: Sequence[Read], data: Sequence[NamedData], parts: Parts) -> None:
    """Note what is wrong with further records beside ``data``, the records that follow from the stack."""
    names = {read.name for read in further}
    ours: dict[str, list[RecordData]] = {}
    for name, value in data:
        if name in names:
            ours.setdefault(name, []).append(value)
    aliases = {read.name for read in further if isinstance(read.data, Alias)} | parts.aliases | parts.cnames.keys()
    seen: dict[tuple[str, object], str] = {}
    kinds: dict[tuple[str, str], str] = {}
    ttls: dict[tuple[str, str], int] = {}
    for read in further:
        there = ours.get(read.name, [])
        if read.data in there:
            _note_owned(read, "the stack makes this very record", "remove the entry", parts.findings)
            continue
        key = (read.name, _identity(read.data))
        if key in seen:
            parts.findings.error(
                read.label,
                "mx-duplicate" if isinstance(read.data, MailExchanger) else "record-duplicate",
                found=f"the same as in {seen[key]}",
                expected="each record once; other numbers before the same host or value say nothing more",
                fix="remove one of the two",
            )
            continue
        seen[key] = read.label
        _check_ownership(read, there, parts)
        _check_kind(read, there, kinds, parts)
        _check_ttl(read, there, ttls, parts)
        _check_type(read, aliases, parts)
    _check_delegations(further, data, parts)


def _identity(data: RecordData) -> object:
    """Return what a record is about; two about the same are one too many. Their resources' names would be the same."""
    match data:
        case MailExchanger(exchange=exchange):
            return "MX", exchange
        case Srv(target=target, port=port):
            return "SRV", target, port
        case Caa(tag=tag, value=value):
            return "CAA", tag, value
    return data


def _note_owned(read: Read, found: str, fix: str, findings: Findings) -> None:
    findings.error(
        read.label,
        "record-owned",
        found=found,
        expected="a record that follows from nothing else in the settings",
        fix=fix,
    )


def _check_ownership(read: Read, there: Sequence[RecordData], parts: Parts) -> None:
    """Refuse what the settings have a field for: two sources for one record set would not know of each other."""
    match read.data:
        case MailExchanger() if read.name in parts.domains:
            _note_owned(read, "an exchanger of a declared domain", "add it to the domain's `mx`", parts.findings)
        case Address() if any(isinstance(value, Address) for value in there):
            _note_owned(
                read, "another address of a host of this stack", "give the host its address in `hosts`", parts.findings
            )
        case Caa() if any(isinstance(value, Caa) for value in there):
            _note_owned(read, "CAA of a domain that has `caa`", "add it to the domain's `caa`", parts.findings)
        case Srv() | Tlsa() if any(type(value) is type(read.data) for value in there):
            _note_owned(
                read,
                f"another {type_of(read.data)} record where the stack has its own",
                "remove the entry, or the setting that makes the other: `relay.submission.srv_domains`, `dns.tlsa`",
                parts.findings,
            )


def _check_kind(read: Read, there: Sequence[RecordData], kinds: dict[tuple[str, str], str], parts: Parts) -> None:
    if not isinstance(read.data, Text):
        return
    text = read.data.value
    kind = kind_of(read.name, text)
    if refuse_place(read.name, text, read.label, parts.findings) or kind is None:
        return
    if any(isinstance(value, Text) and kind_of(read.name, value.value) == kind for value in there):
        parts.findings.error(
            read.label,
            "spf-single" if kind == "SPF" else "txt-single",
            found=f"a second {kind} record, {shown(text)}",
            expected=f"one {kind} record at a name: with two none counts",
            fix=f"remove it, and put what it says into {SETTINGS[kind]} of the domain",
        )
    elif kind == "MTA-STS":
        parts.findings.error(
            read.label,
            "mta-sts-domain",
            found=f"an MTA-STS record without a policy of this stack, {shown(text)}",
            expected="a policy that is served: with the record alone every sender tries to fetch one",
            fix="declare the policy in `caddy.mta_sts`, which makes the record",
        )
    elif (read.name, kind) in kinds:
        parts.findings.error(
            read.label,
            "spf-single" if kind == "SPF" else "txt-single",
            found=f"a second {kind} record, {shown(text)}, beside that of {kinds[read.name, kind]}",
            expected=f"one {kind} record at a name: with two none counts",
            fix="merge the two",
        )
    kinds.setdefault((read.name, kind), read.label)


def _check_ttl(read: Read, there: Sequence[RecordData], ttls: dict[tuple[str, str], int], parts: Parts) -> None:
    type_ = type_of(read.data)
    beside = any(type_of(value) == type_ for value in there)
    ttl = ttls.setdefault((read.name, type_), parts.declaration.ttl if beside else read.ttl)
    if read.ttl != ttl:
        parts.findings.error(
            read.label,
            "rrset-ttl",
            found=f"a TTL of {read.ttl} beside {ttl}",
            expected="one TTL for all records of one name and type",
            fix="leave `dns.records.ttl` out" if beside else "give them the same `dns.records.ttl`",
        )


def _check_type(read: Read, aliases: Iterable[str], parts: Parts) -> None:
    match read.data:
        case MailExchanger(exchange=exchange) if read.data != NULL_MX:
            check_exchange(parts, exchange, read.label)
            if exchange in aliases and exchange not in parts.aliases and exchange not in parts.cnames:
                parts.findings.error(
                    read.label,
                    "mx-alias",
                    found=f"{exchange}, which is a CNAME",
                    expected="a name with addresses of its own",
                    fix="name the target of the CNAME",
                )
        case Srv(target=target):
            check_srv(read.name, read.data, read.label, parts.findings, alias=target in aliases)
        case Tlsa():
            _check_tlsa_place(read, parts)
        case NameServer() if read.name in parts.domains:
            parts.findings.error(
                read.label,
                "ns-declared-domain",
                found=f"a delegation of {read.name}, which is one of `domains`",
                expected="records of a declared domain in the zones of this stack: elsewhere nobody finds them",
                fix=f"remove the entry, or take {read.name} out of `domains`",
            )
    if read.name.startswith(WILDCARD) and isinstance(read.data, Text | MailExchanger) and "._" not in read.name:
        parts.findings.warn(
            read.label,
            "wildcard-mail",
            found=f"a wildcard of type {type_of(read.data)}",
            expected="records at the names they are for: a wildcard also answers for _dmarc, _domainkey and the like",
            fix="name the single hosts",
        )


def _check_tlsa_place(read: Read, parts: Parts) -> None:
    signed = frozenset(parts.declaration.signed_zones)
    if not any(name in signed for name in lineage(read.name)):
        parts.findings.error(
            read.label,
            "tlsa-dnssec",
            found="TLSA in a zone that is not said to be signed",
            expected="a zone signed with DNSSEC: elsewhere nobody looks at TLSA",
            fix="sign the zone and list it in `dns.signed_zones`, or remove the entry",
        )


def _check_delegations(further: Sequence[Read], data: Sequence[NamedData], parts: Parts) -> None:
    """Refuse records below a delegated name: its own servers answer there, but for their addresses (glue)."""
    cut = {read.name: read for read in further if isinstance(read.data, NameServer)}
    if not cut:
        return
    servers = {read.data.host for read in further if isinstance(read.data, NameServer)}
    for name, value in (*data, *((read.name, read.data) for read in further)):
        above = next((parent for parent in lineage(name) if parent in cut), None)
        glue = isinstance(value, Address) and name in servers
        if above is not None and not isinstance(value, NameServer) and not glue:
            parts.findings.error(
                cut[above].label,
                "ns-delegation",
                found=f"{name} {type_of(value)} at or below {above}, which is delegated",
                expected=f"nothing there but the addresses of its name servers: those of {above} answer",
                fix=f"move the record to the zone {above}, or remove the delegation",
            )
