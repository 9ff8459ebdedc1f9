"""DMARC policies: record text, report addresses and the permission of other domains (RFC 9989, RFC 9990)."""

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

from mailstack.dns.names import NameRuleError, is_within, lineage, normalise_name
from mailstack.dns.problems import Findings, shown

__all__ = ["REPORT_PERMISSION", "DmarcPolicy", "DmarcRecord", "read_dmarc", "report_permission_name"]

Action = Literal["none", "quarantine", "reject"]
Alignment = Literal["relaxed", "strict"]
FailureOption = Literal["0", "1", "d", "s"]

REPORT_PERMISSION = "v=DMARC1;"  # what the receiver of reports publishes (RFC 9990)
SERVED_ADDRESSES = 2  # receivers need not report to more addresses than this (RFC 7489 §6.2)
MAX_LOCAL_PART_BYTES = 64  # RFC 5321 §4.5.3.1.1

_STRENGTH = {"none": 0, "quarantine": 1, "reject": 2}
_LETTERS = {"relaxed": "r", "strict": "s"}
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~,;-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~,;-]+)*")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SIZE_LIMIT = re.compile(r"@[^@!]*(?P<size>![0-9]+[kmgt]?)\Z", re.IGNORECASE)  # RFC 7489 §6.2
# Unreserved and the sub-delimiters that mean nothing in mailto:, in DMARC tags or in the list (RFC 6068 §2).
_UNQUOTED = "-._~$'*+=@"


@dataclass(frozen=True, kw_only=True)
class DmarcPolicy:
    """What receivers do with mail that fails, and who hears of it.

    ``aggregate_reports`` (rua) and ``failure_reports`` (ruf) are mail addresses, plain or as ``mailto:``
    URIs. ``failure_options`` (fo) is a subset of "0", "1", "d", "s". ``psd`` "n" ends the tree walk here:
    an organisation of its own; "y" is for names below which others register theirs. pct, rf and ri do not exist: RFC
    9989 removed them, and t is not used, since readers of RFC 7489 ignore it. Every policy has its p tag, which these
    require.
    """

    policy: Action
    subdomain_policy: Action | None = None
    nonexistent_policy: Action | None = None
    aggregate_reports: tuple[str, ...] = ()
    failure_reports: tuple[str, ...] = ()
    dkim_alignment: Alignment = "relaxed"
    spf_alignment: Alignment = "relaxed"
    failure_options: tuple[FailureOption, ...] = ()
    psd: Literal["y", "n"] | None = None


@dataclass(frozen=True, kw_only=True)
class DmarcRecord:
    """A policy that has been read: the record text and the domains reports go to."""

    text: str
    report_domains: tuple[str, ...]


def read_dmarc(policy: DmarcPolicy, domain: str, findings: Findings) -> DmarcRecord:
    """Check a domain's policy; values that break a rule are noted and left out of the text."""
    label = f"{domain} DMARC"
    _check_actions(policy, label, findings)
    _check_alignment(policy, label, findings)
    aggregate = _read_addresses("rua", policy.aggregate_reports, label, findings)
    failure = _read_addresses("ruf", policy.failure_reports, label, findings)
    _check_reports(policy, label, findings)
    tags = ["v=DMARC1", f"p={policy.policy}"]
    if policy.subdomain_policy is not None:
        tags.append(f"sp={policy.subdomain_policy}")
    if policy.nonexistent_policy is not None:
        tags.append(f"np={policy.nonexistent_policy}")
    if policy.psd is not None:
        tags.append(f"psd={policy.psd}")
    if policy.dkim_alignment == "strict":
        tags.append("adkim=s")
    if policy.spf_alignment == "strict":
        tags.append("aspf=s")
    if aggregate:
        tags.append(f"rua={','.join(uri for uri, _ in aggregate)}")
    if failure:
        tags.append(f"ruf={','.join(uri for uri, _ in failure)}")
    if policy.failure_options:
        tags.append(f"fo={':'.join(dict.fromkeys(policy.failure_options))}")
    domains = tuple(dict.fromkeys(receiver for _, receiver in (*aggregate, *failure)))
    return DmarcRecord(text="; ".join(tags), report_domains=domains)


def report_permission_name(policy_domain: str, receiver: str, declared: Container[str]) -> str | None:
    """Return where ``receiver`` must agree to get reports about ``policy_domain``; None where it need not.

    It need not when both have the same organizational domain. That is certain when one is within the other,
    or both are within one declared domain.
    """
    if is_within(receiver, policy_domain) or is_within(policy_domain, receiver):
        return None
    if any(parent in declared and is_within(policy_domain, parent) for parent in lineage(receiver)):
        return None
    return f"{policy_domain}._report._dmarc.{receiver}"


def _check_actions(policy: DmarcPolicy, label: str, findings: Findings) -> None:
    for tag, field, value in (
        ("p", "policy", policy.policy),
        ("sp", "subdomain_policy", policy.subdomain_policy),
        ("np", "nonexistent_policy", policy.nonexistent_policy),
    ):
        if value not in _STRENGTH and not (value is None and tag != "p"):
            findings.error(
                label,
                "dmarc-policy",
                found=f"{tag}={value}",
                expected="none, quarantine or reject",
                fix=f"set `dmarc.{field}` to one of them",
            )
        elif value is not None and _STRENGTH[value] < _STRENGTH.get(policy.policy, 0) and value == "none":
            findings.warn(
                label,
                "dmarc-weaker-subdomains",
                found=f"{tag}=none under p={policy.policy}",
                expected="a policy for subdomains too: any subdomain can be forged instead",
                fix=f"set `dmarc.{field}` to {policy.policy}, or leave it out to inherit",
            )


