"""DNS records for mail: declared as data, checked by the rules of the RFCs, rendered for zone files and Cloudflare."""

from mailstack.maildns.declare import Declared, DnsDeclaration, MailHost, SendingDomain, declare
from mailstack.maildns.dkim import DkimKey
from mailstack.maildns.dmarc import DmarcPolicy
from mailstack.maildns.problems import DnsRuleError, Problem
from mailstack.maildns.records import Address, MailExchanger, Record, Text
from mailstack.maildns.spf import SpfInclude, SpfPolicy

__all__ = [
    "Address",
    "Declared",
    "DkimKey",
    "DmarcPolicy",
    "DnsDeclaration",
    "DnsRuleError",
    "MailExchanger",
    "MailHost",
    "Problem",
    "Record",
    "SendingDomain",
    "SpfInclude",
    "SpfPolicy",
    "Text",
    "declare",
]
