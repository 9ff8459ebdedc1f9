"""Encrypted values of a stack file, which nobody opens: where they are, and what stands in for them.

A stand-in is made of the ciphertext alone. The same ciphertext gives the same stand-in, so it differs between two
declarations exactly where the ciphertext does, and what follows from it (a public key, a role's input) with it.
"""

import base64
import hashlib
import string
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from mailstack.dns.der import encode_integers
from mailstack.settings.problems import Location
from mailstack.settings.stackfile import SecretKind

__all__ = ["identity", "is_sealed", "place_of", "sealed_values", "stand_in", "texts"]

LETTERS = string.ascii_letters + string.digits
WORD_CHARACTERS = 44
RSA_BYTES = 256
# PKCS#8 of an Ed25519 key (RFC 8410 §7) up to its 32 bytes.
ED25519_HEAD = bytes.fromhex("302e020100300506032b657004220420")
# What entries of the stack file's lists are called by, best first.
IDENTITIES = (("permalink",), ("selector",), ("type", "name"), ("name",), ("address",))


def is_sealed(value: Any) -> bool:
    """Tell whether a value is one that Pulumi encrypted."""
    return isinstance(value, Mapping) and set(value) == {"secure"}


def sealed_values(sealed: Any, where: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield location and ciphertext of each encrypted value in a configuration as it is written."""
    if is_sealed(sealed):
        yield where, str(sealed["secure"])
    elif isinstance(sealed, Mapping):
        for key, item in sealed.items():
            yield from sealed_values(item, (*where, str(key)))
    elif isinstance(sealed, list):
        for index, item in enumerate(sealed):
            yield from sealed_values(item, (*where, index))


def texts(raw: Any, where: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield location and text of everything in a configuration that is text."""
    if isinstance(raw, str):
        yield where, raw
    elif isinstance(raw, Mapping):
        for key, item in raw.items():
            yield from texts(item, (*where, str(key)))
    elif isinstance(raw, list):
        for index, item in enumerate(raw):
            yield from texts(item, (*where, index))


def place_of(where: Location, raw: Any) -> str:
    """Return a location with the names of list entries instead of their numbers: one more of them moves no other."""
    text = ""
    for part in where:
        raw = _inside(raw, part)
        text += _identity(raw, part) if isinstance(part, int) else f".{part}" if text else part
    return text


def _inside(holder: Any, part: str | int) -> Any:
    """Return what is below ``part``, None where there is nothing."""
    if isinstance(holder, Mapping):
        return holder.get(part)
    there = isinstance(holder, list) and isinstance(part, int) and part < len(holder)
    return holder[part] if there else None


def _identity(entry: Any, number: int) -> str:
    return f"[{identity(entry) or number}]"


def identity(entry: Any) -> str | None:
    """Return what an entry of a list is called by; None for one that has no such key."""
    if isinstance(entry, Mapping):
        for keys in IDENTITIES:
            if all(isinstance(entry.get(key), str) for key in keys):
                return " ".join(str(entry[key]) for key in keys)
    return None


@cache
def stand_in(kind: SecretKind, seed: str) -> str:
    """Return a value of that kind, the same for the same ``seed``. A key of that shape: it signs and opens nothing."""
    if kind == "rsa":
        modulus = int.from_bytes(_bytes(seed, RSA_BYTES), "big") | 1 << (8 * RSA_BYTES - 1) | 1
        # Version, modulus, exponent and six more numbers (RFC 8017 §A.1.2); only the public half is ever used.
        return _pem("RSA PRIVATE KEY", encode_integers(0, modulus, 65537, *[1] * 6))
    if kind == "ed25519":
        return _pem("PRIVATE KEY", ED25519_HEAD + _bytes(seed, 32))
    word = "".join(LETTERS[byte % len(LETTERS)] for byte in _bytes(seed, WORD_CHARACTERS))
    if kind == "ssh":
        return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{word}\n-----END OPENSSH PRIVATE KEY-----\n"
    return f"SG.{word}" if kind == "sendgrid" else word


def _bytes(seed: str, count: int) -> bytes:
    return hashlib.shake_256(f"mailstack stand-in\n{seed}".encode()).digest(count)


def _pem(label: str, der: bytes) -> str:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n"
