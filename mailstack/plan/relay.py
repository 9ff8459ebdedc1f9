"""From settings to the relay: the definition that main.cf is rendered from, and the role that brings it to a host."""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Literal

from mailstack.plan.applications import compose_snippet, smtp_environment
from mailstack.plan.caddy import certificate_files
from mailstack.plan.cluster_access import PRIVATE_NETWORKS
from mailstack.plan.metrics import metrics_settings
from mailstack.plan.model import RELAY_RUN, RelayPlan, RoleRun
from mailstack.plan.relay_docker import plan_docker_relay, shown_container
from mailstack.plan.relay_kubernetes import plan_kubernetes_relay, shown_kubernetes
from mailstack.plan.shown import Secret, Shown, flat, shown_for_all
from mailstack.postfix.relay import (
    PROOF_HELO,
    RelayDefinition,
    RelayDefinitionError,
    RelayUpstream,
    Submission,
    main_cf,
    role_settings,
)
from mailstack.reach.bundle import ROLE_TIMEOUT_SECONDS, code_digest
from mailstack.relay_rule import probe_replies
from mailstack.settings.cluster_types import quantity
from mailstack.settings.model import Settings
from mailstack.settings.names import bounce_domains, custom_return_path
from mailstack.settings.problems import SettingsError, definition_problems
from mailstack.settings.relay_kubernetes_model import RelayKubernetes
from mailstack.settings.relay_tiers import tier_for, tier_within
from mailstack.settings.upstream_model import UpstreamSettings
from mailstack.upstreams import IMPLICIT_TLS_PORTS

__all__ = ["plan_relay", "relay_definition"]

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
        of_hosts = {host: relay_definition(settings, host) for host in settings.relay.host_names}
    except RelayDefinitionError as error:
        raise SettingsError(definition_problems("relay", str(error))) from None
    if settings.relay.placement == "docker":
        return _in_docker(settings, definition)
    if settings.relay.placement == "kubernetes":
        return _on_kubernetes(settings, definition)
    if settings.relay.placement != "vm":
        return RelayPlan(definition=definition, shown={})
    proof = _proof(settings, definition)
    runs = tuple(
        RoleRun(
            name=f"{RELAY_RUN}-{host}" if settings.relay.hosts else RELAY_RUN,
            host=host,
            role="postfix_relay",
            settings={
                **role_settings(of_host),
                **metrics_settings(settings),
                **({"proof": proof} if proof else {}),
            },
            secrets=_secrets(settings),
            on_destroy=settings.relay.on_destroy,
            timeout_seconds=ROLE_TIMEOUT_SECONDS + int(proof.get("wait_seconds", 0)),
        )
        for host, of_host in of_hosts.items()
    )
    addresses = settings.smtp_hosts or definition.listen_addresses
    smtp_host = settings.relay.client_name or addresses[0]
    return RelayPlan(
        definition=definition,
        runs=runs,
        smtp_host=smtp_host,
        smtp_hosts=addresses,
        after_caddy=settings.submission_uses_caddy,
        smtp_environment=smtp_environment(settings, definition, smtp_host),
        shown=_shown(settings, runs),
    )


def _in_docker(settings: Settings, definition: RelayDefinition) -> RelayPlan:
    told, secrets = role_settings(definition), _secrets(settings)
    docker = plan_docker_relay(settings, told, secrets)
    environment = smtp_environment(settings, definition, docker.name)
    shown = shown_container(docker, settings.relay_docker.messages_per_day) | _shown_settings(told)
    shown |= {name: Secret(text) for name, text in flat(secrets)}
    return RelayPlan(
        definition=definition,
        smtp_host=docker.name,
        smtp_hosts=(docker.name,),
        docker=docker,
        smtp_environment=environment,
        compose_snippet=compose_snippet(docker, environment),
        shown=shown,
    )


def _proof(settings: Settings, definition: RelayDefinition) -> dict[str, Any]:
    """Return how the role proves that the relay delivers; empty where it does not."""
    proof, google = settings.relay_proof, settings.google_upstream
    if proof is None or definition.proof_sender is None:
        return {}
    # What an upstream takes for its own domain's abuse@ (RFC 2142) it takes for anyone.
    recipient = proof.recipient or f"abuse@{definition.proof_sender.rpartition('@')[2]}"
    return {
        "helo": PROOF_HELO,
        "sender": definition.proof_sender,
        "recipient": recipient,
        "wait_seconds": proof.wait_minutes * 60,
        "interval_seconds": proof.interval_seconds,
        "on_failure": proof.on_failure,
        "replies": [] if google is None else probe_replies(),
    }


