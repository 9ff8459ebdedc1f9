"""What a plan takes from outside its settings: today's date, the addresses of a file, and what DNS says of others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from mailstack.dns import DnsDeclaration, Findings
from mailstack.dns.parts import Parts
from mailstack.dns.spf_lock import Flattened
from mailstack.dns.spf_rules import known_here
from mailstack.dns.spf_tree import Answers
from mailstack.plan.flatten import flattened_names
from mailstack.settings.model import Settings

__all__ = ["NOTHING", "Outside", "spf_look"]

Look = Callable[[Settings, DnsDeclaration], Answers]
# So many zones are one share of the time to look.
MANY = 100


@dataclass(frozen=True, kw_only=True)
class Outside:
    """``today`` None: no date is held against it. ``flattened`` maps an SPF include to the addresses behind it.

    ``look`` asks DNS what SPF records lead to; None: nobody is asked.
    """

    today: date | None = None
    flattened: Mapping[str, Flattened] = field(default_factory=dict)
    look: Look | None = None


NOTHING = Outside()


def spf_look(resolvers: Sequence[str] | None) -> Look:
    """Return what looks at SPF records of others while planning, within ``dns.look_seconds``.

    A local stack has no live zone: nobody is asked.
    """

    def look(settings: Settings, declaration: DnsDeclaration) -> Answers:
        shares = -(-len(settings.domains) // MANY)
        nobody = resolvers is not None and not resolvers
        if settings.environment == "local" or nobody or not settings.dns.look_seconds:
            return {}
        # Only a plan that looks pays for what this needs.
        from mailstack.reach.spf_look import look_at_spf  # noqa: PLC0415

        parts = Parts(declaration, Findings())
        records = {name: record.text for name, record in parts.spf.items()}
        # What is written as addresses is compared with what is there.
        records[""] = " ".join(["v=spf1", *(f"include:{name}" for name in flattened_names(settings))])
        return look_at_spf(records, known_here(parts), seconds=settings.dns.look_seconds * shares, resolvers=resolvers)

    return look
