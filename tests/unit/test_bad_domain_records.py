"""Mistakes in profiles, CAA, reports, logos and sending services: told at the field, with fixes that work."""

from typing import Any

import pytest

from tests.unit.mistakes import Mistake, changed, told_and_mended
from tests.unit.stack_examples import REMOVE, example, postal_example

__all__ = ["PARKED", "SES", "TOKENS", "mistake", "with_parked"]

TOKENS = ["a" * 32, "b" * 32, "c" * 32]
PARKED = {"name": "parked.example", "profile": "parked"}
SES = {"region": "eu-west-1", "dkim_tokens": TOKENS, "mail_from": "bounce.example.org"}


def with_parked() -> dict[str, Any]:
    """Return the example with a parked domain in a zone of its own."""
    return changed(example(), {"domains.2": PARKED, "dns.cloudflare.zones": {"example.com": None, "example.org": None,
                                                                              "parked.example": None}})  # fmt: skip


def send_only() -> dict[str, Any]:
    return changed(example(), {"domains.1.profile": "send-only", "domains.1.mailgun": {"receive": False}})


def pinned() -> dict[str, Any]:
    """Return Postal and Caddy, and CAA that permits Caddy's issuer."""
    return changed(postal_example(), {"domains.0.caa": {"issue": ["letsencrypt.org"]}})


def policy() -> dict[str, Any]:
    """Return Postal and Caddy with an MTA-STS policy."""
    entry = {"domain": "example.com", "mode": "enforce", "mx": ["smtp.google.com"]}
    return changed(postal_example(), {"caddy.mta_sts": [entry]})


def mistake(what: str, base: Any, path: str, value: Any, field: str, rule: str, fix: str, *ways: Any) -> Mistake:
    """Return a mistake at one path; each of ``ways`` is a value there, or changes elsewhere."""
    mended = tuple(way if isinstance(way, dict) else {path: way} for way in ways)
    return Mistake(what, base, {path: value}, field, rule, fix, mended)


OF_MAIL: list[tuple[str, Any]] = [
    ("mx", [{"preference": 1, "exchange": "mx.example.net"}]),
    ("spf", {"include": ["spf.example.net"]}),
    ("dkim", [{"selector": "s1", "public_key": "x"}]),
    ("tls_rpt", {"rua": ["tls@example.com"]}),
    ("bimi", {"logo": "https://example.com/logo.svg"}),
    ("ses", SES),
    ("sendgrid", {"subdomain": "em1", "host": "u1.wl1.sendgrid.net"}),
    ("mailgun", {"receive": False}),
]

