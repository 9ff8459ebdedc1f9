"""TLSA records against the certificates that are served: a wrong one stops mail from everybody who looks at them."""

import hashlib
from collections.abc import Iterator

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TLSA
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailstack.verify.asking import Answer
from mailstack.verify.context import Context
from mailstack.verify.listeners import Endpoint, each, no_endpoint, our_smtp
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.offers import Unasked, forward_secret
from mailstack.verify.smtp import session

__all__ = ["dane", "matches"]

Tlsa = dns.rdtypes.ANY.TLSA.TLSA
TRUST_ANCHOR, END_ENTITY = 2, 3
CERTIFICATE, KEY = 0, 1
HASHES = {1: hashlib.sha256, 2: hashlib.sha512}


@check(
    number=32,
    name="dane",
    group="E",
    title="TLSA records match the served certificate",
    source="RFC 7672 §3.1, RFC 7671 §8",
    uses="dnspython, cryptography",
)
def dane(context: Context) -> Iterator[Finding]:
    """Compare the TLSA records of every listener with what it serves."""
    places = our_smtp(context)
    names = [(place, name) for place in places for name in place.names]
    found = [finding for finding in each(names, lambda one: _dane(context, *one)) if finding is not None]
    yield from found
    yield from no_endpoint(context, places, found)


def _dane(context: Context, place: Endpoint, host: str) -> Finding | None:
    seen = session(context, place)
    if not seen.greeting and seen.tls is None:
        return None
    name = f"_{place.port}._tcp.{host}"
    subject = f"{place} {name}"
    answers = context.dns.resolved(name, "TLSA")
    known = [answer for answer in answers if answer.known]
    if not known:
        return unknown(subject, "no resolver answered", *(str(answer) for answer in answers))
    records = _records(known)
    if not records:
        return not_applicable(subject, "there is no TLSA record")
    if not any(answer.authenticated for answer in known):
        return warn(
            subject,
            "there are TLSA records, and DNS does not prove them",
            *(str(answer) for answer in known),
            expected="a zone signed with DNSSEC: without it senders ignore them (RFC 7672 §2.2)",
            fix="sign the zone, or remove the records",
        )
    if seen.tls is None:
        return fail(subject, seen.tls_failure, expected="STARTTLS", fix="switch TLS on, or remove the records")
    return _compared(context, place, subject, seen.tls.certificate, records)


def _records(answers: list[Answer]) -> list[Tlsa]:
    texts = dict.fromkeys(value for answer in answers for value in answer.values)
    parsed = (dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TLSA, text) for text in texts)
    return [record for record in parsed if isinstance(record, Tlsa)]


def _compared(context: Context, place: Endpoint, subject: str, leaf: bytes, records: list[Tlsa]) -> Finding:
    shown = tuple(record.to_text() for record in records)
    chain: tuple[bytes, ...] = ()
    usable = [record for record in records if record.usage in {TRUST_ANCHOR, END_ENTITY}]
    if any(record.usage == TRUST_ANCHOR for record in usable):
        said = forward_secret(context, place)
        chain = () if said is None or isinstance(said, Unasked) else said.certificates[1:]
    good = [
        record
        for record in usable
        if any(matches(record, one) for one in ([leaf] if record.usage == END_ENTITY else chain))
    ]
    if good:
        if len(usable) > 1:
            return ok(subject, f"{good[0].to_text()[:40]}… matches; {len(usable) - len(good)} further for what comes")
        return warn(
            subject,
            "the only record matches what is served now",
            *shown,
            expected="a second one, of the next key: else the next renewal stops mail (RFC 7671 §8.1)",
            fix="make the next key now and publish its record, or keep the key when the certificate is renewed",
        )
    if not usable:
        return fail(
            subject,
            "only usages 0 and 1, which mean nothing in SMTP",
            *shown,
            expected="3 1 1 (RFC 7672 §3.1)",
            fix=f"publish 3 1 1 {hashlib.sha256(_part(KEY, leaf)).hexdigest()}",
        )
    if all(record.usage == TRUST_ANCHOR for record in usable) and not chain:
        return unknown(subject, "the served chain could not be read: the server has TLS 1.3 only", *shown)
    return fail(
        subject,
        "no record matches the served certificate",
        *shown,
        expected=f"3 1 1 {hashlib.sha256(_part(KEY, leaf)).hexdigest()}",
        fix="publish this record beside the others, wait for their TTL, then remove those that do not match",
    )


def matches(record: Tlsa, der: bytes) -> bool:
    """Tell whether a TLSA record is about this certificate (RFC 6698 §2.1)."""
    if record.selector not in {CERTIFICATE, KEY}:
        return False
    part = _part(record.selector, der)
    if record.mtype == 0:
        return bool(part == record.cert)
    return record.mtype in HASHES and HASHES[record.mtype](part).digest() == record.cert


def _part(selector: int, der: bytes) -> bytes:
    if selector == CERTIFICATE:
        return der
    public = x509.load_der_x509_certificate(der).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
