"""From settings to Postal's objects on a cluster."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from mailstack.kubernetes.objects import selector
from mailstack.kubernetes.postal import postal_objects
from mailstack.kubernetes.postal_definition import (
    DatabaseAdmin,
    MailOut,
    Peers,
    PostalOnCluster,
    Process,
    ProcessName,
    Route,
)
from mailstack.kubernetes.postal_files import cluster_config
from mailstack.kubernetes.relay_definition import APPLICATION as RELAY
from mailstack.plan.cluster_access import cluster_access, cluster_dns, scaling_of, shown_objects
from mailstack.plan.cluster_applications import postal_applications, shown_applications
from mailstack.plan.postal_cluster import KubernetesPostal
from mailstack.plan.shown import Secret, flat
from mailstack.postal.compose import image_reference
from mailstack.postal.definition import PostalDefinition, role_settings
from mailstack.settings.model import Settings
from mailstack.settings.postal_kubernetes_model import PostalKubernetes
from mailstack.settings.postal_model import Postal
from mailstack.settings.problems import Problem, SettingsError
from mailstack.settings.relay_kubernetes_model import RelayKubernetes

__all__ = ["plan_kubernetes_postal", "shown_kubernetes_postal"]

WEB_GRACE_SECONDS = SMTP_GRACE_SECONDS = 60
SMTP_PORT = 25
# What the API takes (MaxSecretSize), less room for the names of files.
LARGEST_SECRET_BYTES = 1_000_000


def plan_kubernetes_postal(
    settings: Settings,
    postal: Postal,
    definition: PostalDefinition,
    secrets: Mapping[str, Any],
    mail_servers: Mapping[str, Any],
    sender: Mapping[str, str],
) -> KubernetesPostal:
    """Return the objects of an installation with that definition.

    ``secrets`` are those of role ``postal``; ``mail_servers`` and ``sender`` what applications are told.
    """
    asked = postal.cluster
    if asked is None:
        raise ValueError("the settings place Postal on no cluster")
    told = role_settings(definition)
    admin = asked.database_admin
    own = None if admin is None or admin.password is None else admin.password.get_secret_value()
    kept = {name: text for name, text in secrets.items() if name != "backup_passphrase"}
    issued = postal.smtp_tls and asked.smtp_tls_secret is None
    cluster = PostalOnCluster(
        name=asked.name,
        namespace=asked.namespace,
        create_namespace=asked.create_namespace,
        namespace_labels=_relay(settings).client_namespace_labels if settings.postal_shares_relay_cluster else {},
        image=image_reference(told["image"]),
        image_pull_secret=asked.image_pull_secret,
        config=cluster_config(told["config"], dual_stack=asked.dual_stack),
        database=told["database"],
        database_peers=_database_peers(asked),
        admin=None
        if admin is None
        else DatabaseAdmin(username=admin.username, secret=admin.secret, secret_key=admin.secret_key),
        provision=told["provision"],
        removal=definition.removal,
        dns_check=told["dns_check"],
        processes=_processes(postal, asked),
        stopped=asked.stopped,
        job_round=asked.job_round,
        read_only_root=asked.read_only_root,
        route=_route(asked),
        tracking_names=tuple(dict.fromkeys(_tracking(postal))),
        issuer=None if asked.issuer is None else (asked.issuer.kind, asked.issuer.name),
        smtp_tls_secret=(asked.smtp_tls_secret or f"{asked.name}-smtp-tls") if postal.smtp_tls else None,
        smtp_tls_issued=issued,
        smtp_annotations=asked.smtp_service_annotations,
        load_balancer_class=asked.load_balancer_class,
        mail_out=_mail_out(settings, postal, asked, definition),
        dns=cluster_dns(asked.network_policies),
        api_networks=asked.network_policies.api_networks,
        metrics_namespace=asked.metrics_namespace,
        priority_class=asked.priority_class,
        own_nodes=asked.spread == "require",
        dual_stack=asked.dual_stack,
        further_labels=asked.labels,
        cluster_domain=asked.cluster_domain,
        applications=postal_applications(asked.application_secrets, mail_servers, sender),
    )
    placed = KubernetesPostal(
        access=cluster_access(asked),
        postal=cluster,
        secrets={**kept, **({"database_admin": own} if own is not None else {})},
        keep=postal.at_the_end == "keep",
    )
    _require_room(placed)
    return placed


def _require_room(placed: KubernetesPostal) -> None:
    """Raise SettingsError where a Secret would be larger than a cluster takes one."""
    for one in postal_objects(placed.postal, placed.secrets, None):
        texts = one.manifest.get("stringData", {}).values()
        size = sum(len(text.encode()) for text in texts)
        if size > LARGEST_SECRET_BYTES:
            problem = Problem(
                field="postal.organizations",
                value=f"{size // 1024} KiB",
                rule="is more than a Secret of a cluster holds (1 MiB): keys of domains and applications are in one",
                fix="spread the mail servers over two stacks, or use placement vm",
            )
            raise SettingsError([problem])


def _relay(settings: Settings) -> RelayKubernetes:
    return settings.relay.kubernetes or RelayKubernetes()


def _processes(postal: Postal, asked: PostalKubernetes) -> tuple[Process, ...]:
    names: tuple[ProcessName, ...] = ("web", "smtp", "worker")
    grace = {"web": WEB_GRACE_SECONDS, "smtp": SMTP_GRACE_SECONDS, "worker": asked.worker_grace_seconds}
    replicas = {"web": asked.replicas.web, "smtp": asked.replicas.smtp, "worker": postal.workers}
    return tuple(
        Process(
            name=name,
            replicas=replicas[name],
            scaling=scaling_of(getattr(asked.autoscaling, name)),
            cpu=getattr(asked.cpu, name),
            memory_mb=getattr(postal.memory, name),
            grace_seconds=grace[name],
        )
        for name in names
    )


def _database_peers(asked: PostalKubernetes) -> Peers:
    policies = asked.network_policies
    return Peers(
        namespace=policies.database_namespace,
        pods=policies.database_pod_labels,
        networks=policies.database_networks,
    )


def _route(asked: PostalKubernetes) -> Route:
    web, gateway = asked.web, asked.web.gateway
    parent = None
    if web.kind == "gateway" and gateway is not None:
        parent = {"name": gateway.name, "namespace": gateway.namespace}
        parent |= {} if gateway.section is None else {"sectionName": gateway.section}
    return Route(
        ingress_class=web.ingress_class,
        annotations=web.annotations,
        tls_secret=web.tls_secret,
        gateway=parent,
        controller=Peers(namespace=web.controller_namespace, pods=web.controller_labels),
    )


def _tracking(postal: Postal) -> Iterator[str]:
    for _, server in postal.mail_servers:
        yield from (f"{tracked.name}.{tracked.domain}" for tracked in server.track_domains)


def _mail_out(settings: Settings, postal: Postal, asked: PostalKubernetes, definition: PostalDefinition) -> MailOut:
    relay, peers = definition.relays[0], Peers()
    if settings.postal_shares_relay_cluster:
        there = _relay(settings)
        peers = Peers(namespace=there.namespace, pods=selector(RELAY, there.name, "relay"))
    ports = {*asked.network_policies.worker_ports, *_endpoint_ports(postal)}
    return MailOut(name=relay.name, port=relay.port, peers=peers, worker_ports=tuple(sorted(ports)))


def _endpoint_ports(postal: Postal) -> Iterator[int]:
    """Yield the ports that declared routes and webhooks are delivered to."""
    for _, server in postal.mail_servers:
        urls = [webhook.url for webhook in server.webhooks]
        urls += [route.http_url for route in server.routes if route.http_url is not None]
        for url in urls:
            place = urlsplit(url)
            yield place.port or (80 if place.scheme == "http" else 443)
        yield from (SMTP_PORT for route in server.routes if route.smtp_host is not None)


def shown_kubernetes_postal(placed: KubernetesPostal) -> dict[str, str | Secret]:
    """Return what a reviewer sees: postal.yml, what is provisioned, each object's fields, the secrets' versions.

    Names that tell a version follow from these, so they are left out.
    """
    postal = placed.postal
    found: dict[str, str | Secret] = {
        "cluster": placed.access.identifier,
        "on_destroy": "keep" if placed.keep else "remove",
        "removal": postal.removal,
    }
    found |= dict(flat(postal.config, "config"))
    found |= dict(flat(postal.provision, "provision"))
    found |= dict(flat(postal.dns_check, "dns_check"))
    found |= shown_objects(postal_objects(postal, placed.secrets, None), postal.labels())
    found |= shown_applications(postal.applications)
    found |= {name: Secret(text) for name, text in flat(placed.secrets)}
    if placed.access.kubeconfig is not None:
        found["kubeconfig"] = Secret(placed.access.kubeconfig)
    return found
