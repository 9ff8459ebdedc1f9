"""Files of aggregate reports, in the shapes that reporters send."""

import gzip
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage

TODAY = date(2026, 11, 29)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One record of a report: ``spf`` and ``dkim`` say whether they are aligned and pass."""

    source: str = "93.184.216.34"
    count: int = 20
    spf: bool = True
    dkim: bool = True
    signer: str = "example.com"
    selector: str = "mail202611"
    envelope: str = "example.com"

    def xml(self, *, selector: bool = True) -> str:
        told = f"<selector>{self.selector}</selector>" if selector and self.signer else ""
        signed = (
            f"<dkim><domain>{self.signer}</domain>{told}<result>{_word(self.dkim)}</result></dkim>"
            if self.signer
            else ""
        )
        return (
            f"<record><row><source_ip>{self.source}</source_ip><count>{self.count}</count><policy_evaluated>"
            f"<disposition>none</disposition><dkim>{_word(self.dkim)}</dkim><spf>{_word(self.spf)}</spf>"
            "</policy_evaluated></row><identifiers><header_from>example.com</header_from></identifiers>"
            f"<auth_results>{signed}<spf><domain>{self.envelope}</domain><result>{_word(self.spf)}</result></spf>"
            "</auth_results></record>"
        )


def _word(passed: bool) -> str:
    return "pass" if passed else "fail"


def google(day: date, records: Sequence[Sent], *, policy: str = "none", domain: str = "example.com") -> bytes:
    """Return a report as Google writes it: no schema version, selectors told, a UTC day."""
    begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    body = "".join(record.xml() for record in records)
    return (
        '<?xml version="1.0" encoding="UTF-8" ?>\n<feedback><report_metadata><org_name>google.com</org_name>'
        "<email>noreply-dmarc-support@google.com</email><extra_contact_info>https://support.google.com/a/answer/2466580"
        f"</extra_contact_info><report_id>{begin}{domain}</report_id><date_range><begin>{begin}</begin>"
        f"<end>{begin + 86399}</end></date_range></report_metadata><policy_published><domain>{domain}</domain>"
        f"<adkim>r</adkim><aspf>r</aspf><p>{policy}</p><sp>{policy}</sp><pct>100</pct></policy_published>{body}</feedback>"
    ).encode()


def microsoft(day: date, records: Sequence[Sent], *, policy: str = "none") -> bytes:
    """Return a report as Microsoft writes it: a schema version, namespaces declared, no selectors, from day to day."""
    begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    body = "".join(record.xml(selector=False) for record in records)
    return (
        '<?xml version="1.0"?><feedback xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><version>1.0</version><report_metadata>'
        "<org_name>Outlook.com</org_name><email>dmarcreport@microsoft.com</email>"
        f"<report_id>{begin:032x}</report_id><date_range><begin>{begin}</begin><end>{begin + 86400}</end></date_range>"
        f"</report_metadata><policy_published><domain>example.com</domain><adkim>r</adkim><aspf>r</aspf><p>{policy}</p>"
        f"<sp>{policy}</sp><pct>100</pct><fo>0</fo></policy_published>{body}</feedback>"
    ).encode()


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def mailed(name: str, content: bytes) -> bytes:
    """Return a message that carries a report."""
    message = EmailMessage()
    message["From"], message["To"] = "noreply@reporter.example", "dmarc@example.com"
    message["Subject"] = "Report domain: example.com Submitter: reporter.example"
    message.set_content("A report is attached.")
    message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def two_weeks(*records: Sent, days: int = 20, policy: str = "none") -> dict[str, bytes]:
    """Return a gzip file of Google's for each of the last days."""
    dates = (TODAY - timedelta(days=number + 1) for number in range(days))
    return {f"google.com!{day}.xml.gz": gzip.compress(google(day, records, policy=policy)) for day in dates}
