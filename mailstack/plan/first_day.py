"""What live zones hold already: looked at while planning, before anything is registered.

A first `up` on a domain that has records of before must not double them. Whoever plans says what is ours (the state of
the engine); only zones in which something is about to be made are looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from mailstack.dns import Record, resource_name
from mailstack.dns.cloudflare import TOKEN_RIGHTS
from mailstack.dns.existing import Clash, Decision, Existing, decide, declared_content, find_clashes, take_overs
from mailstack.dns.records import Caa, MailExchanger, Text
from mailstack.dns.zone_facts import ZoneFacts
from mailstack.plan.model import CloudflarePlan, Plan
from mailstack.plan.mta_sts import abandoned_policies
from mailstack.plan.reverse import other_reverse_names, sending_ipv6, without_reverse_name
from mailstack.plan.zone_room import full_zones, known_zones, unseen_zones
from mailstack.reach.cloudflare import CloudflareApi, CloudflareError
from mailstack.reach.look import Look, look_at_cloudflare, look_by_dns
from mailstack.reach.pace import Pace
from mailstack.reach.recent import Recent
from mailstack.settings.problems import Problem, SettingsError
from mailstack.words import listed

__all__ = ["Ours", "Surroundings", "first_day"]

OFFLINE = "nobody looked: dns.look_seconds is 0"
# So many zones are one share of the time, and beyond them answers are kept for the run that follows.
MANY = 100
NAMED = 3
# By zone, the records that are about to be made.
New = Mapping[str, tuple[Record, ...]]


@dataclass(frozen=True, kw_only=True)
class Ours:
    """What the last update left: names of record resources, record and zone IDs at Cloudflare, zone texts.

    ``contents`` maps zone ID, name and content (with an MX record's preference) to the TTL.
    """

    resource_names: frozenset[str] = frozenset()
    record_ids: frozenset[str] = frozenset()
    contents: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    zone_ids: Mapping[str, str] = field(default_factory=dict)
    zones: Mapping[str, str] = field(default_factory=dict)

    @property
    def text_names(self) -> frozenset[str]:
        """The names that hold TXT records."""
        written = (line.split() for text in self.zones.values() for line in text.splitlines())
        found = {parts[0].rstrip(".") for parts in written if len(parts) > 3 and parts[3] == "TXT"}
        return frozenset(found | {name for _, name, content in self.contents if content.startswith('"')})


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Where to ask: the API's address, and resolvers for everybody else's DNS (None: the system's, empty: nobody).

    ``recent`` is the file for answers of a moment ago; only a stack with many zones uses it.
    """

    cloudflare_url: str
    resolvers: Sequence[str] | None = None
    recent: Path | None = None


def first_day(plan: Plan, ours: Ours, around: Surroundings) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan with zone IDs and records taken over, and warnings about what was not looked at.

    Raises SettingsError for zones that are not found, for records that would clash with declared ones and about which
    nothing, or nothing that can be, is decided in ``dns.existing``, and for a new AAAA of a sending host whose address
    has no reverse name. A local stack has no live zone.
    """
    settings = plan.settings
    if settings.environment == "local":
        return plan, ()
    abandoned = tuple(abandoned_policies(ours.text_names, _names(plan), settings))
    if abandoned:
        raise SettingsError(abandoned)
    new = _new(plan, ours)
    warnings = tuple(_reverse(plan, new, around))
    if plan.dns.cloudflare is not None:
        recent = Recent(around.recent if len(plan.dns.zones) > MANY else None)
        plan, notes = _first_day_at_cloudflare(plan, plan.dns.cloudflare, ours, new, around, recent)
    else:
        plan, notes = _with_decisions(plan, ours, new, _elsewhere(plan, new, around))
    return plan, (*notes, *warnings)


def _reverse(plan: Plan, new: New, around: Surroundings) -> Iterator[str]:
    """Yield warnings about reverse names; an address that has none is refused."""
    sending = sending_ipv6(plan, new)
    if not sending or not plan.settings.dns.look_seconds:
        return
    # Only a stack that asks pays for what this needs.
    from mailstack.reach.delegation import reverse_names  # noqa: PLC0415

    found = reverse_names(sending, seconds=_seconds(plan) or 0.0, resolvers=around.resolvers)
    if missing := list(without_reverse_name(plan, sending, found)):
        raise SettingsError(missing)
    yield from other_reverse_names(sending, found)


def _first_day_at_cloudflare(
    plan: Plan, cloudflare: CloudflarePlan, ours: Ours, new: New, around: Surroundings, recent: Recent
) -> tuple[Plan, tuple[str, ...]]:
    pace = Pace(cloudflare.calls, cloudflare.seconds, recent.calls)
    token = cloudflare.api_token.value
    api = CloudflareApi(around.cloudflare_url, token, seconds=_seconds(plan), pace=pace, recent=recent)
    try:
        plan = _with_zone_ids(plan, cloudflare, ours, api)
        look = _at_cloudflare(plan, ours, new, api, recent)
        zones = known_zones(api, [zone for zone in new if zone not in look.not_seen])
    finally:
        recent.save(pace.made())
    found = replace(cloudflare, zone_ids=_ids(plan), made=tuple(pace.made()))
    unwritten = frozenset(
        record
        for zone, records in plan.dns.zones.items()
        for record in records
        if ours.contents.get(_content_at(str(found.zone_ids[zone]), record)) != record.ttl
    )
    plan = replace(plan, dns=replace(plan.dns, cloudflare=found, unwritten=unwritten))
    plan, notes = _with_decisions(plan, ours, new, look)
    taken = plan.dns.taken
    making = {zone: [one for one in records if resource_name(one) not in taken] for zone, records in new.items()}
    full = list(full_zones(zones, making, look.existing))
    if full:
        raise SettingsError(full)
    return plan, (*notes, *_unseen(plan, zones, around))


def _unseen(plan: Plan, zones: Mapping[str, ZoneFacts], around: Surroundings) -> Iterator[str]:
    # Where there are many, what Cloudflare calls them has to do: it asks the registrars' servers itself.
    asked = [name for name, facts in zones.items() if facts.status == "active"] if len(plan.dns.zones) <= MANY else []
    delegated: Mapping[str, frozenset[str]] = {}
    if asked:
        # Only a stack that asks pays for what this needs.
        from mailstack.reach.delegation import delegations  # noqa: PLC0415

        delegated = delegations(asked, seconds=_seconds(plan) or 0.0, resolvers=around.resolvers)
    yield from unseen_zones(zones, delegated)


def _content_at(zone_id: str, record: Record) -> tuple[str, str, str]:
    return zone_id, record.name, declared_content(record)


def _ids(plan: Plan) -> Mapping[str, str | None]:
    return plan.dns.cloudflare.zone_ids if plan.dns.cloudflare is not None else {}


def _with_decisions(plan: Plan, ours: Ours, new: New, look: Look) -> tuple[Plan, tuple[str, ...]]:
    undecided, taken = _decide(plan, ours, new, look)
    if undecided:
        raise SettingsError(_problem(plan, clash) for clash in undecided)
    places = take_overs(taken).items()
    imports = {name: f"{there.zone_id}/{there.record_id}" for name, there in places if there.record_id is not None}
    return replace(plan, dns=replace(plan.dns, taken=imports)), tuple(_not_seen(look.not_seen))


def _decide(plan: Plan, ours: Ours, new: New, look: Look) -> tuple[list[Clash], list[Clash]]:
    """Return the clashes about which nothing is decided, and those whose record is taken over."""
    foreign = [there for there in look.existing if not _is_ours(there, ours)]
    clashes = find_clashes([*chain.from_iterable(new.values())], plan.dns.records, foreign)
    decisions = [
        Decision(name=entry.name, type=entry.type, content=entry.content, action=entry.action)
        for entry in plan.settings.dns.existing
    ]
    return decide(_relevant(plan, clashes), decisions)


def _seconds(plan: Plan) -> float | None:
    """Return the time for the look; IDs have to be found even where nobody is to look."""
    return plan.settings.dns.look_seconds * -(-len(plan.dns.zones) // MANY) or None


def _with_zone_ids(plan: Plan, cloudflare: CloudflarePlan, ours: Ours, api: CloudflareApi) -> Plan:
    known = {zone: identity or ours.zone_ids.get(zone) for zone, identity in cloudflare.zone_ids.items()}
    missing = [zone for zone, identity in known.items() if identity is None]
    if missing:
        try:
            found = api.zone_ids(missing)
        except CloudflareError as error:
            raise SettingsError([_no_ids(missing, str(error))]) from None
        if len(found) < len(missing):
            raise SettingsError(_no_zone(zone) for zone in missing if zone not in found)
        known |= found
    return replace(plan, dns=replace(plan.dns, cloudflare=replace(cloudflare, zone_ids=known)))


def _no_ids(zones: Sequence[str], why: str) -> Problem:
    return Problem(
        field="dns.cloudflare.zones",
        value=listed(zones, NAMED),
        rule=f"have no ID, and it could not be looked up: {why}",
        fix="write the IDs, as each zone's overview page shows them, or try again",
    )


def _no_zone(zone: str) -> Problem:
    return Problem(
        field="dns.cloudflare.zones",
        value=zone,
        rule="is no zone that the API token sees",
        fix=f"give the token {TOKEN_RIGHTS} for it; where the zone is a parent domain, list that one in zones",
    )


def _names(plan: Plan) -> frozenset[str]:
    return frozenset(record.name for record in plan.dns.records)


def _new(plan: Plan, ours: Ours) -> New:
    """Return the records that are about to be made. Elsewhere than at Cloudflare a zone text tells."""
    found = {}
    for zone, records in plan.dns.zones.items():
        if plan.dns.cloudflare is not None:
            new = tuple(record for record in records if resource_name(record) not in ours.resource_names)
        else:
            new = () if zone in ours.zones else records
        if new:
            found[zone] = new
    return found


def _at_cloudflare(plan: Plan, ours: Ours, new: New, api: CloudflareApi, recent: Recent) -> Look:
    if not plan.settings.dns.look_seconds:
        return Look(not_seen=dict.fromkeys(new, OFFLINE))
    ids = {zone: str(identity) for zone, identity in _ids(plan).items()}
    look = look_at_cloudflare(api, {zone: ids[zone] for zone in new})
    doubted = {clash.existing.zone for clash in _decide(plan, ours, new, look)[0]} if recent.calls else set()
    if not doubted:
        return look
    # Seen a moment ago, and somebody may have mended it since: what is refused is refused for what is there now.
    for zone in doubted:
        recent.forget(ids[zone])
    again = look_at_cloudflare(api, {zone: ids[zone] for zone in doubted})
    seen = doubted - again.not_seen.keys()
    return replace(look, existing=(*(there for there in look.existing if there.zone not in seen), *again.existing))


def _elsewhere(plan: Plan, new: New, around: Surroundings) -> Look:
    if not plan.settings.dns.look_seconds:
        return Look(not_seen=dict.fromkeys(new, OFFLINE))
    server = plan.settings.dns.server
    own = server.nameservers if server is not None else ()
    return look_by_dns(new, seconds=_seconds(plan) or 0.0, ours=own, resolvers=around.resolvers)


def _is_ours(there: Existing, ours: Ours) -> bool:
    return there.record_id in ours.record_ids or (str(there.zone_id), there.name, there.content) in ours.contents


def _relevant(plan: Plan, clashes: Sequence[Clash]) -> list[Clash]:
    """Return the clashes that matter for this provider: only Cloudflare minds a record that is the same."""
    if plan.dns.cloudflare is not None:
        return list(clashes)
    return [clash for clash in clashes if not any(record.data == clash.existing.data for record in clash.declared)]


def _problem(plan: Plan, clash: Clash) -> Problem:
    there = clash.existing
    declared = ", ".join(dict.fromkeys(f"{record.name} {record.type}" for record in clash.declared))
    line = f"- {{name: {there.name!r}, type: {there.type}, content: {_content(there)!r}, action: "
    ways = []
    if clash.may_be_taken:
        by_hand = "replace it by the declared one where the zone is kept, and say so"
        how = by_hand if there.record_id is None else "take it over"
        ways.append(f"{how}: add `{line}take-over}}` to dns.existing")
    ways += _merge(plan, there) if there.keeper is None else []
    if clash.may_stay:
        ways.append(f"let it stay: add `{line}keep}}` to dns.existing")
    if there.keeper is None:
        ways.append("remove it where the zone is kept, if nobody needs it")
    else:
        ways.append(f"switch {there.keeper} off for the zone in Cloudflare's dashboard, which removes it")
    return Problem(
        field="dns.existing",
        value=f"{there} in zone {there.zone}",
        rule=f"stands against the declared {declared}: {clash.why}",
        fix="; or ".join(ways),
    )


def _content(there: Existing) -> str:
    return there.data.value if isinstance(there.data, Text) else there.content


def _merge(plan: Plan, there: Existing) -> list[str]:
    """Return how the terms of a record of before are written in the settings."""
    names = [domain.name for domain in plan.settings.domains]
    domain = there.name.removeprefix("_dmarc.")
    if domain not in names:
        return []
    field = f"domains[{names.index(domain)}]"
    if isinstance(there.data, MailExchanger):
        entry = f"{{preference: {there.data.preference}, exchange: {there.data.exchange}}}"
        return [f"declare it: add `{entry}` to {field}.mx"]
    if isinstance(there.data, Caa) and there.data.tag in CAA_SETTINGS:
        return [f"declare it: add `{there.data.value}` to {field}.caa.{there.data.tag}"]
    if there.kind == "SPF":
        return _merge_spf(field, _content(there))
    if there.kind == "DMARC":
        return _merge_dmarc(field, _content(there))
    return []


def _merge_spf(field: str, text: str) -> list[str]:
    terms = text.split()[1:]
    includes = [term.partition(":")[2] for term in terms if term.lower().lstrip("+").startswith("include:")]
    others = [
        term
        for term in terms
        if not term.lower().lstrip("+").startswith(("include:", "redirect=")) and term.lower().lstrip("+-~?") != "all"
    ]
    lines = [f"{field}.spf.include: [{', '.join(includes)}]"] if includes else []
    lines += [f"{field}.spf.mechanisms: [{', '.join(others)}]"] if others else []
    return [f"merge its terms, and take it over: {' and '.join(lines)}"] if lines else []


CAA_SETTINGS = ("issue", "issuewild", "issuemail", "iodef")
DMARC_SETTINGS = {
    "p": "policy",
    "sp": "subdomain_policy",
    "np": "nonexistent_policy",
    "rua": "aggregate_reports",
    "ruf": "failure_reports",
}


def _merge_dmarc(field: str, text: str) -> list[str]:
    tags = dict(part.strip().split("=", 1) for part in text.split(";") if "=" in part)
    lines = []
    for tag, setting in DMARC_SETTINGS.items():
        value = tags.get(tag)
        if value is not None:
            addresses = [place.strip().removeprefix("mailto:") for place in value.split(",")]
            shown = f"[{', '.join(addresses)}]" if tag in {"rua", "ruf"} else value
            lines.append(f"{field}.dmarc.{setting}: {shown}")
    return [f"merge its tags, and take it over: {' and '.join(lines)}"] if lines else []


def _not_seen(zones: Mapping[str, str]) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for zone, why in zones.items():
        by_reason.setdefault(why, []).append(zone)
    for why, names in by_reason.items():
        which = f"zone {names[0]} holds" if len(names) == 1 else f"zones {listed(names, NAMED)} hold"
        yield (
            f"what {which} was not looked at: {why}. A record of before may be doubled: two SPF records are a "
            "permanent error for every receiver, two DMARC records count as none"
        )
