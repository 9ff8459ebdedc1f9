"""Whether the zones at Cloudflare can take what is about to be made, and whether anybody will see it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mailstack.dns import Record
from mailstack.dns.existing import Existing
from mailstack.dns.zone_facts import ZoneFacts
from mailstack.reach.cloudflare import CloudflareApi, CloudflareError
from mailstack.settings.problems import Problem

__all__ = ["full_zones", "known_zones", "unseen_zones"]

NAMED = 3


def known_zones(api: CloudflareApi, names: Sequence[str]) -> dict[str, ZoneFacts]:
    """Return what Cloudflare says of zones; nothing of those it does not show to the token, or cannot be asked about.

    The token needs Zone Read for this, and nothing else of a stack does where zone IDs are given.
    """
    if not names:
        return {}
    try:
        return {name: ZoneFacts.at_cloudflare(shown) for name, shown in api.zones(names).items()}
    except CloudflareError:
        return {}


def full_zones(
    zones: Mapping[str, ZoneFacts], making: Mapping[str, Sequence[Record]], there: Sequence[Existing]
) -> Iterator[Problem]:
    """Yield the zones that would hold more records than their plan allows. ``there`` are all records they hold."""
    count = Counter(record.zone for record in there)
    for name, new in making.items():
        quota = zones[name].quota if name in zones else None
        held = count[name]
        if quota is None or held + len(new) <= quota:
            continue
        yield Problem(
            field="dns.cloudflare.zones",
            value=f"{name}, which holds {held} records and is to get {len(new)} more",
            rule=f"takes {quota} with its plan ({zones[name].plan}); Cloudflare would refuse the rest (81045) half-way",
            fix="remove records nobody needs, give the zone a larger plan, or declare fewer domains in it",
        )


def unseen_zones(zones: Mapping[str, ZoneFacts], delegated: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """Yield a warning for zones that the world does not ask Cloudflare about. ``delegated``: their servers by DNS."""
    unseen = {
        name: facts
        for name, facts in zones.items()
        if facts.status != "active" or (name in delegated and not delegated[name] & set(facts.name_servers))
    }
    for name, facts in list(unseen.items())[:NAMED]:
        now = ", ".join(sorted(delegated.get(name, ()))) or "nobody"
        told = f"resolvers see {now}" if name in delegated else f"Cloudflare calls it {facts.status}"
        yield (
            f"zone {name} is not delegated to Cloudflare ({told}): its records are made and nobody sees them until the "
            f"registrar names {' and '.join(facts.name_servers)}"
        )
    if len(unseen) > NAMED:
        yield f"{len(unseen) - NAMED} further zones are not delegated to Cloudflare"
