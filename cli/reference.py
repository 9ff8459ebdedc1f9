"""Makes every document that follows from the code: `make reference` runs this module."""

import re

from cli.common import SOURCE

__all__ = ["architecture", "cli_page", "write"]

DRAWN = ("<!-- drawn: make reference -->\n", "<!-- /drawn -->")
CODE_OR_ANGLE = re.compile(r"```.*?```|`[^`\n]*`|<", re.DOTALL)
HEAD = """\
# Command line

Made from the commands themselves by `make reference`. `make setup` puts the command into `.venv/bin`. What a command
needs is where it is used: [how-to pages](../index.md#how-to).

"""


def cli_page() -> str:
    """Return docs/reference/cli.md: every command with its arguments and options, by typer's own tool for that."""
    import typer
    from typer.cli import get_docs_for_click

    from cli.main import command

    made = get_docs_for_click(obj=command(), ctx=typer.Context(command(), info_name="mailstack"), name="mailstack")
    # A name in angle brackets is HTML to Markdown, unless it stands in code.
    text = CODE_OR_ANGLE.sub(lambda match: "&lt;" if match[0] == "<" else match[0], made)
    return HEAD + text.partition("\n\n")[2].strip() + "\n"


def architecture(page: str) -> str:
    """Return docs/architecture.md with the diagram of today's code. Raises ValueError where its marks are gone."""
    from cli.house import house_diagram

    start, end = page.index(DRAWN[0]) + len(DRAWN[0]), page.index(DRAWN[1])
    return f"{page[:start]}```mermaid\n{house_diagram()}```\n{page[end:]}"


def write() -> None:
    """Write them all, below docs/."""
    from cli.files import schema
    from mailstack.verify import checks  # noqa: F401 - fills the list of checks
    from mailstack.verify.reference import checks_page

    schema(write=True)
    (SOURCE / "docs/reference/checks.md").write_text(checks_page())
    (SOURCE / "docs/reference/cli.md").write_text(cli_page())
    place = SOURCE / "docs/architecture.md"
    place.write_text(architecture(place.read_text()))


if __name__ == "__main__":
    write()
