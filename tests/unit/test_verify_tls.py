"""What is told about TLS: versions, ciphers, features, certificates, TLSA; against servers that are weak on purpose."""

import datetime as dt
import hashlib
import ssl

import dns.rdata
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from mailstack.verify.certificates import judge
from mailstack.verify.dane import matches
from mailstack.verify.hello import TLS_1_2, WEAK
from mailstack.verify.model import Finding, State
from mailstack.verify.tls import Handshake
from tests.unit.verify_world import (
    DOMAIN,
    HOST,
    MX,
    SUBMISSION,
    TLS_SUBMISSION,
    ZONE,
    Pki,
    SmtpStandin,
    around,
    context,
    host,
    look,
    named,
    only,
    server_hello,
    target,
)

# TLS 1.0 and 1.1 are switched on where a server is to be weak.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")]

LISTENERS = {25: MX, 587: SUBMISSION, 465: TLS_SUBMISSION}
RENEGOTIATION, EXTENDED_MASTER_SECRET = 0xFF01, 23
EVERYTHING = "ALL:eNULL:@SECLEVEL=0"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def seen(check: str, pki: Pki, tls: ssl.SSLContext, port: int = 587, **how: object) -> list[Finding]:
    with SmtpStandin(tls, implicit=port == 465, **how) as server:  # type: ignore[arg-type]
        return look(check, context(target(host(LISTENERS[port])), {port: server.port}, pki))


def first(check: str, pki: Pki, tls: ssl.SSLContext, port: int = 587, **how: object) -> Finding:
    return seen(check, pki, tls, port, **how)[0]


# --- 26 ---


@pytest.mark.parametrize("port", [25, 587, 465])
def test_a_server_of_today_refuses_what_is_older(pki: Pki, port: int) -> None:
    found = first("tls-version", pki, pki.context(), port)
    assert (found.state, found.found) == (State.OK, "TLSv1.3; TLS 1.1 and 1.0 are refused")


@pytest.mark.parametrize(
    ("port", "newest", "state"),
    [(587, ssl.TLSVersion.TLSv1_3, State.FAIL), (25, ssl.TLSVersion.TLSv1_3, State.WARN)],
)
def test_a_server_that_takes_tls_1_1_too_is_told(pki: Pki, port: int, newest: ssl.TLSVersion, state: State) -> None:
    tls = pki.context(ciphers="ALL:@SECLEVEL=0")
    tls.minimum_version, tls.maximum_version = ssl.TLSVersion.TLSv1, newest
    found = first("tls-version", pki, tls, port)
    assert found.state is state
    assert "TLS 1.1 is taken too" in found.found


def test_tls_1_0_is_seen_by_its_name(pki: Pki) -> None:
    tls = pki.context(ciphers="ALL:@SECLEVEL=0")
    tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1
    assert first("tls-version", pki, tls).found == "nothing newer than TLSv1"

    def old(version: int, _ciphers: list[int]) -> bytes | None:
        return server_hello(0x0301, 0x002F) if version < TLS_1_2 else None

    assert "TLS 1.0 is taken too" in first("tls-version", pki, pki.context(), hello=old).found


def test_a_server_with_nothing_newer_than_tls_1_1_fails_and_is_still_read(pki: Pki) -> None:
    tls = pki.context(ciphers="ALL:@SECLEVEL=0")
    tls.minimum_version, tls.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    found = first("tls-version", pki, tls, 25)
    assert (found.state, found.found) == (State.FAIL, "nothing newer than TLSv1.1")


def test_a_probe_that_is_not_answered_is_unknown(pki: Pki) -> None:
    with SmtpStandin(pki.context()) as server:
        world = context(target(host(SUBMISSION)), {587: server.port}, pki)
        look("starttls", world)
        server.greeting = "421 too many connections"
        found = only("tls-version", world)
    assert found.state is State.UNKNOWN
    assert "421 too many connections" in found.found


# --- 27 ---


def test_ciphers_of_today_are_right(pki: Pki) -> None:
    tls = pki.context(ciphers="ECDHE+AESGCM:ECDHE+CHACHA20")
    found = first("tls-ciphers", pki, tls)
    assert (found.state, found.details) == (State.OK, ())


