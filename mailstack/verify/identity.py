"""Checks of the hosts' names: addresses, reverse names, SPF of the name in HELO."""

import ipaddress
from collections.abc import Callable, Iterable, Iterator

from mailstack.dns.addresses import special_purpose
from mailstack.dns.spf_read import spf_records
from mailstack.verify.answer import Answer
from mailstack.verify.cloudflare_ranges import is_proxied
from mailstack.verify.context import Context
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.spf import evaluated
from mailstack.verify.target import HostTarget

__all__ = ["addresses_in_dns", "mail_names"]


def addresses_in_dns(context: Context, name: str) -> tuple[list[Answer], tuple[str, ...]]:
    """Return the answers for A and AAAA, and the addresses in them."""
    answers = [context.look(name, kind) for kind in ("A", "AAAA")]
    return answers, tuple(sorted(value for answer in answers for value in answer.values))


def mail_names(context: Context) -> list[str]:
    """Return every name that SMTP goes to or comes from: hosts that say HELO or take mail, and mail exchangers."""
    names = [
        host.name
        for host in context.target.hosts
        if host.helo or any(listener.protocol == "smtp" for listener in host.ports or ())
    ]
    for domain in context.target.domains:
        names += [value.split()[1] for value in context.look(domain.name, "MX").values]
    return list(dict.fromkeys(name for name in names if name != "." and not _is_address(name)))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _hosts(context: Context, look: Callable[[HostTarget], Iterable[Finding]], *, helo: bool) -> Iterator[Finding]:
    hosts = [host for host in context.target.hosts if host.helo or not helo]
    if not hosts:
        what = "that sends (says HELO)" if helo else ""
        yield not_applicable("", f"no host {what}".strip() + " is named: DNS does not tell which there are")
    yield from context.each(hosts, look)


def _unknown(subject: str, answers: Iterable[Answer]) -> list[Finding]:
    return [unknown(subject, f"{answer.name} {answer.type}: {answer.why}") for answer in answers if not answer.known]


@check(
    number=7,
    name="host-addresses",
    group="B",
    title="Hosts have the declared addresses, and no others",
    source="RFC 5321 §2.3.5, §4.1.4",
    uses="dnspython",
)
def host_addresses(context: Context) -> Iterator[Finding]:
    """Compare A and AAAA with what is declared."""
    yield from _hosts(context, lambda host: _addresses(context, host), helo=False)


def _addresses(context: Context, host: HostTarget) -> Iterator[Finding]:
    answers, there = addresses_in_dns(context, host.name)
    details = tuple(map(str, answers))
    missing = _unknown(host.name, answers)
    if missing:
        yield from missing
    elif not there:
        yield fail(
            host.name,
            "no address",
            *details,
            expected=", ".join(host.addresses) or "A or AAAA",
            fix=f"add the A record of {host.name} (`hosts[].public_ipv4`, then `pulumi up`)",
        )
    elif host.addresses and set(there) != {str(ipaddress.ip_address(one)) for one in host.addresses}:
        yield fail(
            host.name,
            ", ".join(there),
            *details,
            expected=", ".join(sorted(host.addresses)),
            fix="run `pulumi up`, or correct `hosts[].public_ipv4` and `hosts[].public_ipv6`",
        )
    else:
        yield ok(host.name, ", ".join(there), *details)


@check(
    number=8,
    name="host-proxied",
    group="B",
    title="No name of a mail host leads to Cloudflare's proxy",
    source="Cloudflare: DNS, proxied records (only HTTP is passed on), www.cloudflare.com/ips",
)
def host_proxied(context: Context) -> Iterator[Finding]:
    """Look for addresses of the proxy."""
    names = mail_names(context)
    if not names:
        yield not_applicable("", "no mail host is known")
    yield from context.each(names, lambda name: _proxied(context, name))


def _proxied(context: Context, name: str) -> Iterator[Finding]:
    answers, there = addresses_in_dns(context, name)
    proxied = [address for address in there if is_proxied(address)]
    if proxied:
        yield fail(
            name,
            f"{', '.join(proxied)}: Cloudflare's proxy, which does not pass SMTP on",
            expected="the address of the host itself",
            fix=f"switch the orange cloud off for {name} (proxied: false)",
        )
    else:
        yield from _unknown(name, answers) or [ok(name, "not proxied")]


@check(
    number=8,
    name="host-alias",
    group="B",
    title="The name in HELO is a host's own, not an alias",
    source="RFC 5321 §2.3.5",
    uses="dnspython",
)
def host_alias(context: Context) -> Iterator[Finding]:
    """Look for a CNAME at the name."""
    yield from _hosts(context, lambda host: _alias(context, host), helo=True)


def _alias(context: Context, host: HostTarget) -> Iterator[Finding]:
    answer = context.look(host.name, "A")
    if answer.chain:
        yield fail(
            host.name,
            f"an alias of {' -> '.join(answer.chain)}",
            expected="A and AAAA records at the name itself",
            fix=f"replace the CNAME of {host.name} by A and AAAA",
        )
    else:
        yield from _unknown(host.name, [answer]) or [ok(host.name, "no alias")]


