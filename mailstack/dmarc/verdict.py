"""Judges reports: who sends as a domain, who of them would break under a stricter policy, and whether it is safe."""

import ipaddress
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

from mailstack.dmarc.reading import Row
from mailstack.dns.dmarc_ramp import STAGE_DAYS

__all__ = ["THRESHOLDS", "Own", "Source", "Thresholds", "Verdict", "judge"]

Kind = Literal["ours", "signed by us", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """When a stricter policy counts as safe.

    ``days`` are covered from the first to the last report, ``reported_days`` of them have one; ``messages`` were seen
    in all. Of each source of ours at most ``own_failures`` may fail (answers of DNS that got lost), of all mail at
    most ``unknown_failures`` from sources nobody knows.
    """

    days: int = STAGE_DAYS
    reported_days: int = 10
    messages: int = 100
    own_failures: float = 0.01
    unknown_failures: float = 0.05


THRESHOLDS = Thresholds()


@dataclass(frozen=True, kw_only=True)
class Own:
    """What is ours: networks that SPF names and hosts send from, and ``selector`` names of declared DKIM keys."""

    networks: tuple[str, ...] = ()
    selectors: frozenset[str] = frozenset()

    def holds(self, source: str) -> bool:
        """Tell whether an address is in one of the networks."""
        try:
            address = ipaddress.ip_address(source)
        except ValueError:
            return False
        networks = (ipaddress.ip_network(text, strict=False) for text in self.networks)
        return any(address.version == network.version and address in network for network in networks)


@dataclass(frozen=True, kw_only=True)
class Source:
    """All mail from one address. ``signers`` are domains that signed it, ``envelopes`` those of MAIL FROM."""

    address: str
    organisation: str
    kind: Kind
    messages: int
    failed: int
    spf_failed: int
    dkim_failed: int
    reporters: tuple[str, ...]
    signers: tuple[str, ...] = ()
    envelopes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Tell whether somebody of ours answers for it."""
        return self.kind != "unknown"

    def __str__(self) -> str:
        """Name it, with who has the address."""
        return f"{self.address} ({self.organisation})" if self.organisation else self.address

    def why(self) -> str:
        """Say in words what fails, and what mends it."""
        if self.kind == "ours" and self.dkim_failed == self.messages:
            return "no aligned signature: give the sender a DKIM key of the domain"
        if self.kind == "ours":
            return "neither DKIM nor SPF is aligned for some: compare its return path and d= with From"
        if self.kind == "signed by us":
            return "signed with our d=, but it fails: the published key is another one, or a hop changes the text"
        return "unknown: a sender that nobody declared, a forwarder, or a forger"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer, and what it rests on. ``reasons`` are why not, in words; empty: it is safe."""

    domain: str
    policy: str
    following: str | None
    begin: date | None
    end: date | None
    reported_days: int
    messages: int
    failed: int
    sources: tuple[Source, ...]
    breaking: tuple[Source, ...]
    reasons: tuple[str, ...]
    thresholds: Thresholds = field(default=THRESHOLDS)

    @property
    def safe(self) -> bool:
        """Tell whether the next stage may be entered."""
        return not self.reasons and self.following is not None


def judge(
    rows: Iterable[Row],
    domain: str,
    following: str | None,
    own: Own,
    *,
    today: date,
    since: date | None = None,
    earliest: date | None = None,
    thresholds: Thresholds = THRESHOLDS,
) -> Verdict:
    """Return what the rows about ``domain`` say of entering ``following``, the next stage.

    Only reports from ``since`` on count: the day the present stage was entered. ``earliest`` is the first day the next
    one may be entered, where the stack says so.
    """
    ours = [row for row in rows if row.domain == domain and (since is None or row.begin >= since)]
    sources = sorted(_sources(ours, domain, own), key=lambda one: (-one.failed, -one.messages, one.address))
    messages, failed = sum(row.count for row in ours), sum(row.count for row in ours if not row.passed)
    begin = min((row.begin for row in ours), default=None)
    end = max((row.end for row in ours), default=None)
    days = len({row.begin + timedelta(days=n) for row in ours for n in range((row.end - row.begin).days or 1)})
    breaking = tuple(
        one for one in sources if one.failed and (not one.known or one.failed > one.messages * thresholds.own_failures)
    )
    reasons: list[str] = []
    if following is None:
        reasons.append("the policy is reject already: there is no next stage")
    if begin is None or end is None or (end - begin).days + 1 < thresholds.days or days < thresholds.reported_days:
        span = 0 if begin is None or end is None else (end - begin).days + 1
        reasons.append(
            f"reports cover {span} days and tell of {days}; {thresholds.days} and {thresholds.reported_days} are needed"
        )
    if messages < thresholds.messages:
        reasons.append(f"{messages} messages were reported; {thresholds.messages} are needed to tell")
    reasons += [f"{one.address} ({one.kind}): {one.failed} of {one.messages} fail" for one in breaking if one.known]
    unknown = sum(one.failed for one in breaking if not one.known)
    if messages and unknown > messages * thresholds.unknown_failures:
        reasons.append(
            f"{unknown} of {messages} messages fail from sources that nobody declared; "
            f"{thresholds.unknown_failures:.0%} are the limit: find out whose they are"
        )
    if earliest is not None and today < earliest:
        reasons.append(f"the present stage lasts until {earliest} at least")
    return Verdict(
        domain=domain,
        policy=max(ours, key=lambda row: row.end).policy if ours else "",
        following=following,
        begin=begin,
        end=end,
        reported_days=days,
        messages=messages,
        failed=failed,
        sources=tuple(sources),
        breaking=breaking,
        reasons=tuple(reasons),
        thresholds=thresholds,
    )


def _sources(rows: Sequence[Row], domain: str, own: Own) -> list[Source]:
    by_source: dict[str, list[Row]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    return [
        Source(
            address=address,
            organisation=group[0].organisation,
            kind=_kind(address, group, domain, own),
            messages=sum(row.count for row in group),
            failed=sum(row.count for row in group if not row.passed),
            spf_failed=sum(row.count for row in group if not row.spf_aligned),
            dkim_failed=sum(row.count for row in group if not row.dkim_aligned),
            reporters=_by_volume((row.reporter, row.count) for row in group),
            signers=_by_volume((signer, row.count) for row in group for signer, _, _ in row.dkim),
            envelopes=_by_volume((row.spf_domain, row.count) for row in group),
        )
        for address, group in by_source.items()
    ]


def _kind(address: str, rows: Sequence[Row], domain: str, own: Own) -> Kind:
    if own.holds(address):
        return "ours"
    signatures = {(signer, selector) for row in rows for signer, selector, _ in row.dkim}
    mine = {selector for signer, selector in signatures if signer == domain or signer.endswith(f".{domain}")}
    # Anybody may write our d= into a signature; with a selector of ours it is our mail on a detour, or a changed copy.
    return "signed by us" if mine & _lower(own.selectors) or (mine and not own.selectors) else "unknown"


def _lower(names: Collection[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _by_volume(counted: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    found: Counter[str] = Counter()
    for name, count in counted:
        if name:
            found[name] += count
    return tuple(name for name, _ in found.most_common())
