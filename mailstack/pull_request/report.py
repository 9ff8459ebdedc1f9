"""The issue of a stack that is not as declared: what each check found, and what to do."""

from collections.abc import Mapping

from mailstack.pull_request.text import block, code

__all__ = ["LONGEST", "issue_body", "issue_title"]

# GitHub's bound of an issue's body, less what stands around the checks.
LONGEST = 60_000
NEXT = {
    "drift": "A host or a record was changed by hand, or an update did not end. `pulumi up` puts the declaration back.",
    "verify": "Each finding has its fix. docs/how-to/verify.md says what a check looks at.",
}


def issue_title(stack: str) -> str:
    """Return the issue's title."""
    return f"mailstack: {stack} is not as declared"


def issue_body(stack: str, reports: Mapping[str, str]) -> str:
    """Return the issue's text; ``reports`` maps a check, such as drift, to what it printed."""
    share = LONGEST // max(1, len(reports))
    parts = [f"A scheduled check of stack {code(stack)} found this. It closes by itself once all is as declared."]
    for name, text in sorted(reports.items()):
        told = text.strip() or "(it printed nothing)"
        if len(told) > share:
            told = f"{told[:share]}\n… shortened; the run's log has all"
        parts.append(f"### {code(name)}\n\n{NEXT.get(name, '')}\n\n{block(told)}")
    return "\n\n".join(parts)
