"""The DNS records that follow from the rest of the stack.

Owns: the records of the declared domains and hosts, and further ones declared in ``dns.records``, at Cloudflare or on
an authoritative server of ours. Does not own: any other record of the zone at Cloudflare; those stay as they are. A
server of ours serves exactly what is declared. The zones are an output in BIND format too, for people with DNS
elsewhere.

Order: addresses, SPF and DKIM first, so that mail passes from its first minute. The relay's addresses for applications
follow the relay in ``publish_clients``, so that no name leads to a host that is not ready. MX and DMARC of a domain
follow in ``publish_mail``, once the hosts and the relay behind them are ready. Where an update writes more records than
Cloudflare's rate limit takes at once, they wait for their turn.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.base import Component
from components.remote_host import RemoteHost
from mailstack.dns import Record
from mailstack.plan import DnsPlan
from mailstack.reach.pace import Pace

__all__ = ["DnsRecords", "DnsRecordsArgs"]


@dataclass(frozen=True, kw_only=True)
class DnsRecordsArgs:
    """``plan`` is the part of the plan about DNS."""

    plan: DnsPlan
    hosts: Mapping[str, RemoteHost]


class DnsRecords(Component):
    """The records of all zones, wherever they are served from. ``names`` are those that are there first."""

    zones: pulumi.Output[dict[str, str]]

    def __init__(self, name: str, args: DnsRecordsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare everything but the relay's addresses for applications, and MX and DMARC of the sending domains."""
        super().__init__(name, args.plan.shown, opts)
        self._name, self._plan, self._hosts = name, args.plan, args.hosts
        for sentence in args.plan.warnings:
            pulumi.log.warn(sentence, resource=self)
        self.names: list[pulumi.Resource] = []
        if args.plan.cloudflare is not None:
            # Only a stack with Cloudflare pays for what this needs.
            from components.cloudflare import CloudflareProvider  # noqa: PLC0415

            token = args.plan.cloudflare.api_token.value
            self._provider = CloudflareProvider(f"{name}-cloudflare", token, self._child())
            self._pace = _pace(args.plan)
            later = args.plan.last | args.plan.clients
            first = [record for record in args.plan.records if record not in later]
            self._first = dict(zip(first, self._at_cloudflare(first, lambda _record: ()), strict=True))
            self.names += self._first.values()
        if args.plan.names_run is not None:
            run = args.plan.names_run
            self.names.append(args.hosts[run.host].run(run, self._child()))
        self.zones = pulumi.Output.from_input(dict(args.plan.texts))
        self.register_outputs({"zones": self.zones})

    def publish_clients(self, after: Sequence[pulumi.Resource]) -> None:
        """Declare the relay's addresses for applications; they wait for ``after`` and go before it does."""
        clients = [record for record in self._plan.records if record in self._plan.clients]
        if self._plan.cloudflare is not None:
            self.names += self._at_cloudflare(clients, lambda _record: after)
        run = self._plan.clients_run
        if run is not None:
            self.names.append(self._hosts[run.host].run(run, self._child(depends_on=[*self.names, *after])))

    def publish_mail(self, after: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
        """Declare MX and DMARC of the sending domains, and return them; they wait for ``after``."""
        made: list[pulumi.Resource] = []
        if self._plan.cloudflare is not None:
            of_domain: dict[str, list[pulumi.Resource]] = {}
            for record, resource in self._first.items():
                for name in _names_above(record.name):
                    of_domain.setdefault(name, []).append(resource)
            last = [record for record in self._plan.records if record in self._plan.last]
            # A domain waits for its own SPF and DKIM, not for those of all others.
            made += self._at_cloudflare(last, lambda record: [*of_domain.get(_domain(record), []), *after])
        run = self._plan.mail_run
        if run is not None:
            made.append(self._hosts[run.host].run(run, self._child(depends_on=[*self.names, *after])))
        return made

    def _at_cloudflare(
        self, records: Sequence[Record], after: Callable[[Record], Sequence[pulumi.Resource]]
    ) -> list[pulumi.Resource]:
        from components.cloudflare import CloudflareRecord  # noqa: PLC0415
        from mailstack.dns.cloudflare import resource_name, to_cloudflare  # noqa: PLC0415

        zone_of = {record: zone for zone, held in self._plan.zones.items() for record in held}
        ids = self._plan.cloudflare.zone_ids if self._plan.cloudflare is not None else {}
        made: list[pulumi.Resource] = []
        for record in records:
            name, waiting = resource_name(record), after(record)
            extra = _as_it_is(self._plan.taken[name]) if name in self._plan.taken else {}
            options = self._child(provider=self._provider, depends_on=list(waiting), **extra)
            identity = str(ids[zone_of[record]])
            paced = self._pace if record in self._plan.unwritten else None
            zone_id = identity if paced is None else _in_turn(paced, identity, waiting)
            made.append(CloudflareRecord(f"{self._name}-{name}", zone_id, to_cloudflare(record), options))
        return made


def _domain(record: Record) -> str:
    """Return the domain whose mail a record of ``last`` is about."""
    name = record.name
    while name.startswith("_"):  # _dmarc, _mta-sts, or the service and protocol of SRV
        name = name.partition(".")[2]
    return name


def _names_above(name: str) -> Iterator[str]:
    """Yield ``name`` and every domain that it is in."""
    while name:
        yield name
        name = name.partition(".")[2]


def _pace(plan: DnsPlan) -> Pace | None:
    """Return what makes records wait, None where there are too few to reach the limit, or nothing is written."""
    place = plan.cloudflare
    if place is None or pulumi.runtime.is_dry_run() or len(plan.unwritten) + len(place.made) <= place.calls:
        return None
    return Pace(place.calls, place.seconds, place.made, evenly=True)


def _in_turn(pace: Pace, zone_id: str, after: Sequence[pulumi.Resource]) -> pulumi.Output[str]:
    """Return ``zone_id`` once it is the record's turn; turns are given when ``after`` is there, not before."""

    async def wait(_ready: object) -> str:
        await asyncio.sleep(pace.turn() or 0.0)
        return zone_id

    return pulumi.Output.all(*(resource.urn for resource in after)).apply(wait)


def _as_it_is(import_id: str) -> dict[str, Any]:
    """Return the options of a record that is taken over: imported, with whatever it holds, and not changed yet."""
    values = ["content", "data", "ttl", "priority", "proxied", "comment", "tags"]
    return {"import_": import_id, "ignore_changes": values}