def _on_kubernetes(settings: Settings, definition: RelayDefinition) -> RelayPlan:
    told = role_settings(definition)
    placed = plan_kubernetes_relay(settings, definition, told, _secrets(settings))
    host = placed.relay.host
    return RelayPlan(
        definition=definition,
        smtp_host=host,
        smtp_hosts=(host,),
        kubernetes=placed,
        smtp_environment=smtp_environment(settings, definition, host),
        shown=_shown_settings(told) | shown_kubernetes(placed),
    )


# Two definitions that differ in everything: what they share of main.cf is the same for every stack.
CONTRASTS = (
    RelayDefinition(hostname="a.example.com", sender_domains=("a.example.com",), upstream_host="smtp.a.example.com"),
    RelayDefinition(
        hostname="b.example.org",
        sender_domains=("b.example.org", "c.example.org"),
        upstream_host="smtp.b.example.org",
        upstream_port=465,
        implicit_tls=True,
        tls_level="encrypt",
        ca_file="/etc/ssl/b.pem",
        sasl_username="b",
        listen_addresses=("::1",),
        listen_port=2525,
        client_networks=("10.0.0.0/8",),
        masquerade_domains=("b.example.org",),
        message_size_limit_bytes=1,
        recipient_limit=1,
        concurrency=1,
        ip_protocol="all",
        bind_address="2001:db8::1",
        temporary_reply_patterns=("quota",),
        bounce_domains=("rp.b.example.org",),
        bounce_host="mx.b.example.org",
        queue_lifetime_hours=2,
        bounce_lifetime_hours=1,
        postmaster="postmaster@b.example.org",
        after_unit="b.service",
        upstreams=(
            RelayUpstream(
                name="b", host="b.example.org", implicit_tls=True, tls_level="encrypt", ca_file="/etc/ssl/b.pem"
            ),
        ),
        fallback=RelayUpstream(
            name="f", host="f.example.org", implicit_tls=True, tls_level="encrypt", ca_file="/etc/ssl/b.pem"
        ),
        smtputf8=False,
        strict_envelopes=True,
        proof_sender="a@b.example.org",
        extra_parameters={"soft_bounce": True},
    ),
)


@cache
def _same_for_all() -> frozenset[str]:
    """Return the parameters of main.cf that follow from no setting."""
    one, other = map(main_cf, CONTRASTS)
    return frozenset(name for name in one if name in other and one[name] == other[name])


def _secrets(settings: Settings) -> dict[str, Any]:
    relay = settings.relay
    found: dict[str, Any] = {}
    if relay.upstream.auth == "sasl" and relay.upstream.password is not None:
        found["sasl_password"] = relay.upstream.password.get_secret_value()
    further = {
        name: upstream.password.get_secret_value()
        for name, upstream in relay.upstreams.items()
        if upstream.auth == "sasl" and upstream.password is not None
    }
    if further:
        found["upstream_passwords"] = further
    if relay.submission is not None:
        found["submission_passwords"] = {user.name: user.password.get_secret_value() for user in relay.submission.users}
    return found


def _shown(settings: Settings, runs: tuple[RoleRun, ...]) -> Shown:
    """Return what is told to the role: once what all hosts are told, below the host's name what only it is told."""
    shown = shown_for_all({run.host: _shown_run(run) for run in runs})
    place = {"hosts": ", ".join(settings.relay.hosts)} if settings.relay.hosts else {"host": runs[0].host}
    names = {} if settings.relay.client_name is None else {"client_name": settings.relay.client_name}
    return {**place, **names, **shown}


def _shown_run(run: RoleRun) -> Shown:
    """Return what is told to the role, value by value; what is the same for every stack as one text each.

    The engine cuts an unchanged text short and shows only the lines of a changed one that differ.
    """
    found: dict[str, str | Secret] = {"on_destroy": run.on_destroy}
    found |= _shown_settings(run.settings) | {name: Secret(text) for name, text in flat(run.secrets)}
    return found | {f"code of role {run.role}": code_digest(run.role)}


