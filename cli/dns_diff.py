"""``mailstack dns diff``: declared records against what the zones hold. Changes nothing."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from cli.common import json_text
from cli.dns import look_at_zones
from mailstack.dns.difference import Difference, differences
from mailstack.plan import Plan
from mailstack.reach.cloudflare import CLOUDFLARE_API

__all__ = ["EXIT_DIFFERENT", "WAYS", "diff_zones"]

EXIT_DIFFERENT = 2
SIGNS = {"missing": "-", "different": "~", "foreign": " "}
# By `dns.provider`. Without the options an update does what is new, and leaves what others have changed.
WAYS = {
    "cloudflare": "`pulumi up --refresh` brings declared records",
    "server": "`pulumi up` brings declared records, `mailstack drift --repair` those that were there before",
    "none": "enter declared records where the zones are kept",
}


def diff_zones(
    plan: Plan,
    say: Callable[[str], None],
    *,
    zone_files: Mapping[str, Path],
    as_json: bool = False,
    url: str = CLOUDFLARE_API,
) -> int:
    """Compare every zone of the stack. Cloudflare's API and an export show all records, name servers only those at
    declared names. Returns 2 where a declared record is missing or different, else 1 where a zone was not seen, else 0:
    foreign records are told, and are no difference.
    """
    look = look_at_zones(plan, zone_files, url)
    found = [
        one
        for zone, records in plan.dns.zones.items()
        if zone not in look.not_seen
        for one in differences(zone, records, [there for there in look.existing if there.zone == zone])
    ]
    wrong = [one for one in found if one.kind != "foreign"]
    if as_json:
        document = {
            "zones": {zone: zone not in look.not_seen for zone in plan.dns.zones},
            "not_seen": dict(look.not_seen),
            "differences": [dataclasses.asdict(one) for one in found],
        }
        say(json_text(document))
    else:
        for zone in plan.dns.zones:
            _tell(zone, [one for one in found if one.zone == zone], look.not_seen.get(zone), say)
        if wrong:
            way = WAYS[plan.settings.dns.provider]
            say(f"{way}; what stands against one: mailstack dns list --stack <stack>")
    return EXIT_DIFFERENT if wrong else int(bool(look.not_seen))


def _tell(zone: str, found: list[Difference], not_seen: str | None, say: Callable[[str], None]) -> None:
    if not_seen is not None:
        say(f"{zone}: not looked at: {not_seen}")
        return
    counts = {kind: sum(one.kind == kind for one in found) for kind in SIGNS}
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    say(f"{zone}: {told or 'as declared'}")
    for one in found:
        say(f"{SIGNS[one.kind]} {one.name} {one.type}: {one.kind}")
        for text in one.declared:
            say(f"    declared {text}")
        for text in one.held:
            say(f"    there    {text}")
