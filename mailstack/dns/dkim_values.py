"""Key values: what may stand after p= in a DKIM record, and public halves (RFC 6376, RFC 8017, RFC 8463)."""

import base64
import binascii
import re
from types import MappingProxyType

from mailstack.dns import der as asn1
from mailstack.dns.problems import RuleError

__all__ = [
    "MIN_RSA_BITS",
    "KeyRuleError",
    "check_ed25519",
    "checked_rsa_bits",
    "ed25519_public_key_of",
    "public_key_of",
    "rsa_bits",
    "without_blanks",
]

MIN_RSA_BITS = 1024  # verifiers must refuse less (RFC 8301 §3.2)
ED25519_BYTES = 32

_RSA_ENCRYPTION = bytes.fromhex("2a864886f70d010101")  # OID 1.2.840.113549.1.1.1 (RFC 8017 §A.1)
_OTHER_KINDS = MappingProxyType(
    {
        bytes.fromhex("2b6570"): "an ed25519 key",  # OID 1.3.101.112 (RFC 8410 §3)
        bytes.fromhex("2a8648ce3d0201"): "an EC key",  # OID 1.2.840.10045.2.1 (RFC 5480 §2.1.1)
    }
)
_PRIVATE_NUMBERS = 9  # of an RSAPrivateKey with two primes: version, modulus, exponent, ... (RFC 8017 §A.1.2)
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)

# Curve constants of RFC 8032 §5.1.
_P25519 = 2**255 - 19
_D25519 = -121665 * pow(121666, -1, _P25519) % _P25519


class KeyRuleError(RuleError):
    """A key cannot be used. Never holds key material."""


def public_key_of(private_key_pem: str) -> str:
    """Return the p= value (base64 SubjectPublicKeyInfo) of an unencrypted RSA private key in PEM.

    Takes PKCS#1 ("RSA PRIVATE KEY") and PKCS#8 ("PRIVATE KEY"). Raises ``KeyRuleError`` for anything else.
    """
    label, der = _read_pem(private_key_pem)
    if label == "PRIVATE KEY":
        der = _unwrap_pkcs8(der)
    elif label != "RSA PRIVATE KEY":
        raise KeyRuleError(
            "dkim-key",
            found=f"a PEM block of kind {label}",
            expected="an RSA private key: RSA PRIVATE KEY or PRIVATE KEY",
            fix="make one with `openssl genrsa 2048`",
        )
    numbers = _rsa_private_numbers(der)
    if numbers is None:
        raise KeyRuleError(
            "dkim-key",
            found=f"a {label} block that does not hold an RSA private key",
            expected="version, modulus, public exponent and the other RSA numbers",
            fix="take the file the key was made in, unchanged",
        )
    return base64.b64encode(_subject_public_key_info(*numbers)).decode("ascii")


