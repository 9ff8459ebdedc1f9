"""Rules of ``domains`` that need more than one field."""

from collections.abc import Callable, Iterator

from mailstack.settings.domains_model import Domain
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem, one_of

__all__ = ["DOMAINS_RULES"]

WAYS = ("private_key", "key", "public_key", "alias")


def _domains(settings: Settings) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, domain in enumerate(settings.domains):
        if domain.name in seen:
            yield Problem(
                field=f"domains[{index}].name",
                value=domain.name,
                rule="the domain is listed twice",
                fix="merge the two entries: a domain has one SPF and one DMARC record",
            )
        seen.add(domain.name)
        for name in domain.spf.lookups:
            if name not in domain.spf.include and name != domain.spf.redirect:
                yield Problem(
                    field=f"domains[{index}].spf.lookups.{name}",
                    value=str(domain.spf.lookups[name]),
                    rule="counts an include or redirect that is not there",
                    fix=one_of(domain.spf.include, name) if domain.spf.include else "remove it",
                )
        field = f"domains[{index}]"
        yield from _dkim(settings, field, domain)
        yield from _ramp(field, domain)
        yield from _flatten(settings, field, domain)


def _dkim(settings: Settings, field: str, domain: Domain) -> Iterator[Problem]:
    for index, key in enumerate(domain.dkim):
        where = f"{field}.dkim[{index}]"
        given = [name for name in WAYS if getattr(key, name) is not None]
        if len(given) != 1:
            yield Problem(
                field=where,
                value=f"selector {key.selector}",
                rule=f"needs exactly one of private_key, key, public_key and alias; it has "
                f"{' and '.join(given) or 'none'}",
                fix="private_key for a key of ours (`mailstack init` makes it), key for one of dkim_keys, "
                "public_key for another signer's, alias for a provider that keeps it",
            )
        if key.key is not None and key.key not in settings.dkim_keys:
            yield Problem(
                field=f"{where}.key",
                value=key.key,
                rule="must name one of dkim_keys",
                fix=one_of(settings.dkim_keys, key.key) if settings.dkim_keys else "add the section dkim_keys with it",
                refers_to=f"dkim_keys.{key.key}",
            )
        if key.key is not None and key.key_type == "ed25519":
            yield Problem(
                field=f"{where}.key_type",
                value="ed25519",
                rule="is not for a key of dkim_keys: these are RSA, which every receiver checks",
                fix="give it a private_key of its own, or leave key_type out",
            )
        if key.record_name(domain.name) in [other.record_name(domain.name) for other in domain.dkim[:index]]:
            yield Problem(
                field=f"{where}.selector",
                value=key.selector,
                rule="the selector is used twice in this domain; a name holds one key (RFC 6376 §3.6.2.2)",
                fix="give the second key a selector of its own, such as the month it was made in",
            )


def _ramp(field: str, domain: Domain) -> Iterator[Problem]:
    dmarc = domain.dmarc
    if not dmarc.ramp:
        return
    if "policy" in dmarc.model_fields_set:
        yield Problem(
            field=f"{field}.dmarc.policy",
            value=dmarc.policy,
            rule="stands beside a ramp, which says the policy",
            fix="remove it, or the ramp",
        )
    if not dmarc.aggregate_reports:
        yield Problem(
            field=f"{field}.dmarc.aggregate_reports",
            value="",
            rule="is required with a ramp: without reports nobody can tell when the next stage is safe",
            fix="write the address that reports go to",
        )


def _flatten(settings: Settings, field: str, domain: Domain) -> Iterator[Problem]:
    upstreams = [settings.upstream_of(domain), settings.fallback]
    ways = [one.spf_source.domain for one in upstreams if one is not None and one.spf_source is not None]
    by_postal = settings.postal is not None and domain.name in settings.postal.sending_domains
    for name in domain.spf.flatten:
        if by_postal and name in ways:
            yield Problem(
                field=f"{field}.spf.flatten",
                value=name,
                rule="is what Postal looks for in the record of a domain that it sends for (docs/adr/0007)",
                fix="remove it from the list, and flatten another include",
            )
        elif name not in (*domain.spf.include, *ways):
            yield Problem(
                field=f"{field}.spf.flatten",
                value=name,
                rule="must be one of the domain's includes",
                fix=one_of((*domain.spf.include, *ways), name) if (*domain.spf.include, *ways) else "remove it",
            )


DOMAINS_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_domains,)
