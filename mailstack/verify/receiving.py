"""Checks of what takes mail and follows links: exchangers, null MX, return paths, tracking names."""

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator

from mailstack.dns.addresses import special_purpose
from mailstack.verify.context import Context
from mailstack.verify.identity import addresses_in_dns
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.target import DomainTarget

__all__: list[str] = []

NULL_MX = "0 ."


def _receives(domain: DomainTarget) -> bool | None:
    return False if domain.parked else domain.receives


@check(
    number=20,
    name="mx",
    group="D",
    title="Every mail exchanger is a host with an address, named once",
    source="RFC 5321 §5.1, RFC 2181 §10.3, RFC 7505 §3",
    uses="dnspython",
)
def mx(context: Context) -> Iterator[Finding]:
    """Look at the MX records and the hosts in them."""
    yield from context.domains(lambda domain: _exchangers(context, domain))


def _exchangers(context: Context, domain: DomainTarget) -> Iterable[Finding]:
    answer = context.look(domain.name, "MX")
    if not answer.known:
        return [unknown(domain.name, answer.why)]
    if _receives(domain) is False:
        return [not_applicable(domain.name, "the domain receives no mail (see null-mx)")]
    if answer.values == (NULL_MX,):
        if domain.receives is None:
            return [not_applicable(domain.name, "a null MX: the domain receives no mail")]
        return [fail(domain.name, "a null MX", expected="mail exchangers", fix="set `domains[].mx`")]
    if not answer.values:
        return [_none(context, domain)]
    found: list[Finding] = []
    hosts = [value.split()[1] for value in sorted(answer.values, key=lambda value: int(value.split()[0]))]
    twice = [host for host, times in Counter(hosts).items() if times > 1]
    if twice:
        found.append(
            warn(
                domain.name,
                f"{', '.join(twice)} at two preferences",
                *answer.values,
                expected="each host once",
                fix="remove one of the records (`domains[].mx`)",
            )
        )
    for host in dict.fromkeys(hosts):
        found += _exchanger(context, domain.name, host)
    return found or [ok(domain.name, ", ".join(hosts), *answer.values)]


def _none(context: Context, domain: DomainTarget) -> Finding:
    _, there = addresses_in_dns(context, domain.name)
    if domain.receives:
        return fail(domain.name, "no MX", expected="mail exchangers", fix="set `domains[].mx`, then `pulumi up`")
    what = "no MX: senders try the A record" if there else "no MX and no address"
    return warn(
        domain.name,
        what,
        expected=f"mail exchangers, or a null MX ({NULL_MX}) where no mail is received",
        fix="set `domains[].mx`, to an empty list where no mail is received",
    )


def _exchanger(context: Context, domain: str, host: str) -> Iterator[Finding]:
    if host == ".":
        yield fail(
            domain, "a null MX beside others", expected="the null MX alone, or none", fix=f"remove the MX {NULL_MX}"
        )
        return
    if host.replace(".", "").isdigit():
        yield fail(domain, f"the MX {host} is an address", expected="a host name", fix="name the host (`domains[].mx`)")
        return
    answers, there = addresses_in_dns(context, host)
    details = tuple(map(str, answers))
    inside = {address: special_purpose(ipaddress.ip_network(address)) for address in there}
    ours = {address for one in context.target.hosts for address in one.addresses}
    hidden = [f"{address} is {why}" for address, why in inside.items() if why and address not in ours]
    if answers[0].chain or answers[1].chain:
        chain = answers[0].chain or answers[1].chain
        yield fail(
            domain,
            f"the MX {host} is an alias of {chain[0]}",
            *details,
            expected="a host with A and AAAA of its own",
            fix=f"name {chain[-1]} in the MX, or replace the CNAME",
        )
    elif not there and not all(answer.known for answer in answers):
        yield unknown(domain, f"{host}: {'; '.join(answer.why for answer in answers if answer.why)}", *details)
    elif not there:
        yield fail(
            domain, f"the MX {host} has no address", *details, expected="A or AAAA", fix=f"add the address of {host}"
        )
    elif hidden:
        yield fail(
            domain,
            f"the MX {host}: {', '.join(hidden)}",
            *details,
            expected="addresses that others can reach",
            fix=f"publish the public address of {host} (`hosts[].public_ipv4`)",
        )


