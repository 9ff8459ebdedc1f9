"""From settings to the relay: the definition that main.cf is rendered from, and the role that brings it to a host."""

import ipaddress
from typing import Any, Literal

from mailstack.plan.model import RelayPlan, RoleRun
from mailstack.plan.shown import Secret, Shown, shown_run
from mailstack.postfix.relay import RelayDefinition, RelayDefinitionError, role_settings
from mailstack.settings.model import Settings
from mailstack.settings.names import bounce_domains
from mailstack.settings.problems import SettingsError, definition_problems
from mailstack.upstreams import IMPLICIT_TLS_PORTS

__all__ = ["plan_relay", "relay_definition"]

MEGABYTE = 1_000_000
# A bounce that cannot be delivered in a day is of no use to anyone.
BOUNCE_LIFETIME_HOURS = 24
# Made by role docker: up when the host has its address on the container network.
NETWORK_UNIT = "mailstack-network.service"


# Reasons are comments of main.cf; a further parameter stands among the others already.
NOT_SHOWN = frozenset({"reasons", "extra_parameters"})


def plan_relay(settings: Settings) -> RelayPlan:
    """Return the relay's plan. Raises SettingsError for what only the definition itself can find."""
    try:
        definition = relay_definition(settings)
    except RelayDefinitionError as error:
        raise SettingsError(definition_problems("relay", str(error))) from None
    if settings.relay.placement != "vm":
        return RelayPlan(definition=definition, run=None, shown={})
    upstream = settings.relay.upstream
    password = upstream.password if upstream.auth == "sasl" else None
    run = RoleRun(
        name="relay-postfix",
        host=settings.relay.host,
        role="postfix_relay",
        settings=role_settings(definition),
        secrets={} if password is None else {"sasl_password": password.get_secret_value()},
        on_destroy=settings.relay.on_destroy,
    )
    return RelayPlan(definition=definition, run=run, shown=_shown(run))


def _shown(run: RoleRun) -> Shown:
    """Return main.cf parameter by parameter, master.cf service by service, each map entry by entry."""
    told = {key: value for key, value in run.settings.items() if key not in NOT_SHOWN}
    found: dict[str, str | Secret] = {"host": run.host, "on_destroy": run.on_destroy}
    return found | shown_run(run.role, told, run.secrets)


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
