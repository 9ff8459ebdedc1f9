"""Mark certificates (VMC, CMC): do they say that this domain may show this logo?

draft-fetch-validation-vmc-wchuang. The authorities are those that checkdmarc brings, the chain is verified with
cryptography. The logo within is read by hand, since checkdmarc inflates it without a limit. Nobody is asked whether it
was revoked.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from mailstack.verify.brand_logo import LARGEST, Fault, inflated

__all__ = ["Mark", "read_mark"]

MARK_USE = ObjectIdentifier("1.3.6.1.5.5.7.3.31")  # id-kp-BrandIndicatorforMessageIdentification
LOGOTYPE = ObjectIdentifier("1.3.6.1.5.5.7.1.12")  # RFC 9399 §4.1
SOON = timedelta(days=14)
AS_DATA = "an SVG in base64, as data: URL (RFC 9399)"
# An IA5String (tag 22, its length in one of four forms) with the logo as data: URL (RFC 9399 §4.1, RFC 6170 §5.2).
_LOGO = re.compile(rb"\x16(?:([\x00-\x7f])|\x81(.)|\x82(..)|\x83(...))(?=data:image/svg\+xml(?:-gzip)?[;,])", re.DOTALL)


@dataclass(kw_only=True)
class Mark:
    """What a certificate shows: its faults, the gravest first, and lines about it for people."""

    faults: list[Fault] = field(default_factory=list)
    lines: tuple[str, ...] = ()


def read_mark(
    pem: bytes,
    names: Sequence[str],
    *,
    logo: bytes | None,
    authorities: Path | None = None,
    now: datetime | None = None,
) -> Mark:
    """Judge the certificate in ``pem``, its own first, for a record that any of ``names`` may stand for.

    ``logo`` is what is served, not compressed; None where that is not known. ``authorities`` is a PEM file of further
    ones.
    """
    now = now or datetime.now(UTC)
    try:
        served, *others = x509.load_pem_x509_certificates(pem)
        extensions = served.extensions
    except ValueError as error:
        return Mark(faults=[Fault(found=f"no certificates: {error}", expected="PEM, the mark certificate first")])
    lines = (
        f"for {', '.join(_names(extensions)) or 'no name'}, issued by {served.issuer.rfc4514_string()}",
        f"{served.not_valid_before_utc:%Y-%m-%d} to {served.not_valid_after_utc:%Y-%m-%d}",
    )
    faults = [
        *_time(served, now),
        *_use(extensions),
        *_name(extensions, names),
        *_chain(served, others, authorities, now),
        *_logo(extensions, logo),
    ]
    return Mark(faults=sorted(faults, key=lambda fault: not fault.grave), lines=lines)


def _time(served: x509.Certificate, now: datetime) -> Iterator[Fault]:
    begins, ends = served.not_valid_before_utc, served.not_valid_after_utc
    if now > ends:
        yield Fault(found=f"it ended {(now - ends).days} days ago", expected="a certificate that is valid today")
    elif now < begins:
        yield Fault(found=f"it begins on {begins:%Y-%m-%d}", expected="a certificate that is valid today")
    elif ends - now < SOON:
        found = f"it ends in {(ends - now).days} days, {ends:%Y-%m-%d}"
        yield Fault(found=found, expected=f"{SOON.days} days or more: a new one takes weeks to get", grave=False)


def _use(extensions: x509.Extensions) -> Iterator[Fault]:
    try:
        used = MARK_USE in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        used = False
    if not used:
        expected = f"the extended key usage {MARK_USE.dotted_string}, which mark certificates have"
        yield Fault(found="it is no mark certificate", expected=expected)


def _names(extensions: x509.Extensions) -> list[str]:
    try:
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower().rstrip(".") for name in found.get_values_for_type(x509.DNSName)]


def _name(extensions: x509.Extensions, names: Sequence[str]) -> Iterator[Fault]:
    has = _names(extensions)
    if not set(has) & set(names):
        yield Fault(found=f"it is for {', '.join(has) or 'no name'}", expected=f"one of {', '.join(names)}")


def _chain(
    served: x509.Certificate, others: list[x509.Certificate], authorities: Path | None, now: datetime
) -> Iterator[Fault]:
    # Its time is judged already, so here it is one at which the certificate itself is valid.
    then = min(max(now, served.not_valid_before_utc), served.not_valid_after_utc)
    any_use = ExtensionPolicy.permit_all().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None)
    policy = (
        PolicyBuilder()
        .store(_trusted(authorities))
        .time(then)
        .extension_policies(
            ee_policy=any_use.require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None),
            ca_policy=any_use.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None),
        )
    )
    try:
        policy.build_client_verifier().verify(served, others)
    except VerificationError as error:
        # "candidates exhausted: all candidates exhausted with no interior errors" is its word for an unknown issuer.
        why = "" if "no interior errors" in str(error) else f": {error}"
        yield Fault(
            found=f"it leads to no mark verifying authority{why}",
            expected="a certificate of one of them (DigiCert, GlobalSign, SSL.com and others), with those between",
        )


@cache
def _trusted(authorities: Path | None) -> Store:
    known = files("checkdmarc.resources").joinpath("MVACAs.pem").read_bytes()
    further = b"" if authorities is None else authorities.read_bytes()
    return Store(x509.load_pem_x509_certificates(known + b"\n" + further))


def _logo(extensions: x509.Extensions, logo: bytes | None) -> Iterator[Fault]:
    try:
        value = extensions.get_extension_for_oid(LOGOTYPE).value
    except x509.ExtensionNotFound:
        yield Fault(found="there is no logo in it", expected="the logo, in the extension logotype (RFC 9399)")
        return
    raw = value.value if isinstance(value, x509.UnrecognizedExtension) else b""
    found = _LOGO.search(raw)
    length = 0 if found is None else int.from_bytes(next(part for part in found.groups() if part is not None), "big")
    encoded = b"" if found is None else raw[found.end() : found.end() + length].partition(b";base64,")[2]
    try:
        within = inflated(base64.b64decode(encoded, validate=True), LARGEST)
    except (binascii.Error, ValueError) as error:
        yield Fault(found=f"the logo in it cannot be read: {error}", expected=AS_DATA)
        return
    if not within:
        yield Fault(found="the logo in it cannot be read", expected=AS_DATA)
        return
    if logo is not None and within.strip() != logo.strip():
        yield Fault(
            found="the logo in it is another than the one that is served",
            expected="the same file at l= as the authority was given, byte for byte",
        )
