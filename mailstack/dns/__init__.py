"""DNS records for mail: declared as data, held against the rules of the RFCs, rendered for zone files and Cloudflare.

``declare`` is a pure function: it asks no name server. What other people's DNS holds (the cost of an upstream's SPF
include) is part of its input.
"""

from mailstack.dns.bimi import Bimi
from mailstack.dns.caa import CaaPolicy, CertificateUse, authority_of
from mailstack.dns.cloudflare import CloudflareInput, decode_content, decode_shown, resource_name, to_cloudflare
from mailstack.dns.declaration import Declared, DnsDeclaration, MailHost
from mailstack.dns.declaring import declare
from mailstack.dns.dkim import DkimKey
from mailstack.dns.dkim_values import KeyRuleError, ed25519_public_key_of, public_key_of, rsa_bits
from mailstack.dns.dmarc import DmarcPolicy
from mailstack.dns.further import FurtherRecord
from mailstack.dns.mta_sts import MtaStsRecord, mta_sts_id
from mailstack.dns.names import NameRuleError, normalise_name
from mailstack.dns.presentation import data_text, decode_text
from mailstack.dns.problems import RULES, DnsRuleError, Findings, Problem, sentences
from mailstack.dns.providers import MailgunDomain, SendGridDomain, SesIdentity
from mailstack.dns.records import (
    NULL_MX,
    Address,
    Alias,
    Caa,
    MailExchanger,
    NameServer,
    Record,
    RecordSet,
    Srv,
    Text,
    Tlsa,
)
from mailstack.dns.sending import SendingDomain
from mailstack.dns.services import MailService
from mailstack.dns.spf import SpfInclude, SpfPolicy, address_mechanism
from mailstack.dns.spf_macros import spf_target
from mailstack.dns.tls_rpt import TlsReports
from mailstack.dns.tlsa import TlsaHost
from mailstack.dns.zone import next_serial, rdata_text, render_records, render_zone, zone_of

__all__ = [
    "NULL_MX",
    "RULES",
    "Address",
    "Alias",
    "Bimi",
    "Caa",
    "CaaPolicy",
    "CertificateUse",
    "CloudflareInput",
    "Declared",
    "DkimKey",
    "DmarcPolicy",
    "DnsDeclaration",
    "DnsRuleError",
    "Findings",
    "FurtherRecord",
    "KeyRuleError",
    "MailExchanger",
    "MailHost",
    "MailService",
    "MailgunDomain",
    "MtaStsRecord",
    "NameRuleError",
    "NameServer",
    "Problem",
    "Record",
    "RecordSet",
    "SendGridDomain",
    "SendingDomain",
    "SesIdentity",
    "SpfInclude",
    "SpfPolicy",
    "Srv",
    "Text",
    "TlsReports",
    "Tlsa",
    "TlsaHost",
    "address_mechanism",
    "authority_of",
    "data_text",
    "declare",
    "decode_content",
    "decode_shown",
    "decode_text",
    "ed25519_public_key_of",
    "mta_sts_id",
    "next_serial",
    "normalise_name",
    "public_key_of",
    "rdata_text",
    "render_records",
    "render_zone",
    "resource_name",
    "rsa_bits",
    "sentences",
    "spf_target",
    "to_cloudflare",
    "zone_of",
]
