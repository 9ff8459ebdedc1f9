"""``mailstack dns``: what zones hold, sorted by what it is to the stack."""

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from cli.common import json_text
from mailstack.dns.adoption import Sorted, entries, sort_records
from mailstack.plan import Plan
from mailstack.reach.cloudflare import CLOUDFLARE_API
from mailstack.reach.environment import named_resolvers
from mailstack.reach.look import Look, look_at_cloudflare, look_by_dns
from mailstack.reach.zone_file import read_zone_file
from mailstack.reach.zone_ids import api_and_ids

__all__ = ["list_zones", "look_at_zones"]


def list_zones(
    plan: Plan,
    say: Callable[[str], None],
    *,
    zone_files: Mapping[str, Path],
    ours: Collection[str] = (),
    only_entries: bool = False,
    as_json: bool = False,
    url: str = CLOUDFLARE_API,
) -> int:
    """Show every record of the stack's zones, and the entries of ``dns.existing`` that take over what can be.

    At Cloudflare the API is asked, elsewhere the authoritative servers, at the declared names only: they list no zone.
    ``zone_files`` maps zones to exports in BIND format, which list all. ``ours`` are the IDs of records that the stack
    has made. ``only_entries``: nothing but YAML; ``as_json``: one document of
    the records. Returns 0, or 1 where a zone could not be looked at.
    """
    look = look_at_zones(plan, zone_files, url)
    found = sort_records(plan.dns.records, look.existing, ours)
    if as_json:
        say(_document(plan, look, found))
        return 1 if look.not_seen else 0
    if not only_entries:
        for zone in plan.dns.zones:
            _tell(zone, [one for one in found if one.existing.zone == zone], say)
        for zone, why in look.not_seen.items():
            say(f"{zone}: not looked at: {why}")
    text = entries(found)
    if text and not only_entries:
        say("To take over what can be, and keep the rest, add to the stack file:\n")
    if text:
        say(f"mailstack:dns:\n  existing:\n{_indented(text)}")
    return 1 if look.not_seen else 0


def look_at_zones(plan: Plan, zone_files: Mapping[str, Path], url: str) -> Look:
    """Return what the stack's zones hold: by Cloudflare's API, from their name servers, or from an export."""
    held = {zone: read_zone_file(zone, path) for zone, path in zone_files.items()}
    unread = {zone: records for zone, records in plan.dns.zones.items() if zone not in held}
    told = tuple(record for records in held.values() for record in records)
    if plan.dns.cloudflare is not None and unread:
        api, known = api_and_ids(plan.dns.cloudflare, url)
        ids = {zone: identity for zone in unread if (identity := known[zone]) is not None}
        seen = look_at_cloudflare(api, ids)
        missing = {zone: "the API token sees no such zone" for zone in unread if zone not in ids}
        return Look(existing=(*told, *seen.existing), not_seen={**seen.not_seen, **missing})
    seconds = float(plan.settings.dns.look_seconds)
    seen = look_by_dns(unread, seconds=seconds, ours=(), resolvers=named_resolvers(os.environ))
    return Look(existing=(*told, *seen.existing), not_seen=seen.not_seen)


def _document(plan: Plan, look: Look, found: list[Sorted]) -> str:
    records = [
        {
            "zone": one.existing.zone, "name": one.existing.name, "type": one.existing.type,
            "content": one.existing.content, "ttl": one.existing.ttl, "kind": one.kind, "meaning": one.meaning,
            "action": one.action,
        }
        for one in found
    ]  # fmt: skip
    document = {
        "zones": {zone: zone not in look.not_seen for zone in plan.dns.zones},
        "not_seen": dict(look.not_seen),
        "records": records,
    }
    return json_text(document)


def _tell(zone: str, records: list[Sorted], say: Callable[[str], None]) -> None:
    say(f"{zone}: {len(records)} records")
    for one in records:
        action = f" [{one.action}]" if one.action is not None else ""
        say(f"  {one.existing}\n      {one.meaning}{action}")


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
