"""Rules of ``postal.kubernetes``, and of what placement ``kubernetes`` means for the rest of ``postal``."""

import ipaddress
from collections.abc import Callable, Iterator

from mailstack.settings.cluster_workload_rules import (
    access_problems,
    application_problems,
    object_problems,
    scaling_problems,
    whole_networks,
)
from mailstack.settings.model import Settings
from mailstack.settings.postal_kubernetes_model import PostalKubernetes
from mailstack.settings.postal_model import Postal
from mailstack.settings.problems import Problem, duplicates, one_of

__all__ = ["POSTAL_KUBERNETES_RULES"]

PREFIX = "postal.kubernetes"


def _placement(settings: Settings, postal: Postal) -> Iterator[Problem]:
    if postal.placement == "vm":
        if postal.host is None:
            yield Problem(
                field="postal.host",
                value="",
                rule="is required with placement vm: its containers run there",
                fix="name one of hosts, or set postal.placement to kubernetes",
            )
        if postal.kubernetes is not None:
            yield Problem(
                field=PREFIX,
                value="a mapping",
                rule="has no effect: postal.placement is vm",
                fix="remove it, or set postal.placement to kubernetes",
            )
        return
    if postal.kubernetes is None:
        yield Problem(
            field=PREFIX,
            value="",
            rule="is required with placement kubernetes: it names the cluster and the addresses mail comes in at",
            fix="add it with context, smtp_addresses and web_addresses",
        )
    if postal.host is not None:
        yield Problem(
            field="postal.host", value=postal.host, rule="has no effect: a cluster runs Postal", fix="remove it"
        )
    if postal.ip_pools:
        yield Problem(
            field="postal.ip_pools",
            value=", ".join(pool.name for pool in postal.ip_pools),
            rule="need a host: a pod has an address of the cluster's own, and leaves from another one",
            fix="remove them, or use placement vm",
        )
    if "backup" in postal.model_fields_set:
        yield Problem(
            field="postal.backup",
            value="a mapping",
            rule="has no effect: it is a program on a host, and here the database is all there is to keep",
            fix="remove it, and have the database backed up where it runs",
        )
    if settings.caddy is not None and settings.caddy.extra_names:
        yield Problem(
            field="caddy.extra_names",
            value=", ".join(settings.caddy.extra_names),
            rule="are names of Postal's web UI, which the cluster serves",
            fix="remove them",
        )


def _database(_settings: Settings, postal: Postal) -> Iterator[Problem]:
    if postal.placement != "kubernetes":
        return
    if postal.database.kind != "external":
        yield Problem(
            field="postal.database.kind",
            value=postal.database.kind,
            rule="must be external with placement kubernetes: a database is run by an operator, or elsewhere",
            fix="use external, with the address of its service or server",
        )
    admin = None if postal.kubernetes is None else postal.kubernetes.database_admin
    if admin is None:
        return
    field = f"{PREFIX}.database_admin"
    if (admin.password is None) == (admin.secret is None):
        yield Problem(
            field=f"{field}.password",
            value="" if admin.password is None else "[secret]",
            rule="is required, or secret: exactly one of the two",
            fix="keep the one that the database's owner gave you",
        )
    if admin.username == postal.database.username:
        yield Problem(
            field=f"{field}.username",
            value=admin.username,
            rule="is Postal's own user, whose password every pod has",
            fix="name the administrator, or leave the section out where database and user are there",
        )


def _access(settings: Settings, postal: Postal) -> Iterator[Problem]:
    if postal.cluster is not None:
        yield from access_problems(PREFIX, postal.cluster, own_cluster=settings.cluster is not None)


def _addresses(settings: Settings, postal: Postal) -> Iterator[Problem]:
    asked = postal.cluster
    if asked is None:
        return
    for key, listed in (("smtp_addresses", asked.smtp_addresses), ("web_addresses", asked.web_addresses)):
        field = f"{PREFIX}.{key}"
        for text in duplicates(listed):
            yield Problem(field=field, value=text, rule="is listed twice", fix="remove one")
        for index, text in enumerate(listed):
            if settings.environment == "prod" and not ipaddress.ip_address(text).is_global:
                yield Problem(
                    field=f"{field}[{index}]",
                    value=text,
                    rule="must be a public address in prod; others cannot reach a private or reserved one",
                    fix="write the load balancer's, as `kubectl get service` shows it (EXTERNAL-IP)",
                )


