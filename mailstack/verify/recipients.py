"""Which recipients our mail hosts take, asked with RCPT and never with DATA: nothing is sent."""

import re
import smtplib
from collections.abc import Iterator

from mailstack.verify.context import Context
from mailstack.verify.listeners import MX, Endpoint, exchangers, our_smtp
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown
from mailstack.verify.reaching import Unreached
from mailstack.verify.smtp import talking, words
from mailstack.verify.target import DomainTarget

__all__ = ["bounces", "role_addresses", "taken"]

MADE_UP = "mailstack-verify"
# "There is no such mailbox here": the server knows the domain as its own. Postal says it in its own words.
NO_SUCH = re.compile(
    r"5\.1\.1|5\.1\.6|user unknown|unknown user|no such|invalid server token|invalid route", re.IGNORECASE
)


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
    for domain in context.target.domains:
        if not _takes_mail(domain):
            continue
        asked = _mail_host(context, domain.name)
        if isinstance(asked, Finding):
            yield asked
            continue
        for local in ("postmaster", "abuse"):
            yield _role_address(context, asked, f"{local}@{domain.name}")


def _role_address(context: Context, place: Endpoint, address: str) -> Finding:
    answer = _ask(context, place, address)
    if isinstance(answer, Finding):
        return answer
    code, text = answer
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
    for name in names:
        asked = _mail_host(context, name)
        yield asked if isinstance(asked, Finding) else _bounce(context, asked, name)


def _bounce(context: Context, place: Endpoint, domain: str) -> Finding:
    answer = _ask(context, place, f"{MADE_UP}@{domain}")
    if isinstance(answer, Finding):
        return answer
    code, text = answer
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


def _takes_mail(domain: DomainTarget) -> bool:
    return domain.receives is not False and not domain.parked


def _mail_host(context: Context, domain: str) -> Endpoint | Finding:
    """Return one of our listeners that takes mail for a domain, or why there is none to ask."""
    answer = context.dns.look(domain, "MX")
    hosts = exchangers(context, domain)
    if not hosts:
        if not answer.known:
            return unknown(domain, f"its mail hosts are not known: {answer}")
        if answer.values:
            return not_applicable(domain, "a null MX: it takes no mail")
        return fail(
            domain,
            "it has no MX record",
            expected="a mail host that takes what comes back",
            fix=f"publish an MX record at {domain}; for a name that is a CNAME, at the name it points to",
        )
    mine = [place for place in our_smtp(context) if place.host in hosts and place.role == MX]
    if not mine:
        return not_applicable(domain, f"its mail hosts are not ours, and are not asked: {', '.join(hosts)}")
    return min(mine, key=lambda place: (hosts.index(place.host), ":" in place.address))


def _ask(context: Context, place: Endpoint, recipient: str) -> tuple[int, str] | Finding:
    try:
        with talking(context, place) as client:
            code, text = client.say("MAIL FROM:<>")
            return client.say(f"RCPT TO:<{recipient}>") if taken(code) else (code, text)
    except TimeoutError:
        return unknown(recipient, f"{place}: no answer in time")
    except (Unreached, smtplib.SMTPException, OSError) as error:
        return unknown(recipient, f"{place}: {words(error)}")


def taken(code: int) -> bool:
    """Tell whether a command was carried out."""
    return 200 <= code < 300