@check(
    number=21,
    name="null-mx",
    group="D",
    title="A domain that receives no mail says so",
    source="RFC 7505 §3",
    uses="dnspython",
)
def null_mx(context: Context) -> Iterator[Finding]:
    """Look for the null MX of domains that only send, or do nothing."""
    yield from context.domains(lambda domain: _null_mx(context, domain))


def _null_mx(context: Context, domain: DomainTarget) -> Iterator[Finding]:
    if _receives(domain) is not False:
        why = "the domain receives mail" if domain.receives else "whether it receives mail is not declared"
        yield not_applicable(domain.name, why)
        return
    answer = context.look(domain.name, "MX")
    if not answer.known:
        yield unknown(domain.name, answer.why)
    elif answer.values == (NULL_MX,):
        yield ok(domain.name, "a null MX")
    else:
        yield warn(
            domain.name,
            f"MX {', '.join(answer.values)}" if answer.values else "no MX: senders try for days to reach it",
            expected=f"a null MX ({NULL_MX}) alone",
            fix="set `domains[].mx` to an empty list, and remove what else is there",
        )


@check(
    number=23,
    name="return-path",
    group="D",
    title="Bounces have somewhere to go: the return path takes mail",
    source="RFC 5321 §5.1; receivers refuse senders that cannot receive",
    uses="dnspython",
)
def return_path(context: Context) -> Iterator[Finding]:
    """Look for exchangers, or addresses, of the return paths."""
    yield from context.domains(lambda domain: _return_paths(context, domain))


def _return_paths(context: Context, domain: DomainTarget) -> Iterator[Finding]:
    if not domain.return_paths:
        yield not_applicable(domain.name, "no return path is named")
    for path in domain.return_paths:
        answer = context.look(path, "MX")
        details = (str(answer), *(f"-> {alias}" for alias in answer.chain))
        hosts = [value.split()[1] for value in answer.values] or [path]
        there = {host: addresses_in_dns(context, host) for host in hosts if host != "."}
        fix = f"add an MX at {path} (Postal: a CNAME to its return path domain)"
        if not answer.known:
            yield unknown(path, answer.why)
        elif answer.values == (NULL_MX,):
            yield fail(path, "a null MX", *details, expected="mail exchangers: bounces come here", fix=fix)
        elif any(addresses for _, addresses in there.values()):
            yield ok(path, f"bounces go to {', '.join(hosts)}", *details)
        elif not all(one.known for answers, _ in there.values() for one in answers):
            yield unknown(path, f"the addresses of {', '.join(there)} are not known", *details)
        else:
            what = f"the MX {', '.join(hosts)} has no address" if answer.values else "neither MX nor address"
            yield fail(path, what, *details, expected="mail exchangers with addresses: bounces come here", fix=fix)


@check(
    number=24,
    name="tracking-names",
    group="D",
    title="Names of links in mail lead somewhere",
    source="Postal: click and open tracking, DNS",
    uses="dnspython",
)
def tracking_names(context: Context) -> Iterator[Finding]:
    """Resolve them."""
    yield from context.domains(lambda domain: _tracking(context, domain))


def _tracking(context: Context, domain: DomainTarget) -> Iterator[Finding]:
    if not domain.tracking:
        yield not_applicable(domain.name, "no tracking name is named")
    for name in domain.tracking:
        answers, there = addresses_in_dns(context, name)
        chain = answers[0].chain or answers[1].chain
        if there:
            yield ok(name, ", ".join((*chain, *there)))
        elif not all(answer.known for answer in answers):
            yield unknown(name, "; ".join(answer.why for answer in answers if answer.why))
        else:
            yield fail(
                name,
                f"an alias of {chain[-1]}, which has no address" if chain else "no address",
                *map(str, answers),
                expected="an address: every link in mail goes there",
                fix=f"point {name} to the host that serves tracking",
            )
