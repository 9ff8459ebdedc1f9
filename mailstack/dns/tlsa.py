"""TLSA records: which certificate or key an SMTP server shows (RFC 6698, for SMTP RFC 7672).

They count only where the zone is signed with DNSSEC, and mail stops at one that does not match: off by default.
"""

from collections.abc import Container
from dataclasses import dataclass

from mailstack.dns.names import read_name
from mailstack.dns.problems import Findings, shown
from mailstack.dns.rdata import Tlsa

__all__ = ["TlsaHost", "check_tlsa", "read_tlsa"]

ALL_USAGES = frozenset(range(4))
USAGES = frozenset({2, 3})  # a CA's certificate (DANE-TA), the server's own (DANE-EE)
PREFERRED = (3, 1, 1)  # the server's own key, as SHA-256 (RFC 7672 §3.1.1)
DIGEST_DIGITS = {1: ("SHA-256", 64), 2: ("SHA-512", 128)}  # by matching type, in hexadecimal digits


@dataclass(frozen=True, kw_only=True)
class TlsaHost:
    """What the server at ``name`` shows on TCP ``port``; several while a key is replaced: the current and the next."""

    name: str
    port: int = 25
    associations: tuple[Tlsa, ...]


def read_tlsa(
    host: TlsaHost, signed: bool, renewed: Container[str], aliases: Container[str], findings: Findings
) -> tuple[str, tuple[Tlsa, ...]] | None:
    """Return record name and data of a server; None where the name is wrong. What is wrong is noted.

    ``renewed`` are names whose certificates get a new key at each renewal, ``aliases`` those that are CNAMEs.
    """
    label = f"{host.name} TLSA"
    name = read_name(host.name, label, findings)
    if name is None:
        return None
    if name in aliases:
        findings.error(
            label,
            "tlsa-alias",
            found=f"{name}, which is a CNAME",
            expected="the name the server has itself: senders look below the name in MX",
            fix="name the target of the CNAME in `dns.tlsa`",
        )
    if not signed:
        findings.error(
            label,
            "tlsa-dnssec",
            found="TLSA in a zone that is not said to be signed",
            expected="a zone signed with DNSSEC: elsewhere nobody looks at TLSA",
            fix="sign the zone and list it in `dns.signed_zones`, or remove the entry of `dns.tlsa`",
        )
    if name in renewed:
        findings.warn(
            label,
            "tlsa-renewal",
            found="a certificate of Caddy, which makes a new key at each renewal",
            expected="the next key published before it is used, or mail stops at the renewal",
            fix="use a certificate of your own whose key stays, or remove the entry of `dns.tlsa`",
        )
    if len(host.associations) == 1:
        findings.warn(
            label,
            "tlsa-rollover",
            found="one association",
            expected="two: the current one and the next, so that a key can be replaced without a gap",
            fix="publish the next key's as well before it is used",
        )
    good = [record for record in host.associations if check_tlsa(record, label, findings)]
    for record in dict.fromkeys(record for record in good if good.count(record) > 1):
        findings.error(
            label,
            "tlsa-duplicate",
            found=f"{record.certificate[:16]}… twice",
            expected="each association once",
            fix="remove one entry of `dns.tlsa`",
        )
    return f"_{host.port}._tcp.{name}", tuple(good)


def check_tlsa(record: Tlsa, label: str, findings: Findings, *, smtp: bool = True) -> bool:
    """Note what is wrong with one record; tell whether it may be published. Rules of ``smtp`` are stricter."""
    before = len(findings.errors)
    kind = (record.usage, record.selector, record.matching_type)
    if record.usage not in (USAGES if smtp else ALL_USAGES):
        findings.error(
            label,
            "tlsa-usage",
            found=f"usage {record.usage}",
            expected="3, the server's own key, or 2, a CA's"
            + (
                ": senders of mail have no list of CAs for 0 and 1"
                if smtp
                else ", or 0 and 1 for those below public CAs"
            ),
            fix="write 3 1 1 and the SHA-256 of the server's public key",
        )
    if record.selector not in {0, 1} or record.matching_type not in {0, 1, 2}:
        findings.error(
            label,
            "tlsa-parameters",
            found=f"selector {record.selector} and matching type {record.matching_type}",
            expected="selector 0 (certificate) or 1 (key), and matching type 0 (whole), 1 (SHA-256) or 2 (SHA-512)",
            fix="write 3 1 1 and the SHA-256 of the server's public key",
        )
    title, digits = DIGEST_DIGITS.get(record.matching_type, ("", 0))
    is_hex = bool(record.certificate) and len(record.certificate) % 2 == 0
    is_hex = is_hex and not set(record.certificate) - set("0123456789abcdef")
    if not is_hex or (digits and len(record.certificate) != digits):
        findings.error(
            label,
            "tlsa-length",
            found=f"{shown(record.certificate)} of {len(record.certificate)} characters",
            expected=f"{digits} hexadecimal digits, which a {title} has" if digits else "whole bytes in hexadecimal",
            fix="make it with `openssl pkey -pubin -outform DER | openssl dgst -sha256` of the server's key",
        )
    elif len(findings.errors) == before and kind != PREFERRED and smtp:
        findings.warn(
            label,
            "tlsa-preferred",
            found=f"{' '.join(map(str, kind))}",
            expected="3 1 1: it survives a renewal with the same key, and nothing else has to match",
            fix="publish the SHA-256 of the server's public key",
        )
    return len(findings.errors) == before
