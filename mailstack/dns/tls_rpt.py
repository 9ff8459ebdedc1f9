"""The TXT record that asks for reports about TLS of incoming mail (RFC 8460 §3)."""

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from mailstack.dns.names import NameRuleError, normalise_name
from mailstack.dns.problems import Findings, shown

__all__ = ["TlsReports", "TlsReportsRecord", "read_tls_reports"]

# In a URI of the list these three have to be encoded (RFC 8460 §3); the rest of a URI stays as it is.
_KEPT = "%:/?#[]@$&'()*+=-._~"


@dataclass(frozen=True, kw_only=True)
class TlsReports:
    """Where daily reports go: mail addresses (plain or as ``mailto:``) and https URLs."""

    destinations: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TlsReportsRecord:
    """What was read: the record text and the domains of the mailboxes."""

    text: str
    mailbox_domains: tuple[str, ...]


def read_tls_reports(reports: TlsReports, domain: str, findings: Findings) -> TlsReportsRecord | None:
    """Check the destinations; None where no good one is left."""
    label = f"{domain} TLS-RPT"
    read = [found for place in reports.destinations if (found := _destination(place, label, findings)) is not None]
    if not reports.destinations:
        findings.error(
            label,
            "tls-rpt-destination",
            found="no destination",
            expected="at least one: the record is for nothing else",
            fix="list an address in `tls_rpt.rua`, or remove `tls_rpt`",
        )
    uris = [uri for uri, _ in read]
    for uri in dict.fromkeys(uri for uri in uris if uris.count(uri) > 1):
        findings.error(
            label,
            "tls-rpt-duplicate",
            found=f"{uri} twice",
            expected="each destination once, or every report comes twice",
            fix="remove one entry of `tls_rpt.rua`",
        )
    if not read:
        return None
    domains = tuple(dict.fromkeys(mailbox for _, mailbox in read if mailbox is not None))
    return TlsReportsRecord(text=f"v=TLSRPTv1; rua={','.join(uris)}", mailbox_domains=domains)


def _destination(place: str, label: str, findings: Findings) -> tuple[str, str | None] | None:
    """Return URI and, of a mailbox, its domain; a wrong one is noted and None returned."""
    url = urlsplit(place)
    if url.scheme == "https" and url.hostname and place.isascii() and not any(c.isspace() for c in place):
        return quote(place, safe=_KEPT), None
    local, at, mailbox_domain = place.removeprefix("mailto:").rpartition("@")
    try:
        if at and local and local.isascii() and not any(c.isspace() or c in '<>"' for c in local):
            mailbox = normalise_name(mailbox_domain)
            return f"mailto:{quote(local, safe=_KEPT)}@{mailbox}", mailbox
    except NameRuleError:
        pass
    findings.error(
        label,
        "tls-rpt-destination",
        found=shown(place),
        expected="a mail address, or a URL with https",
        fix="write an address such as tls-reports@example.com into `tls_rpt.rua`",
    )
    return None
