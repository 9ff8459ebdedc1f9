"""DMARC policies (RFC 9989)."""

import re
from dataclasses import dataclass
from typing import Literal

from mailstack.maildns.problems import Problem

__all__ = ["DmarcPolicy", "check_dmarc", "dmarc_text", "external_report_domains"]

Action = Literal["none", "quarantine", "reject"]
Alignment = Literal["relaxed", "strict"]


@dataclass(frozen=True, kw_only=True)
class DmarcPolicy:
    """What receivers do with mail that fails. Reports go to plain mail addresses, without ``mailto:``."""

    policy: Action = "none"
    subdomain_policy: Action | None = None
    nonexistent_policy: Action | None = None
    aggregate_reports: tuple[str, ...] = ()
    failure_reports: tuple[str, ...] = ()
    dkim_alignment: Alignment = "relaxed"
    spf_alignment: Alignment = "relaxed"


def dmarc_text(policy: DmarcPolicy) -> str:
    """Return the record. ``p`` always stands second: older receivers ignore a record without it (RFC 7489).

    ``pct``, ``rf`` and ``ri`` are gone from RFC 9989 and never written.
    """
    tags = ["v=DMARC1", f"p={policy.policy}"]
    if policy.subdomain_policy:
        tags.append(f"sp={policy.subdomain_policy}")
    if policy.nonexistent_policy:
        tags.append(f"np={policy.nonexistent_policy}")
    if policy.dkim_alignment == "strict":
        tags.append("adkim=s")
    if policy.spf_alignment == "strict":
        tags.append("aspf=s")
    if policy.aggregate_reports:
        tags.append(f"rua={','.join(_uri(address) for address in policy.aggregate_reports)}")
    if policy.failure_reports:
        tags.append(f"ruf={','.join(_uri(address) for address in policy.failure_reports)}")
    return "; ".join(tags)


def _uri(address: str) -> str:
    """Return a mailto URI; the characters that separate URIs and tags are percent-encoded (RFC 6068)."""
    return "mailto:" + re.sub(r"[%,!;]", lambda match: f"%{ord(match[0]):02X}", address)


def external_report_domains(domain: str, policy: DmarcPolicy) -> list[str]:
    """Return the domains outside ``domain`` that reports go to; each has to agree in its own DNS (RFC 9990)."""
    receivers = {address.rpartition("@")[2].lower() for address in policy.aggregate_reports + policy.failure_reports}
    return sorted(
        receiver
        for receiver in receivers
        if receiver != domain and not receiver.endswith(f".{domain}") and not domain.endswith(f".{receiver}")
    )


def check_dmarc(domain: str, policy: DmarcPolicy) -> tuple[list[Problem], list[str]]:
    """Return the broken rules and the warnings for the policy of ``domain``."""
    problems = [
        Problem(
            record=f"DMARC of {domain}",
            rule="dmarc-address",
            source="RFC 9989",
            found=address,
            expected="must be a mail address without mailto:",
            fix="write it as dmarc@example.com",
        )
        for address in policy.aggregate_reports + policy.failure_reports
        if not re.fullmatch(r"[^@\s:]+@[^@\s:]+\.[^@\s:]+", address)
    ]
    warnings = []
    if policy.policy == "none" and not policy.aggregate_reports:
        warnings.append(f"DMARC of {domain} is p=none without reports: nothing is learnt and nothing is stopped")
    if policy.policy != "none" and policy.subdomain_policy == "none":
        warnings.append(f"DMARC of {domain} has sp=none: its subdomains can be forged")
    return problems, warnings
