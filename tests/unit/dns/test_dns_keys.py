"""Public halves of private keys, held against an independent library."""

import base64
import itertools

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import example, given
from hypothesis import strategies as st

from mailstack.dns import DkimKey, KeyRuleError, public_key_of, rsa_bits
from tests.unit.dns.dns_examples import ED25519_KEY, declared, dkim, domain, integers, rsa_key

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PKCS1 = serialization.PrivateFormat.TraditionalOpenSSL
PKCS8 = serialization.PrivateFormat.PKCS8


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
        form: serialization.PrivateFormat, password: bytes = b"") -> str:  # fmt: skip
    cipher: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, form, cipher).decode("ascii")


def public(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode("ascii")


@pytest.mark.parametrize("form", [PKCS1, PKCS8], ids=["pkcs1", "pkcs8"])
def test_public_half_is_what_openssl_makes(form: serialization.PrivateFormat) -> None:
    assert public_key_of(pem(KEY, form)) == public(KEY)


@pytest.mark.parametrize("change", ["before {}", "{}after", "\n\n{}"])
def test_text_around_the_pem_block_does_not_matter(change: str) -> None:
    assert public_key_of(change.format(pem(KEY, PKCS8))) == public(KEY)


def test_windows_line_ends_do_not_matter() -> None:
    assert public_key_of(pem(KEY, PKCS8).replace("\n", "\r\n")) == public(KEY)


def test_public_half_can_be_published_as_it_is() -> None:
    records = declared(dkim(public_key_of(pem(KEY, PKCS1)))).records
    assert records.texts("s1._domainkey.example.com") == (f"v=DKIM1; t=s; h=sha256; p={public(KEY)};",)


@pytest.mark.parametrize("bits", [1024, 1025, 2048, 4096])
def test_key_size_is_the_modulus(bits: int) -> None:
    assert rsa_bits(rsa_key(bits)) == bits


def test_ed25519_beside_rsa_is_published() -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    raw = base64.b64encode(key.public_bytes_raw()).decode("ascii")
    both = domain(
        dkim=(
            DkimKey(selector="r1", public_key=rsa_key(2048)),
            DkimKey(selector="e1", public_key=raw, key_type="ed25519"),
            DkimKey(selector="e2", public_key=ED25519_KEY, key_type="ed25519"),
        )
    )
    result = declared(both)
    assert result.records.texts("e1._domainkey.example.com") == (f"v=DKIM1; k=ed25519; t=s; h=sha256; p={raw};",)
    assert result.warnings == ()


def pem_block(label: str, body: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.b64encode(body).decode()}\n-----END {label}-----\n"


@pytest.mark.parametrize(
    ("text", "found", "fix"),
    [
        ("", "without a complete PEM block", "whole key file"),
        (pem(KEY, PKCS8).replace("-----END PRIVATE KEY-----", ""), "without a complete PEM", "line breaks"),
        (pem(KEY, PKCS8, b"secret"), "encrypted", "openssl pkey"),
        (pem(KEY, PKCS1, b"secret"), "encrypted", "openssl pkey"),
        (pem_block("PUBLIC KEY", b"x"), "PUBLIC KEY", "openssl genrsa"),
        (pem(ec.generate_private_key(ec.SECP256R1()), PKCS8), "an EC key", "openssl genrsa"),
        (pem(ec.generate_private_key(ec.SECP256R1()), PKCS1), "EC PRIVATE KEY", "openssl genrsa"),
        (pem(ed25519.Ed25519PrivateKey.generate(), PKCS8), "an ed25519 key", "openssl genrsa"),
        (pem_block("RSA PRIVATE KEY", integers(0, 5, 3)), "does not hold", "unchanged"),
        (pem_block("PRIVATE KEY", integers(0, 5, 3)), "does not hold", "unchanged"),
        ("-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----", "not base64", "unchanged"),
    ],
    ids=itertools.count(),  # keys are made anew in each process
)
def test_unusable_private_key_is_refused_without_showing_it(text: str, found: str, fix: str) -> None:
    with pytest.raises(KeyRuleError) as caught:
        public_key_of(text)
    assert found in caught.value.found
    assert fix in caught.value.fix
    body = "".join(line for line in text.splitlines() if not line.startswith("-----"))
    assert not body or body[:12] not in str(caught.value)


def test_pkcs8_with_attributes_is_read() -> None:
    der = bytearray(KEY.private_bytes(serialization.Encoding.DER, PKCS8, serialization.NoEncryption()))
    assert der[:2] == b"\x30\x82"
    attributes = b"\xa0\x00"
    length = int.from_bytes(der[2:4], "big") + len(attributes)
    der[2:4] = length.to_bytes(2, "big")
    assert public_key_of(pem_block("PRIVATE KEY", bytes(der) + attributes)) == public(KEY)


def test_key_in_ber_that_is_not_der_is_refused() -> None:
    der = base64.b64decode(public(KEY))
    assert der[:2] == b"\x30\x82"
    # The same value with a length of three bytes where two suffice: some verifiers refuse it.
    with pytest.raises(KeyRuleError, match="not a DER public key"):
        rsa_bits(base64.b64encode(b"\x30\x83\x00" + der[2:]).decode("ascii"))


@pytest.mark.parametrize("cut", [1, 10, 100, 290])
def test_damaged_public_key_never_passes(cut: int) -> None:
    der = bytearray(base64.b64decode(public(KEY)))
    with pytest.raises(KeyRuleError):
        rsa_bits(base64.b64encode(der[:cut] + der[cut + 1 :]).decode("ascii"))


@given(st.binary(max_size=80))
@example(b"\x30\x80" * 40)
@example(b"\x30\x84\xff\xff\xff\xff")
def test_any_bytes_as_key_are_refused_and_nothing_else_happens(raw: bytes) -> None:
    with pytest.raises(KeyRuleError):
        rsa_bits(base64.b64encode(raw).decode("ascii"))
    with pytest.raises(KeyRuleError):
        public_key_of(pem_block("PRIVATE KEY", raw))


def test_key_text_is_not_in_the_repr() -> None:
    assert "KEY" not in repr(DkimKey(selector="s1", public_key="KEY"))
