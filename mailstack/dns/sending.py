"""A domain that mail is sent from, as it is declared."""

from dataclasses import dataclass
from typing import Literal

from mailstack.dns.bimi import Bimi
from mailstack.dns.caa import CaaPolicy
from mailstack.dns.dkim import DkimKey
from mailstack.dns.dmarc import DmarcPolicy
from mailstack.dns.rdata import MailExchanger
from mailstack.dns.spf import SpfPolicy
from mailstack.dns.tls_rpt import TlsReports

__all__ = ["SendingDomain"]


@dataclass(frozen=True, kw_only=True)
class SendingDomain:
    """A domain that stands in From or MAIL FROM.

    ``mx``: its mail exchangers; None publishes a null MX (takes no mail, RFC 7505); empty leaves MX alone.
    ``dmarc`` None is for a subdomain that the policy of a declared parent covers. ``texts`` are other TXT
    values at the domain's name, such as site verifications; they count towards the size of the answer.

    ``profile`` "parked" is a domain that neither sends nor takes mail: nobody has a key for it. ``bounces_elsewhere``
    says that another name stands in MAIL FROM of its mail, so that the domain itself may do without exchangers.
    """

    name: str
    mx: tuple[MailExchanger, ...] | None = ()
    spf: SpfPolicy
    dkim: tuple[DkimKey, ...] = ()
    dmarc: DmarcPolicy | None
    texts: tuple[str, ...] = ()
    caa: CaaPolicy | None = None
    tls_reports: TlsReports | None = None
    bimi: Bimi | None = None
    profile: Literal["sending", "send-only", "parked"] = "sending"
    bounces_elsewhere: bool = False
