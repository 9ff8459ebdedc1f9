"""Who may issue certificates: CAA records (RFC 8659), bound to an account or a method (RFC 8657), for mail (RFC 9495).

The record set of the closest name upwards that has any CAA record decides, so a set for one host replaces its domain's.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mailstack.dns.names import NameRuleError, lineage, normalise_name
from mailstack.dns.problems import Findings, shown
from mailstack.dns.rdata import CAA_CRITICAL, MAX_CAA_BYTES, Caa, is_plain_text

__all__ = ["CaaPolicy", "CertificateUse", "authority_of", "check_caa", "check_certificates", "read_caa"]

NOBODY = ";"
ISSUING_TAGS = ("issue", "issuewild", "issuemail", "issuevmc")
OTHER_TAGS = ("iodef", "contactemail", "contactphone")
# Domain of an ACME directory -> the name that authority looks for in CAA (RFC 8659 §4.2).
# Sources: letsencrypt.org/docs/caa, zerossl.com/help/troubleshoot, pki.goog/faq, buypass.com.
AUTHORITIES: Mapping[str, str] = {
    "letsencrypt.org": "letsencrypt.org",
    "zerossl.com": "sectigo.com",
    "pki.goog": "pki.goog",
    "buypass.com": "buypass.com",
}

_PARAMETER = re.compile(r"([A-Za-z0-9]+(?:-[A-Za-z0-9]+)*)=([\x21-\x3a\x3c-\x7e]*)")
_METHODS = re.compile(r"[A-Za-z0-9-]+(,[A-Za-z0-9-]+)*")


@dataclass(frozen=True, kw_only=True)
class CaaPolicy:
    """Who may issue for a domain and what is below it.

    Values as in the records: "letsencrypt.org", or with parameters "letsencrypt.org; validationmethods=http-01".
    None says nothing, an empty tuple forbids everybody. ``issue`` also governs wildcards unless ``issue_wild`` is
    given; ``computed`` makes it of the certificates that are fetched for the domain. ``issue_mail`` is about S/MIME.
    ``iodef`` are addresses or URLs that hear of refused requests. ``critical`` sets flag 128.
    """

    issue: tuple[str, ...] | None = None
    computed: bool = False
    issue_wild: tuple[str, ...] | None = None
    issue_mail: tuple[str, ...] | None = None
    iodef: tuple[str, ...] = ()
    critical: bool = False


@dataclass(frozen=True, kw_only=True)
class CertificateUse:
    """A certificate that is fetched: for which name, from whom (None: not known), by which methods (RFC 8555 §8).

    ``setting`` is where the issuer's CAA name is written, ``asked_by`` who fetches it.
    """

    name: str
    authority: str | None
    methods: tuple[str, ...] = ()
    setting: str = "caddy.acme.caa_name"
    asked_by: str = "Caddy"


def authority_of(directory: str) -> str | None:
    """Return the CAA name of the authority behind an ACME directory URL; None for one that is not known here."""
    return next(
        (AUTHORITIES[place] for place in lineage(urlsplit(directory).hostname or "") if place in AUTHORITIES), None
    )


def read_caa(policy: CaaPolicy, name: str, uses: Iterable[CertificateUse], findings: Findings) -> tuple[Caa, ...]:
    """Return the records of a policy that may be published at ``name``; what is wrong with the others is noted.

    ``uses`` are the certificates fetched for the name and what is below it.
    """
    flags = CAA_CRITICAL if policy.critical else 0
    issue = _computed(name, uses, findings) if policy.computed else policy.issue
    values = {"issue": issue, "issuewild": policy.issue_wild, "issuemail": policy.issue_mail}
    made = [
        Caa(flags=flags, tag=tag, value=value.strip())
        for tag, listed in values.items()
        if listed is not None
        for value in listed or (NOBODY,)
    ]
    made += [Caa(flags=0, tag="iodef", value=_with_scheme(place)) for place in policy.iodef]
    label = f"{name} CAA"
    for record in dict.fromkeys(record for record in made if made.count(record) > 1):
        findings.error(
            label,
            "caa-duplicate",
            found=f"{record.tag} {shown(record.value)} twice",
            expected="each value once",
            fix="remove one entry of `caa`",
        )
    return tuple(record for record in made if check_caa(record, label, findings))


def check_caa(record: Caa, label: str, findings: Findings) -> bool:
    """Note what is wrong with one record; tell whether it may be published."""
    before = len(findings.errors)
    if record.flags not in {0, CAA_CRITICAL}:
        findings.error(
            label,
            "caa-flags",
            found=f"flags {record.flags}",
            expected=f"0, or {CAA_CRITICAL} for critical: the flag is the first of eight bits",
            fix=f"write 0, or {CAA_CRITICAL} where a CA must not ignore the tag",
        )
    if not is_plain_text(record.value) or len(record.value) > MAX_CAA_BYTES:
        findings.error(
            label,
            "caa-value",
            found=shown(record.value),
            expected=f"printable ASCII of at most {MAX_CAA_BYTES} bytes",
            fix="shorten it, or remove what is not ASCII",
        )
    elif record.tag in ISSUING_TAGS:
        _check_issue(record, label, findings)
    elif record.tag == "iodef":
        _check_iodef(record.value, label, findings)
    elif record.tag not in OTHER_TAGS:
        findings.error(
            label,
            "caa-tag",
            found=f"the tag {shown(record.tag)}",
            expected=f"one of {', '.join((*ISSUING_TAGS, *OTHER_TAGS))}",
            fix="correct the tag: with one that no CA knows the record says nothing",
        )
    return len(findings.errors) == before


def _check_issue(record: Caa, label: str, findings: Findings) -> None:
    authority, *parameters = (part.strip() for part in record.value.split(";"))
    if authority:
        try:
            normalise_name(authority)
        except NameRuleError as error:
            findings.error(
                label,
                "caa-value",
                found=f"{record.tag} {shown(record.value)}: {error.found}",
                expected='the domain name a CA is known by, with parameters after ";", or ";" alone for nobody',
                fix="write the name that the CA's documentation gives for CAA, such as letsencrypt.org",
            )
    for parameter in filter(None, parameters):
        match = _PARAMETER.fullmatch(parameter)
        if match is None:
            findings.error(
                label,
                "caa-parameter",
                found=shown(parameter),
                expected='parameters as name=value, separated by ";"',
                fix="write them like validationmethods=http-01",
            )
            continue
        name, value = match[1].lower(), match[2]
        if name == "accounturi" and urlsplit(value).scheme != "https":
            findings.error(
                label,
                "caa-account",
                found=f"accounturi={value}",
                expected="the URL of the ACME account, with https",
                fix="copy the account's URL from the ACME client, such as https://acme.example.net/acct/1",
            )
        if name == "validationmethods" and not _METHODS.fullmatch(value):
            findings.error(
                label,
                "caa-methods",
                found=f"validationmethods={value}",
                expected="names of methods separated by commas, without blanks",
                fix="write http-01, dns-01 or both with a comma between",
            )


def _check_iodef(value: str, label: str, findings: Findings) -> None:
    parts = urlsplit(value)
    local, at, domain = parts.path.rpartition("@")
    good = (
        bool(parts.hostname) if parts.scheme in {"http", "https"} else parts.scheme == "mailto" and bool(local and at)
    )
    if good and parts.scheme == "mailto":
        try:
            normalise_name(domain)
        except NameRuleError:
            good = False
    if not good:
        findings.error(
            label,
            "caa-iodef",
            found=shown(value),
            expected="a mail address, or a URL with https or http",
            fix="write an address such as security@example.com",
        )


def check_certificates(
    uses: Iterable[CertificateUse],
    records: Mapping[str, Sequence[Caa]],
    cnames: Mapping[str, str],
    findings: Findings,
) -> None:
    """Note certificates that the declared records forbid: the renewal would fail weeks later, and silently."""
    for use in uses:
        place, deciding = _deciding(use.name, records, cnames)
        issue = [_parsed(record) for record in deciding if record.tag == "issue"]
        if not issue:  # only iodef or others: nothing is restricted
            continue
        label = f"{use.name} certificate"
        names = ", ".join(authority or "nobody" for authority, _ in issue)
        if use.authority is None:
            findings.warn(
                label,
                "caa-issuer",
                found=f"CAA at {place} that lets {names} issue, and an issuer whose CAA name is not known here",
                expected="the issuer of this certificate among them",
                fix=_written_name(use),
            )
        elif not any(authority == use.authority and _permits(options, use) for authority, options in issue):
            methods = f" by {' and '.join(use.methods)}" if use.methods else ""
            findings.error(
                label,
                "caa-issuer",
                found=f"CAA at {place} that lets {names} issue, under conditions"
                if any(authority == use.authority for authority, _ in issue)
                else f"CAA at {place} that lets {names} issue",
                expected=f"that {use.authority} may issue it{methods}, which {use.asked_by} asks for it",
                fix=f"add {use.authority} to `caa.issue` of that domain without a condition that rules this out, or "
                "choose another issuer",
            )


def _deciding(name: str, records: Mapping[str, Sequence[Caa]], cnames: Mapping[str, str]) -> tuple[str, Sequence[Caa]]:
    """Return where the deciding set is, and the set: of the closest name upwards, aliases followed (RFC 8659 §3)."""
    for place in lineage(name):
        at = cnames.get(place, place)
        if records.get(at):
            return at, records[at]
    return name, ()


def _parsed(record: Caa) -> tuple[str, dict[str, str]]:
    authority, *parameters = (part.strip() for part in record.value.split(";"))
    found = (match for parameter in parameters if (match := _PARAMETER.fullmatch(parameter)))
    return authority.lower(), {match[1].lower(): match[2] for match in found}


def _permits(options: Mapping[str, str], use: CertificateUse) -> bool:
    allowed = options.get("validationmethods")
    return allowed is None or not use.methods or set(use.methods) <= set(allowed.lower().split(","))


def _with_scheme(place: str) -> str:
    return f"mailto:{place}" if "@" in place and ":" not in place else place


def _computed(name: str, uses: Iterable[CertificateUse], findings: Findings) -> tuple[str, ...] | None:
    found = {use.authority: use for use in uses}
    if found and None not in found:
        return tuple(authority for authority in found if authority is not None)
    findings.error(
        f"{name} CAA",
        "caa-default",
        found="an issuer whose CAA name is not known here" if found else f"no certificate by ACME for {name} or below",
        expected="certificates from which it follows who may issue",
        fix=_written_name(found[None]) if found else "list the CAs in `caa.issue`; an empty list forbids all",
    )
    return None


def _written_name(use: CertificateUse) -> str:
    return f"write the name that the issuer's documentation gives for CAA into `{use.setting}`"
