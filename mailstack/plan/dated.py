"""What days in the settings mean today: rotation of DKIM keys, the DMARC ramp, the end of an MTA-STS policy.

A day says when something was done. Records never change because a day has come (docs/adr/0021).
"""

from collections.abc import Iterator
from datetime import date, timedelta

from mailstack.dns.dmarc_ramp import Stage, next_stage, ramp_faults
from mailstack.dns.rotation import KeyDates, Pace, faults
from mailstack.settings.domains_model import DkimKey, Domain
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem

__all__ = ["POSTAL_KEYS", "dated_problems", "key_dates", "pace", "ramp_shown", "stages"]

POSTAL_KEYS = "postal"  # the group of keys that Postal signs with


def pace(settings: Settings) -> Pace:
    """Return how long each step of a rotation waits in this stack."""
    return Pace.of(ttl=settings.dns.ttl, queue_hours=settings.relay.queue_lifetime_hours)


def key_dates(settings: Settings, domain: Domain) -> list[KeyDates]:
    """Return the keys of ours that sign for a domain; a group is one signer's keys of one kind."""
    return [
        KeyDates(
            selector=key.selector,
            group=_group(settings, key),
            published=key.published,
            signing=key.signing,
            retired=key.retired,
            revoked=key.revoked,
        )
        for key in domain.dkim
        if key.tenant is None and key.alias is None
    ]


def _group(settings: Settings, key: DkimKey) -> str:
    postal = settings.postal
    if postal is not None and key.ours and key.selector.startswith(f"{postal.dkim_identifier}-"):
        return POSTAL_KEYS
    return f"{'our' if key.ours else 'foreign'} {key.key_type}"


def stages(domain: Domain) -> list[Stage]:
    """Return the domain's ramp."""
    return [Stage(policy=stage.policy, since=stage.since) for stage in domain.dmarc.ramp]


def dated_problems(settings: Settings, today: date | None) -> Iterator[Problem]:
    """Yield steps that were taken too early, in the wrong order, or not yet. ``today`` None: only the order counts."""
    now = today or date.max
    wait = pace(settings)
    for number, domain in enumerate(settings.domains):
        places = {key.selector: index for index, key in enumerate(domain.dkim) if key.tenant is None}
        for fault in faults(key_dates(settings, domain), now, wait):
            yield Problem(
                field=f"domains[{number}].dkim[{places[fault.selector]}].{fault.field}",
                value=f"{domain.name}, selector {fault.selector}",
                rule=fault.rule,
                fix=fault.fix,
            )
        for wrong in ramp_faults(stages(domain), now):
            yield Problem(
                field=f"domains[{number}].dmarc.ramp[{wrong.index}]", value=domain.name, rule=wrong.rule, fix=wrong.fix
            )
    for index, policy in enumerate(settings.caddy.mta_sts if settings.caddy is not None else ()):
        since = policy.none_since
        if since is None:
            continue
        field = f"caddy.mta_sts[{index}].none_since"
        free = since + timedelta(seconds=policy.max_age)
        if since > now:
            yield Problem(field=field, value=str(since), rule="has not come yet", fix="write the day it was published")
        elif policy.mode == "removed" and now < free:
            yield Problem(
                field=f"caddy.mta_sts[{index}].mode",
                value="removed",
                rule=f"is too early: senders keep the policy of before for {policy.max_age} seconds, "
                f"and have to meet mode none until {free}",
                fix=f"set mode none, and removed on {free + timedelta(days=1)} or later",
            )


def ramp_shown(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield, by domain, where it stands on its ramp: a reviewer sees it among the plan's inputs."""
    for domain in settings.domains:
        ramp = stages(domain)
        if ramp:
            last, following = ramp[-1], next_stage(ramp)
            then = f"; {following.policy} may follow from {following.since} on" if following is not None else ""
            yield f"dmarc/{domain.name}", f"{last.policy} since {last.since}{then}"
