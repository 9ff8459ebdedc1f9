"""Are the routes to the addresses that mail depends on signed?

The origin of a route is from Team Cymru's DNS, its validity from RIPEstat.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

import requests

from mailstack.verify.context import Context
from mailstack.verify.listeners import addresses, each, exchangers
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn

__all__ = ["Route", "rpki"]

ORIGIN4, ORIGIN6 = "origin.asn.cymru.com", "origin6.asn.cymru.com"
ANSWER_SECONDS = 10.0
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, kw_only=True)
class Route:
    """A prefix and the autonomous systems that announce it."""

    prefix: str
    origins: tuple[str, ...]


@check(
    number=13,
    name="rpki",
    group="B",
    title="Routes to our hosts, mail exchangers and name servers are valid in RPKI",
    source="RFC 6811 §2; Team Cymru IP to ASN mapping; RIPEstat rpki-validation",
    uses="dnspython, requests",
)
def rpki(context: Context) -> Iterator[Finding]:
    """Look up who announces each address, and whether the owner of the prefix has signed that. What is somebody
    else's is a warning at most.
    """
    public = {address: whose for address, whose in _wanted(context).items() if address.is_global}
    if not public:
        yield not_applicable("", "there is no public address to look at")
    yield from each(list(public.items()), lambda one: _rpki(context, *one))


def _wanted(context: Context) -> dict[Address, str]:
    """Return every address that mail depends on, and whose it is: empty for our own hosts and senders."""
    target = context.target
    found: dict[str, str] = {}
    for domain in target.domains:
        for host in exchangers(context, domain.name):
            found.update(dict.fromkeys(addresses(context, host), f"mail exchanger {host}"))
    for zone in dict.fromkeys((*target.zones, *(domain.name for domain in target.domains))):
        found.update({server.address: f"name server {server.name}" for server in context.dns.servers(zone)})
    found.update({address: "" for host in target.hosts for address in addresses(context, host.name)})
    found.update({text: "" for domain in target.domains for text in domain.senders})
    return {
        ipaddress.ip_network(text, strict=False).network_address: whose
        for text, whose in sorted(found.items(), key=lambda one: one[1] != "")
    }


def _rpki(context: Context, address: Address, whose: str) -> Finding:
    subject = str(address)
    route = _route(context, address)
    if isinstance(route, str):
        return unknown(subject, route)
    said = {origin: _validity(context, route.prefix, origin) for origin in route.origins}
    shown = "; ".join(f"{route.prefix} from AS{origin}: {validity}" for origin, validity in said.items())
    shown += f" ({whose})" if whose else ""
    if any(validity.startswith("invalid") for validity in said.values()):
        return (warn if whose else fail)(
            subject,
            shown,
            expected="valid: networks that check drop an invalid route, and the mail with it",
            fix="tell the provider: its route does not fit its ROA",
        )
    if all(validity == "valid" for validity in said.values()):
        return ok(subject, shown)
    if all(validity in {"valid", "unknown"} for validity in said.values()):
        what = "take the mail" if whose else "send in your name"
        return warn(
            subject,
            shown,
            expected=f"valid: without a ROA others can announce the address and {what}",
            fix="ask the provider to sign its prefix (a ROA at its RIR)",
        )
    return unknown(subject, shown)


def _route(context: Context, address: Address) -> Route | str:
    labels = address.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    name = f"{labels}.{ORIGIN4 if address.version == 4 else ORIGIN6}"
    answer = context.dns.ask(context.dns.own, name, "TXT")
    if not answer.known:
        return f"who announces it is not known: {answer}"
    # "AS AS | prefix | country | registry | date"; the longest prefix is the route that is used.
    found = [[part.strip() for part in value.split("|")] for value in answer.values]
    routes = [
        Route(prefix=parts[1], origins=tuple(parts[0].split())) for parts in found if len(parts) > 1 and "/" in parts[1]
    ]
    if not routes:
        return f"nobody announces it, says {name}"
    return max(routes, key=lambda route: int(route.prefix.partition("/")[2]))


def _validity(context: Context, prefix: str, origin: str) -> str:
    """Return ``valid``, ``unknown`` (no ROA), ``invalid_asn``, ``invalid_length``, or why there was no answer."""
    return context.once(("rpki", prefix, origin), lambda: _asked(context, prefix, origin))


def _asked(context: Context, prefix: str, origin: str) -> str:
    url = f"{context.around.route_validity}/data/rpki-validation/data.json"
    try:
        seconds = context.left(ANSWER_SECONDS)
        reply = requests.get(url, params={"resource": f"AS{origin}", "prefix": prefix}, timeout=seconds)
        reply.raise_for_status()
        return str(reply.json()["data"]["status"])
    except requests.RequestException as error:
        return f"no answer from {context.around.route_validity} ({type(error).__name__})"
    except (ValueError, KeyError, TypeError):
        return f"no answer from {context.around.route_validity} that can be read"