MISTAKES = [
    *(
        mistake(
            f"{key} of a parked domain",
            with_parked,
            f"domains.2.{key}",
            value,
            f"domains[2].{key}",
            "no use with profile parked",
            "remove it",
            REMOVE,
        )
        for key, value in OF_MAIL
    ),
    mistake(
        "a mild policy of a parked domain",
        with_parked,
        "domains.2.dmarc",
        {"policy": "none"},
        "domains[2].dmarc.policy",
        "contradicts profile parked",
        "publishes reject",
        REMOVE,
        {"domains.2.dmarc": {"policy": "reject"}},
    ),
    mistake(
        "subdomains of a parked domain",
        with_parked,
        "domains.2.dmarc",
        {"subdomain_policy": "none"},
        "domains[2].dmarc.subdomain_policy",
        "contradicts profile parked",
        "publishes reject",
        REMOVE,
    ),
    mistake(
        "a parked domain that may send",
        with_parked,
        "relay.sender_domains",
        ["example.com", "parked.example"],
        "relay.sender_domains[1]",
        "is parked",
        "profile of domains[2]",
        ["example.com"],
        {"domains.2.profile": REMOVE},
    ),
    mistake(
        "a parked domain that mail is rewritten to",
        with_parked,
        "relay.masquerade_domains",
        ["parked.example"],
        "relay.masquerade_domains[0]",
        "is parked",
        "remove it here",
        [],
    ),
    mistake(
        "an unknown profile",
        example,
        "domains.1.profile",
        "parking",
        "domains[1].profile",
        "must be one of 'sending', 'send-only', 'parked'",
        "one of these",
        "parked",
    ),
    mistake(
        "Mailgun takes mail of a send-only domain",
        send_only,
        "domains.1.mailgun.receive",
        True,
        "domains[1].mailgun.receive",
        "contradicts profile send-only",
        "mailgun.domain",
        REMOVE,
        {"domains.1.mailgun.domain": "mg.example.org"},
    ),
    mistake(
        "CAA that forbids the issuer",
        pinned,
        "domains.0.caa.issue",
        ["sectigo.com"],
        "domains[0].caa",
        "that letsencrypt.org may issue it by http-01",
        "`caa.issue`",
        ["letsencrypt.org", "sectigo.com"],
        REMOVE,
    ),
    mistake(
        "CAA that forbids everybody",
        pinned,
        "domains.0.caa.issue",
        [],
        "domains[0].caa",
        "letsencrypt.org may issue",
        "add letsencrypt.org",
        ["letsencrypt.org"],
    ),
    mistake(
        "CAA for another method",
        pinned,
        "domains.0.caa.issue",
        ["letsencrypt.org; validationmethods=dns-01"],
        "domains[0].caa",
        "by http-01",
        "rules this out",
        ["letsencrypt.org; validationmethods=dns-01,http-01"],
    ),
    mistake(
        "CAA nothing can be computed from",
        example,
        "domains.1.caa",
        {},
        "domains[1].caa",
        "certificates from which",
        "`caa.issue`",
        {"domains.1.caa": {"issue": []}},
    ),
    mistake(
        "CAA with a wrong value",
        example,
        "domains.1.caa",
        {"issue": ["Let's Encrypt"]},
        "domains[1].caa",
        "CA is known by",
        "letsencrypt.org",
        {"domains.1.caa": {"issue": ["letsencrypt.org"]}},
    ),
    mistake(
        "CAA of two lines",
        example,
        "domains.1.caa",
        {"issue": ["a\nb"]},
        "domains[1].caa.issue[0]",
        "one line",
        "letsencrypt.org",
        {"domains.1.caa": {"issue": ["letsencrypt.org"]}},
    ),
    mistake(
        "reports to nobody",
        example,
        "domains.1.tls_rpt",
        {"rua": []},
        "domains[1].tls_rpt.rua",
        "at least one entry",
        "add an entry",
        {"domains.1.tls_rpt": {"rua": ["a@example.com"]}},
    ),
    mistake(
        "reports to no address",
        example,
        "domains.1.tls_rpt",
        {"rua": ["nobody"]},
        "domains[1].tls_rpt",
        "a mail address, or a URL",
        "`tls_rpt.rua`",
        {"domains.1.tls_rpt": {"rua": ["https://example.com/r"]}},
    ),
    mistake(
        "a logo without a policy",
        example,
        "domains.1",
        {"name": "example.org", "dmarc": {"policy": "none"}, "bimi": {"logo": "https://example.org/l.svg"}},
        "domains[1].bimi",
        "without it no logo",
        "`dmarc.policy`",
        {"domains.1.dmarc.policy": "reject"},
        {"domains.1.bimi": REMOVE},
    ),
    mistake(
        "a policy that leaves an exchanger out",
        policy,
        "caddy.mta_sts.0.mx",
        ["mx.example.com"],
        "domains[0]",
        "every exchanger of the domain",
        "`caddy.mta_sts`",
        ["smtp.google.com"],
        ["*.google.com"],
    ),
    # Sending services
    mistake(
        "two tokens of three",
        example,
        "domains.1.ses",
        {**SES, "dkim_tokens": TOKENS[:2]},
        "domains[1].ses",
        "three tokens",
        "three CNAME records",
        {"domains.1.ses": SES},
    ),
    mistake(
        "SES without a region",
        example,
        "domains.1.ses",
        {"dkim_tokens": TOKENS},
        "domains[1].ses.region",
        "is required",
        "eu-west-1",
        {"domains.1.ses.region": "eu-west-1"},
    ),
    mistake(
        "MAIL FROM in another domain",
        example,
        "domains.1.ses",
        {**SES, "mail_from": "bounce.example.com"},
        "domains[1].ses",
        "below example.org",
        "`ses.mail_from`",
        {"domains.1.ses": SES},
    ),
    mistake(
        "no host of SendGrid",
        example,
        "domains.1.sendgrid",
        {"subdomain": "em1", "host": "sendgrid.net"},
        "domains[1].sendgrid",
        "the account's own name",
        "first CNAME",
        {"domains.1.sendgrid.host": "u1.wl1.sendgrid.net"},
    ),
    mistake(
        "a whole name as a label",
        example,
        "domains.1.sendgrid",
        {"subdomain": "em1.example.org", "host": "u1.wl1.sendgrid.net"},
        "domains[1].sendgrid.subdomain",
        "one label",
        "before the domain",
        {"domains.1.sendgrid.subdomain": "em1"},
    ),
    mistake(
        "a DKIM record of both kinds",
        example,
        "domains.1.mailgun",
        {"dkim": [{"selector": "k1"}]},
        "domains[1].mailgun.dkim[0]",
        "exactly one",
        "a CNAME",
        {"domains.1.mailgun.dkim.0.target": "k1.dkim1.mailgun.com"},
    ),
    mistake(
        "Mailgun in another domain",
        example,
        "domains.1.mailgun",
        {"domain": "mg.example.com"},
        "domains[1].mailgun",
        "below example.org",
        "`mailgun.domain`",
        {"domains.1.mailgun.domain": "mg.example.org"},
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_is_told_at_its_field_and_its_fix_can_be_followed(mistake: Mistake) -> None:
    told_and_mended(mistake)
