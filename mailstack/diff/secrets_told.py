"""What can be known of encrypted values without opening them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mailstack.diff.declaration import Declaration

__all__ = ["SecretChange", "secret_changes"]

ANOTHER_KEY = (
    "all values are encrypted with another key or salt now, so a ciphertext tells nothing: the value may be the same"
)
ANEW = (
    "another ciphertext (value not opened): it was set again, to another value or to the same one; encrypting a value "
    "twice never gives the same ciphertext"
)
ENCRYPTED_NOW = "encrypted now, in clear before: whether the value is the same is not known"
IN_CLEAR_NOW = "in clear now, encrypted before: whether the value is the same is not known"


@dataclass(frozen=True, kw_only=True)
class SecretChange:
    """An encrypted value that came, went, or has another ciphertext; ``known`` says what that tells."""

    place: str
    word: Literal["added", "removed", "changed"]
    known: str


def secret_changes(before: Declaration | None, after: Declaration | None) -> Iterator[SecretChange]:
    """Yield what differs, by the named place of each value."""
    old, new = (before.secrets if before else {}), (after.secrets if after else {})
    other_key = before is not None and after is not None and before.key != after.key
    texts = [{} if one is None else one.texts for one in (before, after)]
    for place in dict.fromkeys([*old, *new]):
        if (place in old) != (place in new) and place in texts[0] and place in texts[1]:
            known = ENCRYPTED_NOW if place in new else IN_CLEAR_NOW
            yield SecretChange(place=place, word="changed", known=known)
        elif place not in old:
            yield SecretChange(place=place, word="added", known="a value is set here now (not opened)")
        elif place not in new:
            yield SecretChange(place=place, word="removed", known="no value is set here any more")
        elif old[place] != new[place]:
            yield SecretChange(place=place, word="changed", known=ANOTHER_KEY if other_key else ANEW)
