"""The TXT record that tells senders of an MTA-STS policy (RFC 8461 §3.1)."""

import hashlib
import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

from mailstack.dns.names import read_name
from mailstack.dns.problems import Findings, shown

__all__ = ["MtaStsRecord", "mta_sts_id", "read_mta_sts"]

_ID_CHARACTERS = 32  # at most (RFC 8461 §3.1)
_ID = re.compile(r"[A-Za-z0-9]{1,32}")


@dataclass(frozen=True, kw_only=True)
class MtaStsRecord:
    """Says at ``_mta-sts.<domain>`` that there is a policy, and which one: senders fetch it again for a new id.

    ``policy_id`` is 1 to 32 letters and digits; ``mta_sts_id`` makes it of the policy. ``mode`` and ``mx`` are the
    policy's own; ``*.`` may stand for the first label of an exchanger's name.
    """

    domain: str
    policy_id: str
    mode: Literal["testing", "enforce", "none"] = "testing"
    mx: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The record."""
        return f"v=STSv1; id={self.policy_id}"

    def covers(self, exchange: str) -> bool:
        """Tell whether senders may hand mail to that exchanger (RFC 8461 §4.1)."""
        names = {name.lower().rstrip(".") for name in self.mx}
        return exchange in names or f"*.{exchange.partition('.')[2]}" in names


def mta_sts_id(policy_text: str) -> str:
    """Return an id that is new whenever a byte of the served policy is: 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(policy_text.encode("utf-8")).hexdigest()[:_ID_CHARACTERS]


def read_mta_sts(
    records: tuple[MtaStsRecord, ...], domains: Container[str], findings: Findings
) -> tuple[tuple[str, MtaStsRecord], ...]:
    """Return domain and record of those that may be published; what is wrong with the others is noted."""
    read: dict[str, MtaStsRecord] = {}
    for record in records:
        label = f"{record.domain} MTA-STS"
        domain = read_name(record.domain, label, findings)
        if domain is None:
            continue
        if domain not in domains:
            findings.error(
                label,
                "mta-sts-domain",
                found=f"a policy for {domain}, which is not declared",
                expected="a domain of this declaration",
                fix=f"add {domain} to `domains`, or remove its entry of `caddy.mta_sts`",
            )
        elif domain in read:
            findings.error(
                label,
                "mta-sts-duplicate",
                found=f"{domain} twice",
                expected="one record: with two, senders act as if there were none",
                fix="remove one entry of `caddy.mta_sts`",
            )
        elif not _ID.fullmatch(record.policy_id):
            findings.error(
                label,
                "mta-sts-id",
                found=f"the id {shown(record.policy_id)}",
                expected=f"1 to {_ID_CHARACTERS} letters and digits",
                fix="make it of the policy with mta_sts_id()",
            )
        else:
            read[domain] = record
    return tuple(read.items())
