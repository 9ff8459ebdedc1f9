"""Broken DNS rules, in words."""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["DnsRuleError", "Problem"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One broken rule. ``rule`` is a stable id, ``source`` the RFC section it comes from."""

    record: str
    rule: str
    source: str
    found: str
    expected: str
    fix: str

    def __str__(self) -> str:
        """Return one line for a log."""
        return f"{self.record}: {self.found}: {self.expected} ({self.rule}, {self.source}). Fix: {self.fix}."


class DnsRuleError(ValueError):
    """The declaration breaks at least one rule; ``problems`` lists all of them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep the problems in the order found."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
