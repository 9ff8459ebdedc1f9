"""DKIM keys: what may be published, and the record text (RFC 6376, RFC 8301, RFC 8463)."""

import re
from dataclasses import dataclass, field
from typing import Literal

from mailstack.dns.dkim_values import KeyRuleError, check_ed25519, checked_rsa_bits, without_blanks
from mailstack.dns.names import NameRuleError, normalise_name
from mailstack.dns.problems import Findings, shown

__all__ = ["GOOD_RSA_BITS", "MAX_RSA_BITS", "DkimKey", "read_keys"]

GOOD_RSA_BITS = 2048  # signers should use at least this (same place)
MAX_RSA_BITS = 4096  # verifiers need not take more (same place)
# RFC 6376 §3.1 has no underscores, but signers use them and verifiers only ask for the name.
_SELECTOR_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?")


@dataclass(frozen=True, kw_only=True)
class DkimKey:
    """One published DKIM key, at ``<selector>._domainkey.<domain>``.

    ``alias`` makes that name a CNAME of a name at the provider who keeps the key. ``tenant`` turns it around: the key
    of a customer, at ``<tenant>.<selector>.dkim.<domain>``, where the customer's selector is an alias of.

    ``public_key`` is base64, blanks and line breaks ignored: SubjectPublicKeyInfo DER for "rsa", the raw 32 bytes for
    "ed25519". It is left out of ``repr`` because people paste private keys into it.

    ``revoked`` publishes an empty key, and then ``public_key`` must be empty: a revoked key has to be asked
    for, not happen by a lost value. ``testing`` sets t=y. ``strict_identity`` sets t=s: the signature's i=
    must be exactly at d=, not at a subdomain. It is on because Postal compares the whole record with its own
    text, which has it; turn it off for a signer that puts a subdomain in i=.
    """

    selector: str
    public_key: str = field(default="", repr=False)
    alias: str | None = None
    tenant: str | None = None
    key_type: Literal["rsa", "ed25519"] = "rsa"
    revoked: bool = False
    testing: bool = False
    strict_identity: bool = True

    @property
    def text(self) -> str:
        """The record, in Postal's order and punctuation, which it checks byte for byte.

        k= is absent for RSA, its default (RFC 6376 §3.6.1), for the same reason.
        """
        flags = ":".join(["y"] * self.testing + ["s"] * self.strict_identity)
        tags = ["v=DKIM1"]
        if self.key_type != "rsa":
            tags.append(f"k={self.key_type}")
        if flags:
            tags.append(f"t={flags}")
        tags += ["h=sha256", f"p={without_blanks(self.public_key)}"]
        return "; ".join(tags) + ";"


def read_keys(keys: tuple[DkimKey, ...], domain: str, findings: Findings) -> tuple[tuple[str, DkimKey], ...]:
    """Check a domain's keys; return the record name and key of those that may be published."""
    published: list[tuple[str, DkimKey]] = []
    names: set[str] = set()
    types: set[str] = set()
    values: dict[str, str] = {}
    aliased = False
    for key in keys:
        name = _record_name(key, domain, findings)
        if name is None:
            continue
        label = f"{name} DKIM"
        if name in names:
            findings.error(
                label,
                "dkim-selector-duplicate",
                found=f"the selector {shown(key.selector)} twice",
                expected="one key for each selector",
                fix="give the second key a selector of its own",
            )
            continue
        if not _is_publishable(key, label, findings):
            continue
        published.append((name, key))
        names.add(name)
        if key.revoked or key.alias is not None:
            aliased = aliased or key.alias is not None
            continue
        if key.tenant is None:
            types.add(key.key_type)
        value = without_blanks(key.public_key)
        if value in values:
            findings.warn(
                label,
                "dkim-key-reused",
                found=f"the same key as at {values[value]}",
                expected="a key of its own for each selector, or a rotation changes nothing",
                fix="make a new key pair for one of the two",
            )
        values.setdefault(value, name)
    if types == {"ed25519"} and not aliased:
        findings.error(
            f"{domain} DKIM",
            "dkim-ed25519-alone",
            found="only an ed25519 key",
            expected="an RSA key as well: many receivers do not verify ed25519, and to them the mail is unsigned",
            fix="add an RSA key under a second selector and sign with both",
        )
    return tuple(published)