def ed25519_public_key_of(private_key_pem: str) -> str:
    """Return the p= value (base64 of the raw 32 bytes) of an unencrypted Ed25519 private key, PKCS#8 in PEM.

    Raises ``KeyRuleError`` for anything else.
    """
    label, der = _read_pem(private_key_pem)
    # Few stacks have such a key: only those pay for the library.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_private_key  # noqa: PLC0415

    try:
        key = load_der_private_key(der, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyRuleError(
            "dkim-key",
            found=f"a {label} block that does not hold an Ed25519 private key",
            expected="PKCS#8 of an Ed25519 key, as `key_type` says",
            fix="make one with `openssl genpkey -algorithm ED25519`",
        )
    return base64.b64encode(key.public_key().public_bytes_raw()).decode("ascii")


def rsa_bits(public_key: str) -> int:
    """Return the modulus size in bits of a base64 RSA SubjectPublicKeyInfo. Raises ``KeyRuleError``."""
    modulus, _ = _rsa_numbers(_decode_base64(public_key))
    return modulus.bit_length()


def checked_rsa_bits(public_key: str) -> int:
    """Return the size like ``rsa_bits``; a key that verifiers must refuse raises ``KeyRuleError`` as well."""
    bits = rsa_bits(public_key)
    if bits < MIN_RSA_BITS:
        raise KeyRuleError(
            "dkim-key-size",
            found=f"an RSA key of {bits} bits",
            expected=f"2048 bits; receivers must refuse less than {MIN_RSA_BITS}",
            fix="make a new key with `openssl genrsa 2048`",
        )
    return bits


def without_blanks(value: str) -> str:
    """Return a base64 value on one line: blanks and line breaks in it mean nothing (RFC 6376 §2.10)."""
    return "".join(value.split())


def _decode_base64(value: str) -> bytes:
    if "PRIVATE" in value:
        raise _private_key_pasted()
    if "-----" in value:
        raise KeyRuleError(
            "dkim-key",
            found="a PEM block with its header lines",
            expected="only the base64 between the header lines",
            fix="remove the lines with BEGIN and END",
        )
    if "p=" in value or ";" in value:
        raise KeyRuleError(
            "dkim-key",
            found="a whole DKIM record",
            expected="only what stands after p=",
            fix="copy the value of p= without the semicolon",
        )
    try:
        decoded = base64.b64decode(without_blanks(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyRuleError(
            "dkim-key",
            found=f"{len(value)} characters that are not base64",
            expected="base64",
            fix="copy the public key again, completely",
        ) from error
    return decoded


def _private_key_pasted() -> KeyRuleError:
    return KeyRuleError(
        "dkim-key-private",
        found="a private key (not shown)",
        expected="the public key: DNS shows it to everybody",
        fix="give the public half, or the key itself as `dkim.private_key`, encrypted; "
        "make a new key pair if this one went anywhere",
    )


def _rsa_numbers(der: bytes) -> tuple[int, int]:
    """Return modulus and exponent of SubjectPublicKeyInfo bytes."""
    info = _public_key_info(der)
    if info is None:
        raise _not_spki(der)
    (algorithm, parameters), key = info
    if algorithm != _RSA_ENCRYPTION:
        raise KeyRuleError(
            "dkim-key",
            found=f"{_OTHER_KINDS.get(algorithm, 'a key of another kind')} as an RSA key",
            expected="an RSA public key (OID 1.2.840.113549.1.1.1)",
            fix='give an RSA key; for ed25519 set `dkim.key_type` to "ed25519" and give the raw 32 bytes',
        )
    numbers = asn1.read_integers(key)
    if numbers is None or len(numbers) != 2 or parameters != ((asn1.NULL, b""),):
        raise KeyRuleError(
            "dkim-key",
            found="an RSA key whose inside cannot be read",
            expected="modulus and exponent, algorithm parameters NULL",
            fix="make the public key again with `openssl rsa -pubout`",
        )
    modulus, exponent = numbers
    if modulus < 1 or modulus % 2 == 0 or exponent < 3 or exponent % 2 == 0:
        raise KeyRuleError(
            "dkim-key",
            found="RSA numbers that belong to no key (even or too small)",
            expected="an odd modulus and an odd exponent of at least 3",
            fix="make a new key with `openssl genrsa 2048`",
        )
    return modulus, exponent


_Algorithm = tuple[bytes, tuple[asn1.Value, ...]]  # object identifier and parameters (RFC 5280 §4.1.1.2)


def _algorithm(value: asn1.Value) -> _Algorithm | None:
    tag, content = value
    fields = asn1.read_values(content) if tag == asn1.SEQUENCE else None
    if not fields or fields[0][0] != asn1.OBJECT_IDENTIFIER:
        return None
    return fields[0][1], fields[1:]


def _public_key_info(der: bytes) -> tuple[_Algorithm, bytes] | None:
    """Return algorithm and key of SubjectPublicKeyInfo bytes (RFC 5280 §4.1.2.7); None when they are not that."""
    fields = asn1.read_sequence(der)
    if fields is None or len(fields) != 2 or fields[1][0] != asn1.BIT_STRING or not fields[1][1].startswith(b"\0"):
        return None
    algorithm = _algorithm(fields[0])
    return None if algorithm is None else (algorithm, fields[1][1][1:])


def _private_key_info(der: bytes) -> tuple[_Algorithm, bytes] | None:
    """Return algorithm and key of PKCS#8 bytes (RFC 5958 §2); None when they are not that."""
    fields = asn1.read_sequence(der)
    if fields is None or [tag for tag, _ in fields[:3]] != [asn1.INTEGER, asn1.SEQUENCE, asn1.OCTET_STRING]:
        return None
    algorithm = _algorithm(fields[1])
    return None if algorithm is None else (algorithm, fields[2][1])


def _not_spki(der: bytes) -> KeyRuleError:
    """Explain bytes that are no SubjectPublicKeyInfo; the usual mix-ups have their own message."""
    if _rsa_private_numbers(der) is not None or _private_key_info(der) is not None:
        return _private_key_pasted()
    if len(asn1.read_integers(der) or ()) == 2:
        return KeyRuleError(
            "dkim-key",
            found="a bare RSAPublicKey (PKCS#1)",
            expected="SubjectPublicKeyInfo, as verifiers read it",
            fix="convert it with `openssl rsa -RSAPublicKey_in -pubout`",
        )
    hint = '; for ed25519 set `dkim.key_type` to "ed25519"' if len(der) == ED25519_BYTES else ""
    return KeyRuleError(
        "dkim-key",
        found=f"{len(der)} bytes that are not a DER public key",
        expected="RSA SubjectPublicKeyInfo in DER, as base64",
        fix=f"copy the key completely, without adding or losing characters{hint}",
    )


def check_ed25519(public_key: str) -> None:
    """Raise ``KeyRuleError`` unless the base64 value is the 32 bytes of an ed25519 public key (RFC 8032 §5.1.3)."""
    raw = _decode_base64(public_key)
    if len(raw) != ED25519_BYTES:
        wrapped = _public_key_info(raw) is not None
        if _private_key_info(raw) is not None:
            raise _private_key_pasted()
        raise KeyRuleError(
            "dkim-key",
            found="a SubjectPublicKeyInfo" if wrapped else f"{len(raw)} bytes",
            expected=f"the raw {ED25519_BYTES} bytes of the ed25519 key (44 characters of base64)",
            fix="take the last 32 bytes: `openssl pkey -pubin -outform DER | tail -c 32 | base64`",
        )
    y = int.from_bytes(raw, "little") & ((1 << 255) - 1)
    # A public key is a point: x^2 = (y^2 - 1) / (d y^2 + 1) must have a root (RFC 8032 §5.1.3).
    square = (y * y - 1) * pow(_D25519 * y * y + 1, -1, _P25519) % _P25519
    if y >= _P25519 or pow(square, (_P25519 - 1) // 2, _P25519) not in {0, 1}:
        raise KeyRuleError(
            "dkim-key",
            found="32 bytes that are not a point of the curve",
            expected="an ed25519 public key",
            fix="give the public key, not the private seed or another value",
        )


def _read_pem(text: str) -> tuple[str, bytes]:
    match = _PEM.search(text)
    if match is None:
        raise KeyRuleError(
            "dkim-key",
            found="text without a complete PEM block",
            expected="-----BEGIN RSA PRIVATE KEY----- or -----BEGIN PRIVATE KEY----- and the matching END line",
            fix="give the whole key file with its line breaks",
        )
    label, body = match[1], match[2]
    if "ENCRYPTED" in label or "ENCRYPTED" in body:
        raise KeyRuleError(
            "dkim-key",
            found="an encrypted private key",
            expected="a key without passphrase: Pulumi encrypts the setting it is kept in",
            fix="remove the passphrase with `openssl pkey -in FILE`",
        )
    try:
        return label, base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyRuleError(
            "dkim-key",
            found=f"a {label} block that is not base64",
            expected="base64 between the header lines",
            fix="take the key file unchanged",
        ) from error


def _unwrap_pkcs8(der: bytes) -> bytes:
    info = _private_key_info(der)
    if info is None:
        return b""
    (algorithm, _), key = info
    if algorithm != _RSA_ENCRYPTION:
        raise KeyRuleError(
            "dkim-key",
            found=f"the private half of {_OTHER_KINDS.get(algorithm, 'a key of another kind')}",
            expected="an RSA private key",
            fix="make one with `openssl genrsa 2048`",
        )
    return key


def _rsa_private_numbers(der: bytes) -> tuple[int, int] | None:
    numbers = asn1.read_integers(der)
    return (numbers[1], numbers[2]) if numbers is not None and len(numbers) == _PRIVATE_NUMBERS else None


def _subject_public_key_info(modulus: int, exponent: int) -> bytes:
    algorithm = asn1.encode(asn1.OBJECT_IDENTIFIER, _RSA_ENCRYPTION) + asn1.encode(asn1.NULL, b"")
    key = asn1.encode(asn1.BIT_STRING, b"\0" + asn1.encode_integers(modulus, exponent))
    return asn1.encode(asn1.SEQUENCE, asn1.encode(asn1.SEQUENCE, algorithm) + key)
