"""All checks there are. Importing this module enters every one of them into ``CHECKS``."""

from mailstack.verify.model import CHECKS, GROUPS

__all__ = ["names_and_groups"]


def names_and_groups() -> tuple[str, ...]:
    """Return every word that chooses checks: their names, then the letters of their groups."""
    return (*CHECKS, *GROUPS)