def _web(_settings: Settings, postal: Postal) -> Iterator[Problem]:
    asked = postal.cluster
    if asked is None:
        return
    web, field = asked.web, f"{PREFIX}.web"
    if web.kind == "gateway" and web.gateway is None:
        yield Problem(
            field=f"{field}.gateway",
            value="",
            rule="is required with kind gateway: a route belongs to a Gateway",
            fix="name the Gateway and its namespace",
        )
    of_ingress = {"ingress_class": web.ingress_class, "tls_secret": web.tls_secret}
    of_the_other = of_ingress if web.kind == "gateway" else {"gateway": None if web.gateway is None else "a mapping"}
    for key, value in of_the_other.items():
        if value is not None:
            yield Problem(
                field=f"{field}.{key}",
                value=value,
                rule=f"has no effect with kind {web.kind}",
                fix="remove it, or change the kind",
            )
    if web.kind == "ingress" and web.tls_secret is None and asked.issuer is None:
        yield Problem(
            field=f"{field}.tls_secret",
            value="",
            rule="is required, or issuer: passwords and API keys would travel in clear",
            fix="name the Secret with the certificate, or cert-manager's issuer",
        )
    for label, server in postal.mail_servers:
        if server.track_domains and web.kind != "gateway":
            yield Problem(
                field=f"{field}.kind",
                value=web.kind,
                rule=f"must be gateway: tracking names of {label} need a header that an Ingress cannot add",
                fix="use gateway, or remove track_domains",
            )


def _smtp(_settings: Settings, postal: Postal) -> Iterator[Problem]:
    asked = postal.cluster
    if asked is None:
        return
    if postal.smtp_tls and asked.smtp_tls_secret is None and asked.issuer is None:
        yield Problem(
            field=f"{PREFIX}.smtp_tls_secret",
            value="",
            rule="is required, or issuer: postal.smtp_tls is true, and the SMTP server needs a certificate",
            fix="name the Secret with the certificate, or cert-manager's issuer",
        )
    if not postal.smtp_tls and asked.smtp_tls_secret is not None:
        yield Problem(
            field=f"{PREFIX}.smtp_tls_secret",
            value=asked.smtp_tls_secret,
            rule="has no effect: postal.smtp_tls is false",
            fix="remove one of the two",
        )


def _objects(settings: Settings, postal: Postal) -> Iterator[Problem]:
    asked = postal.cluster
    if asked is None:
        return
    admin = asked.database_admin
    yield from object_problems(
        PREFIX,
        create_namespace=asked.create_namespace,
        needed={
            "image_pull_secret": asked.image_pull_secret,
            "smtp_tls_secret": asked.smtp_tls_secret,
            "web.tls_secret": asked.web.tls_secret,
            "database_admin.secret": None if admin is None else admin.secret,
        },
        labels=asked.labels,
    )
    yield from application_problems(PREFIX, asked.application_secrets)
    yield from _credentials(settings, postal, asked)
    yield from _pods(postal, asked)


def _credentials(settings: Settings, postal: Postal, asked: PostalKubernetes) -> Iterator[Problem]:
    servers = {name: {one.name for one in server.credentials} for name, server in postal.mail_servers}
    taken = settings.relay.kubernetes if settings.postal_shares_relay_cluster else None
    of_the_relay = {(one.namespace, one.name) for one in taken.application_secrets} if taken is not None else set()
    for index, one in enumerate(asked.application_secrets):
        field = f"{PREFIX}.application_secrets[{index}]"
        if one.server not in servers:
            yield Problem(
                field=f"{field}.server",
                value=one.server,
                rule="must name one of Postal's mail servers: organisation, slash, mail server",
                fix=one_of(servers, one.server),
            )
        elif one.credential not in servers[one.server]:
            yield Problem(
                field=f"{field}.credential",
                value=one.credential,
                rule=f"must name one of the credentials of {one.server}",
                fix=one_of(servers[one.server], one.credential) if servers[one.server] else "declare it there",
            )
        if (one.namespace, one.name) in of_the_relay:
            yield Problem(
                field=f"{field}.name",
                value=f"{one.namespace}/{one.name}",
                rule="is a Secret of relay.kubernetes.application_secrets already",
                fix="give it another name, or remove one of the two",
            )


