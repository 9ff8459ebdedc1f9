"""What a sending service asks to have in the domain's DNS, made of the few values that its console shows.

Read at docs.aws.amazon.com/ses (Easy DKIM, custom MAIL FROM), twilio.com/docs/sendgrid (domain authentication, link
branding) and documentation.mailgun.com (domain verification). What could not be read there is marked "assumed".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mailstack.dns.dkim import DkimKey
from mailstack.dns.names import is_within, read_name
from mailstack.dns.problems import Findings, shown
from mailstack.dns.rdata import MailExchanger
from mailstack.dns.sending import SendingDomain
from mailstack.dns.spf import SpfInclude, SpfPolicy

__all__ = ["MailgunDomain", "Provider", "SendGridDomain", "SesIdentity"]

SES_TOKENS = 3
# For eu as Mailgun's API lists them for a domain there, and as zones published as code have them (2026-11).
MAILGUN_HOSTS: Mapping[str, str] = {"us": "mailgun.org", "eu": "eu.mailgun.org"}

_TOKEN = re.compile(r"[a-z0-9]{16,63}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_SENDGRID_HOST = re.compile(r"u[0-9]+(\.[a-z0-9-]+)+\.sendgrid\.net")


@dataclass(frozen=True, kw_only=True)
class SesIdentity:
    """A domain of Amazon SES: the three tokens of Easy DKIM, and a MAIL FROM domain below it.

    ``mail_from`` is a whole name. It must send and receive nothing else, and has one exchanger. ``spf`` is the
    service's own include.
    """

    domain: str
    region: str
    spf: SpfInclude
    dkim_tokens: tuple[str, ...] = ()
    mail_from: str | None = None
    title = "SES"

    @property
    def signs_as(self) -> str | None:
        """The domain in d= of its signatures, None where it is not one of ours."""
        return self.domain if self.dkim_tokens else None

    @property
    def bounces_to(self) -> str | None:
        """The domain in MAIL FROM, None where it is not one of ours."""
        return self.mail_from

    def aliases(self) -> Iterator[tuple[str, str]]:
        """Yield names and targets of its CNAME records."""
        for token in self.dkim_tokens:
            yield f"{token}._domainkey.{self.domain}", f"{token}.dkim.amazonses.com"

    def applied(self, domain: SendingDomain) -> SendingDomain:
        """Return the sending domain itself with what is published at its own name."""
        return domain

    def own_domain(self) -> SendingDomain | None:
        """Return the domain below that has records of its own."""
        if self.mail_from is None:
            return None
        exchanger = MailExchanger(preference=10, exchange=f"feedback-smtp.{self.region}.amazonses.com")
        return SendingDomain(
            name=self.mail_from, mx=(exchanger,), spf=SpfPolicy(includes=(self.spf,), all="~all"), dmarc=None
        )

    def check(self, findings: Findings) -> None:
        """Note what is wrong with the values."""
        label = f"{self.domain} SES"
        odd = [token for token in self.dkim_tokens if not _TOKEN.fullmatch(token)]
        if odd or len(set(self.dkim_tokens)) not in {0, SES_TOKENS} or len(self.dkim_tokens) > SES_TOKENS:
            found = f"the token {shown(odd[0])}" if odd else f"{len(set(self.dkim_tokens))} different tokens"
            findings.error(
                label,
                "ses-tokens",
                found=found,
                expected="the three tokens of Easy DKIM: small letters and digits, all different",
                fix="copy what stands before ._domainkey in the three CNAME records of the identity's page",
            )
        if not _REGION.fullmatch(self.region):
            findings.error(
                label,
                "ses-region",
                found=f"the region {shown(self.region)}",
                expected="the AWS region of the identity, such as eu-west-1",
                fix="write it into `ses.region`",
            )
        _check_below("ses.mail_from", self.mail_from, self.domain, label, findings)


@dataclass(frozen=True, kw_only=True)
class SendGridDomain:
    """A domain authenticated at SendGrid with automated security: three CNAME records, two more for links.

    ``host`` is what the first one points to ("u1234567.wl123.sendgrid.net"), ``subdomain`` the label before the domain
    ("em1234"). ``link_subdomain`` ("url1234") and ``link_owner`` (the account's number) brand links.
    """

    domain: str
    host: str
    subdomain: str
    selectors: tuple[str, ...] = ("s1", "s2")
    link_subdomain: str | None = None
    link_owner: str | None = None
    link_host: str = "sendgrid.net"
    title = "SendGrid"

    @property
    def signs_as(self) -> str | None:
        """The domain in d= of its signatures."""
        return self.domain

    @property
    def bounces_to(self) -> str | None:
        """The domain in MAIL FROM."""
        return f"{self.subdomain}.{self.domain}"

    def aliases(self) -> Iterator[tuple[str, str]]:
        """Yield names and targets of its CNAME records."""
        yield f"{self.subdomain}.{self.domain}", self.host
        for selector in self.selectors:
            yield f"{selector}._domainkey.{self.domain}", f"{selector}.domainkey.{self.host}"
        if self.link_subdomain is not None:
            yield f"{self.link_subdomain}.{self.domain}", self.link_host
        if self.link_owner is not None:
            # Only shows whose account it is; always the service's own name.
            yield f"{self.link_owner}.{self.domain}", self.link_host.removeprefix("click.")

    def applied(self, domain: SendingDomain) -> SendingDomain:
        """Return the sending domain itself with what is published at its own name."""
        return domain

    def own_domain(self) -> SendingDomain | None:
        """Return the domain below that has records of its own; behind the CNAME it is SendGrid's."""
        return None

    def check(self, findings: Findings) -> None:
        """Note what is wrong with the values."""
        label = f"{self.domain} SendGrid"
        if not _SENDGRID_HOST.fullmatch(self.host):
            findings.error(
                label,
                "sendgrid-host",
                found=shown(self.host),
                expected="the account's own name at SendGrid, such as u1234567.wl123.sendgrid.net",
                fix="copy what the first CNAME record of the domain authentication points to",
            )
        if (self.link_subdomain is None) != (self.link_owner is None) or self.link_subdomain == self.subdomain:
            findings.error(
                label,
                "sendgrid-links",
                found=f"{shown(self.link_subdomain)} and owner {shown(self.link_owner)}",
                expected="both names of link branding, the first another one than the domain authentication has",
                fix="copy both CNAME records of link branding into `sendgrid.links`, or remove it",
            )


@dataclass(frozen=True, kw_only=True)
class MailgunDomain:
    """A sending domain of Mailgun: the From domain itself, or (``name``) one below it.

    Its key is in ``keys``, or behind CNAME records (``dkim_aliases``: selector and target) where Mailgun rotates it.
    ``receive`` makes Mailgun its mail exchanger, which takes the bounces too. ``tracking`` is a label before ``name``.
    """

    domain: str
    name: str
    spf: SpfInclude
    region: str = "us"
    keys: tuple[DkimKey, ...] = ()
    dkim_aliases: tuple[tuple[str, str], ...] = ()
    receive: bool = True
    tracking: str | None = None
    title = "Mailgun"

    @property
    def signs_as(self) -> str | None:
        """The domain in d= of its signatures, None where it is not one of ours."""
        return self.name if self.keys or self.dkim_aliases else None

    @property
    def bounces_to(self) -> str | None:
        """The domain in MAIL FROM."""
        return self.name

    @property
    def exchangers(self) -> tuple[MailExchanger, ...]:
        """Its mail exchangers."""
        host = MAILGUN_HOSTS.get(self.region, MAILGUN_HOSTS["us"])
        return tuple(MailExchanger(preference=10, exchange=f"{first}.{host}") for first in ("mxa", "mxb"))

    def aliases(self) -> Iterator[tuple[str, str]]:
        """Yield names and targets of its CNAME records."""
        for selector, target in self.dkim_aliases:
            yield f"{selector}._domainkey.{self.name}", target
        if self.tracking is not None:
            yield f"{self.tracking}.{self.name}", MAILGUN_HOSTS.get(self.region, MAILGUN_HOSTS["us"])

    def applied(self, domain: SendingDomain) -> SendingDomain:
        """Return the sending domain itself with what is published at its own name."""
        if self.name != self.domain:
            return domain
        spf = domain.spf
        if self.spf.domain not in {include.domain for include in spf.includes}:
            spf = replace(spf, includes=(*spf.includes, self.spf))
        mx = self.exchangers if self.receive and not domain.mx else domain.mx
        return replace(domain, spf=spf, mx=mx, dkim=(*domain.dkim, *self.keys))

    def own_domain(self) -> SendingDomain | None:
        """Return the domain below that has records of its own."""
        if self.name == self.domain:
            return None
        return SendingDomain(
            name=self.name,
            mx=self.exchangers if self.receive else None,
            spf=SpfPolicy(includes=(self.spf,), all="~all"),
            dkim=self.keys,
            dmarc=None,
        )

    def check(self, findings: Findings) -> None:
        """Note what is wrong with the values."""
        label = f"{self.domain} Mailgun"
        if self.region not in MAILGUN_HOSTS:
            findings.error(
                label,
                "mailgun-region",
                found=f"the region {shown(self.region)}",
                expected="us or eu",
                fix="write the region that the console shows beside the domain into `mailgun.region`",
            )
        if self.name != self.domain:
            _check_below("mailgun.domain", self.name, self.domain, label, findings)


Provider = SesIdentity | SendGridDomain | MailgunDomain


def _check_below(field: str, name: str | None, domain: str, label: str, findings: Findings) -> None:
    if name is None:
        return
    read = read_name(name, label, findings)
    if read is not None and (read == domain or not is_within(read, domain)):
        findings.error(
            label,
            "provider-name",
            found=f"the name {read}",
            expected=f"a name below {domain}",
            fix=f"write one such as mail.{domain} into `{field}`",
        )
