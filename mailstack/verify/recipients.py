"""Which recipients our mail hosts take, asked with RCPT and never with DATA: nothing is sent."""

import re
import smtplib
from collections.abc import Callable, Iterator, Mapping

from mailstack.verify.context import Context
from mailstack.verify.listeners import MX, Endpoint, each, exchangers, our_smtp
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown
from mailstack.verify.reaching import Unreached
from mailstack.verify.smtp import talking, words
from mailstack.verify.target import DomainTarget

__all__ = ["PER_SESSION", "bounces", "role_addresses", "taken"]

MADE_UP = "mailstack-verify"
# Postfix answers slower from the tenth error of a session on, and hangs up at the twentieth.
PER_SESSION = 8
# "There is no such mailbox here": the server knows the domain as its own. Postal says it in its own words.
NO_SUCH = re.compile(
    r"5\.1\.1|5\.1\.6|user unknown|unknown user|no such|invalid server token|invalid route", re.IGNORECASE
)


Judge = Callable[[Endpoint, str, int, str], Finding]
"""What to make of a reply: listener, address, code, text."""


@check(
    number=22,
    name="postmaster",
    group="D",
    title="postmaster@ and abuse@ take mail",
    source="RFC 5321 §4.5.1, RFC 2142 §2, §4",
    uses="smtplib",
)
def role_addresses(context: Context) -> Iterator[Finding]:
    """Ask our mail hosts whether they would take mail for the two addresses each domain must have."""
    # What is nothing but another domain's return path takes bounces: see the check ``bounces``.
    bounces_only = {path for one in context.target.domains for path in one.return_paths if path != one.name}
    domains = [one.name for one in context.target.domains if _takes_mail(one) and one.name not in bounces_only]
    if not domains:
        yield not_applicable("", "no domain takes mail")
    addresses = {domain: (f"postmaster@{domain}", f"abuse@{domain}") for domain in domains}
    yield from _asked(
        context, addresses, _role, lambda domain: not_applicable(domain, "it has no MX record; see the check mx")
    )


def _role(place: Endpoint, address: str, code: int, text: str) -> Finding:
    if taken(code):
        return ok(address, f"{place}: {code}")
    if code < 500:
        return unknown(address, f"{place} says to try later: {code} {text}")
    return fail(
        address,
        f"{place} refuses: {code} {text}",
        expected="the address takes mail (RFC 2142): complaints go there, and lists of bad senders note who has none",
        fix="give it a mailbox or an alias that somebody reads",
    )


@check(
    number=23,
    name="bounces",
    group="D",
    title="Return-path domains take bounces",
    source="RFC 5321 §4.5.5, §6.1",
    uses="smtplib",
)
def bounces(context: Context) -> Iterator[Finding]:
    """Ask the mail hosts of every return-path domain whether they take a message from the null sender."""
    names = dict.fromkeys(name for domain in context.target.domains for name in domain.return_paths)
    if not names:
        yield not_applicable("", "no return-path domain is known")
    yield from _asked(context, {name: (f"{MADE_UP}@{name}",) for name in names}, _bounce, _no_way_back)


def _bounce(place: Endpoint, address: str, code: int, text: str) -> Finding:
    domain = address.rpartition("@")[2]
    if taken(code):
        return ok(domain, f"{place} takes a bounce: {code}")
    if NO_SUCH.search(text):
        return ok(domain, f"{place} knows the domain; it refused only the made-up address: {code} {text}")
    if code < 500:
        return unknown(domain, f"{place} says to try later: {code} {text}")
    return fail(
        domain,
        f"{place} refuses a bounce: {code} {text}",
        expected="MAIL FROM:<> is taken for this domain: bounces come from there, and some receivers try it",
        fix="have the server know the domain (Postal: the domain's return path, dns.return_path_domain), and let the "
        "null sender through",
    )


def _no_way_back(domain: str) -> Finding:
    return fail(
        domain,
        "it has no MX record",
        expected="a mail host that takes what comes back: receivers refuse a MAIL FROM that cannot be answered",
        fix=f"publish an MX record at {domain}; for a name that is a CNAME, at the name it points to",
    )


def _asked(
    context: Context, wanted: Mapping[str, tuple[str, ...]], judge: Judge, without: Callable[[str], Finding]
) -> Iterator[Finding]:
    """Ask for the addresses of each domain at a mail host of its; several in one session."""
    by_place: dict[Endpoint, list[str]] = {}
    for domain, place in zip(
        wanted, each(list(wanted), lambda domain: _mail_host(context, domain, without)), strict=True
    ):
        if isinstance(place, Finding):
            yield place
        else:
            by_place.setdefault(place, []).extend(wanted[domain])
    batches = [
        (place, tuple(addresses[start : start + PER_SESSION]))
        for place, addresses in by_place.items()
        for start in range(0, len(addresses), PER_SESSION)
    ]
    for (place, _), answers in zip(batches, each(batches, lambda batch: _ask(context, *batch)), strict=True):
        for address, answer in answers.items():
            yield unknown(address, answer) if isinstance(answer, str) else judge(place, address, *answer)


def _takes_mail(domain: DomainTarget) -> bool:
    return domain.receives is not False and not domain.parked


def _mail_host(context: Context, domain: str, without: Callable[[str], Finding]) -> Endpoint | Finding:
    """Return one of our listeners that takes mail for a domain, or why there is none; ``without`` judges no MX."""
    answer = context.look(domain, "MX")
    hosts = exchangers(context, domain)
    if not hosts:
        if not answer.known:
            return unknown(domain, f"its mail hosts are not known: {answer}")
        if answer.values:
            return not_applicable(domain, "a null MX: it takes no mail")
        return without(domain)
    mine = [place for place in our_smtp(context) if place.role == MX and set(place.names) & set(hosts)]
    if not mine and set(hosts) & {host.name for host in context.target.hosts if host.ports != ()}:
        return unknown(domain, f"no address was found for {', '.join(hosts)}, or no port that takes mail")
    if not mine:
        return not_applicable(domain, f"its mail hosts are not ours, and are not asked: {', '.join(hosts)}")
    best = {name: preference for preference, name in enumerate(hosts)}
    return min(mine, key=lambda place: (min(best[name] for name in place.names if name in best), ":" in place.address))


def _ask(context: Context, place: Endpoint, addresses: tuple[str, ...]) -> dict[str, tuple[int, str] | str]:
    """Return code and text for each address, or why there was none."""
    said: dict[str, tuple[int, str] | str] = {}
    try:
        with talking(context, place) as client:
            for address in addresses:
                code, text = client.say("MAIL FROM:<>")
                said[address] = client.say(f"RCPT TO:<{address}>") if taken(code) else (code, text)
                client.say("RSET")
    except TimeoutError:
        why = "no answer in time"
    except (Unreached, smtplib.SMTPException, OSError) as error:
        why = words(error)
    else:
        return said
    return {address: said.get(address, f"{place}: {why}") for address in addresses}


def taken(code: int) -> bool:
    """Tell whether a command was carried out."""
    return 200 <= code < 300
