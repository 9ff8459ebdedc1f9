"""Checks of block lists: sending addresses and domains (RFC 5782).

Asked through our own resolver: lists refuse the big public ones, and say so with an address that is no listing.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mailstack.dns.addresses import special_purpose
from mailstack.verify.context import Context
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown

__all__ = ["LISTS", "REFUSALS", "BlockList"]

# What Spamhaus answers instead of a listing; other lists do the same (www.spamhaus.org/faqs/dnsbl-usage). The whole of
# 127.255.255.0/24 is kept for it, so what is not named here is no listing either.
REFUSED = "127.255.255."
REFUSALS: Mapping[str, str] = {
    "127.255.255.252": "the name of the list is mistyped",
    "127.255.255.254": "it was asked through a public resolver, which the list refuses",
    "127.255.255.255": "it was asked too often from this resolver",
}


@dataclass(frozen=True, kw_only=True)
class BlockList:
    """``codes`` say what an answer means, ``test`` is listed always: where it is not, the list does not work from here.
    ``remove`` is where one gets off it.
    """

    test: str
    remove: str = "the list's own page"
    codes: Mapping[str, str] = field(default_factory=dict)


LISTS: Mapping[str, BlockList] = {
    # docs.spamhaus.com: available zones, return codes
    "zen.spamhaus.org": BlockList(
        test="2.0.0.127",
        remove="https://check.spamhaus.org",
        codes={
            "127.0.0.2": "SBL: source of spam",
            "127.0.0.3": "CSS: source of spam, found automatically",
            "127.0.0.4": "XBL: hijacked or infected",
            "127.0.0.9": "DROP: hijacked network",
            "127.0.0.10": "PBL: by its provider's rules no mail server (a dial-up range)",
            "127.0.0.11": "PBL: a range that should not send mail directly",
            "127.0.0.30": "BCL: botnet control",
        },
    ),
    "dbl.spamhaus.org": BlockList(
        test="dbltest.com",
        remove="https://check.spamhaus.org",
        codes={
            "127.0.1.2": "a domain of low reputation: spam",
            "127.0.1.4": "phishing",
            "127.0.1.5": "malware",
            "127.0.1.6": "botnet control",
            "127.0.1.102": "abused, otherwise legitimate: spam",
            "127.0.1.103": "abused redirector",
            "127.0.1.104": "abused, otherwise legitimate: phishing",
            "127.0.1.105": "abused, otherwise legitimate: malware",
            "127.0.1.106": "abused, otherwise legitimate: botnet control",
            "127.0.1.255": "not a listing: an address was asked for",
        },
    ),
}
ADDRESS_TEST, DOMAIN_TEST = "2.0.0.127", "test"  # RFC 5782 §5


@check(
    number=41,
    name="block-list-addresses",
    group="G",
    title="No sending address is on a block list",
    source="RFC 5782 §2, §5; Spamhaus: DNSBL usage, return codes",
    uses="dnspython",
)
def block_list_addresses(context: Context) -> Iterator[Finding]:
    """Ask the lists for every address that sends."""
    target = context.target
    addresses = [address for host in target.hosts if host.helo for address in host.addresses]
    addresses += [address for domain in target.domains for address in domain.senders]
    hosts = [host.name for host in target.hosts if host.helo and not host.addresses]
    addresses += [value for name in hosts for kind in ("A", "AAAA") for value in context.dns.look(name, kind).values]
    public = [one for one in dict.fromkeys(addresses) if not special_purpose(ipaddress.ip_network(one))]
    if not public:
        yield not_applicable("", "no public sending address is known")
    yield from context.each(
        [(address, _reversed(address), one) for address in public for one in context.around.block_lists],
        lambda asked: _listed(context, *asked, ADDRESS_TEST),
    )


@check(
    number=41,
    name="block-list-domains",
    group="G",
    title="No domain is on a block list",
    source="RFC 5782 §3, §5; Spamhaus: DBL return codes",
    uses="dnspython",
)
def block_list_domains(context: Context) -> Iterator[Finding]:
    """Ask the lists for every domain and return path."""
    names = [name for domain in context.target.domains for name in (domain.name, *domain.return_paths)]
    if not names:
        yield not_applicable("", "no domain is named")
    yield from context.each(
        [(name, name, one) for name in dict.fromkeys(names) for one in context.around.domain_block_lists],
        lambda asked: _listed(context, *asked, DOMAIN_TEST),
    )


def _reversed(address: str) -> str:
    return ipaddress.ip_address(address).reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


def _listed(context: Context, subject: str, label: str, place: str, test: str) -> Iterable[Finding]:
    known = LISTS.get(place, BlockList(test=test))
    answer = context.dns.follow(f"{label}.{place}", "A")
    refused = _refusals(answer.values)
    listings = [value for value in answer.values if not value.startswith(REFUSED) and value != "127.0.1.255"]
    if not answer.known:
        return [unknown(subject, f"{place}: {answer.why}")]
    if refused:
        return [unknown(subject, f"{place} did not say: {refused[0]}", str(answer))]
    strange = [value for value in listings if not value.startswith("127.")]
    if strange:
        # A list that has ended, or a resolver that rewrites, answers with a web server's address (RFC 5782 §2.1).
        return [unknown(subject, f"{place} answers {strange[0]}, which is no answer of a block list", str(answer))]
    if listings:
        meaning = ", ".join(known.codes.get(value, value) for value in listings)
        return [
            fail(
                subject,
                f"listed by {place}: {meaning}",
                str(answer),
                expected="not listed: many receivers refuse mail from there",
                fix=f"find and stop the cause, then ask to be removed: {known.remove}",
            )
        ]
    alive = context.dns.follow(f"{known.test}.{place}", "A")
    if not alive.values or _refusals(alive.values):
        why = next(iter(_refusals(alive.values)), "its test entry is not there")
        return [unknown(subject, f"{place} does not work from here: {alive.why or why}", str(alive))]
    return [ok(subject, f"not listed by {place}")]


def _refusals(values: Iterable[str]) -> list[str]:
    return [REFUSALS.get(value, f"{value}, a refusal") for value in values if value.startswith(REFUSED)]
