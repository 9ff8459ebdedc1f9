"""From settings to what each part of the stack needs. One place decides what follows from what."""

import ipaddress
from collections.abc import Iterable
from typing import Any, Literal

from mailstack.postal_names import bounce_domains
from mailstack.postfix.relay import RelayDefinition
from mailstack.relay_rule import RelayRule, probe_replies
from mailstack.settings.model import Host, Jump, Settings
from mailstack.upstreams import IMPLICIT_TLS_PORTS

__all__ = [
    "probe_settings",
    "relay_definition",
    "relay_rule",
    "under_any",
    "weaknesses",
]

MEGABYTE = 1_000_000
# A bounce that cannot be delivered in a day is of no use to anyone.
BOUNCE_LIFETIME_HOURS = 24
# Made by role docker: up when the host has its address on the container network.
NETWORK_UNIT = "mailstack-network.service"


def under_any(name: str, parents: Iterable[str]) -> bool:
    """Tell whether ``name`` is one of ``parents`` or below one."""
    return any(name == parent or name.endswith(f".{parent}") for parent in parents)


def relay_definition(settings: Settings) -> RelayDefinition:
    """Return the one definition that main.cf and master.cf are rendered from, for every placement."""
    relay, upstream, provider = settings.relay, settings.relay.upstream, settings.relay.upstream.provider
    versions = {ipaddress.ip_address(address).version for address in settings.egress_addresses}
    protocol: Literal["ipv4", "ipv6", "all"] = "all" if len(versions) > 1 else "ipv6" if 6 in versions else "ipv4"
    size = relay.message_size_mb * MEGABYTE if relay.message_size_mb else provider.message_size_bytes
    return RelayDefinition(
        hostname=relay.hostname,
        listen_addresses=settings.relay_listen_addresses,
        listen_port=settings.relay_listen_port,
        client_networks=_client_networks(settings),
        sender_domains=_sender_domains(settings),
        upstream_host=upstream.host_name,
        upstream_port=upstream.port,
        implicit_tls=upstream.port in IMPLICIT_TLS_PORTS,
        tls_level=upstream.tls,
        ca_file=upstream.ca_file,
        sasl_username=upstream.username if upstream.auth == "sasl" else None,
        masquerade_domains=relay.masquerade_domains,
        message_size_limit_bytes=size,
        recipient_limit=provider.recipients_per_transaction,
        concurrency=relay.concurrency or provider.concurrency,
        ip_protocol=protocol,
        temporary_reply_patterns=provider.temporary_replies,
        queue_lifetime_hours=relay.queue_lifetime_hours,
        **_bounces(settings),
        bounce_lifetime_hours=min(BOUNCE_LIFETIME_HOURS, relay.queue_lifetime_hours),
        postmaster=relay.postmaster,
        after_unit=NETWORK_UNIT if _listens_on_container_network(settings) else None,
        extra_parameters=relay.extra_parameters,
    )


def _sender_domains(settings: Settings) -> tuple[str, ...]:
    listed = settings.relay.sender_domains
    names = tuple(domain.name for domain in settings.domains) if listed is None else listed
    # Postal puts its return path into MAIL FROM. Refused here, every recipient would count as unreachable.
    own = () if settings.postal is None else bounce_domains(settings, settings.postal)
    return tuple(dict.fromkeys((*names, *own)))


def _client_networks(settings: Settings) -> tuple[str, ...]:
    listed = settings.relay.client_networks
    if not _listens_on_container_network(settings) or settings.postal is None:
        return listed
    return tuple(dict.fromkeys((*listed, settings.postal.docker.network)))


def _listens_on_container_network(settings: Settings) -> bool:
    postal = settings.postal
    return (
        postal is not None and settings.postal_shares_relay_host and postal.gateway in settings.relay_listen_addresses
    )


def _bounces(settings: Settings) -> dict[str, Any]:
    postal = settings.postal
    if postal is None:
        return {}
    place = "127.0.0.1" if settings.postal_shares_relay_host else postal.smtp_hostname
    return {"bounce_domains": bounce_domains(settings, postal), "bounce_host": place}


def relay_rule(settings: Settings) -> RelayRule:
    """Return the Google Admin console rule. Raises ValueError where the settings declare none."""
    declared = settings.relay_rule
    if declared is None:
        raise ValueError("the settings declare no relay_rule")
    own = tuple(str(ipaddress.ip_network(address)) for address in settings.egress_addresses)
    return RelayRule(
        name=declared.name,
        allowed_senders=declared.allowed_senders,
        ip_ranges=own if declared.ip_ranges is None else declared.ip_ranges,
        require_smtp_auth=declared.require_smtp_auth,
        require_tls=declared.require_tls,
        domains=_rule_domains(settings) if declared.domains is None else declared.domains,
    )


def _rule_domains(settings: Settings) -> tuple[str, ...]:
    names = tuple(domain.name for domain in settings.domains)
    # The console compares MAIL FROM, and that is Postal's return path.
    return names if settings.postal is None else (*names, *bounce_domains(settings, settings.postal))


def probe_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings of role ``relay_probe``: the same name, port and protocol the relay uses."""
    declared = settings.relay_rule
    if declared is None:
        raise ValueError("the settings declare no relay_rule")
    definition, probe = relay_definition(settings), declared.probe
    sender = probe.sender or f"postmaster@{definition.sender_domains[0]}"
    return {
        "host": definition.upstream_host,
        "port": definition.upstream_port,
        "implicit_tls": definition.implicit_tls,
        "helo": definition.hostname,
        "ca_file": definition.ca_file,
        "sender": sender,
        "recipient": probe.recipient or sender,
        "ip_protocol": definition.ip_protocol,
        "source_address": None,
        "deadline_seconds": probe.wait_minutes * 60,
        "interval_seconds": probe.interval_seconds,
        "connect_timeout": 20,
        "on_failure": probe.on_failure,
        "replies": probe_replies(),
    }


def _postal_weaknesses(settings: Settings) -> list[str]:
    postal, found = settings.postal, []
    if postal is None:
        return []
    if not postal.smtp_tls:
        found.append("postal.smtp_tls is false: applications send their keys and mail to Postal in clear")
    if postal.sending.path == "direct" and settings.relay.upstream.port not in IMPLICIT_TLS_PORTS:
        found.append(
            "postal.sending.path is direct: Postal checks who issued the upstream's certificate, not whom it is for; "
            "path postfix checks both, and so does port 465"
        )
    if postal.database_host not in {None, postal.host}:
        found.append("postal.database.host is another machine: Postal's connection to it is not encrypted")
    return found


def weaknesses(settings: Settings) -> list[str]:
    """Return what was weakened on purpose, one sentence each. Every `pulumi up` reports them."""
    found = []
    if settings.relay.upstream.tls != "secure":
        found.append(
            f"relay.upstream.tls is {settings.relay.upstream.tls}: the upstream's certificate is not checked for "
            "its name as `secure` does, so someone in between could read the mail"
        )
    if settings.relay_rule is not None and settings.relay_rule.allowed_senders == "any-address":
        found.append("relay_rule.allowed_senders is any-address: a stolen relay could send in anyone's name")
    found += _postal_weaknesses(settings)
    for name, host in settings.hosts.items():
        reached: dict[str, Host | Jump] = {f"hosts.{name}": host}
        if host.jump is not None:
            reached[f"hosts.{name}.jump"] = host.jump
        found += [
            f"{field}.host_key is not set: the first one to answer at {target.address} is trusted"
            for field, target in reached.items()
            if target.host_key is None
        ]
    return found