def _shown_settings(settings: Mapping[str, Any]) -> dict[str, str | Secret]:
    told = {key: value for key, value in settings.items() if key not in NOT_SHOWN}
    parameters = dict(told.pop("main_cf"))
    services = [_service_line(service) for service in told.pop("master_cf")]
    extra = settings["extra_parameters"]
    fixed = {name: value for name, value in parameters.items() if name in _same_for_all() and name not in extra}
    told["main.cf"] = {name: value for name, value in parameters.items() if name not in fixed}
    if "proof" in told:
        told["proof"] = {key: value for key, value in told["proof"].items() if key != "replies"}
    found: dict[str, str | Secret] = {
        "main.cf of every relay": "\n".join(f"{name} = {text}" for name, text in flat(fixed))
    }
    found["master.cf"] = "\n".join(services)
    return found | dict(flat(told))


def _service_line(service: Mapping[str, Any]) -> str:
    """Return a service of master.cf as one line of text."""
    columns = ("name", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command")
    options = [f"-o {name}={text}" for name, text in flat(service["options"])]
    return " ".join([*(service[column] for column in columns), *options])


def relay_definition(settings: Settings, host: str | None = None) -> RelayDefinition:
    """Return the one definition that main.cf and master.cf are rendered from, for every placement.

    Several hosts differ in nothing but addresses: what ``host`` (absent: the first) listens on and sends from, and
    where Postal is, seen from there.
    """
    host = host or next(iter(settings.relay.host_names), None)
    known = host if host in settings.hosts else None
    relay, upstream, provider = settings.relay, settings.relay.upstream, settings.relay.upstream.provider
    egress = settings.egress_addresses if known is None else settings.egress_addresses_of(known)
    versions = {ipaddress.ip_address(address).version for address in egress}
    protocol: Literal["ipv4", "ipv6", "all"] = "all" if len(versions) > 1 else "ipv6" if 6 in versions else "ipv4"
    patterns = (pattern for upstream in settings.all_upstreams for pattern in upstream.provider.temporary_replies)
    return RelayDefinition(
        hostname=relay.hostname,
        listen_addresses=settings.relay_listen_addresses if host is None else settings.relay_listens_on(host),
        listen_port=settings.relay_listen_port,
        client_networks=_client_networks(settings, host),
        sender_domains=_sender_domains(settings),
        upstream_host=upstream.host_name,
        upstream_port=upstream.port,
        implicit_tls=upstream.port in IMPLICIT_TLS_PORTS,
        tls_level=upstream.tls,
        ca_file=upstream.ca_file,
        sasl_username=upstream.username if upstream.auth == "sasl" else None,
        masquerade_domains=relay.masquerade_domains,
        message_size_limit_bytes=settings.message_size_bytes,
        recipient_limit=provider.recipients_per_transaction,
        concurrency=_concurrency(settings),
        ip_protocol=protocol,
        temporary_reply_patterns=tuple(dict.fromkeys(patterns)),
        queue_lifetime_hours=relay.queue_lifetime_hours,
        **_bounces(settings, host),
        bounce_lifetime_hours=min(BOUNCE_LIFETIME_HOURS, relay.queue_lifetime_hours),
        postmaster=relay.postmaster,
        after_unit=NETWORK_UNIT if _listens_on_container_network(settings, host) else None,
        upstreams=tuple(_further(settings)),
        fallback=None if settings.fallback is None else _upstream(str(relay.fallback_upstream), settings.fallback),
        smtputf8=all(upstream.takes_smtputf8 for upstream in settings.all_upstreams),
        strict_envelopes=relay.strict_envelopes,
        submission=_submission(settings),
        proof_sender=_proof_sender(settings),
        process_limit=_processes(settings),
        extra_parameters=relay.extra_parameters,
    )


def _concurrency(settings: Settings) -> int:
    """Return how many sessions there are to the upstream at most: in a container, what its memory has room for."""
    usual, most = settings.relay.upstream.provider.concurrency, _processes(settings)
    return settings.relay.concurrency or (usual if most is None else min(usual, most))


def _processes(settings: Settings) -> int | None:
    """Return how many processes of a kind keep the relay within the memory it may have; None where it has no limit."""
    relay = settings.relay
    if relay.placement == "docker":
        return tier_for(settings.relay_docker.messages_per_day).processes
    if relay.placement == "kubernetes":
        limit = (relay.kubernetes or RelayKubernetes()).resources.memory_limit
        return tier_within(quantity(limit) / 2**20).processes
    return None


def _further(settings: Settings) -> Iterator[RelayUpstream]:
    """Yield the upstreams that have sender domains of their own, Postal's return paths below them included."""
    by_name: dict[str, list[str]] = {}
    for domain in settings.domains:
        if domain.upstream is not None:
            by_name.setdefault(domain.upstream, []).append(domain.name)
    senders = frozenset(_sender_domains(settings))
    for name, domains in by_name.items():
        own = [custom_return_path(domain) for domain in domains]
        listed = tuple(domain for domain in (*domains, *own) if domain in senders)
        yield replace(_upstream(name, settings.relay.upstreams[name]), sender_domains=listed)


def _upstream(name: str, upstream: UpstreamSettings) -> RelayUpstream:
    return RelayUpstream(
        name=name,
        host=upstream.host_name,
        port=upstream.port,
        implicit_tls=upstream.port in IMPLICIT_TLS_PORTS,
        tls_level=upstream.tls,
        ca_file=upstream.ca_file,
        sasl_username=upstream.username if upstream.auth == "sasl" else None,
        recipient_limit=upstream.provider.recipients_per_transaction,
        concurrency=upstream.provider.concurrency,
    )


def _submission(settings: Settings) -> Submission | None:
    declared = settings.relay.submission
    if declared is None:
        return None
    certificate = declared.certificate
    if certificate is not None:
        files = certificate.certificate_file, certificate.key_file
    elif settings.submission_uses_caddy:
        files = certificate_files(settings, settings.relay.hostname)
    else:
        return None  # the rules have said what is missing
    return Submission(
        listen_addresses=declared.listen_addresses,
        starttls_ports=tuple(filter(None, [declared.starttls_port])),
        tls_ports=tuple(filter(None, [declared.tls_port])),
        certificate_file=files[0],
        key_file=files[1],
        users=tuple(user.name for user in declared.users),
    )


def _sender_domains(settings: Settings) -> tuple[str, ...]:
    listed = settings.relay.sender_domains
    names = tuple(domain.name for domain in settings.mail_domains) if listed is None else listed
    # Postal puts its return path into MAIL FROM. Refused here, every recipient would count as unreachable.
    own = () if settings.postal is None else bounce_domains(settings, settings.postal)
    return tuple(dict.fromkeys((*names, *own)))


def _proof_sender(settings: Settings) -> str | None:
    proof, rule = settings.relay_proof, settings.relay_rule
    if proof is None:
        return None
    own = None if rule is None else rule.probe.sender
    return proof.sender or own or f"postmaster@{_sender_domains(settings)[0]}"


def _client_networks(settings: Settings, host: str | None) -> tuple[str, ...]:
    listed = settings.relay.client_networks
    if settings.relay.placement == "docker":
        return tuple(dict.fromkeys((settings.relay_docker.network.subnet, *listed)))
    if settings.relay.placement == "kubernetes" and not listed:
        return PRIVATE_NETWORKS[len(settings.relay_listen_addresses) > 1]
    if not _listens_on_container_network(settings, host) or settings.postal is None:
        return listed
    return tuple(dict.fromkeys((*listed, settings.postal.docker.network)))


def _listens_on_container_network(settings: Settings, host: str | None) -> bool:
    postal = settings.postal
    return (
        postal is not None
        and host is not None
        and postal.host == host
        and postal.gateway in settings.relay_listens_on(host)
    )


# Postal's port 25 on the relay's own host, by an address that Postfix does not listen on: at port 25 of one of its own
# it finds that mail "loops back to myself" (smtp_connect.c), and the bounce is gone.
BESIDE = "127.0.0.2"


def _bounces(settings: Settings, host: str | None) -> dict[str, Any]:
    postal = settings.postal
    if postal is None:
        return {}
    place = BESIDE if host is not None and postal.host == host else postal.smtp_hostname
    asked = postal.cluster
    if asked is not None and settings.postal_shares_relay_cluster:
        # Beside it, so by the cluster's own name: the public one may not lead back in.
        place = f"{asked.name}-smtp.{asked.namespace}.svc.{asked.cluster_domain}"
    return {"bounce_domains": bounce_domains(settings, postal), "bounce_host": place}
