"""TLS as served: versions, cipher suites, features. Of mail hosts of others only the version is looked at.

On port 25 mail that is not encrypted well would else go in clear, so what is merely old is a warning there.
"""

from collections.abc import Callable, Iterator

from mailstack.verify.context import Context
from mailstack.verify.hello import CBC, TLS_1_1
from mailstack.verify.listeners import MX, Endpoint, each, no_endpoint, tls_places
from mailstack.verify.model import Finding, check, fail, ok, unknown, warn
from mailstack.verify.offers import (
    CIPHERS,
    Said,
    Unasked,
    forward_secret,
    old_version,
    signed_with_sha_1,
    static_rsa,
    weak,
)
from mailstack.verify.smtp import session
from mailstack.verify.tls import Handshake

__all__ = ["ciphers", "features", "versions"]

GOOD_VERSIONS = {"TLSv1.2", "TLSv1.3"}
POSTFIX = "smtpd_tls_protocols = >=TLSv1.2 and smtpd_tls_mandatory_protocols = >=TLSv1.2 in Postfix"


def _each_served(
    context: Context, look: Callable[[Context, Endpoint, Handshake], Finding], *, foreign: bool
) -> Iterator[Finding]:
    places = tuple(place for place in tls_places(context) if foreign or place.ours)

    def one(place: Endpoint) -> Finding | None:
        tls = session(context, place).tls
        return None if tls is None else look(context, place, tls)

    found = [finding for finding in each(places, one) if finding is not None]
    yield from found
    yield from no_endpoint(context, places, found)


@check(
    number=26, name="tls-version", group="E", title="TLS 1.2 or newer, and nothing older", source="RFC 8996", uses="ssl"
)
def versions(context: Context) -> Iterator[Finding]:
    """Look at the version that was agreed on, then offer TLS 1.1 at most."""
    yield from _each_served(context, _version, foreign=True)


def _version(context: Context, place: Endpoint, tls: Handshake) -> Finding:
    subject = str(place)
    if tls.version not in GOOD_VERSIONS:
        return (fail if place.ours else warn)(
            subject,
            f"nothing newer than {tls.version}",
            expected="TLS 1.2 or 1.3 (RFC 8996): careful clients do not connect",
            fix=f"update the server's OpenSSL, and allow the newer versions: {POSTFIX}",
        )
    old = old_version(context, place)
    if isinstance(old, Unasked):
        return unknown(subject, f"{tls.version}; whether TLS 1.1 is refused is not known: {old.why}")
    if old is None or old.version > TLS_1_1:
        return ok(subject, f"{tls.version}; TLS 1.1 and 1.0 are refused")
    name = "TLS 1.1" if old.version == TLS_1_1 else "TLS 1.0" if old.version == TLS_1_1 - 1 else "SSL 3"
    judge = warn if place.role == MX or not place.ours else fail
    return judge(
        subject,
        f"{tls.version}, but {name} is taken too ({CIPHERS.get(old.cipher, hex(old.cipher))})",
        expected="TLS 1.1 and older are refused (RFC 8996)",
        fix=f"{POSTFIX}; smtp_server.ssl_version in Postal; protocols in Caddy",
    )


@check(
    number=27,
    name="tls-ciphers",
    group="E",
    title="Forward secrecy; no NULL, EXPORT, RC4 or 3DES",
    source="RFC 9325 §4.1, §4.2",
)
def ciphers(context: Context) -> Iterator[Finding]:
    """Offer only weak suites, only suites without forward secrecy, and the worse of good ones first."""
    yield from _each_served(context, _ciphers, foreign=False)