def _record_name(key: DkimKey, domain: str, findings: Findings) -> str | None:
    label = f"{domain} DKIM"
    selector = key.selector.lower()
    if "_domainkey" in selector or selector.endswith(domain):
        findings.error(
            label,
            "dkim-selector",
            found=f"the selector {shown(key.selector)}, which repeats the domain",
            expected="the selector alone; the rest of the name is added here",
            fix="write the part before ._domainkey",
        )
        return None
    if not selector or not all(_SELECTOR_LABEL.fullmatch(part) for part in selector.split(".")):
        findings.error(
            label,
            "dkim-selector",
            found=f"the selector {shown(key.selector)}",
            expected="letters, digits and hyphens, such as s2026a",
            fix="write the selector alone",
        )
        return None
    if "_" in selector:
        findings.warn(
            label,
            "dkim-selector",
            found=f"the selector {shown(key.selector)}, with an underscore",
            expected="letters, digits and hyphens: strict verifiers may refuse others",
            fix="choose another selector, if the signer lets you",
        )
    if key.tenant is not None and key.alias is not None:
        findings.error(
            label,
            "dkim-alias",
            found=f"{shown(key.selector)} as an alias, and as the key of tenant {shown(key.tenant)}",
            expected="one of the two: whoever keeps the key publishes it, the tenant points there",
            fix="leave out `dkim.alias` at the provider, `dkim.tenant` at the customer",
        )
        return None
    below = f"{selector}._domainkey" if key.tenant is None else f"{key.tenant}.{selector}.dkim"
    try:
        return normalise_name(f"{below}.{domain}", service=True)
    except NameRuleError as error:
        findings.refuse(label, error)
        return None


def _is_publishable(key: DkimKey, label: str, findings: Findings) -> bool:
    if key.alias is not None:
        return _is_alias(key, key.alias, label, findings)
    if key.key_type not in {"rsa", "ed25519"}:
        findings.error(
            label,
            "dkim-key-type",
            found=f"the key type {shown(key.key_type)}",
            expected="rsa or ed25519",
            fix='set `dkim.key_type` to "rsa"',
        )
        return False
    try:
        bits = _checked_bits(key)
    except KeyRuleError as error:
        findings.refuse(label, error)
        return False
    if bits is not None and not GOOD_RSA_BITS <= bits <= MAX_RSA_BITS:
        findings.warn(
            label,
            "dkim-key-size",
            found=f"an RSA key of {bits} bits",
            expected=f"{GOOD_RSA_BITS} bits"
            + (f"; receivers need not verify more than {MAX_RSA_BITS}" if bits > MAX_RSA_BITS else ""),
            fix=f"make a new key with `openssl genrsa {GOOD_RSA_BITS}` and publish it under a new selector",
        )
    if key.testing:
        findings.warn(
            label,
            "dkim-testing",
            found="t=y",
            expected="no test flag once mail is signed: receivers may treat such mail as unsigned",
            fix="end the test of the key",
        )
    return True


def _is_alias(key: DkimKey, target: str, label: str, findings: Findings) -> bool:
    if key.public_key or key.revoked:
        findings.error(
            label,
            "dkim-alias",
            found=f"an alias of {shown(target)} together with {'a key' if key.public_key else 'a revocation'}",
            expected="the CNAME alone at its name (RFC 1034 §3.6.2): whoever keeps the key publishes and revokes it",
            fix="leave out one of the two",
        )
        return False
    try:
        normalise_name(target, service=True)
    except NameRuleError as error:
        findings.refuse(label, error)
        return False
    return True


def _checked_bits(key: DkimKey) -> int | None:
    """Check the value of p=; return the size of an RSA key, None for ed25519 and revoked keys."""
    if key.revoked:
        if key.public_key:
            raise KeyRuleError(
                "dkim-revoked",
                found="revoked together with a public key",
                expected="an empty public_key: that is what revokes it",
                fix="leave the key out, or do not revoke it",
            )
        return None
    if not key.public_key.strip():
        raise KeyRuleError(
            "dkim-revoked",
            found="an empty public key, which revokes the selector",
            expected="a key: one that is to count no more is taken away, or published as revoked",
            fix="give `dkim.public_key`, or remove the entry",
        )
    if key.key_type == "ed25519":
        check_ed25519(key.public_key)
        return None
    return checked_rsa_bits(key.public_key)
