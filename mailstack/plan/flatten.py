"""SPF includes written as addresses: out of the file, into one record or several (docs/adr/0022)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

from mailstack.dns import SendingDomain, SpfInclude, SpfPolicy
from mailstack.dns.spf_lock import (
    OLD_AFTER,
    SPF_LOCK,
    SPLIT_BYTES,
    Flattened,
    SpfLockError,
    merged_networks,
    read_lock,
    split,
)
from mailstack.dns.spf_tree import Answers, answered_by, expand
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem, SettingsError
from mailstack.words import listed

__all__ = [
    "addresses_behind",
    "flatten_problems",
    "flattened_names",
    "missing_senders",
    "old_addresses",
    "read_addresses",
    "with_addresses",
]

NAMED = 3


def flattened_names(settings: Settings) -> tuple[str, ...]:
    """Return every include that a domain of the stack writes as addresses."""
    return tuple(dict.fromkeys(name for domain in settings.domains for name in domain.spf.flatten))


def read_addresses(settings: Settings, folder: Path) -> Mapping[str, Flattened]:
    """Return the addresses in ``spf.lock.json`` of ``folder``, where the stack needs them.

    Raises SettingsError for a file that cannot be used.
    """
    path = folder / SPF_LOCK
    if not flattened_names(settings) or not path.is_file():
        return {}
    try:
        return read_lock(path.read_text())
    except (SpfLockError, OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            [Problem(field="domains[].spf.flatten", value=SPF_LOCK, rule=str(error), fix="run `mailstack dns flatten`")]
        ) from None


def flatten_problems(settings: Settings, held: Mapping[str, Flattened]) -> Iterator[Problem]:
    """Yield the includes that no addresses are known for."""
    for index, domain in enumerate(settings.domains):
        for name in (name for name in domain.spf.flatten if name not in held):
            yield Problem(
                field=f"domains[{index}].spf.flatten",
                value=name,
                rule=f"has no addresses in {SPF_LOCK}",
                fix="run `mailstack dns flatten`, and commit the file",
            )


def old_addresses(settings: Settings, held: Mapping[str, Flattened], today: date) -> Iterator[str]:
    """Yield a sentence about each include whose addresses were looked at too long ago."""
    for name in flattened_names(settings):
        entry = held.get(name)
        if entry is not None and entry.seen + OLD_AFTER < today:
            yield (
                f"SPF addresses of {name} are of {entry.seen}, older than {OLD_AFTER.days} days: a sender may have "
                "moved since. Run `mailstack dns flatten`"
            )


def missing_senders(settings: Settings, held: Mapping[str, Flattened], answers: Answers) -> Iterator[Problem]:
    """Yield includes that have addresses by now which the file lacks: mail from there fails."""
    for name in flattened_names(settings):
        seen = addresses_behind(name, answers)
        lacking = held[name].missing_of(seen) if seen is not None and name in held else ()
        if lacking:
            yield Problem(
                field="domains[].spf.flatten",
                value=name,
                rule=f"sends from {listed(lacking, NAMED)} by now; {SPF_LOCK} of {held[name].seen} lacks it",
                fix="run `mailstack dns flatten`, look at what changed, and commit the file",
            )


def addresses_behind(name: str, answers: Answers) -> tuple[str, ...] | None:
    """Return the networks behind an include; None where DNS did not say, or they are not addresses alone."""
    tree = expand("", f"v=spf1 include:{name}", answered_by(answers))
    return None if tree.faults or tree.addresses is None else merged_networks(tree.addresses)


def with_addresses(
    domain: SendingDomain, names: tuple[str, ...], held: Mapping[str, Flattened]
) -> tuple[SendingDomain, tuple[tuple[str, SpfPolicy], ...]]:
    """Return the domain with these includes written as addresses, and the records ``_spf1.<domain>``… that hold them
    where they do not fit into the domain's own.
    """
    flat = [include for include in domain.spf.includes if include.domain in names and include.domain in held]
    if not flat:
        return domain, ()
    networks = merged_networks(network for include in flat for network in held[include.domain].networks)
    terms = Flattened(seen=date.min, networks=networks).mechanisms
    kept = tuple(include for include in domain.spf.includes if include not in flat)
    policy = replace(domain.spf, includes=kept, mechanisms=(*domain.spf.mechanisms, *terms))
    own = len(" ".join(["v=spf1", *policy.mechanisms, *(f"include:{include.domain}" for include in kept), "~all"]))
    if own <= SPLIT_BYTES:
        return replace(domain, spf=policy), ()
    parts = tuple(
        (f"_spf{number}.{domain.name}", SpfPolicy(mechanisms=group)) for number, group in enumerate(split(terms), 1)
    )
    includes = tuple(SpfInclude(domain=name) for name, _ in parts)
    return replace(domain, spf=replace(domain.spf, includes=(*kept, *includes))), parts
