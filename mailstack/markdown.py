"""Text of others in Markdown: shown as it is, never read as Markdown, HTML, a mention, a link or an issue's number.

One way for every comment, report and issue, that holds on GitHub and on GitLab. Both look for ``@names``, ``#numbers``
and commits in the text that Markdown has become, so neither a backslash nor an entity before them helps; they leave
alone what is code (html-pipeline's mention filter, GitLab's reference_filter.rb). And it has to be code to Markdown
itself, since between tags ``<code>`` an address still becomes a link (GFM, extended autolinks). So each word that
could be more than one is a code span.
"""

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["SECRET", "block", "code", "one_line", "row", "sentence", "shortened", "shown_value"]

SECRET = "[secret]"  # noqa: S105 - what stands for one
KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
CIPHERTEXT = re.compile(r"\bv1:[A-Za-z0-9+/=]{12,}:[A-Za-z0-9+/=]{16,}")
# Unicode's control, format, surrogate and private characters.
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co"})
# Of a long value both ends are told: the start says what it is, a key's end tells it from others.
HEAD, TAIL = 120, 24
LONGEST_SENTENCE = 2_000
# A word that nobody reads more into: letters and digits, some marks between them.
HARMLESS = re.compile(r"§?[^\W_]+(?:['.,/=+-][^\W_]+)*(?:\(s\)|%)?")
# What stands around words, and marks that stand alone.
AROUND = re.compile(r"""(["'(]*\[?)(.*?)(\]?[)"',.;:!?…]*)""", re.DOTALL)
MARKS = frozenset({"-", "→", "·", "/", "=", "+", "…"})
# Harmless letters that are a link all the same: www., a commit, an issue such as GH-1 or ABC-12; and a list's number.
LINKED = re.compile(
    r"(?i)www\..*|(?:.*\W)?(?=[0-9]*[a-f])[0-9a-f]{7,}(?:\W.*)?|(?:.*\W)?[a-z][a-z0-9]*-[0-9]+(?:\W.*)?"
)
NUMBER = re.compile(r"[0-9]+[.)]")


def shown_value(text: str) -> str:
    """Return ``text`` without private keys and ciphertexts, should one have come this far, and without what is unseen.

    Control characters, and those that turn the direction of writing, would let a text look like another.
    """
    text = CIPHERTEXT.sub(SECRET, KEY.sub(SECRET, text)).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        letter if letter in "\n\t" or unicodedata.category(letter) not in UNSEEN else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )


def one_line(text: str) -> str:
    """Return ``text`` on one line."""
    return " ".join(shown_value(text).split())


def shortened(text: str) -> str:
    """Return a long value with its middle left out."""
    return text if len(text) <= HEAD + TAIL + 20 else f"{text[:HEAD]} … {text[-TAIL:]}"


def code(text: str) -> str:
    """Return ``text`` as one piece of code, for a sentence, a list or a cell of ``row``; empty for an empty one."""
    line = one_line(text)
    if not line:
        return ""
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def sentence(text: str) -> str:
    """Return a sentence, for a list, a heading or a cell: words stay words, whatever could be more is code.

    What stands between backticks is code as it is.
    """
    line = one_line(text)
    if len(line) > LONGEST_SENTENCE:
        line = f"{line[:LONGEST_SENTENCE]}…"
    parts = line.split("`")
    if len(parts) % 2 == 0 or not all(part.strip() for part in parts[1::2]):  # backticks that enclose nothing
        return _worded(line, first=True)
    return _apart(code(part) if number % 2 else _worded(part, first=number == 0) for number, part in enumerate(parts))


def row(cells: Iterable[str]) -> str:
    """Return a table's row of cells that are Markdown already. A pipe would end a cell even in code (GFM, tables)."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def block(text: str) -> str:
    """Return ``text`` as a block of code, its lines kept."""
    text = shown_value(text).replace("\t", "    ").rstrip()
    # GitLab takes a line such as "/close" for an order, even in a block whose fence is longer than three.
    text = re.sub(r"^/", " /", text, flags=re.MULTILINE)
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}text\n{text}\n{fence}"


def _apart(pieces: Iterable[str]) -> str:
    """Return pieces in one; two that are code have a space between them, or they would be one of another length."""
    made = ""
    for piece in pieces:
        made += f" {piece}" if made.endswith("`") and piece.startswith("`") else piece
    return made


def _worded(text: str, *, first: bool) -> str:
    """Return words with each that could be more as code, neighbours of that sort in one piece.

    ``first``: it begins a line, where a mark, a number or a box would begin a list.
    """
    made: list[str] = []
    waiting: list[str] = []
    for number, word in enumerate(text.split(" ")):
        before, core, after = _parts(word, first=first and number == 0)
        if waiting and (before or not core):
            made.append(code(" ".join(waiting)))
            waiting = []
        if not core:
            made.append(word)
            continue
        waiting.append(core)
        if before or after:
            made.append(f"{before}{code(' '.join(waiting))}{after}")
            waiting = []
    return " ".join([*made, *([code(" ".join(waiting))] if waiting else [])])


def _parts(word: str, *, first: bool) -> tuple[str, str, str]:
    """Return what stands before, what has to be code, and what stands after; the second is empty for a mere word."""
    if first and (word in MARKS or word.startswith("[") or NUMBER.fullmatch(word)):
        return "", word, ""
    if word in MARKS:
        return word, "", ""
    found = AROUND.fullmatch(word)
    before, core, after = found.groups() if found is not None else ("", word, "")
    if after.startswith(")") and core.count("(") > core.count(")"):
        core, after = f"{core})", after[1:]
    if HARMLESS.fullmatch(core) and not LINKED.fullmatch(core):
        return word, "", ""
    return before, core, after
