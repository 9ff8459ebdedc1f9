"""Rules of what domains and ``dns`` have beyond mail's own records that need more than one field."""

import ipaddress
from collections.abc import Callable, Iterator

from mailstack.dns import decode_content, zone_of
from mailstack.settings.domains_model import Domain
from mailstack.settings.model import Settings
from mailstack.settings.names import provider_region, zone_names
from mailstack.settings.problems import Problem, duplicates, one_of

__all__ = ["DOMAIN_RECORDS_RULES"]


def _providers(settings: Settings) -> Iterator[Problem]:
    for index, domain in enumerate(settings.domains):
        field = f"domains[{index}]"
        if domain.ses is not None:
            yield from _ses(settings, f"{field}.ses", domain)
        for number, key in enumerate(() if domain.mailgun is None else domain.mailgun.dkim):
            if (key.public_key is None) == (key.target is None):
                yield Problem(
                    field=f"{field}.mailgun.dkim[{number}]",
                    value=f"selector {key.selector}",
                    rule="needs exactly one of public_key and target",
                    fix="public_key where the console shows a TXT record, target where it shows a CNAME",
                )


def _ses(settings: Settings, field: str, domain: Domain) -> Iterator[Problem]:
    if provider_region(settings, domain, "ses") is None:
        yield Problem(
            field=f"{field}.region",
            value="",
            rule="is required: the domain's upstream is not SES, so the region does not follow from it",
            fix="write the AWS region of the identity, such as eu-west-1",
        )


def _records(settings: Settings) -> Iterator[Problem]:
    zones = dict.fromkeys(zone_names(settings))
    for index, entry in enumerate(settings.dns.records):
        field = f"dns.records[{index}]"
        if zone_of(entry.name.removeprefix("*."), zones) is None:
            yield Problem(
                field=f"{field}.name",
                value=entry.name,
                rule="is in no zone of this stack, so nobody would serve it",
                fix=f"correct the name; the zones are {', '.join(zones)}",
            )
        if entry.type == "NS" and entry.name in zones:
            yield Problem(
                field=f"{field}.type",
                value="NS",
                rule=f"is at the top of the zone {entry.name}, whose name servers its provider decides",
                fix="remove the entry; NS here hands a name below on to other servers",
            )
        if entry.priority is not None and entry.type not in {"MX", "SRV"}:
            yield Problem(
                field=f"{field}.priority",
                value=str(entry.priority),
                rule=f"is for MX and SRV; a record of type {entry.type} has none",
                fix="remove it",
            )


def _tlsa(settings: Settings) -> Iterator[Problem]:
    zones = dict.fromkeys(zone_names(settings))
    for index, name in enumerate(settings.dns.signed_zones):
        if name not in zones:
            yield Problem(
                field=f"dns.signed_zones[{index}]",
                value=name,
                rule="is no zone of this stack",
                fix=one_of(zones, name),
            )
    for index, entry in enumerate(settings.dns.tlsa):
        field = f"dns.tlsa[{index}]"
        if zone_of(entry.host, zones) is None:
            yield Problem(
                field=f"{field}.host",
                value=entry.host,
                rule="is in no zone of this stack, so nobody would serve it",
                fix=f"name a host of yours; the zones are {', '.join(zones)}",
            )
        for number, value in enumerate(entry.values):
            if decode_content("TLSA", value) is None:
                yield Problem(
                    field=f"{field}.values[{number}]",
                    value=value,
                    rule="must be usage, selector, matching type and hexadecimal digits (RFC 6698 §2.2)",
                    fix="write 3 1 1 and the SHA-256 of the server's public key",
                )


def _services(settings: Settings) -> Iterator[Problem]:
    submission = settings.relay.submission
    if submission is None:
        return
    field, names = "relay.submission.srv_domains", [domain.name for domain in settings.domains]
    for index, name in enumerate(submission.srv_domains):
        if name not in names:
            yield Problem(field=f"{field}[{index}]", value=name, rule="must be one of domains", fix=one_of(names, name))
    for name in duplicates(submission.srv_domains):
        yield Problem(field=field, value=name, rule="the domain is listed twice", fix="remove one")
    listening = [ipaddress.ip_address(address) for address in submission.listen_addresses]
    egress = [ipaddress.ip_address(address) for address in settings.egress_addresses]
    reached = any(address.is_unspecified or address in egress for address in listening)
    if submission.srv_domains and settings.environment == "prod" and not reached:
        yield Problem(
            field=field,
            value=", ".join(submission.srv_domains),
            rule=f"tell everybody of {settings.relay.hostname}, and submission does not listen on its addresses",
            fix=f"add {egress[0] if egress else 'the public address of the host'} to listen_addresses, or remove it",
        )


DOMAIN_RECORDS_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_providers, _records, _tlsa, _services)
