"""What kind of stack it is: how strict rules and policies are."""

from typing import Final, Literal, get_args

__all__ = ["ENVIRONMENTS", "Environment"]

Environment = Literal["local", "staging", "prod"]
ENVIRONMENTS: Final[tuple[Environment, ...]] = get_args(Environment)
"""Least strict first."""
