"""The shape of a record. A new type is a new data class here and one line in each renderer."""

import ipaddress
from dataclasses import dataclass

__all__ = ["Address", "Data", "MailExchanger", "Record", "Text", "chunks", "quoted"]

# One character-string of a TXT record (RFC 1035 §3.3).
STRING_BYTES = 255


@dataclass(frozen=True, kw_only=True, order=True)
class Address:
    """An A or AAAA record's address."""

    ip: str

    @property
    def type(self) -> str:
        """Return A or AAAA."""
        return "A" if ipaddress.ip_address(self.ip).version == 4 else "AAAA"

    @property
    def discriminator(self) -> str:
        """Return what tells two of them at one name apart."""
        return self.ip


@dataclass(frozen=True, kw_only=True, order=True)
class MailExchanger:
    """An MX record (RFC 5321 §5.1). ``exchange`` "." with preference 0 is a null MX (RFC 7505)."""

    preference: int
    exchange: str

    @property
    def type(self) -> str:
        """Return MX."""
        return "MX"

    @property
    def discriminator(self) -> str:
        """Return the exchanger: its preference may change in place."""
        return self.exchange.rstrip(".") or "null"


@dataclass(frozen=True, kw_only=True, order=True)
class Text:
    """A TXT record's value, joined: how it is cut into strings is the renderer's business (RFC 7208 §3.3)."""

    value: str

    @property
    def type(self) -> str:
        """Return TXT."""
        return "TXT"

    @property
    def discriminator(self) -> str:
        """Return the version tag (``v=spf1``): a name has at most one record of each kind."""
        return self.value.replace(";", " ").split(" ")[0].removeprefix("v=").lower()


Data = Address | MailExchanger | Text


@dataclass(frozen=True, kw_only=True)
class Record:
    """One resource record. ``name`` is absolute, lower case, without final dot; ``ttl`` is in seconds."""

    name: str
    ttl: int
    data: Data

    @property
    def type(self) -> str:
        """Return the record type: A, AAAA, MX or TXT."""
        return self.data.type

    @property
    def sort_key(self) -> tuple[list[str], str, str]:
        """Return a key that sorts by zone order (labels from the right), type and value."""
        return (list(reversed(self.name.split("."))), self.type, str(self.data))


def chunks(text: str) -> list[str]:
    """Cut ``text`` into strings of 255 bytes at most. Values are ASCII, so bytes are characters."""
    return [text[start : start + STRING_BYTES] for start in range(0, len(text), STRING_BYTES)] or [""]


def quoted(text: str) -> str:
    r"""Return TXT data in presentation form (RFC 1035 §5.1): quoted strings, ``"`` and ``\`` escaped."""
    return " ".join('"{}"'.format(part.replace("\\", "\\\\").replace('"', '\\"')) for part in chunks(text))
