"""DKIM keys of a stack: their public halves, and what is wrong with the private ones."""

from collections.abc import Iterator
from functools import cache

from pydantic import SecretStr

from mailstack.dns import DkimKey, ed25519_public_key_of, public_key_of
from mailstack.settings.domains_model import DkimKey as DeclaredKey
from mailstack.settings.domains_model import Domain
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem

__all__ = ["key_problems", "keys_are_usable", "published_keys", "shared_field"]


def published_keys(settings: Settings, domain: Domain) -> tuple[DkimKey, ...]:
    """Return what is published for the keys of a domain. A revoked one has its name still, and no value."""
    return tuple(
        DkimKey(
            selector=key.selector,
            public_key="" if key.alias is not None or key.revoked is not None else _public_key(settings, key),
            key_type=key.key_type,
            alias=key.alias,
            tenant=key.tenant,
            revoked=key.revoked is not None,
        )
        for key in domain.dkim
    )


def key_problems(settings: Settings) -> Iterator[Problem]:
    """Yield the private DKIM keys that no public key can be taken from."""
    held: dict[str, tuple[SecretStr | None, str]] = {
        f"domains[{number}].dkim[{index}].private_key": (key.private_key, key.key_type)
        for number, domain in enumerate(settings.domains)
        for index, key in enumerate(domain.dkim)
    }
    held |= {shared_field(name): (shared.private_key, "rsa") for name, shared in settings.dkim_keys.items()}
    for field, (private, kind) in held.items():
        if private is None:
            continue
        try:
            _public_half(private.get_secret_value(), kind)
        except ValueError as error:
            yield Problem(
                field=field,
                value="[secret]",
                rule=str(error),
                fix="remove it and run `mailstack init`, which makes "
                + ("an Ed25519 key" if kind == "ed25519" else "a 2048-bit RSA key"),
            )


@cache  # a shared key stands behind a thousand domains
def _public_half(pem: str, kind: str) -> str:
    return ed25519_public_key_of(pem) if kind == "ed25519" else public_key_of(pem)


def _public_key(settings: Settings, key: DeclaredKey) -> str:
    private = settings.private_dkim_key(key)
    kind = "rsa" if key.key is not None else key.key_type  # shared ones are RSA; another word is told elsewhere
    return key.public_key or _public_half(private.get_secret_value() if private is not None else "", kind)


def shared_field(name: str) -> str:
    """Return the setting that holds a shared key."""
    return f"dkim_keys.{name}.private_key"


def keys_are_usable(settings: Settings) -> bool:
    """Tell whether every key that is named is there and can be published."""
    keys = (key for domain in settings.domains for key in domain.dkim)
    known = all(key.public_key or key.alias or settings.private_dkim_key(key) for key in keys)
    return known and not any(key_problems(settings)) and _signing_key_is_usable(settings)


def _signing_key_is_usable(settings: Settings) -> bool:
    """Tell whether Postal's own key can be published; the rules of ``postal`` say what is wrong with it."""
    if settings.postal is None:
        return True
    try:
        public_key_of(settings.postal.signing_key.get_secret_value())
    except ValueError:
        return False
    return True
