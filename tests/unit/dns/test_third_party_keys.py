"""DKIM records and long TXT values, read by implementations of others."""

import base64
from email.message import EmailMessage

import dkim
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from mailstack.dns import (
    DkimKey,
    KeyRuleError,
    Record,
    Text,
    ed25519_public_key_of,
    public_key_of,
    rdata_text,
    to_cloudflare,
)
from mailstack.settings.stackfile import new_dkim_key, new_ed25519_key
from tests.unit.dns.dns_examples import rsa_key


@pytest.fixture(scope="module")
def private_key() -> str:
    return new_dkim_key()


def test_a_message_signed_with_our_key_is_verified_by_dkimpy_with_our_record(private_key: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.com", "b@example.net", "Hello"
    message.set_content("Hello")
    signature = dkim.sign(message.as_bytes(), b"s1", b"example.com", private_key.encode())
    record = DkimKey(selector="s1", public_key=public_key_of(private_key)).text

    def dnsfunc(name: bytes, **_: object) -> bytes:
        assert name == b"s1._domainkey.example.com."
        return record.encode()

    assert dkim.verify(signature + message.as_bytes(), dnsfunc=dnsfunc)
    revoked = DkimKey(selector="s1", revoked=True).text
    assert not dkim.verify(signature + message.as_bytes(), dnsfunc=lambda *_, **__: revoked.encode())


@given(bits=st.sampled_from([1024, 2048, 3072, 4096]), salt=st.integers(1, 10_000), testing=st.booleans())
def test_dkimpy_reads_every_rsa_record(bits: int, salt: int, testing: bool) -> None:
    record = DkimKey(selector="s1", public_key=rsa_key(bits, salt), testing=testing).text
    key, size, kind, _ = dkim.load_pk_from_dns(b"s1._domainkey.example.com.", lambda *_, **__: record.encode())
    assert (size, kind) == (bits, b"rsa")
    assert key["modulus"] == (1 << (bits - 1)) + 2 * salt + 1


def test_an_ed25519_record_has_the_raw_key_and_verifies_what_the_private_key_signs() -> None:
    pem = new_ed25519_key()
    record = DkimKey(selector="e1", key_type="ed25519", public_key=ed25519_public_key_of(pem)).text
    tags = dict(part.strip().split("=", 1) for part in record.rstrip(";").split(";"))
    assert tags["k"] == "ed25519"
    raw = base64.b64decode(tags["p"])
    assert len(raw) == 32
    signer = load_pem_private_key(pem.encode(), password=None)
    Ed25519PublicKey.from_public_bytes(raw).verify(signer.sign(b"hash"), b"hash")  # type: ignore[union-attr, call-arg]


def test_a_key_of_the_other_kind_is_refused_without_showing_it(private_key: str) -> None:
    ed25519 = new_ed25519_key()
    for wrong, read in ((private_key, ed25519_public_key_of), (ed25519, public_key_of)):
        with pytest.raises(KeyRuleError) as refused:
            read(wrong)
        assert wrong.splitlines()[1][:20] not in str(refused.value)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=600).map(lambda text: text * 2))
def test_a_long_text_in_strings_is_the_same_bytes_again(value: str) -> None:
    record = Record.of("example.com", 3600, Text(value=value))
    for written in (rdata_text(record), to_cloudflare(record).content or ""):
        rdata = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, written)
        strings = rdata.strings  # type: ignore[attr-defined]
        assert b"".join(strings) == value.encode()
        assert all(len(string) <= 255 for string in strings)
        wire = rdata.to_wire()
        assert wire is not None
        assert dns.rdata.from_wire("IN", "TXT", wire, 0, len(wire)) == rdata
