"""Checks of the zone itself: delegation, its servers, their addresses, DNSSEC."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import dns.dnssec
import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from checkdmarc.utils import get_base_domain
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS

from mailstack.dns.names import is_within
from mailstack.verify.asking import Answer, Dns, Outcome
from mailstack.verify.context import Context
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn

__all__: list[str] = []

# What may no longer be relied on (RFC 9905 §2, RFC 8624 §3.1 and §3.3): number to name.
WEAK_ALGORITHMS: Mapping[int, str] = {
    1: "RSAMD5",
    3: "DSA",
    5: "RSASHA1",
    6: "DSA-NSEC3-SHA1",
    7: "RSASHA1-NSEC3-SHA1",
    12: "ECC-GOST",
}
WEAK_DIGESTS: Mapping[int, str] = {1: "SHA-1", 3: "GOST R 34.11-94"}
REGISTRAR = "set the name servers at the registrar of the domain"


ZoneLook = Callable[[Dns, str], Iterable[Finding]]  # how to ask, the zone


def _zones_of(context: Context) -> tuple[list[str], list[Finding]]:
    """Return the zones of the target and its domains, and what was not to be found."""
    zones: list[str] = [*context.target.zones]
    unfound: list[Finding] = []
    for domain in context.target.domains:
        zone = context.dns.zone_of(domain.name)
        if zone is None:
            unfound.append(unknown(domain.name, context.dns.authoritative(domain.name, "SOA")[0].why))
        elif not is_within(zone, get_base_domain(domain.name)):
            # The name is not registered, and what was found is the registry's zone.
            unfound.append(
                fail(domain.name, "no such domain", expected="a registered domain", fix=f"register {domain.name}")
            )
        else:
            zones.append(zone)
    return list(dict.fromkeys(zones)), unfound


def _each(context: Context, look: ZoneLook) -> Iterator[Finding]:
    zones, unfound = _zones_of(context)
    yield from unfound
    if not zones and not unfound:
        yield not_applicable("", "no domain and no zone is named")
    yield from context.each(zones, lambda zone: look(context.dns, zone))


def _parent_servers(dns: Dns, zone: str) -> tuple[list[Answer], set[str]]:
    """Return what the parent's servers said, and the name servers that are in it."""
    said = [answer for answer in dns.delegation(zone) if answer.known or answer.referral]
    return said, {server for answer in said for server in (answer.referral or answer.values)}


@check(
    number=1,
    name="zone-delegation",
    group="A",
    title="The parent zone delegates to the declared name servers, and the zone itself names the same",
    source="RFC 1034 §4.2.2, RFC 2181 §5.4.1",
    uses="dnspython",
)
def zone_delegation(context: Context) -> Iterator[Finding]:
    """Compare the name servers of the parent, of the zone, and those declared."""
    yield from _each(context, lambda dns, zone: _delegation(dns, zone, context.target.zones.get(zone, ())))


def _delegation(dns: Dns, zone: str, declared: tuple[str, ...]) -> Iterator[Finding]:
    said, parent = _parent_servers(dns, zone)
    if not said:
        yield unknown(zone, f"the parent zone did not answer: {dns.delegation(zone)[0].why}")
        return
    own = [answer for answer in dns.authoritative(zone, "NS") if answer.known]
    child = {server for answer in own for server in answer.values}
    details = (*(f"parent {answer.server}: {', '.join(answer.referral or answer.values)}" for answer in said),)
    details += (*(f"zone {answer}" for answer in own),)
    if not parent:
        yield fail(zone, "the parent zone does not delegate it", *details, expected="NS records", fix=REGISTRAR)
    elif declared and parent != set(declared):
        expected = ", ".join(sorted(declared))
        yield fail(
            zone,
            f"delegated to {', '.join(sorted(parent))}",
            *details,
            expected=expected,
            fix=f"{REGISTRAR}: {expected}",
        )
    elif own and child != parent:
        yield warn(
            zone,
            f"the parent names {', '.join(sorted(parent))}, the zone {', '.join(sorted(child)) or 'none'}",
            *details,
            expected="the same name servers in both",
            fix="correct the NS records of the zone, or the name servers at the registrar",
        )
    elif not own:
        yield unknown(zone, "none of its name servers answered", *details)
    else:
        yield ok(zone, f"delegated to {', '.join(sorted(parent))}", *details)


@check(
    number=2,
    name="zone-servers",
    group="A",
    title="Every name server answers for the zone, with the same serial",
    source="RFC 1034 §4.2.2, RFC 1912 §2.8",
    uses="dnspython",
)
def zone_servers(context: Context) -> Iterator[Finding]:
    """Ask every server for the SOA."""
    yield from _each(context, _servers)