def _sources(context: Context, host: HostTarget) -> tuple[str, ...]:
    """Return the addresses a host sends from: those declared, else those its name has."""
    return host.addresses or addresses_in_dns(context, host.name)[1]


def _each_source(context: Context, look: Callable[[Context, HostTarget, str], Iterable[Finding]]) -> Iterator[Finding]:
    """Look at every address that hosts with HELO send from."""
    yield from _hosts(
        context,
        lambda host: (
            [found for address in _sources(context, host) for found in look(context, host, address)]
            or [not_applicable(host.name, "no address is known")]
        ),
        helo=True,
    )


@check(
    number=9,
    name="host-reverse",
    group="B",
    title="The reverse name of every sending address is the name in HELO",
    source="RFC 1912 §2.1; Google: e-mail sender guidelines, PTR records",
    uses="dnspython",
)
def host_reverse(context: Context) -> Iterator[Finding]:
    """Ask for the PTR of every address."""
    yield from _each_source(context, _reverse)


def _reverse(context: Context, host: HostTarget, address: str) -> Iterator[Finding]:
    if special_purpose(ipaddress.ip_network(address)):
        yield not_applicable(f"{host.name} {address}", "not a public address: its reverse name is nobody's business")
        return
    answer = context.dns.follow(ipaddress.ip_address(address).reverse_pointer, "PTR")
    subject, details = f"{host.name} {address}", (str(answer),)
    fix = f"set the reverse name of {address} to {host.name} at the hoster (not in the zone)"
    if not answer.known:
        yield unknown(subject, answer.why)
    elif not answer.values:
        yield fail(subject, "no reverse name", *details, expected=host.name, fix=fix)
    elif host.name not in answer.values:
        yield fail(subject, ", ".join(answer.values), *details, expected=host.name, fix=fix)
    elif len(answer.values) > 1:
        others = ", ".join(sorted(set(answer.values) - {host.name}))
        yield warn(subject, f"also {others}", *details, expected="one reverse name", fix=f"remove {others}")
    else:
        yield ok(subject, host.name, *details)


@check(
    number=10,
    name="host-forward-confirmed",
    group="B",
    title="The reverse name leads back to the address",
    source="RFC 1912 §2.1; RFC 8601 §2.7.3 (iprev)",
    uses="dnspython",
)
def host_forward_confirmed(context: Context) -> Iterator[Finding]:
    """Ask for the addresses of the reverse names."""
    yield from _each_source(context, _confirmed)


def _confirmed(context: Context, host: HostTarget, address: str) -> Iterator[Finding]:
    subject, parsed = f"{host.name} {address}", ipaddress.ip_address(address)
    reverse = context.dns.follow(parsed.reverse_pointer, "PTR")
    if special_purpose(ipaddress.ip_network(address)) or reverse.void:
        yield not_applicable(subject, "no reverse name" if reverse.void else "not a public address")
        return
    answers = [context.look(name, "A" if parsed.version == 4 else "AAAA") for name in reverse.values]
    back = [answer for answer in answers if str(parsed) in answer.values]
    missing = _unknown(subject, [reverse, *answers])
    if missing and not back:
        yield from missing
    elif not back:
        names = ", ".join(reverse.values)
        yield fail(
            subject,
            f"{names} does not lead back to it",
            *map(str, answers),
            expected=f"{answers[0].type} {address} at {names}",
            fix=f"add the {answers[0].type} record, or set the reverse name to {host.name} at the hoster",
        )
    else:
        yield ok(subject, f"{back[0].name} leads back to it")


@check(
    number=12,
    name="helo-spf",
    group="B",
    title="SPF passes for the name in HELO",
    source="RFC 7208 §2.3",
)
def helo_spf(context: Context) -> Iterator[Finding]:
    """Evaluate the record at the name, as receivers do for bounces."""
    yield from _hosts(context, lambda host: _helo_spf(context, host), helo=True)


def _helo_spf(context: Context, host: HostTarget) -> Iterator[Finding]:
    answer = context.look(host.name, "TXT")
    fix = f"add TXT 'v=spf1 a -all' at {host.name}"
    if not answer.known:
        yield unknown(host.name, answer.why)
    elif not spf_records(answer.values):
        yield warn(
            host.name, "no SPF record", str(answer), expected="'v=spf1 a -all': bounces are sent in its name", fix=fix
        )
    else:
        for address in _sources(context, host):
            found = evaluated(context, host.name, address, host.name)
            said = f"{found.result} ({found.why})"
            if found.result == "temperror":
                yield unknown(f"{host.name} {address}", found.why)
            elif found.result == "pass":
                yield ok(f"{host.name} {address}", said)
            else:
                yield fail(f"{host.name} {address}", said, *answer.values, expected="pass", fix=fix)
