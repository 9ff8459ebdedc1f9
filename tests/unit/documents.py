"""Reads the project's Markdown: its blocks of code, inline code, headings and links, and the commands shown in them.

A comment ``<!-- needs: account -->`` (or ``host``, ``engine``, ``cluster``, ``network``) before a block says that no
test of this project can run what the block shows as it stands there.
"""

import functools
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
NEEDS = re.compile(r"<!-- needs: (account|host|engine|cluster|network) -->")
# A command, as far as the next one in the same line.
COMMAND = re.compile(r"(?<![\w./'-])(?:\.venv/bin/)?(mailstack|make|pulumi) +([a-z][^\n|;&>#]*)")
SHELL = {"console", "bash", "sh", "text", ""}
PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Code:
    """A piece of code in a document; ``language`` is None for one inside of a sentence."""

    document: str
    line: int
    language: str | None
    text: str
    needs: str | None = None

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True)
class Shown:
    """A command in a document, as a person types it; ``whole`` where it is not only named inside of a sentence."""

    place: str
    program: str
    arguments: tuple[str, ...]
    whole: bool
    needs: str | None

    @property
    def words(self) -> tuple[str, ...]:
        """Return what is no flag; values of flags are among it."""
        return tuple(part for part in self.arguments if not part.startswith("-"))

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the flags, as ``--all`` and ``-v``."""
        return tuple(part.partition("=")[0] for part in self.arguments if re.match(r"--?[a-z]", part))


@functools.cache
def documents() -> tuple[str, ...]:
    """Return every document of the project, new ones included, by its place in the project."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return tuple(name for name in sorted(set(names)) if (ROOT / name).is_file())


@functools.cache
def tokens(document: str) -> tuple[Token, ...]:
    return tuple(PARSER.parse((ROOT / document).read_text()))


def codes(document: str) -> Iterator[Code]:
    """Yield the code of a document, each with what its mark says it needs."""
    needs: str | None = None
    until: int | None = None  # the level at which the marked block ends
    line = 0
    for token in tokens(document):
        line = token.map[0] + 1 if token.map else line
        if token.type == "html_block" and (mark := NEEDS.search(token.content)):
            needs, until = mark[1], token.level
            continue
        if token.type == "fence":
            yield Code(document, line, token.info.strip(), token.content, needs)
        for child in token.children or ():
            if child.type == "code_inline":
                yield Code(document, line, None, child.content, needs)
        if until == token.level and token.nesting <= 0:
            needs = until = None


def typed(code: Code) -> str:
    """Return what a person types: of a console what follows its prompt, with broken lines joined."""
    text = re.sub(r" *\\\n *", " ", code.text)
    if code.language == "console":
        return "\n".join(line.lstrip()[2:] for line in text.splitlines() if line.lstrip().startswith("$ "))
    return text


def shown(document: str) -> Iterator[Shown]:
    """Yield every ``mailstack``, ``make`` and ``pulumi`` command of a document."""
    for code in codes(document):
        if code.language is None or code.language in SHELL:
            for program, rest in COMMAND.findall(typed(code)):
                yield Shown(code.place, program, tuple(rest.split()), code.language is not None, code.needs)


def anchors(document: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    found: list[str] = []
    for before, token in zip(tokens(document), tokens(document)[1:], strict=False):
        if before.type == "heading_open":
            text = "".join(child.content for child in token.children or () if child.type in {"text", "code_inline"})
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return set(found)


def links(document: str) -> Iterator[str]:
    """Yield the targets of a document's links, pictures included."""
    for token in tokens(document):
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if isinstance(target, str):
                yield target