def _servers(dns: Dns, zone: str) -> Iterator[Finding]:
    answers = dns.authoritative(zone, "SOA")
    details = tuple(map(str, answers))
    reached = [answer for answer in answers if answer.known and answer.values]
    found: list[Finding] = []
    for answer in answers:
        if answer in reached or answer.why == "this machine has no IPv6":
            continue
        if answer.code or answer.known:
            found.append(
                fail(
                    zone,
                    f"{answer.server} does not serve the zone: {answer.why or answer.outcome.value}",
                    *details,
                    expected="an authoritative answer of every server that the delegation names",
                    fix="add the zone to that server, or remove the server from the delegation",
                )
            )
        else:
            found.append(unknown(zone, f"{answer.server}: {answer.why}", *details))
    serials = sorted({answer.values[0].split()[2] for answer in reached})
    if len(serials) > 1:
        found.append(
            warn(
                zone,
                f"serials {', '.join(serials)}: not yet everywhere the same",
                *details,
                expected="one serial on all servers",
                fix="wait for the transfer (SOA refresh), or look why a server does not get the zone",
            )
        )
    yield from found or [ok(zone, f"{len(reached)} answers with serial {serials[0]}", *details)]


@check(
    number=3,
    name="zone-glue",
    group="A",
    title="Name servers have addresses, and the parent's glue is the same",
    source="RFC 1034 §4.2.1, RFC 2181 §10.3, RFC 9471 §3",
    uses="dnspython",
)
def zone_glue(context: Context) -> Iterator[Finding]:
    """Compare glue with the addresses of the name servers."""
    yield from _each(context, _glue)


def _glue(dns: Dns, zone: str) -> Iterator[Finding]:
    said, parent = _parent_servers(dns, zone)
    if not said:
        yield unknown(zone, f"the parent zone did not answer: {dns.delegation(zone)[0].why}")
        return
    given = {pair for answer in said for pair in answer.glue}
    found = [finding for server in sorted(parent) for finding in _server_address(dns, zone, server, given, said)]
    yield from found or [ok(zone, f"{len(parent)} name servers with addresses", *(f"glue {n} {a}" for n, a in given))]


def _server_address(
    dns: Dns, zone: str, server: str, glue: set[tuple[str, str]], said: list[Answer]
) -> Iterator[Finding]:
    answers = [dns.follow(server, kind) for kind in ("A", "AAAA")]
    if not all(answer.known for answer in answers):
        yield unknown(zone, f"the addresses of {server}: {'; '.join(answer.why for answer in answers if answer.why)}")
        return
    has = {value for answer in answers for value in answer.values}
    given = {address for name, address in glue if name == server}
    details = tuple(map(str, answers))
    if answers[0].chain:
        yield fail(
            zone,
            f"the name server {server} is an alias of {answers[0].chain[0]}",
            *details,
            expected="a name with addresses of its own",
            fix=f"name {answers[0].chain[-1]} in the NS record",
        )
    elif not has:
        yield fail(
            zone,
            f"the name server {server} has no address",
            *details,
            expected="A or AAAA",
            fix=f"add the address of {server}, or remove it from the delegation",
        )
    elif is_within(server, zone) and any(answer.referral for answer in said) and given != has:
        yield (warn if given else fail)(
            zone,
            f"glue of {server}: {', '.join(sorted(given)) or 'none'}",
            *details,
            expected=", ".join(sorted(has)),
            fix=f"set the address of the host {server} at the registrar",
        )


@check(
    number=4,
    name="zone-ipv6",
    group="A",
    title="The name servers with an IPv6 address answer there, and there is one",
    source="RFC 3901 §3",
    uses="dnspython",
)
def zone_ipv6(context: Context) -> Iterator[Finding]:
    """Ask the servers that have an IPv6 address there."""
    yield from _each(context, _ipv6)


def _ipv6(dns: Dns, zone: str) -> Iterator[Finding]:
    six = {str(server) for server in dns.servers(zone) if ":" in server.address}
    answers = [answer for answer in dns.authoritative(zone, "SOA") if answer.server in six]
    details = tuple(map(str, answers))
    if not dns.servers(zone):
        yield unknown(zone, dns.authoritative(zone, "SOA")[0].why)
    elif not six:
        yield warn(
            zone,
            "no name server has an IPv6 address",
            expected="one at least: resolvers without IPv4 do not find the domain",
            fix="add a name server with IPv6, such as a secondary of a DNS provider",
        )
    elif any(answer.known for answer in answers):
        # One that answers proves that this machine has a way there.
        silent = [answer.server for answer in answers if not answer.known]
        if silent:
            yield warn(
                zone,
                f"over IPv6 there is no answer from {', '.join(silent)}",
                *details,
                expected="an answer from every address that is published",
                fix="let the server listen there and open port 53 in the IPv6 firewall, or remove the AAAA record",
            )
        else:
            yield ok(zone, "answered over IPv6", *details)
    elif not dns.ipv6:
        yield unknown(zone, "this machine has no IPv6, so it was not asked there", *details)
    else:
        yield unknown(zone, f"no answer over IPv6: {answers[0].why}", *details)


