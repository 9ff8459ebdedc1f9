"""What a TXT record is for, where it has to stand, and which setting makes it."""

from collections.abc import Mapping

from mailstack.dns.problems import Findings, shown

__all__ = ["SETTINGS", "kind_of", "refuse_place"]

# How a value of each kind begins.
KINDS: Mapping[str, str] = {
    "v=spf1": "SPF",
    "spf2.0": "Sender ID",
    "v=dmarc1": "DMARC",
    "v=dkim1": "DKIM",
    "v=stsv1": "MTA-STS",
    "v=tlsrptv1": "TLS-RPT",
    "v=bimi1": "BIMI",
}
# The labels that a name of each kind has; only DKIM and BIMI have a selector before them.
LABELS: Mapping[str, str] = {
    "DMARC": "_dmarc.",
    "DKIM": "._domainkey.",
    "MTA-STS": "_mta-sts.",
    "TLS-RPT": "_smtp._tls.",
    "BIMI": "._bimi.",
}
SETTINGS: Mapping[str, str] = {
    "SPF": "`spf.include` and `spf.mechanisms`",
    "DMARC": "`dmarc`",
    "DKIM": "`dkim`",
    "MTA-STS": "`caddy.mta_sts`",
    "TLS-RPT": "`tls_rpt`",
    "BIMI": "`bimi`",
}


def kind_of(name: str, text: str) -> str | None:
    """Return what a TXT record is for, None for free text. A DKIM key may lack its version (RFC 6376 §3.6.1)."""
    lowered = text.strip().lower()
    for start, kind in KINDS.items():
        if lowered == start or lowered.startswith((f"{start} ", f"{start};", f"{start}/")):
            return kind
    return "DKIM" if "._domainkey." in f".{name}" and "p=" in lowered else None


def refuse_place(name: str, text: str, label: str, findings: Findings) -> bool:
    """Note a text that nobody reads at ``name``, or anywhere; return whether it is one."""
    kind, where = kind_of(name, text), _misplaced(name, text)
    if kind == "Sender ID":
        findings.error(
            label,
            "spf-sender-id",
            found=f"a Sender ID record, {shown(text)}",
            expected="no such record: Sender ID is dead",
            fix="remove it",
        )
    elif kind is not None and where is not None:
        findings.error(
            label,
            "txt-place",
            found=f"{shown(text)} at {name}",
            expected=f"it at {where}: here nobody reads it",
            fix=f"correct the name, or remove it and let {SETTINGS[kind]} make the record",
        )
    return kind == "Sender ID" or where is not None


def _misplaced(name: str, text: str) -> str | None:
    """Return where a record of that kind belongs, if that is not at ``name``. A report's permission is a DMARC too."""
    kind = kind_of(name, text)
    label = LABELS.get(kind or "")
    if label is None:
        return None
    if label.startswith("."):
        return None if label in name else f"<selector>{label}<domain>"
    return None if name.startswith(label) or (kind == "DMARC" and "._report._dmarc." in name) else f"{label}<domain>"
