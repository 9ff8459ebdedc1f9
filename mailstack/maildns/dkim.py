"""DKIM public keys in DNS (RFC 6376 §3.6.1, RFC 8301, RFC 8463)."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Literal

from pyasn1.codec.der import decoder, encoder
from pyasn1.error import PyAsn1Error
from pyasn1.type import namedtype, tag, univ

from mailstack.maildns.problems import Problem

__all__ = ["DkimKey", "check_dkim", "dkim_text", "public_key_of", "rsa_bits"]

RSA_ENCRYPTION = univ.ObjectIdentifier("1.2.840.113549.1.1.1")
# RFC 8301 §3.2: signers must use 1024 bits or more and should use 2048; verifiers need not take more than 4096.
MINIMUM_BITS, WANTED_BITS, LARGEST_BITS = 1024, 2048, 4096
ED25519_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class DkimKey:
    """A key to publish. ``public_key`` is base64: SubjectPublicKeyInfo for RSA, the raw 32 bytes for Ed25519."""

    selector: str
    public_key: str
    key_type: Literal["rsa", "ed25519"] = "rsa"


class _RsaPublicKey(univ.Sequence):  # type: ignore[misc] # pyasn1 has no types
    """RSAPublicKey (RFC 8017 §A.1.1)."""

    componentType = namedtype.NamedTypes(  # noqa: N815 - pyasn1's name
        namedtype.NamedType("modulus", univ.Integer()), namedtype.NamedType("publicExponent", univ.Integer())
    )


class _AlgorithmIdentifier(univ.Sequence):  # type: ignore[misc] # pyasn1 has no types
    """AlgorithmIdentifier (RFC 5280 §4.1.1.2)."""

    componentType = namedtype.NamedTypes(  # noqa: N815 - pyasn1's name
        namedtype.NamedType("algorithm", univ.ObjectIdentifier()), namedtype.OptionalNamedType("parameters", univ.Any())
    )


class _SubjectPublicKeyInfo(univ.Sequence):  # type: ignore[misc] # pyasn1 has no types
    """SubjectPublicKeyInfo (RFC 5280 §4.1)."""

    componentType = namedtype.NamedTypes(  # noqa: N815 - pyasn1's name
        namedtype.NamedType("algorithm", _AlgorithmIdentifier()),
        namedtype.NamedType("subjectPublicKey", univ.BitString()),
    )


class _PrivateKeyInfo(univ.Sequence):  # type: ignore[misc] # pyasn1 has no types
    """PrivateKeyInfo, PKCS#8 (RFC 5208 §5)."""

    componentType = namedtype.NamedTypes(  # noqa: N815 - pyasn1's name
        namedtype.NamedType("version", univ.Integer()),
        namedtype.NamedType("algorithm", _AlgorithmIdentifier()),
        namedtype.NamedType("privateKey", univ.OctetString()),
        namedtype.OptionalNamedType(
            "attributes", univ.Any().subtype(implicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, 0))
        ),
    )


def public_key_of(private_key_pem: str) -> str:
    """Return the base64 SubjectPublicKeyInfo that belongs to an RSA private key (PKCS#1 or PKCS#8 PEM).

    Raises ValueError for anything else, without repeating any of it.
    """
    lines = [line.strip() for line in private_key_pem.strip().splitlines()]
    header = lines[0] if lines else ""
    if header not in {"-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----"}:
        raise ValueError("is not an unencrypted RSA private key in PEM form (PKCS#1 or PKCS#8)")
    try:
        der = base64.b64decode("".join(lines[1:-1]), validate=True)
        if header == "-----BEGIN PRIVATE KEY-----":
            info, _ = decoder.decode(der, asn1Spec=_PrivateKeyInfo())
            if info["algorithm"]["algorithm"] != RSA_ENCRYPTION:
                raise ValueError("is not an RSA key")
            der = bytes(info["privateKey"])
        key, _ = decoder.decode(der)  # RSAPrivateKey: version, modulus, publicExponent, ... (RFC 8017 §A.1.2)
        modulus, exponent = int(key[1]), int(key[2])
    except (PyAsn1Error, binascii.Error, IndexError, TypeError) as error:
        raise ValueError("is damaged: its content does not parse as an RSA private key") from error
    public = _RsaPublicKey()
    public["modulus"], public["publicExponent"] = modulus, exponent
    spki = _SubjectPublicKeyInfo()
    spki["algorithm"]["algorithm"] = RSA_ENCRYPTION
    spki["algorithm"]["parameters"] = univ.Any(encoder.encode(univ.Null("")))
    spki["subjectPublicKey"] = univ.BitString.fromOctetString(encoder.encode(public))
    return base64.b64encode(encoder.encode(spki)).decode()