@check(
    number=5,
    name="zone-dnssec",
    group="A",
    title="The zone is signed, and validating resolvers accept it",
    source="RFC 4035 §5, RFC 9364 §1.2",
    uses="dnspython, and the validation of the resolvers",
)
def zone_dnssec(context: Context) -> Iterator[Finding]:
    """Ask validating resolvers: they say that it is right, or give no answer because it is wrong."""
    yield from _each(context, _dnssec)


def _dnssec(dns: Dns, zone: str) -> Iterator[Finding]:
    resolvers = dict.fromkeys((dns.own, *dns.around.resolvers))
    answers = [dns.ask(resolver, zone, "SOA") for resolver in resolvers]
    details = tuple(map(str, answers))
    bogus = [
        answer
        for answer in answers
        if answer.code == "SERVFAIL" and dns.ask(answer.server, zone, "SOA", unchecked=True).known
    ]
    signed = dns.ask(dns.own, zone, "DS", unchecked=True)
    if bogus:
        yield fail(
            zone,
            f"bogus: {', '.join(answer.server for answer in bogus)} refuse it, and answer only without validation",
            *details,
            expected="signatures that fit the DS at the parent",
            fix="remove the DS at the registrar, sign the zone anew, then publish the new DS",
        )
    elif any(answer.authenticated for answer in answers):
        yield ok(zone, "signed, and validated by resolvers", *details)
    elif not any(answer.known for answer in answers) or not signed.known:
        yield unknown(zone, signed.why or answers[0].why, *details)
    elif signed.values:
        yield unknown(zone, "signed, but none of the resolvers that were asked validates", *details)
    elif dns.look(zone, "DNSKEY").values:
        yield warn(
            zone,
            "signed, but the parent has no DS: nobody can check it",
            *details,
            expected="a DS record at the parent",
            fix="give the DS of the zone's key to the registrar",
        )
    else:
        yield warn(
            zone,
            "not signed",
            *details,
            expected="DNSSEC: without it answers can be forged, and DANE is not possible",
            fix="switch DNSSEC on at the DNS provider and give the DS to the registrar",
        )


@check(
    number=6,
    name="zone-ds",
    group="A",
    title="The DS at the parent fits a key of the zone, with an algorithm that is still good",
    source="RFC 4509, RFC 8624 §3, RFC 9905 §2",
    uses="dnspython",
)
def zone_ds(context: Context) -> Iterator[Finding]:
    """Compare the DS with the keys."""
    yield from _each(context, _ds)


def _ds(dns: Dns, zone: str) -> Iterator[Finding]:
    signed = dns.ask(dns.own, zone, "DS", unchecked=True)
    if not signed.known:
        yield unknown(zone, signed.why)
        return
    if not signed.values:
        yield not_applicable(zone, "the parent has no DS: the zone is not signed")
        return
    keys = dns.look(zone, "DNSKEY")
    if not keys.known:
        yield unknown(zone, keys.why)
        return
    records = [_rdata("DS", value) for value in signed.values]
    fitting = [ds for ds in records if isinstance(ds, DS) and _fits(zone, ds, keys)]
    found: list[Finding] = []
    if not fitting:
        found.append(
            fail(
                zone,
                f"no DS fits a key of the zone ({'no key' if keys.outcome is not Outcome.FOUND else 'other keys'})",
                str(signed),
                str(keys),
                expected="a DS of a key that the zone has",
                fix="replace the DS at the registrar by that of the zone's key signing key",
            )
        )
    for what, weak, used in (
        ("algorithm", WEAK_ALGORITHMS, {int(ds.algorithm) for ds in fitting}),
        ("digest", WEAK_DIGESTS, {int(ds.digest_type) for ds in fitting}),
    ):
        if used and used <= set(weak):
            names = ", ".join(weak[number] for number in sorted(used))
            found.append(
                warn(
                    zone,
                    f"DS with {what} {names}",
                    str(signed),
                    expected="algorithm 13 (ECDSA P-256) and digest 2 (SHA-256)",
                    fix="roll the key to algorithm 13, and publish a DS with digest 2",
                )
            )
    yield from found or [ok(zone, f"{len(fitting)} DS fit", str(signed))]


def _rdata(kind: str, text: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), text)


def _fits(zone: str, ds: DS, keys: Answer) -> bool:
    """Tell whether a DS is of one of the keys; digests that this machine cannot compute count as fitting by key tag."""
    for value in keys.values:
        key = _rdata("DNSKEY", value)
        if not isinstance(key, DNSKEY) or dns.dnssec.key_id(key) != ds.key_tag:
            continue
        try:
            made = dns.dnssec.make_ds(
                dns.name.from_text(zone), key, ds.digest_type, policy=dns.dnssec.allow_all_policy, validating=True
            )
        except (dns.exception.UnsupportedAlgorithm, dns.exception.DeniedByPolicy):
            return True
        if made.digest == ds.digest:
            return True
    return False
