"""What a change of where the zones are can cost: another provider, another zone, another server."""

from collections.abc import Iterator, Mapping

from mailstack.diff.risks.model import Risk, called, listed
from mailstack.plan import Plan
from mailstack.settings.dns_model import DnsServer

__all__ = ["zone_risks"]

DNS_PORT = 53


def zone_risks(before: Plan, after: Plan) -> Iterator[Risk]:
    """Yield them for two plans of one stack."""
    providers = before.settings.dns.provider, after.settings.dns.provider
    if providers[0] != providers[1] and providers[0] != "none":
        nobody = providers[1] == "none"
        yield Risk(
            level="high",
            rule="dns-provider-changed",
            what=f"records move: dns.provider {providers[0]} becomes {providers[1]}",
            reason="the records are removed in the same update, and nobody publishes them from then on"
            if nobody
            else "the old records are removed in the same update, while the world still asks there until the "
            "registrar names the new servers and the old NS records have expired: no SPF, DKIM or MX meanwhile",
            advice="publish them elsewhere, and move the delegation, first"
            if nobody
            else "serve both first: keep the old provider's records by hand until the delegation has moved",
        )
    elif providers[0] != providers[1]:
        yield Risk(
            level="medium",
            rule="dns-provider-new",
            what=f"records are published from now on: dns.provider none becomes {providers[1]}",
            reason="what was published by hand may clash with them, or differ from them; on a server of our own nobody "
            "asks before the registrar names it",
            advice="`mailstack dns diff` shows what differs; dns.existing says what becomes of records that are there",
        )
    gone = [zone for zone in before.dns.zones if zone not in after.dns.zones]
    if gone:
        yield Risk(
            level="high",
            rule="zone-removed",
            what=f"zone {listed(gone)} is not declared any more",
            reason="its records go: mail to it finds no MX, mail from it no SPF and DKIM",
            advice="remove it once nobody sends from there any more",
        )
    places = before.dns.cloudflare, after.dns.cloudflare
    if places[0] is not None and places[1] is not None:
        ids, now = places[0].zone_ids, places[1].zone_ids
        others = [zone for zone, one in ids.items() if one and now.get(zone) and now[zone] != one]
        if others:
            yield Risk(
                level="high",
                rule="zone-moved",
                what=f"zone {listed(others)} is another one at Cloudflare (zone ID)",
                reason="in one update the records go from the old zone and are made in the new one; the world asks the "
                "old one until the registrar names the new one's servers: no SPF, DKIM or MX meanwhile",
                advice="where the old ID was wrong nothing is lost; else keep the old zone's records by hand until the "
                "delegation has moved",
            )
    old, new = before.settings.dns.server, after.settings.dns.server
    if old is not None and new is not None:
        yield from _server(old, new, called(before, after))


def _server(old: DnsServer, new: DnsServer, names: Mapping[str, str]) -> Iterator[Risk]:
    if names.get(old.host, old.host) != new.host:
        yield Risk(
            level="high",
            rule="dns-server-moved",
            what=f"the DNS server moves from {old.host} to {new.host}",
            reason="it is removed from the old host in the same update; resolvers go on asking there",
            advice="have both in the delegation first, then take the old one out",
        )
    if new.port not in {old.port, DNS_PORT}:
        yield Risk(
            level="high",
            rule="dns-server-closed",
            what=f"the DNS server answers at port {new.port}, no more at {old.port}",
            reason="resolvers ask port 53 and no other: they find no SPF, DKIM or MX once their answers have expired",
            advice="keep 53, unless something in front of the server leads there",
        )
    gone = [address for address in old.listen_addresses if address not in new.listen_addresses]
    if new.listen_addresses and (gone or not old.listen_addresses):
        yield Risk(
            level="medium",
            rule="dns-server-closed",
            what=f"the DNS server answers at {listed(new.listen_addresses)} alone",
            reason="resolvers that were sent to another address of it get no answer, and try the other name servers",
            advice="keep every address that the name servers of the delegation have",
        )
    left = [name for name in old.nameservers if name not in new.nameservers]
    if left:
        yield Risk(
            level="medium",
            rule="nameserver-removed",
            what=f"{listed(left)} is no name server of the zones any more",
            reason="the registrar's delegation still names it, and resolvers ask it: once it stops, some get no answer",
            advice="take it out of the delegation at the registrar too, and keep it up until that has expired",
        )