def _ciphers(context: Context, place: Endpoint, tls: Handshake) -> Finding:
    subject = str(place)
    bad, plain, best = (ask(context, place) for ask in (weak, static_rsa, forward_secret))
    unasked = [said.why for said in (bad, plain, best) if isinstance(said, Unasked)]
    if bad is not None and not isinstance(bad, Unasked):
        return fail(
            subject,
            f"{CIPHERS.get(bad.cipher, hex(bad.cipher))} is agreed to",
            expected="no NULL, EXPORT, RC4, DES or 3DES (RFC 9325 §4.1)",
            fix="smtpd_tls_ciphers = medium and smtpd_tls_mandatory_ciphers = high in Postfix; "
            "smtp_server.tls_ciphers in Postal",
        )
    if unasked:
        return unknown(subject, f"{tls.cipher}; the rest is not known: {unasked[0]}")
    shown = [f"{tls.version}: {tls.cipher}"]
    worse = _name(best, only=CBC)
    without = _name(plain)
    if best is None and tls.version != "TLSv1.3":
        return fail(
            subject,
            f"{tls.cipher}, no forward secrecy",
            expected="ECDHE or DHE: what is recorded today must not be read with a key that is stolen later",
            fix="leave the server's default ciphers, or add ECDHE suites to its list",
        )
    if worse:
        shown.append(f"the client's order counts: {worse} where it asks for that first")
    if without:
        shown.append(f"{without} where a client knows nothing better: no forward secrecy then")
    if place.role == MX or len(shown) == 1:
        return ok(subject, tls.cipher, *shown[1:])
    return warn(
        subject,
        "; ".join(shown[1:]),
        expected="the server's order, forward secrecy only (RFC 9325 §4.1)",
        fix="tls_preempt_cipherlist = yes and tls_high_cipherlist without kRSA in Postfix",
    )


def _name(said: Said, only: dict[int, str] | None = None) -> str:
    if said is None or isinstance(said, Unasked) or (only is not None and said.cipher not in only):
        return ""
    return CIPHERS.get(said.cipher, hex(said.cipher))


@check(
    number=28,
    name="tls-features",
    group="E",
    title="No compression, secure renegotiation, extended master secret, no key exchange signed with SHA-1",
    source="RFC 9325 §3.3, §3.5; RFC 5746; RFC 7627; RFC 9155 §4",
)
def features(context: Context) -> Iterator[Finding]:
    """Offer compression and the extensions, read the answer. TLS 1.3 has no compression and no renegotiation."""
    yield from _each_served(context, _features, foreign=False)


def _features(context: Context, place: Endpoint, tls: Handshake) -> Finding:
    subject, said = str(place), forward_secret(context, place)
    if said is None:
        said = static_rsa(context, place)
    if isinstance(said, Unasked):
        return unknown(subject, said.why)
    if said is None:
        return ok(subject, f"{tls.version} only, where none of it can be")
    if said.compressed:
        return fail(
            subject,
            "TLS compression is agreed to",
            expected="no compression: it lets others guess secrets (CRIME; RFC 9325 §3.3)",
            fix="update OpenSSL on the server: no supported version compresses by default",
        )
    lacks = [
        what
        for there, what in (
            (said.secure_renegotiation, "secure renegotiation (RFC 5746)"),
            (said.extended_master_secret, "extended master secret (RFC 7627)"),
        )
        if not there
    ]
    if not lacks:
        return _key_exchange(context, place)
    return (fail if not said.secure_renegotiation else warn)(
        subject,
        f"the server lacks {' and '.join(lacks)}",
        expected="both, as every supported TLS library has them",
        fix="update the TLS library of the server, or of what stands before it",
    )


def _key_exchange(context: Context, place: Endpoint) -> Finding:
    subject, good = str(place), "no compression, secure renegotiation, extended master secret"
    said = signed_with_sha_1(context, place)
    if isinstance(said, Unasked):
        return unknown(subject, f"{good}; which hash signs the key exchange is not known: {said.why}")
    if said is None:
        return ok(subject, f"{good}, no key exchange signed with SHA-1")
    old = "the key exchange is signed with SHA-1 where a client knows nothing better"
    if place.role == MX:
        return ok(subject, good, old)
    return warn(
        subject,
        old,
        expected="SHA-256 or better, or no TLS: SHA-1 can be forged (RFC 9155 §4)",
        fix="leave OpenSSL's security level as it is (1 or 2 in its default ciphers), and update the server's OpenSSL",
    )
