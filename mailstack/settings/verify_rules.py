"""Rules of ``verify`` that need more than its own fields."""

from collections.abc import Iterator

from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem, one_of

__all__ = ["VERIFY_RULES"]


def _checks(settings: Settings) -> Iterator[Problem]:
    if not settings.verify.checks:
        return
    # Only a stack that names checks pays for reading all of them.
    from mailstack.verify.selection import names_and_groups  # noqa: PLC0415

    known = names_and_groups()
    for index, name in enumerate(settings.verify.checks):
        if name not in known:
            yield Problem(
                field=f"verify.checks[{index}]",
                value=name,
                rule="must be the name of a check or the letter of a group",
                fix=one_of(known, name),
            )


VERIFY_RULES = (_checks,)