def _check_alignment(policy: DmarcPolicy, label: str, findings: Findings) -> None:
    if policy.psd == "y":
        findings.warn(
            label,
            "dmarc-psd",
            found="psd=y",
            expected="no psd on a company's own domain: it says that names below belong to others, and breaks their "
            "relaxed alignment with this one",
            fix="remove `dmarc.psd`, unless this is a registry",
        )
    elif policy.psd is not None and policy.psd != "n":
        findings.error(
            label,
            "dmarc-psd",
            found=f"psd={policy.psd}",
            expected="y or n",
            fix="remove `dmarc.psd`",
        )
    for field, value in (("dkim_alignment", policy.dkim_alignment), ("spf_alignment", policy.spf_alignment)):
        if value not in _LETTERS:
            findings.error(
                label,
                "dmarc-alignment",
                found=f"{field} {shown(value)}",
                expected='"relaxed" or "strict"',
                fix=f'set `dmarc.{field}` to "relaxed"',
            )
    unknown = [option for option in policy.failure_options if option not in {"0", "1", "d", "s"}]
    if unknown:
        findings.error(
            label,
            "dmarc-failure-options",
            found=f"fo={':'.join(policy.failure_options)}",
            expected="some of 0, 1, d and s, each as an item of its own",
            fix=f"remove {', '.join(map(shown, unknown))}",
        )
    elif policy.failure_options and not policy.failure_reports:
        findings.warn(
            label,
            "dmarc-failure-options",
            found=f"fo={':'.join(policy.failure_options)} without ruf",
            expected="failure_reports: without it fo is ignored",
            fix="add `dmarc.failure_reports`",
        )


def _check_reports(policy: DmarcPolicy, label: str, findings: Findings) -> None:
    if not policy.aggregate_reports:
        findings.warn(
            label,
            "dmarc-no-reports",
            found=f"p={policy.policy} without rua",
            expected="an address for aggregate reports: they alone show who sends as you, and what is refused",
            fix="set `dmarc.aggregate_reports`",
        )
    if policy.failure_reports:
        findings.warn(
            label,
            "dmarc-failure-reports",
            found="failure reports (ruf)",
            expected="a mailbox that may hold personal data: such reports carry parts of messages",
            fix="remove `dmarc.failure_reports` unless that is agreed; few receivers send them",
        )
    for tag, addresses in (("rua", policy.aggregate_reports), ("ruf", policy.failure_reports)):
        if len(addresses) > SERVED_ADDRESSES:
            findings.warn(
                label,
                "dmarc-report-count",
                found=f"{len(addresses)} addresses in {tag}",
                expected=f"at most {SERVED_ADDRESSES}: receivers need not serve more",
                fix="use a mailing list or group address",
            )


def _read_addresses(tag: str, addresses: tuple[str, ...], label: str, findings: Findings) -> list[tuple[str, str]]:
    """Return the mailto: URI and the domain of each address that is right."""
    read: dict[str, str] = {}
    mailboxes: set[str] = set()
    for address in addresses:
        result = _read_address(tag, address, label, findings)
        if result is None:
            continue
        uri, domain = result
        mailbox = uri.partition("!")[0]
        if mailbox in mailboxes:
            findings.error(
                label,
                "dmarc-report-duplicate",
                found=f"{shown(address)} twice in {tag}",
                expected="each address once",
                fix="remove one",
            )
        mailboxes.add(mailbox)
        read[uri] = domain
    return list(read.items())


def _read_address(tag: str, address: str, label: str, findings: Findings) -> tuple[str, str] | None:
    limit = _SIZE_LIMIT.search(address)
    plain = address if limit is None else address[: limit.start("size")]
    if plain.lower().startswith("mailto:"):
        plain = unquote(plain[len("mailto:") :])
    local, at, domain = plain.rpartition("@")
    if _URL.match(plain):
        findings.error(
            label,
            "dmarc-report-address",
            found=f"the URL {shown(address)} in {tag}",
            expected="a mail address: receivers must support mailto: only, so reports to anything else get lost",
            fix="give the mail address of the report service",
        )
        return None
    if not at or not _LOCAL_PART.fullmatch(local) or len(local) > MAX_LOCAL_PART_BYTES:
        findings.error(
            label,
            "dmarc-report-address",
            found=f"{shown(address)} in {tag}",
            expected="one mail address such as dmarc@example.com, with or without mailto:",
            fix="write each address as an item of its own, without headers after ?",
        )
        return None
    try:
        receiver = normalise_name(domain)
    except NameRuleError as error:
        findings.error(
            label,
            "dmarc-report-address",
            found=f"{shown(address)} in {tag} ({error.found})",
            expected=error.expected,
            fix=f"{error.fix}, after the @",
        )
        return None
    uri = f"mailto:{quote(local, safe=_UNQUOTED)}@{receiver}"
    if limit is None:
        return uri, receiver
    findings.warn(
        label,
        "dmarc-report-size",
        found=f"{shown(address)} in {tag}, with a size limit",
        expected="an address alone: RFC 9989 has reporters ignore the limit, and older ones drop what is larger",
        fix=f"remove {limit['size']}",
    )
    return f"{uri}{limit['size'].lower()}", receiver
