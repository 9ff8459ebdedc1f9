"""Makes docs/reference/checks.md from the list of checks."""

from collections.abc import Mapping

from mailstack.verify.model import CHECKS, GROUPS, Check

__all__ = ["checks_page"]

HEAD = """\
# Checks of `mailstack verify`

Made from the checks themselves: `mailstack.verify.reference.checks_page`. The number is that of the item in the list of
what a mail stack must prove; one item may need several checks. A name is stable: reports and exceptions use it. Where
no library is named, the check is judged by code of this project alone.
"""


def checks_page(checks: Mapping[str, Check] = CHECKS) -> str:
    """Return the page: one table a group, in the order of the numbers."""
    parts = [HEAD]
    for letter, title in GROUPS.items():
        rows = sorted((one.number, one.name, one) for one in checks.values() if one.group == letter)
        if rows:
            parts.append(f"## {letter}. {title}\n")
            parts.append("| No. | Check | What is right | From | Judged with |\n| --- | --- | --- | --- | --- |")
            parts[-1] += "".join(
                f"\n| {number} | `{name}` | {one.title} | {one.source} | {one.uses or '-'} |"
                for number, name, one in rows
            )
            parts[-1] += "\n"
    return "\n".join(parts)
