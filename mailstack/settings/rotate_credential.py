"""Which step of a rotation of one of Postal's keys is next: a second key beside it, then away with the first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from mailstack.settings.postal_model import Postal
from mailstack.settings.stackfile import PROJECT

__all__ = ["CredentialPlace", "base_of", "find_credentials", "fresh_name"]

DATED = re.compile(r"-20\d{4}[a-z]?\Z")
LETTERS = "bcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class CredentialPlace:
    """A declared key: its mail server's full name, its path in the configuration, its list's path, name and type."""

    server: str
    list_path: str
    index: int
    name: str
    type: str

    @property
    def path(self) -> str:
        """Return its own path."""
        return f"{self.list_path}[{self.index}]"


def base_of(name: str) -> str:
    """Return a name without the month that a rotation gave it."""
    return DATED.sub("", name)


def find_credentials(postal: Postal, name: str, *, server: str | None, kind: str | None) -> list[CredentialPlace]:
    """Return the keys that take each other's place with ``name``, in the order of the file: the oldest first."""
    found = []
    for number, organization in enumerate(postal.organizations):
        for place, one in enumerate(organization.mail_servers):
            full = f"{organization.permalink}/{one.permalink}"
            path = f"{PROJECT}:postal.organizations[{number}].mail_servers[{place}].credentials"
            found += [
                CredentialPlace(server=full, list_path=path, index=index, name=key.name, type=key.type)
                for index, key in enumerate(one.credentials)
                if base_of(key.name) == base_of(name) and server in {None, full} and kind in {None, key.type}
            ]
    return found


def fresh_name(keys: Sequence[CredentialPlace], today: date) -> str:
    """Return a name none of the keys has: the month, and a letter where that is taken."""
    used = {key.name for key in keys}
    month = f"{base_of(keys[0].name)}-{today:%Y%m}"
    return next(name for name in (month, *(f"{month}{letter}" for letter in LETTERS)) if name not in used)