def rsa_bits(public_key: str) -> int:
    """Return the size of a base64 SubjectPublicKeyInfo RSA key. Raises ValueError when it is not one."""
    try:
        spki, rest = decoder.decode(base64.b64decode(public_key, validate=True), asn1Spec=_SubjectPublicKeyInfo())
        if rest or spki["algorithm"]["algorithm"] != RSA_ENCRYPTION:
            raise ValueError("is not an RSA key")
        key: Any
        key, _ = decoder.decode(spki["subjectPublicKey"].asOctets(), asn1Spec=_RsaPublicKey())
    except (PyAsn1Error, binascii.Error) as error:
        raise ValueError("does not parse as base64 of an RSA SubjectPublicKeyInfo") from error
    return int(key["modulus"]).bit_length()


def dkim_text(key: DkimKey) -> str:
    """Return the record. For RSA it is, byte for byte, what Postal compares with; ``t=s`` forbids subdomains in i=."""
    if key.key_type == "ed25519":
        return f"v=DKIM1; k=ed25519; p={key.public_key}"
    return f"v=DKIM1; t=s; h=sha256; p={key.public_key};"


def check_dkim(domain: str, keys: tuple[DkimKey, ...]) -> tuple[list[Problem], list[str]]:
    """Return the broken rules and the warnings for the keys of ``domain``."""
    problems: list[Problem] = []
    warnings: list[str] = []
    for key in keys:
        record = f"DKIM {key.selector}._domainkey.{domain}"
        found = _check_key(record, key)
        problems += found
        if not found and key.key_type == "rsa":
            bits = rsa_bits(key.public_key)
            if bits < WANTED_BITS or bits > LARGEST_BITS:
                warnings.append(f"{record} has {bits} bits; {WANTED_BITS} is what receivers expect (RFC 8301 §3.2)")
    if keys and all(key.key_type == "ed25519" for key in keys):
        problems.append(
            Problem(
                record=f"DKIM of {domain}",
                rule="dkim-ed25519-alone",
                source="RFC 8463 §3",
                found="only Ed25519 keys",
                expected="there must be an RSA key too: many receivers do not check Ed25519",
                fix="add a selector with a 2048-bit RSA key",
            )
        )
    return problems, warnings


def _check_key(record: str, key: DkimKey) -> list[Problem]:
    def problem(rule: str, source: str, expected: str, fix: str) -> list[Problem]:
        # The key itself is not repeated: what was pasted by mistake may be a private one.
        return [Problem(record=record, rule=rule, source=source, found="its public key", expected=expected, fix=fix)]

    text = key.public_key
    if "PRIVATE" in text:
        return problem(
            "dkim-private", "RFC 6376 §3.6.1", "is a private key", "give its public half, and make a new key"
        )
    if "-----" in text or any(character.isspace() for character in text):
        return problem(
            "dkim-pem", "RFC 6376 §3.6.1", "has PEM lines or blanks in it", "leave header, footer and line breaks out"
        )
    if text.startswith("v=") or "p=" in text[:40]:
        return problem("dkim-record", "RFC 6376 §3.6.1", "is a whole record", "give only what stands after p=")
    if key.key_type == "ed25519":
        try:
            length = len(base64.b64decode(text, validate=True))
        except binascii.Error:
            length = 0
        if length != ED25519_BYTES:
            return problem(
                "dkim-ed25519", "RFC 8463 §4", "must be base64 of the raw 32 bytes", "leave the ASN.1 header out"
            )
        return []
    try:
        bits = rsa_bits(text)
    except ValueError as error:
        return problem("dkim-key", "RFC 6376 §3.6.1", str(error), "copy what stands after p= in the signer's record")
    if bits < MINIMUM_BITS:
        return problem("dkim-bits", "RFC 8301 §3.2", f"has {bits} bits, 1024 is the least", "make a key of 2048 bits")
    return []