def _pods(postal: Postal, asked: PostalKubernetes) -> Iterator[Problem]:
    counts = {
        "web": (f"{PREFIX}.replicas.web", asked.replicas.web, "web" in asked.replicas.model_fields_set),
        "smtp": (f"{PREFIX}.replicas.smtp", asked.replicas.smtp, "smtp" in asked.replicas.model_fields_set),
        "worker": ("postal.workers", postal.workers, "workers" in postal.model_fields_set),
    }
    for process, (field, count, written) in counts.items():
        scaling = getattr(asked.autoscaling, process)
        if scaling is None:
            continue
        yield from scaling_problems(f"{PREFIX}.autoscaling.{process}", scaling)
        if asked.stopped:
            yield Problem(
                field=f"{PREFIX}.autoscaling.{process}",
                value="a mapping",
                rule="cannot be stopped: the number of pods is the autoscaler's alone",
                fix="take it out until Postal runs again, then bring it back in an update of its own",
            )
        if written:
            yield Problem(
                field=field,
                value=str(count),
                rule="has no effect: autoscaling decides",
                fix="remove one of the two; the autoscaler's min is the least",
            )


def _networks(_settings: Settings, postal: Postal) -> Iterator[Problem]:
    asked = postal.cluster
    if asked is None:
        return
    policies = asked.network_policies
    listed = {
        "dns_networks": policies.dns_networks,
        "database_networks": policies.database_networks,
        "api_networks": policies.api_networks,
    }
    yield from whole_networks(PREFIX, listed)
    if policies.database_pod_labels and policies.database_namespace is None:
        yield Problem(
            field=f"{PREFIX}.network_policies.database_pod_labels",
            value="a mapping",
            rule="has no effect without database_namespace: labels are of pods in it",
            fix="name the namespace, or remove the labels",
        )


def _way_out(settings: Settings, postal: Postal) -> Iterator[Problem]:
    """Refuse a relay that pods cannot use: its 5xx would put real recipients on Postal's suppression list."""
    asked, relay = postal.cluster, settings.relay
    if asked is None:
        return
    if postal.sending.path == "direct":
        if relay.host_names or relay.placement != "none":
            yield Problem(
                field="relay.placement",
                value=relay.placement,
                rule="must be none, and relay.host absent: with path direct mail leaves from the cluster",
                fix="set it to none and remove the host, or use path postfix",
            )
        elif relay.egress_addresses is None:
            yield Problem(
                field="relay.egress_addresses",
                value="",
                rule="is required: SPF and the upstream must know the addresses mail leaves the cluster from",
                fix="list those of its NAT gateway, or of its nodes where each sends by itself",
            )
        return
    if relay.placement == "docker":
        yield Problem(
            field="relay.placement",
            value="docker",
            rule="is out of Postal's reach: only containers of that engine get to it",
            fix="let the cluster or a host run the relay (placement kubernetes or vm)",
        )
    elif relay.placement == "kubernetes" and postal.sending.relay_name is None:
        other = relay.kubernetes
        theirs = (None, None) if other is None else (other.kubeconfig, other.context)
        if theirs != (asked.kubeconfig, asked.context):
            yield Problem(
                field=f"{PREFIX}.context",
                value=asked.context or "[secret]",
                rule="is another login than relay.kubernetes has: the relay has a name inside of one cluster only",
                fix="give both the same context and kubeconfig, or write postal.sending.relay_name",
            )
    elif relay.placement == "vm" and relay.host_names:
        addresses = settings.relay_listen_addresses
        if all(ipaddress.ip_address(address).is_loopback for address in addresses):
            yield Problem(
                field="relay.listen_addresses",
                value=", ".join(addresses),
                rule="is loopback only, but Postal's pods have to reach the relay",
                fix="add the address of the relay's host that the cluster reaches",
            )


POSTAL_KUBERNETES_RULES: tuple[Callable[[Settings, Postal], Iterator[Problem]], ...] = (
    _placement,
    _database,
    _access,
    _addresses,
    _web,
    _smtp,
    _objects,
    _networks,
    _way_out,
)
