"""What must never be seen: values of secrets, and what stands in for them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from mailstack.diff.declaration import Declaration
from mailstack.dns import ed25519_public_key_of, public_key_of
from mailstack.dns.dkim_values import KeyRuleError

__all__ = ["Hidden"]

SECRET, PUBLIC_HALF = "[secret]", "[public half of an encrypted key]"
# Shorter values are words that would hide half of every sentence; the settings refuse them for what is secret.
SHORTEST = 6


class Hidden:
    """Replaces secrets in texts. Of keys that are encrypted the public half is made up, so it is replaced as well."""

    def __init__(self, declarations: Iterable[Declaration]) -> None:
        """Take every secret of these declarations."""
        words: dict[str, str] = {}
        for declaration in declarations:
            for value in _secrets(declaration.plan.settings):
                # A text may hold a key as a whole, or line by line as it stands in a file.
                words |= {part: SECRET for part in (value, value.strip()) if len(part) >= SHORTEST}
                if declaration.secrets:
                    words |= dict.fromkeys(_public_halves(value), PUBLIC_HALF)
            words |= {ciphertext: SECRET for ciphertext in declaration.secrets.values() if len(ciphertext) >= SHORTEST}
        # By their first characters: a thousand domains have thousands of secrets, and the answer as many texts.
        self._words: dict[str, dict[str, str]] = {}
        for word in sorted(words, key=len, reverse=True):
            self._words.setdefault(word[:SHORTEST], {})[word] = words[word]

    def text(self, text: str) -> str:
        """Return ``text`` without secrets."""
        made, place, end = [], 0, len(text) - SHORTEST
        while place <= end:
            for word, shown in self._words.get(text[place : place + SHORTEST], {}).items():
                if text.startswith(word, place):
                    made += [text[:place], shown]
                    text, place, end = text[place + len(word) :], -1, len(text) - place - len(word) - SHORTEST
                    break
            place += 1
        return _printable("".join([*made, text]))

    def data(self, value: Any) -> Any:
        """Return plain data without secrets, keys of mappings included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.data(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item) for item in value]
        return value


def _printable(text: str) -> str:
    """Return ``text`` with what could rewrite a terminal written out; lines stay lines."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item)


def _public_halves(value: str) -> Iterator[str]:
    if "PRIVATE KEY-----" not in value:
        return
    for half_of in (public_key_of, ed25519_public_key_of):
        try:
            yield half_of(value)
        except KeyRuleError:
            continue
