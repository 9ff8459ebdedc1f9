"""Certificates as served: trusted, for the right name, strong, not about to end."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from mailstack.verify.context import Context
from mailstack.verify.listeners import Endpoint, each, no_endpoint, tls_places
from mailstack.verify.model import Finding, check, fail, ok, warn
from mailstack.verify.smtp import session
from mailstack.verify.tls import Handshake

__all__ = ["certificate", "judge"]

SOON = timedelta(days=14)
RSA_BITS, CURVE_BITS = 2048, 256
# NCSC-NL's guidelines, as internet.nl reads them: 2048 bits are enough, and to be phased out.
GOOD_RSA_BITS = 3072
OLD_HASHES = {"md5", "sha1"}
RENEWAL = (
    "look why it was not renewed: the log of Caddy (journalctl -u caddy), port 80 open, the CAA record, the name's A; "
    "then deliver it and restart what serves it"
)


@check(
    number=29,
    name="certificate",
    group="E",
    title="Certificates of mail ports: trusted, right name, strong, valid for two more weeks",
    source="RFC 8314 §3, RFC 9525, RFC 9325 §4.5, CA/Browser Forum Baseline Requirements §6.1.5; NCSC-NL: "
    "IT Security Guidelines for TLS, key sizes",
    uses="ssl, cryptography",
)
def certificate(context: Context) -> Iterator[Finding]:
    """Judge the certificate of every listener; of mail hosts of others as a warning at most."""
    places = tls_places(context)

    def one(place: Endpoint) -> Finding | None:
        tls = session(context, place).tls
        return None if tls is None else judge(str(place), tls, place.certificate_name, ours=place.ours)

    found = [finding for finding in each(places, one) if finding is not None]
    yield from found
    yield from no_endpoint(context, places, found)


@dataclass(frozen=True, kw_only=True)
class _Fault:
    found: str
    expected: str
    fix: str
    grave: bool = True


def judge(subject: str, tls: Handshake, name: str, *, ours: bool = True, now: datetime | None = None) -> Finding:
    """Return one finding about the certificate that was served for ``name``: its gravest fault, the others below."""
    try:
        served = x509.load_der_x509_certificate(tls.certificate)
    except ValueError as error:
        return fail(subject, f"no certificate that can be read: {error}", expected="X.509", fix="replace it")
    now = now or datetime.now(UTC)
    lines = (*_shown(served, now),)
    faults = sorted(_faults(served, tls, name, now), key=lambda fault: not fault.grave)
    if not faults:
        return ok(subject, f"valid for {(served.not_valid_after_utc - now).days} more days{_grade(served)}", *lines)
    first, *others = faults
    state = fail if first.grave and ours else warn
    more = (*(fault.found for fault in others), *lines)
    return state(subject, first.found, *more, expected=first.expected, fix=first.fix)


def _faults(served: x509.Certificate, tls: Handshake, name: str, now: datetime) -> Iterator[_Fault]:
    if now > served.not_valid_after_utc:
        ended = f"it ended {(now - served.not_valid_after_utc).days} days ago"
        yield _Fault(found=ended, expected="a certificate that is valid today", fix=RENEWAL)
    elif tls.distrust:
        yield _Fault(
            found=tls.distrust,
            expected=f"a chain to a public authority, for {name}, with the certificates between sent along",
            fix="serve the full chain (fullchain.pem), with a certificate for this name; look which file the server "
            "reads, and restart it",
        )
    whole = served.not_valid_after_utc - served.not_valid_before_utc
    left = served.not_valid_after_utc - now
    # One that is valid for six days is renewed after four: it never has two weeks left.
    enough = min(SOON, whole / 3)
    if timedelta() <= left < enough:
        yield _Fault(
            found=f"it ends in {left.days} days, {served.not_valid_after_utc:%Y-%m-%d}",
            expected=f"{enough.days} days or more: renewal should have come by now",
            fix=RENEWAL,
            # A warning opens no issue; whoever waits for one has to learn of it while there is time.
            grave=left < enough / 2,
        )
    weak = _weak_key(served)
    if weak:
        yield _Fault(
            found=weak,
            expected=f"RSA of {RSA_BITS} bits or more, or a curve of {CURVE_BITS} or more",
            fix="have a certificate issued for a new key",
        )
    algorithm = _hash(served)
    if algorithm in OLD_HASHES:
        yield _Fault(
            found=f"it is signed with {algorithm}",
            expected="SHA-256 or better",
            fix="have it issued anew; no public authority signs so any more",
        )


def _weak_key(served: x509.Certificate) -> str:
    key = served.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA with {key.key_size} bits" if key.key_size < RSA_BITS else ""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"{key.curve.name}, {key.key_size} bits" if key.key_size < CURVE_BITS else ""
    return "" if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) else f"{type(key).__name__}"


def _grade(served: x509.Certificate) -> str:
    """Return what to do with the next key, empty where this one is as good as any."""
    key = served.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size >= GOOD_RSA_BITS:
        return ""
    return (
        f"; RSA with {key.key_size} bits is enough and being phased out: take a curve (P-256) or RSA "
        f"{GOOD_RSA_BITS} for the next key"
    )


def _hash(served: x509.Certificate) -> str:
    algorithm = served.signature_hash_algorithm
    return "none of its own" if algorithm is None else algorithm.name


def _shown(served: x509.Certificate, now: datetime) -> Iterator[str]:
    yield f"issued by {served.issuer.rfc4514_string()}, serial {served.serial_number:x}"
    yield (
        f"{served.not_valid_before_utc:%Y-%m-%d} to {served.not_valid_after_utc:%Y-%m-%d}, age "
        + str((now - served.not_valid_before_utc).days)
        + " days"
    )
    yield f"key {_kind(served)}, signature hash {_hash(served)}"


def _kind(served: x509.Certificate) -> str:
    key = served.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return (
        key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__.removesuffix("PublicKey")
    )
