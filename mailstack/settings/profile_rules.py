"""Rules of ``domains[].profile``: what a domain without mailboxes, or without mail at all, cannot have."""

from collections.abc import Callable, Iterator

from mailstack.settings.domains_model import Domain
from mailstack.settings.model import Settings
from mailstack.settings.names import mailgun_name
from mailstack.settings.problems import Problem

__all__ = ["PROFILE_RULES"]

# Fields of a domain that only make sense where mail is sent or taken.
OF_MAIL = ("upstream", "mx", "spf", "dkim", "tls_rpt", "bimi", "ses", "sendgrid", "mailgun")
ACTIONS = ("policy", "subdomain_policy")


def _profiles(settings: Settings) -> Iterator[Problem]:
    if not settings.mail_domains:
        yield Problem(
            field="domains",
            value=", ".join(domain.name for domain in settings.domains),
            rule="are all parked, so that nobody could send",
            fix="give the domain that mail is sent from the profile sending, or leave profile out",
        )
    for index, domain in enumerate(settings.domains):
        if domain.profile == "parked":
            yield from _parked(f"domains[{index}]", domain)
        if domain.profile == "send-only":
            yield from _send_only(f"domains[{index}]", domain)


def _parked(field: str, domain: Domain) -> Iterator[Problem]:
    for key in OF_MAIL:
        default = type(domain).model_fields[key].default
        if getattr(domain, key) not in (default, ()):
            yield Problem(
                field=f"{field}.{key}",
                value="",
                rule="has no use with profile parked: nobody sends or takes mail there",
                fix="remove it, or choose profile sending or send-only",
            )
    if domain.dmarc.ramp:
        yield Problem(
            field=f"{field}.dmarc.ramp",
            value="",
            rule="has no use with profile parked, which publishes reject at once",
            fix="remove it, or choose profile sending or send-only",
        )
    for key in ACTIONS:
        said = getattr(domain.dmarc, key)
        if key in domain.dmarc.model_fields_set and said not in {"reject", None}:
            yield Problem(
                field=f"{field}.dmarc.{key}",
                value=said,
                rule="contradicts profile parked, which has every message in the domain's name refused",
                fix="remove it: profile parked publishes reject",
            )


def _send_only(field: str, domain: Domain) -> Iterator[Problem]:
    asked = domain.mailgun
    if asked is not None and asked.receive and mailgun_name(domain, asked) == domain.name:
        yield Problem(
            field=f"{field}.mailgun.receive",
            value="true",
            rule="contradicts profile send-only, which takes no mail at the domain itself",
            fix="remove it, or give Mailgun a domain below in mailgun.domain",
        )


def _uses(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each field that names a domain whose mail it is about."""
    relay, postal = settings.relay, settings.postal
    for key, listed in (("sender_domains", relay.sender_domains), ("masquerade_domains", relay.masquerade_domains)):
        yield from ((f"relay.{key}[{index}]", name) for index, name in enumerate(listed or ()))
    if relay.submission is not None:
        for index, name in enumerate(relay.submission.srv_domains):
            yield f"relay.submission.srv_domains[{index}]", name
    if postal is None:
        return
    if postal.app_mail is not None:
        yield "postal.app_mail.from_address", postal.app_mail.from_address.rpartition("@")[2]
    for number, organization in enumerate(postal.organizations):
        for place, server in enumerate(organization.mail_servers):
            for index, name in enumerate(server.domains):
                yield f"postal.organizations[{number}].mail_servers[{place}].domains[{index}]", name


def _used_though_parked(settings: Settings) -> Iterator[Problem]:
    parked = {domain.name: index for index, domain in enumerate(settings.domains) if domain.profile == "parked"}
    for field, name in _uses(settings) if parked else ():
        if name in parked:
            yield Problem(
                field=field,
                value=name,
                rule="is parked: its SPF and DMARC have every message refused",
                fix=f"remove it here, or the profile of domains[{parked[name]}]",
            )


PROFILE_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_profiles, _used_though_parked)
