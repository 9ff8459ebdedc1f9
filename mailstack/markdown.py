"""Text of others in Markdown, as it is."""

import re

__all__ = ["code", "plain"]

# What means something in Markdown or HTML when it stands in a sentence; @ and # would call people and issues.
SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~>@-])")


def plain(text: str) -> str:
    """Return text for a sentence."""
    return SPECIAL.sub(r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")


def code(text: str) -> str:
    """Return text as code, between more backticks than it has in a row."""
    if not text.strip():
        return ""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text}{padding}{fence}"
