"""Text of others in a comment: shown as it is, never read as Markdown, HTML, a mention, a link or an issue's number.

GitHub looks for ``@names``, ``#numbers`` and commits in the text that Markdown has become, so a backslash before them
does not help; it leaves out what is code (html-pipeline's mention filter: ``pre``, ``code``, ``a``). So all text of
others is code here.
"""

import re
import unicodedata

__all__ = ["SECRET", "block", "code", "one_line", "shortened", "shown_value"]

SECRET = "[secret]"  # noqa: S105 - what stands for one
KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
CIPHERTEXT = re.compile(r"\bv1:[A-Za-z0-9+/=]{12,}:[A-Za-z0-9+/=]{16,}")
# Everything else of ASCII is written by its number.
SPECIAL = re.compile(r"""[^A-Za-z0-9 .,;=?'"/()+%{}^\u00a0-\U0010ffff-]""")
# Unicode's control, format, surrogate and private characters.
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co"})
WWW = re.compile(r"(?i)\bwww\.")
# Of a long value both ends are told: the start says what it is, a key's end tells it from others.
HEAD, TAIL = 120, 24


def shown_value(text: str) -> str:
    """Return ``text`` without private keys and ciphertexts, should one have come this far, and without what is unseen.

    Control characters, and those that turn the direction of writing, would let a text look like another.
    """
    text = CIPHERTEXT.sub(SECRET, KEY.sub(SECRET, text))
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
    """Return ``text`` as one piece of code, for a sentence, a list or a table's cell; empty for an empty one.

    Every character that could mean something is written by its number, which Markdown takes literally.
    """
    line = one_line(text)
    if not line:
        return ""
    line = SPECIAL.sub(lambda found: f"&#{ord(found[0])};", line)
    return f"<code>{WWW.sub(lambda found: f'{found[0][:-1]}&#46;', line)}</code>"


def block(text: str) -> str:
    """Return ``text`` as a block of code, its lines kept."""
    text = shown_value(text).replace("\t", "    ").rstrip()
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}text\n{text}\n{fence}"
