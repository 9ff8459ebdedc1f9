"""Further records that people declare as they are, in the form of a zone file."""

from dataclasses import dataclass

__all__ = ["FurtherRecord"]


@dataclass(frozen=True, kw_only=True)
class FurtherRecord:
    """Records of one name and type, beside those that follow from the stack.

    ``place`` is where it is declared, for messages ("dns.records[0]"). ``values`` are in presentation form
    ("10 mx.example.net"), one a record. ``ttl`` in seconds; None: that of all records.
    """

    place: str
    name: str
    type: str
    values: tuple[str, ...]
    ttl: int | None = None