def test_a_null_cipher_that_is_agreed_to_fails(pki: Pki) -> None:
    found = first("tls-ciphers", pki, pki.context(ciphers=EVERYTHING))
    assert (found.state, found.found) == (State.FAIL, "ECDHE-ECDSA-NULL-SHA is agreed to")


@pytest.mark.parametrize("cipher", sorted(WEAK))
def test_every_weak_cipher_is_offered_and_named(pki: Pki, cipher: int) -> None:
    def weak(version: int, ciphers: list[int]) -> bytes | None:
        return server_hello(version, cipher) if set(ciphers) == set(WEAK) else None

    found = first("tls-ciphers", pki, pki.context(), hello=weak)
    assert (found.state, found.found) == (State.FAIL, f"{WEAK[cipher]} is agreed to")


def with_rsa(pki: Pki, ciphers: str) -> ssl.SSLContext:
    """Return a context with an RSA certificate of the authority."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.set_ciphers(ciphers)
    pki.certificate(key_type=trustme.KeyType.RSA).configure_cert(tls)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    return tls


def test_no_forward_secrecy_fails_and_none_for_old_clients_warns(pki: Pki) -> None:
    never = first("tls-ciphers", pki, with_rsa(pki, "AES128-GCM-SHA256"), 25)
    assert (never.state, never.found) == (State.FAIL, "AES128-GCM-SHA256, no forward secrecy")
    some = with_rsa(pki, "ECDHE+AESGCM:AES128-GCM-SHA256")
    found = first("tls-ciphers", pki, some)
    assert (found.state, found.found.split()[0]) == (State.WARN, "AES128-GCM-SHA256")
    mx = first("tls-ciphers", pki, some, 25)
    assert mx.state is State.OK
    assert "no forward secrecy then" in mx.details[0]


def test_the_clients_order_is_told_where_it_leads_to_something_worse(pki: Pki) -> None:
    tls = pki.context(ciphers="ECDHE+AESGCM:ECDHE+AES")
    assert first("tls-ciphers", pki, tls).state is State.OK, "the server's order: Python's default"
    tls.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    found = first("tls-ciphers", pki, tls)
    assert found.state is State.WARN
    assert found.found == "the client's order counts: ECDHE-ECDSA-AES128-SHA where it asks for that first"


# --- 28 ---


def test_a_real_server_has_the_features(pki: Pki) -> None:
    (found,) = seen("tls-features", pki, pki.context(), 25)
    assert found.state is State.OK


@pytest.mark.parametrize(
    ("compression", "extensions", "state", "words"),
    [
        (1, (RENEGOTIATION, EXTENDED_MASTER_SECRET), State.FAIL, "compression is agreed to"),
        (0, (EXTENDED_MASTER_SECRET,), State.FAIL, "lacks secure renegotiation"),
        (0, (RENEGOTIATION,), State.WARN, "lacks extended master secret"),
        (0, (RENEGOTIATION, EXTENDED_MASTER_SECRET), State.OK, "no compression"),
    ],
)
def test_features_that_lack_are_told(
    pki: Pki, compression: int, extensions: tuple[int, ...], state: State, words: str
) -> None:
    def canned(version: int, ciphers: list[int]) -> bytes | None:
        known = 0xC013 in ciphers and 0xC02F in ciphers  # all with forward secrecy, and any signature
        return server_hello(version, 0xC02F, compression=compression, extensions=extensions) if known else None

    found = first("tls-features", pki, pki.context(), hello=canned)
    assert found.state is state
    assert words in found.found


@pytest.mark.parametrize(("port", "state"), [(587, State.WARN), (25, State.OK)])
def test_a_server_that_signs_the_key_exchange_with_sha_1_is_told(pki: Pki, port: int, state: State) -> None:
    found = first("tls-features", pki, pki.context(ciphers="ALL:@SECLEVEL=0"), port)
    assert found.state is state
    assert "SHA-1" in " ".join((found.found, *found.details))


def test_a_server_with_tls_1_3_only_has_none_of_the_old_features(pki: Pki) -> None:
    tls = pki.context()
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    assert first("tls-features", pki, tls).found == "TLSv1.3 only, where none of it can be"


# --- 29 ---


def test_a_good_certificate_is_shown(pki: Pki) -> None:
    found = first("certificate", pki, pki.context())
    assert found.state is State.OK
    assert any("key secp256r1, signature hash sha256" in line for line in found.details)


def test_a_certificate_for_another_name_fails(pki: Pki) -> None:
    found = first("certificate", pki, pki.context("www.example.net"))
    assert found.state is State.FAIL
    assert "not valid for 'mx.example.com'" in found.found


def test_a_certificate_of_an_unknown_authority_fails(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Pki(tmp_path_factory.mktemp("other"))
    found = first("certificate", pki, other.context())
    assert (found.state, found.found) == (State.FAIL, "unable to get local issuer certificate")


def test_a_certificate_that_ended_fails_and_says_when(pki: Pki) -> None:
    ended = dt.datetime.now(dt.UTC) - dt.timedelta(days=3, hours=1)
    tls = pki.context(not_after=ended.replace(tzinfo=None))
    found = first("certificate", pki, tls)
    assert (found.state, found.found) == (State.FAIL, "it ended 3 days ago")


def certificate(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, *, age: float, left: float
) -> bytes:
    """Return a certificate with a key, by its age and what is left of it in days."""
    now, name = dt.datetime.now(dt.UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=age))
        .not_valid_after(now + dt.timedelta(days=left, hours=1))
    )
    signs = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return made.sign(key, signs).public_bytes(Encoding.DER)


def short_rsa(bits: int = 1024) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


CURVE = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("age", "left", "state"),
    [
        (60, 30, State.OK),
        (76, 14, State.OK),
        (77, 13, State.WARN),
        (83, 7, State.WARN),
        (84, 6, State.FAIL),
        (1, 5, State.OK),
        (5, 1, State.WARN),
        (5.5, 0.5, State.FAIL),
    ],
    ids=[
        *("a month left", "two weeks left", "less", "a week left", "less than a week"),
        *("of six days, fresh", "of six days, not renewed", "of six days, half a day left"),
    ],
)
def test_a_certificate_that_ends_soon_warns_and_then_fails_by_its_own_length(
    age: float, left: float, state: State
) -> None:
    served = Handshake(
        version="TLSv1.3", cipher="", compression=None, certificate=certificate(CURVE, age=age, left=left)
    )
    assert judge("x", served, HOST).state is state


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (short_rsa(), "RSA with 1024 bits"),
        (ec.generate_private_key(ec.SECP192R1()), "secp192r1, 192 bits"),
        (CURVE, ""),
        (ed25519.Ed25519PrivateKey.generate(), ""),
    ],
    ids=["rsa-1024", "p-192", "p-256", "ed25519"],
)
def test_a_weak_key_fails(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, words: str) -> None:
    served = Handshake(version="TLSv1.3", cipher="", compression=None, certificate=certificate(key, age=1, left=80))
    found = judge("x", served, HOST)
    assert (found.state, found.found if words else "") == (State.FAIL if words else State.OK, words)


@pytest.mark.parametrize(
    ("key", "graded"),
    [
        (short_rsa(2048), True),
        (short_rsa(3072), False),
        (CURVE, False),
        (ec.generate_private_key(ec.SECP384R1()), False),
    ],
    ids=["rsa-2048", "rsa-3072", "p-256", "p-384"],
)
def test_a_key_that_is_being_phased_out_is_right_and_the_next_one_is_named(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, graded: bool
) -> None:
    served = Handshake(version="TLSv1.3", cipher="", compression=None, certificate=certificate(key, age=1, left=80))
    found = judge("x", served, HOST)
    assert (found.state, "being phased out" in found.found) == (State.OK, graded)


def test_a_signature_with_sha_1_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    # cryptography signs no certificate with SHA-1 any more, so what it reads is replaced.
    der = certificate(CURVE, age=1, left=80)
    monkeypatch.setattr("mailstack.verify.certificates._hash", lambda _served: "sha1")
    served = Handshake(version="TLSv1.3", cipher="", compression=None, certificate=der)
    found = judge("x", served, HOST)
    assert (found.state, found.found) == (State.FAIL, "it is signed with sha1")


def test_all_faults_of_a_certificate_are_told_the_gravest_first() -> None:
    der = certificate(short_rsa(), age=80, left=3)
    served = Handshake(version="TLSv1.2", cipher="", compression=None, certificate=der, distrust="self-signed")
    found = judge("x", served, HOST)
    assert found.found == "self-signed"
    assert {"RSA with 1024 bits"} < set(found.details)
    assert any(line.startswith("it ends in 3 days") for line in found.details)


# --- 32 ---


def leaf(pki: Pki) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pki.certificate().cert_chain_pems[0].bytes())


def key_hash(served: x509.Certificate) -> str:
    public = served.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()


NEXT = "3 1 1 " + "ab" * 32


def dane(pki: Pki, *records: str, proved: bool = True, tls: ssl.SSLContext | None = None) -> Finding:
    zone = ZONE + "".join(f"_25._tcp.mx 300 IN TLSA {record}\n" for record in records)
    with (
        named({DOMAIN: zone}, validated=[DOMAIN] if proved else []) as fields,
        SmtpStandin(tls or pki.context()) as standin,
    ):
        return only("dane", context(target(host(MX)), around=around({25: standin.port}, pki, **fields)))


def test_tlsa_of_the_served_key_and_of_the_next_is_right(pki: Pki) -> None:
    assert dane(pki, f"3 1 1 {key_hash(leaf(pki))}", NEXT).state is State.OK


def test_tlsa_of_the_served_key_alone_warns_of_the_next_renewal(pki: Pki) -> None:
    found = dane(pki, f"3 1 1 {key_hash(leaf(pki))}")
    assert found.state is State.WARN
    assert "second one" in found.expected


def test_tlsa_that_matches_nothing_fails_and_gives_the_right_record(pki: Pki) -> None:
    found = dane(pki, NEXT)
    assert (found.state, found.expected) == (State.FAIL, f"3 1 1 {key_hash(leaf(pki))}")


def test_tlsa_without_dnssec_warns(pki: Pki) -> None:
    found = dane(pki, f"3 1 1 {key_hash(leaf(pki))}", NEXT, proved=False)
    assert found.state is State.WARN
    assert "DNS does not prove them" in found.found


def test_no_tlsa_asks_nothing(pki: Pki) -> None:
    assert dane(pki).state is State.NOT_APPLICABLE


def test_tlsa_with_usages_of_the_web_fails(pki: Pki) -> None:
    assert dane(pki, f"1 1 1 {key_hash(leaf(pki))}").state is State.FAIL


def test_tlsa_of_the_authority_is_looked_for_in_the_chain_that_is_served(pki: Pki) -> None:
    authority = x509.load_pem_x509_certificate(pki.authority.cert_pem.bytes())
    record = f"2 1 1 {key_hash(authority)}"
    chained = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served = pki.certificate()
    with (
        served.private_key_and_cert_chain_pem.tempfile() as alone,
        trustme.Blob(served.private_key_and_cert_chain_pem.bytes() + pki.authority.cert_pem.bytes()).tempfile() as both,
    ):
        chained.load_cert_chain(both)
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        bare.load_cert_chain(alone)
    assert dane(pki, record, NEXT, tls=chained).state is State.OK
    newest = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    newest.minimum_version = ssl.TLSVersion.TLSv1_3
    served.configure_cert(newest)
    assert dane(pki, record, tls=newest).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("selector", "digest", "good"),
    [(0, 0, True), (0, 1, True), (0, 2, True), (1, 0, True), (1, 2, True), (7, 1, False)],
)
def test_every_kind_of_tlsa_record_is_compared(pki: Pki, selector: int, digest: int, good: bool) -> None:
    served = leaf(pki)
    whole = served.public_bytes(Encoding.DER)
    part = whole if selector == 0 else served.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    data = {0: part, 1: hashlib.sha256(part).digest(), 2: hashlib.sha512(part).digest()}[digest]

    def record(content: bytes) -> dns.rdata.Rdata:
        return dns.rdata.from_text("IN", "TLSA", f"3 {selector} {digest} {content.hex()}")

    assert matches(record(data), whole) is good  # type: ignore[arg-type]
    assert matches(record(data[:-1] + bytes([data[-1] ^ 1])), whole) is False  # type: ignore[arg-type]
