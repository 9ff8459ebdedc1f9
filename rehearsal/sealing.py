"""Encrypts configuration as the CLI does with a passphrase, without starting it once for every secret.

Format, read in pkg/secrets/passphrase and sdk/go/common/resource/config of github.com/pulumi/pulumi: the key is PBKDF2
(HMAC-SHA256, 1,000,000 rounds) of the passphrase and an 8-byte salt; a value is AES-256-GCM, ``v1:nonce:ciphertext`` in
base64; the salt line carries an encrypted word the CLI checks the passphrase with.
"""

import base64
import hashlib
import secrets
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailstack.settings.load import SECRET_FIELDS

__all__ = ["Sealer"]

ROUNDS = 1_000_000
CHECK_WORD = "pulumi"


class Sealer:
    """One passphrase and its salt; ``salt`` is what stands under ``encryptionsalt`` of the stack file."""

    def __init__(self, passphrase: str) -> None:
        """Choose a salt and work the key out, which takes a good part of a second."""
        salt = secrets.token_bytes(8)
        self._cipher = AESGCM(hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, ROUNDS, 32))
        self._sealed: dict[str, str] = {}
        self.salt = f"v1:{base64.b64encode(salt).decode()}:{self._seal(CHECK_WORD)}"

    def seal(self, value: Any, key: str = "") -> Any:
        """Return ``value`` with every text under a secret's key encrypted. The same text stays the same."""
        if isinstance(value, dict):
            return {name: self.seal(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.seal(item, key) for item in value]
        return {"secure": self._seal(value)} if key in SECRET_FIELDS and isinstance(value, str) else value

    def _seal(self, text: str) -> str:
        if text not in self._sealed:
            nonce = secrets.token_bytes(12)
            sealed = self._cipher.encrypt(nonce, text.encode(), None)
            self._sealed[text] = f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"
        return self._sealed[text]
