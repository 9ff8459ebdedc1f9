"""Are the routes to our addresses signed? The origin of a route from Team Cymru's DNS, its validity from RIPEstat."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

import requests

from mailstack.verify.context import Context
from mailstack.verify.listeners import addresses, each
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn

__all__ = ["Route", "rpki"]

ORIGIN4, ORIGIN6 = "origin.asn.cymru.com", "origin6.asn.cymru.com"
ANSWER_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Route:
    """A prefix and the autonomous systems that announce it."""

    prefix: str
    origins: tuple[str, ...]


@check(
    number=13,
    name="rpki",
    group="B",
    title="Routes to our addresses are valid in RPKI",
    source="RFC 6811 §2; Team Cymru IP to ASN mapping; RIPEstat rpki-validation",
    uses="dnspython, requests",
)
def rpki(context: Context) -> Iterator[Finding]:
    """Look up who announces each address, and whether the owner of the prefix has signed that."""
    hosts = [address for host in context.target.hosts for address in addresses(context, host.name)]
    senders = [text for domain in context.target.domains for text in domain.senders]
    wanted = dict.fromkeys(ipaddress.ip_network(text, strict=False).network_address for text in (*hosts, *senders))
    public = [address for address in wanted if address.is_global]
    if not public:
        yield not_applicable("", "there is no public address to look at")
    yield from each(public, lambda address: _rpki(context, address))


def _rpki(context: Context, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Finding:
    subject = str(address)
    route = _route(context, address)
    if isinstance(route, str):
        return unknown(subject, route)
    said = {origin: _validity(context, route.prefix, origin) for origin in route.origins}
    shown = tuple(f"{route.prefix} from AS{origin}: {validity}" for origin, validity in said.items())
    if any(validity.startswith("invalid") for validity in said.values()):
        return fail(
            subject,
            "; ".join(shown),
            expected="valid: networks that check drop an invalid route, and the mail with it",
            fix="tell the provider: its route does not fit its ROA",
        )
    if all(validity == "valid" for validity in said.values()):
        return ok(subject, "; ".join(shown))
    if all(validity in {"valid", "unknown"} for validity in said.values()):
        return warn(
            subject,
            "; ".join(shown),
            expected="valid: without a ROA others can announce the address and send in your name",
            fix="ask the provider to sign its prefix (a ROA at its RIR)",
        )
    return unknown(subject, "; ".join(shown))


def _route(context: Context, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Route | str:
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
