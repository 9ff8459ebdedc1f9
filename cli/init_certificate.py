"""A company's own certificate, as `mailstack init` is given it: files in PEM form, and a key that belongs to it."""

from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates

__all__ = ["chain_of", "key_of"]


def chain_of(file: str) -> str:
    """Return the chain that a file holds. Raises ValueError for one that holds none."""
    text = _text(file)
    _first(text, file)
    return text


def key_of(file: str, chain: str | None) -> str:
    """Return the key that a file holds. Raises ValueError for none, and for that of another certificate."""
    text = _text(file)
    if chain is None:
        return text
    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError):
        raise ValueError(f"{file} has no key in PEM form, without a passphrase") from None
    if key.public_key() != _first(chain, "the stack file").public_key():
        raise ValueError(f"{file} is not the key of the first certificate")
    return text


def _text(file: str) -> str:
    try:
        return Path(file).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: {error.strerror if isinstance(error, OSError) else 'is no PEM file'}") from None


def _first(chain: str, where: str) -> Certificate:
    try:
        return load_pem_x509_certificates(chain.encode())[0]
    except ValueError:
        raise ValueError(f"{where} has no certificate in PEM form") from None
