"""Secrets that stand in clear where they must not: in a stack file other than the local one."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from mailstack.settings.model import Settings
from mailstack.settings.problems import Location, Problem, dotted

__all__ = ["plain_secrets", "secret_locations"]


def plain_secrets(settings: Settings, sealed: Mapping[str, Any], stack: str) -> Iterator[Problem]:
    """Yield each secret of ``settings`` that stands in clear in ``sealed``, the configuration as it is written.

    There an encrypted value, or everything below an encrypted key, is ``{"secure": …}``. The local stack may have
    secrets in clear: they open nothing.
    """
    if settings.environment == "local":
        return
    for where in secret_locations(settings):
        if isinstance(_written(sealed, where), str):
            path = dotted(where)
            yield Problem(
                field=path,
                value="[secret]",
                rule=f"is a secret in clear, which {settings.environment} refuses: whoever reads the file has it",
                fix=f"`pulumi config set --secret --path 'mailstack:{path}' --stack {stack}` encrypts it (the value on "
                "standard input); then make a new one, for this one has been seen",
            )


def _written(sealed: Any, where: Location) -> Any:
    for part in where:
        try:
            sealed = sealed[part]
        except (KeyError, IndexError, TypeError):
            return None
    return sealed


def secret_locations(value: Any, where: Location = ()) -> Iterator[Location]:
    """Yield the place of every secret below ``value``, as keys and indices of the configuration."""
    if isinstance(value, SecretStr):
        yield where
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secret_locations(getattr(value, name), (*where, name))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from secret_locations(item, (*where, name))
    elif isinstance(value, tuple | list):
        for number, item in enumerate(value):
            yield from secret_locations(item, (*where, number))
