"""Rules of ``relay`` that need more than one field."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence

from mailstack.postfix.relay import PROTECTED_PARAMETERS
from mailstack.settings.model import Settings
from mailstack.settings.names import under_any
from mailstack.settings.problems import Problem, duplicates, one_of
from mailstack.settings.relay_hosts_rules import relay_hosts
from mailstack.settings.relay_model import Submission

__all__ = ["RELAY_RULES"]

# 10.0.0.0/8 is the widest network one organisation can own; a public client network wider than these is a
# whole provider, not a company.
WIDEST_PRIVATE = {4: 8, 6: 7}
WIDEST_PUBLIC = {4: 24, 6: 48}
SMTP_PORT, SSH_PORT, WEB_PORTS = 25, 22, (80, 443)
USUAL_PORTS = {"starttls_port": 587, "tls_port": 465}


def _listening(field: str, listed: Sequence[str]) -> Iterator[Problem]:
    for name in duplicates(listed):
        yield Problem(field=field, value=name, rule="is listed twice", fix="remove one")
    if len(listed) > 1 and any(ipaddress.ip_address(address).is_unspecified for address in listed):
        yield Problem(
            field=field,
            value=", ".join(listed),
            rule="0.0.0.0 and :: stand for all addresses and cannot be combined",
            fix="list either all or the single addresses",
        )


def _relay_names(settings: Settings) -> Iterator[Problem]:
    relay = settings.relay
    names = [domain.name for domain in settings.domains]
    if relay.hostname in names or not under_any(relay.hostname, names):
        yield Problem(
            field="relay.hostname",
            value=relay.hostname,
            rule="must be a host name below one of domains: the upstream tells customers apart by it (EHLO)",
            fix=f"use relay.{names[0]}, and let it resolve to the host",
        )
    for key, listed in (
        ("sender_domains", relay.sender_domains),
        ("masquerade_domains", relay.masquerade_domains),
    ):
        for index, name in enumerate(listed or ()):
            if name not in names:
                yield Problem(
                    field=f"relay.{key}[{index}]",
                    value=name,
                    rule="must be one of domains: only those have SPF, DKIM and DMARC records",
                    fix=one_of(names, name),
                )
        for name in duplicates(listed or ()):
            yield Problem(field=f"relay.{key}", value=name, rule="the domain is listed twice", fix="remove one")
    if relay.sender_domains == ():
        yield Problem(
            field="relay.sender_domains",
            value="an empty list",
            rule="must not be empty: nobody could send",
            fix="list the domains, or leave the key out for all of domains",
        )


def _relay_reach(settings: Settings) -> Iterator[Problem]:
    relay = settings.relay
    if relay.placement == "docker":
        yield from _client_networks(relay.client_networks)
        return
    addresses = [ipaddress.ip_address(address) for address in settings.relay_listen_addresses]
    container_side = None if settings.postal is None else ipaddress.ip_address(settings.postal.gateway)
    outside = [address for address in addresses if not address.is_loopback and address != container_side]
    yield from _listening("relay.listen_addresses", relay.listen_addresses or ())
    # A cluster has a default of its own: see mailstack.plan.relay_kubernetes.
    if outside and not relay.client_networks and relay.placement != "kubernetes":
        yield Problem(
            field="relay.client_networks",
            value="",
            rule=f"is required when the relay listens on {outside[0]}: otherwise nobody could use it",
            fix="list the networks of the applications, or listen on 127.0.0.1 only",
        )
    if not outside and relay.client_networks:
        yield Problem(
            field="relay.client_networks",
            value=", ".join(relay.client_networks),
            rule="has no effect: the relay listens on loopback only",
            fix="add the address applications connect to, to relay.listen_addresses",
        )
    yield from _client_networks(relay.client_networks)


def _client_networks(listed: Sequence[str]) -> Iterator[Problem]:
    for index, text in enumerate(listed):
        network = ipaddress.ip_network(text)
        widest = (WIDEST_PUBLIC if network.is_global else WIDEST_PRIVATE)[network.version]
        if network.prefixlen < widest or network.network_address.is_unspecified:
            yield Problem(
                field=f"relay.client_networks[{index}]",
                value=text,
                rule=f"is too wide, the relay would serve strangers; /{widest} is the widest for this kind",
                fix="list the networks of the applications only",
            )


def _relay_limits(settings: Settings) -> Iterator[Problem]:
    relay = settings.relay
    for upstream in settings.all_upstreams:
        provider = upstream.provider
        limit = provider.message_size_bytes // 1_000_000
        if upstream.preset != "custom" and relay.message_size_mb is not None and relay.message_size_mb > limit:
            yield Problem(
                field="relay.message_size_mb",
                value=str(relay.message_size_mb),
                rule=f"{provider.title} takes {limit} MB at most; larger mail would be queued and then bounce",
                fix=f"use {limit} or less, or leave it out",
            )
    for name, value in relay.extra_parameters.items():
        field = f"relay.extra_parameters.{name}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            yield Problem(field=field, value="", rule="is not the form of a main.cf parameter", fix="see postconf(5)")
        elif name in PROTECTED_PARAMETERS:
            yield Problem(
                field=field,
                value=str(value),
                rule="is set by this project and cannot be overridden here",
                fix=PROTECTED_PARAMETERS[name],
            )
        if isinstance(value, str) and re.search(r"[\x00-\x1f\x7f]", value):
            yield Problem(
                field=field,
                value="",
                rule="must be one line: a second line would be a parameter of its own",
                fix="separate values by commas",
            )


def _submission(settings: Settings) -> Iterator[Problem]:
    relay, submission = settings.relay, settings.relay.submission
    if submission is None:
        return
    field = "relay.submission"
    if relay.placement == "none":
        yield Problem(field=field, value="a mapping", rule="needs Postfix, and placement is none", fix="remove it")
    yield from _submission_ports(settings, submission)
    yield from _listening(f"{field}.listen_addresses", submission.listen_addresses)
    for name in duplicates(user.name for user in submission.users):
        yield Problem(field=f"{field}.users", value=name, rule="is listed twice", fix="remove one")
    if submission.certificate is None and not settings.submission_uses_caddy:
        yield Problem(
            field=f"{field}.certificate",
            value="",
            rule=f"is required: no Caddy has a certificate to hand over on {', '.join(relay.host_names)}"
            if relay.hosts
            else f"is required: no Caddy on {', '.join(relay.host_names)} has a certificate to hand over",
            fix="name certificate_file and key_file; they have to be on each host: a Caddy serves one only"
            if relay.hosts
            else "name certificate_file and key_file on the host, or put caddy there",
        )


def _submission_ports(settings: Settings, submission: Submission) -> Iterator[Problem]:
    relay, field = settings.relay, "relay.submission"
    ports = {"starttls_port": submission.starttls_port, "tls_port": submission.tls_port}
    if submission.starttls_port is None and submission.tls_port is None:
        yield Problem(
            field=f"{field}.starttls_port",
            value="",
            rule="needs a port, or tls_port does",
            fix="leave both keys out for 587 and 465",
        )
    elif submission.starttls_port == submission.tls_port:
        yield Problem(
            field=f"{field}.tls_port",
            value=str(submission.tls_port),
            rule="is the port of starttls_port: a port either demands STARTTLS or starts with TLS",
            fix="leave both keys out for 587 and 465",
        )
    taken = {settings.relay_listen_port: "relay.listen_port", SSH_PORT: "SSH"}
    taken |= {host.port: "SSH" for host in settings.relay_hosts}
    if settings.postal_shares_relay_host:
        taken[SMTP_PORT] = "Postal"
    if settings.caddy is not None and settings.caddy.host in relay.host_names:
        taken |= dict.fromkeys(WEB_PORTS, "Caddy")
    for key, port in ports.items():
        if port in taken:
            yield Problem(
                field=f"{field}.{key}",
                value=str(port),
                rule=f"is taken on {', '.join(relay.host_names)} by {taken[port]}",
                fix=_other_port(key, port, taken[port]),
            )


def _other_port(key: str, port: int, holder: str) -> str:
    if port == USUAL_PORTS[key] and holder == "relay.listen_port":
        return "give relay.listen_port another port, 25 as a rule"
    usual = f"; the usual one is {USUAL_PORTS[key]}" if port != USUAL_PORTS[key] else ""
    return f"use another port, or null for none{usual}"


def _placement(settings: Settings) -> Iterator[Problem]:
    if settings.relay.placement == "none" and settings.postal is None:
        yield Problem(
            field="relay.placement",
            value="none",
            rule="needs postal with sending.path direct: otherwise nothing would send",
            fix="remove it, or add the section postal",
        )


def _sender(settings: Settings) -> Iterator[Problem]:
    relay = settings.relay
    names = [domain.name for domain in settings.mail_domains] if relay.sender_domains is None else relay.sender_domains
    domain = (relay.from_email or "").rpartition("@")[2]
    if relay.from_email is not None and names and domain not in names:
        yield Problem(
            field="relay.from_email",
            value=relay.from_email,
            rule=f"is in {domain}, and the relay takes mail of {', '.join(names)} only",
            fix=f"use an address in {names[0]}",
        )


RELAY_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    _placement,
    _submission,
    relay_hosts,
    _relay_names,
    _relay_reach,
    _relay_limits,
    _sender,
)
