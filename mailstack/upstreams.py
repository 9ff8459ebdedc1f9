"""The services mail is handed to, as data: names, ports, credentials, limits and reply texts.

A new provider is a new entry in ``PRESETS``. Sources stand beside the values; what could not be read at the
source is marked "assumed".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["IMPLICIT_TLS_PORTS", "PRESETS", "MxHost", "PresetName", "SpfSource", "Upstream"]

PresetName = Literal["google-workspace", "sendgrid", "ses", "mailgun", "custom"]
MEGABYTE = 1_000_000
# Ports on which TLS starts with the first byte (RFC 8314). Every other port upgrades by STARTTLS.
IMPLICIT_TLS_PORTS = frozenset({465, 2465})


@dataclass(frozen=True, kw_only=True)
class SpfSource:
    """An SPF ``include:`` and what it costs of the ten DNS look-ups of RFC 7208 §4.6.4, nested ones counted."""

    domain: str
    lookups: int


@dataclass(frozen=True, kw_only=True)
class MxHost:
    """A default mail exchanger for domains whose mailboxes are with the provider."""

    preference: int
    exchange: str


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """What the relay has to know of a provider.

    ``hosts`` maps a region to a host name; ``""`` is the only key of a provider without regions.
    ``message_size_bytes`` counts the encoded message. ``temporary_replies`` are regular expressions for
    replies that come with a 5xx code although they clear by themselves (daily quotas). ``smtputf8`` tells whether it
    takes addresses that are not ASCII (RFC 6531); without a source it counts as no.
    """

    title: str
    hosts: Mapping[str, str]
    ports: frozenset[int]
    spf: SpfSource | None
    message_size_bytes: int
    recipients_per_transaction: int
    concurrency: int
    authorises_by_ip: bool
    smtputf8: bool = False
    username_rule: str = ""
    username_pattern: str = ".+"
    password_rule: str = ""
    password_pattern: str = ".+"
    temporary_replies: tuple[str, ...] = ()
    mx: tuple[MxHost, ...] = ()
    region_pattern: str = ""
    sources: tuple[str, ...] = field(default=())


PRESETS: Mapping[str, Upstream] = {
    "google-workspace": Upstream(
        title="Google Workspace SMTP relay service",
        hosts={"": "smtp-relay.gmail.com"},
        ports=frozenset({25, 465, 587}),
        # _spf.google.com names three _netblocks records: one look-up each.
        spf=SpfSource(domain="_spf.google.com", lookups=4),
        message_size_bytes=25 * MEGABYTE,
        recipients_per_transaction=100,
        # At 20 ms to the upstream 50 sessions carry 1.5 times what 20 do; 100 carry no more.
        concurrency=50,
        authorises_by_ip=True,
        smtputf8=True,  # Gmail takes and sends internationalised addresses since 2014
        username_rule="the full address of a Workspace mailbox",
        username_pattern=r"[^@\s]+@[^@\s]+\.[^@\s]+",
        temporary_replies=(
            r"Daily SMTP relay (sending )?(limit|quota) exceeded for (customer|user)",
            r"Daily user sending (limit|quota) exceeded",
        ),
        mx=(MxHost(preference=1, exchange="smtp.google.com"),),
        sources=(
            "support.google.com/a/answer/2956491",
            "support.google.com/a/answer/6140680",
            "support.google.com/a/answer/3726730",
            "workspaceupdates.googleblog.com/2014/08/gmail-and-google-calendar-now-support.html",
        ),
    ),
    "sendgrid": Upstream(
        title="Twilio SendGrid",
        hosts={"": "smtp.sendgrid.net"},
        ports=frozenset({25, 465, 587, 2525}),
        spf=SpfSource(domain="sendgrid.net", lookups=2),
        message_size_bytes=30 * MEGABYTE,
        recipients_per_transaction=1000,
        concurrency=50,
        authorises_by_ip=False,
        username_rule="the word apikey",
        username_pattern=r"apikey",
        password_rule="an API key that starts with SG. and has no blank in it",
        password_pattern=r"SG\.\S+",
        # No smtputf8: assumed, nothing is documented.
        # Documented with 451; seen with 5xx by users, so both are covered.
        temporary_replies=(r"Maximum credits exceeded",),
        sources=("www.twilio.com/docs/sendgrid/for-developers/sending-email/integrating-with-the-smtp-api",),
    ),
    "ses": Upstream(
        title="Amazon SES",
        hosts={"": "email-smtp.{region}.amazonaws.com"},
        ports=frozenset({25, 465, 587, 2465, 2587}),
        spf=SpfSource(domain="amazonses.com", lookups=1),
        message_size_bytes=40 * MEGABYTE,
        recipients_per_transaction=50,
        concurrency=20,  # accounts start at 14 messages a second; more sessions only earn 454 throttling
        authorises_by_ip=False,
        username_rule="the SMTP user name of that region, 16 to 128 capital letters and digits",
        username_pattern=r"[A-Z0-9]{16,128}",
        password_rule="the SMTP password of that region; a 40-character AWS secret access key does not work",
        password_pattern=r"(?!.{40}$)\S+",
        # No smtputf8: docs.aws.amazon.com/ses/latest/APIReference-V2/API_Destination.html says so.
        # SES answers 454 for both throttles; a proxy in between may turn that into 5xx.
        temporary_replies=(r"Daily message quota exceeded", r"Maximum sending rate exceeded"),
        region_pattern=r"[a-z]{2}(-[a-z]+)+-\d",
        sources=("docs.aws.amazon.com/ses/latest/dg/smtp-connect.html",),
    ),
    "mailgun": Upstream(
        title="Mailgun",
        hosts={"us": "smtp.mailgun.org", "eu": "smtp.eu.mailgun.org"},
        ports=frozenset({25, 465, 587, 2525}),
        spf=SpfSource(domain="mailgun.org", lookups=4),  # assumed: counted high
        message_size_bytes=25 * MEGABYTE,
        recipients_per_transaction=1000,
        concurrency=50,
        authorises_by_ip=False,
        # No smtputf8: assumed, nothing is documented.
        username_rule="an SMTP user of the sending domain, such as postmaster@mg.example.com",
        username_pattern=r"[^@\s]+@[^@\s]+\.[^@\s]+",
        temporary_replies=(r"(hourly|daily|monthly) (message |sending )?limit (reached|exceeded)",),  # assumed
        sources=("documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/",),
    ),
    "custom": Upstream(
        title="another SMTP service",
        hosts={},
        ports=frozenset(),
        spf=None,
        message_size_bytes=10 * MEGABYTE,
        recipients_per_transaction=50,
        concurrency=20,
        authorises_by_ip=True,
    ),
}
