"""Rules of ``dns`` that need more than one field."""

import re
from collections.abc import Callable, Iterator

from mailstack.dns import zone_of
from mailstack.dns.cloudflare import TOKEN_RIGHTS
from mailstack.settings.model import Settings
from mailstack.settings.names import under_any, zone_names
from mailstack.settings.problems import Problem, not_a_host

__all__ = ["DNS_RULES"]


def _dns_provider(settings: Settings) -> Iterator[Problem]:
    dns = settings.dns
    for kind, section in (("cloudflare", dns.cloudflare), ("server", dns.server)):
        if dns.provider == kind and section is None:
            yield Problem(
                field=f"dns.{kind}", value="", rule=f"is required with provider {kind}", fix="add the section"
            )
        if dns.provider != kind and section is not None:
            yield Problem(
                field=f"dns.{kind}",
                value="a mapping",
                rule=f"has no effect with provider {dns.provider}",
                fix=f"remove it, or set provider to {kind}",
            )
    if dns.provider == "cloudflare" and dns.cloudflare is not None:
        token = dns.cloudflare.api_token.get_secret_value()
        if re.fullmatch(r"[0-9a-f]{37}", token):
            yield Problem(
                field="dns.cloudflare.api_token",
                value="[secret]",
                rule="looks like the account's global API key, which may do anything",
                fix=f"create an API token with {TOKEN_RIGHTS} for these zones only",
            )
        zones = dict.fromkeys(zone_names(settings))
        places = {f"domains[{number}].name": domain.name for number, domain in enumerate(settings.domains)}
        for place, name in {**places, "relay.hostname": settings.relay.hostname}.items():
            if zone_of(name, zones) is None:
                yield Problem(
                    field="dns.cloudflare.zones",
                    value=", ".join(zones),
                    rule=f"no zone holds {name}",
                    fix="add the zone; its ID, as the zone's overview page shows it, is looked up where it is left out",
                    refers_to=place,
                )
    if dns.provider == "server" and dns.server is not None:
        yield from _dns_server(settings)


def _dns_server(settings: Settings) -> Iterator[Problem]:
    server = settings.dns.server
    if server is None:
        return
    if server.host not in settings.hosts:
        yield not_a_host("dns.server.host", server.host, settings.hosts)
        return
    host = settings.hosts[server.host]
    names = [domain.name for domain in settings.domains]
    for index, name in enumerate(server.nameservers):
        if name in server.nameservers[:index]:
            yield Problem(
                field=f"dns.server.nameservers[{index}]", value=name, rule="is listed twice", fix="remove one"
            )
        if index > 0 and under_any(name, names):
            yield Problem(
                field=f"dns.server.nameservers[{index}]",
                value=name,
                rule="is inside a zone served here, but only the first name server is this host",
                fix="leave it out, or name a secondary whose own zone is elsewhere",
            )
    if server.nameservers[0] == settings.relay.hostname and settings.relay.host_names != (server.host,):
        yield Problem(
            field="dns.server.nameservers[0]",
            value=server.nameservers[0],
            rule=f"is the relay's name, but the server runs on {server.host}",
            fix=f"give the name server a name of its own, such as ns1.{names[0]}",
        )
    if under_any(server.nameservers[0], names) and not (host.public_ipv4 or host.public_ipv6):
        yield Problem(
            field=f"hosts.{server.host}.public_ipv4",
            value="",
            rule=f"is required, or public_ipv6: {server.nameservers[0]} is inside a zone that this host serves",
            fix="write the address the server is reached at",
        )


def _existing(settings: Settings) -> Iterator[Problem]:
    zones = dict.fromkeys(zone_names(settings))
    seen: dict[tuple[str, str, str | None], str] = {}
    for index, entry in enumerate(settings.dns.existing):
        field = f"dns.existing[{index}]"
        if zone_of(entry.name, zones) is None:
            yield Problem(
                field=f"{field}.name",
                value=entry.name,
                rule="is in no zone of this stack, so nobody looks at it",
                fix=f"remove the entry, or correct the name; the zones are {', '.join(zones)}",
            )
        key = (entry.name, entry.type, entry.content)
        if seen.setdefault(key, entry.action) != entry.action:
            yield Problem(
                field=f"{field}.action",
                value=entry.action,
                rule=f"contradicts an entry above: the same record is to be {seen[key]}",
                fix="keep one of the two, or tell the records apart by content",
            )


DNS_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_dns_provider, _existing)
