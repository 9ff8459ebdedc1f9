"""The shape of what a sending service asks to have in a domain's DNS: the values that its console shows."""

from typing import Annotated, Literal

from pydantic import Field

from mailstack.settings.section import Section
from mailstack.settings.types import DomainName, HostName, Selector, ServiceName, matching

__all__ = ["Mailgun", "MailgunDkim", "SendGrid", "SendGridLinks", "Ses"]

Label = Annotated[
    str,
    matching(
        r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "must be one label of a name: small letters, digits and inner hyphens",
        "write only what the console shows before the domain",
    ),
]


class Ses(Section):
    """Amazon SES: Easy DKIM and a custom MAIL FROM domain, as the identity's page shows them."""

    region: str | None = Field(default=None, description="AWS region. Absent: that of the domain's upstream.")
    dkim_tokens: tuple[str, ...] = Field(
        default=(), description="What stands before ._domainkey in the three CNAME records."
    )
    mail_from: DomainName | None = Field(
        default=None, description="Domain below this one for MAIL FROM, used for nothing else. Bounces go to SES."
    )


class SendGridLinks(Section):
    """Link branding: both CNAME records."""

    subdomain: Label = Field(description="First label of the first record, such as url1234.")
    owner: Label = Field(description="First label of the second record: the account's number.")
    target: Literal["sendgrid.net", "click.sendgrid.net", "eu.sendgrid.net"] = Field(
        default="sendgrid.net", description="What the first record points to."
    )


class SendGrid(Section):
    """SendGrid: domain authentication with automated security, three CNAME records."""

    subdomain: Label = Field(description="First label of the first record, such as em1234.")
    host: HostName = Field(description="What the first record points to, such as u1234567.wl123.sendgrid.net.")
    selectors: tuple[Selector, ...] = Field(
        default=("s1", "s2"), min_length=1, description="What stands before ._domainkey in the others."
    )
    links: SendGridLinks | None = Field(default=None, description="Link branding, where it is used.")


class MailgunDkim(Section):
    """A DKIM record of Mailgun: a TXT record with a key, or a CNAME where Mailgun rotates keys itself."""

    selector: Selector = Field(description="What stands before ._domainkey.")
    public_key: str | None = Field(default=None, description="Of a TXT record: what stands after p=.")
    target: ServiceName | None = Field(default=None, description="Of a CNAME record: what it points to.")


class Mailgun(Section):
    """Mailgun: a sending domain, as its page shows the records."""

    domain: DomainName | None = Field(
        default=None, description="Sending domain below this one, such as mg.example.com. Absent: this one."
    )
    region: Literal["us", "eu"] | None = Field(
        default=None, description="Region of the domain. Absent: that of the domain's upstream, else us."
    )
    dkim: tuple[MailgunDkim, ...] = Field(default=(), description="Its DKIM records.")
    receive: bool | None = Field(
        default=None,
        description="Mailgun takes the sending domain's mail. Absent: yes for one below this domain, else no.",
    )
    tracking: Label | None = Field(default=None, description="Label of the tracking name, such as email.")
