"""Rules of ``domains`` that need more than one field."""

from collections.abc import Callable, Iterator

from mailstack.settings.domains_model import Domain
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem, one_of

__all__ = ["DOMAINS_RULES"]


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
        yield from _dkim(settings, f"domains[{index}]", domain)


def _dkim(settings: Settings, field: str, domain: Domain) -> Iterator[Problem]:
    for index, key in enumerate(domain.dkim):
        where = f"{field}.dkim[{index}]"
        given = [name for name in ("private_key", "key", "public_key") if getattr(key, name) is not None]
        if len(given) != 1:
            yield Problem(
                field=where,
                value=f"selector {key.selector}",
                rule=f"needs exactly one of private_key, key and public_key; it has {' and '.join(given) or 'none'}",
                fix="private_key for a key of ours (`mailstack init` makes it), key for one of dkim_keys, "
                "public_key for another signer's",
            )
        if key.key is not None and key.key not in settings.dkim_keys:
            yield Problem(
                field=f"{where}.key",
                value=key.key,
                rule="must name one of dkim_keys",
                fix=one_of(settings.dkim_keys, key.key) if settings.dkim_keys else "add the section dkim_keys with it",
                refers_to=f"dkim_keys.{key.key}",
            )
        if key.ours and key.key_type == "ed25519":
            yield Problem(
                field=f"{where}.key_type",
                value="ed25519",
                rule="a key of ours must be RSA: too few receivers check Ed25519 (RFC 8463)",
                fix="leave key_type out, or give the public_key of a signer that has both kinds",
            )
        if key.selector in [other.selector for other in domain.dkim[:index]]:
            yield Problem(
                field=f"{where}.selector",
                value=key.selector,
                rule="the selector is used twice in this domain; a name holds one key (RFC 6376 §3.6.2.2)",
                fix="give the second key a selector of its own, such as the month it was made in",
            )


DOMAINS_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_domains,)
