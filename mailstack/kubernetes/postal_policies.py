"""Who may reach Postal's pods, and whom they may reach. Everything else is refused."""

from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.kubernetes.objects import manifest
from mailstack.kubernetes.policies import DNS_PROTOCOLS, blocks, dns_rule, namespace_peer, ports
from mailstack.kubernetes.postal_definition import (
    SMTP_HEALTH_PORT,
    SMTP_PORT,
    WEB_PORT,
    WORKER_HEALTH_PORT,
    Peers,
    PostalOnCluster,
)

__all__ = ["postal_policies"]

# The API server's service has the one, its pods or machines as a rule the other; policies see either.
API_PORTS = (443, 6443)
DNS_PORT = 53


def postal_policies(postal: PostalOnCluster) -> Iterator[dict[str, Any]]:
    """Yield the policies, one for each thing that is allowed; they add up."""
    every, web, smtp = postal.all_pods, postal.pods("web"), postal.pods("smtp")
    worker, provision = postal.pods("worker"), postal.pods("provision")
    yield _policy(postal, "deny", every, ["Ingress", "Egress"])
    database = _to(postal.database_peers, int(postal.database["port"]))
    yield _policy(postal, "database", every, ["Egress"], egress=[dns_rule(postal.dns), database])
    browsers = {"from": _peers(postal.route.controller), "ports": ports(WEB_PORT)}
    yield _policy(postal, "web", web, ["Ingress"], ingress=[browsers])
    # From anybody: that is what a mail server is for.
    yield _policy(postal, "smtp", smtp, ["Ingress"], ingress=[{"ports": ports(SMTP_PORT)}])
    out = postal.mail_out
    mail = _to(out.peers, out.port)
    # Postal asks the name servers of a domain themselves for its records, wherever they are.
    names = {"ports": ports(DNS_PORT, protocols=DNS_PROTOCOLS)}
    yield _policy(postal, "web-out", web, ["Egress"], egress=[mail, names])
    further = [{"ports": ports(*out.worker_ports)}] if out.worker_ports else []
    yield _policy(postal, "worker-out", worker, ["Egress"], egress=[mail, names, *further])
    api = _to(Peers(networks=postal.api_networks), *API_PORTS)
    # The first look at the relay's name and at the domains' records is a job's.
    yield _policy(postal, "provision-out", provision, ["Egress"], egress=[names, api])
    if postal.metrics_namespace is not None:
        readers = [namespace_peer(postal.metrics_namespace)]
        for component, port in (("smtp", SMTP_HEALTH_PORT), ("worker", WORKER_HEALTH_PORT)):
            allowed = {"from": readers, "ports": ports(port)}
            yield _policy(postal, f"{component}-metrics", postal.pods(component), ["Ingress"], ingress=[allowed])


def _policy(
    postal: PostalOnCluster, name: str, pods: Mapping[str, str], types: list[str], **rules: list[Mapping[str, Any]]
) -> dict[str, Any]:
    return manifest(
        "NetworkPolicy",
        postal.called(name),
        postal.namespace,
        version="networking.k8s.io/v1",
        labels=postal.labels(),
        spec={"podSelector": {"matchLabels": dict(pods)}, "policyTypes": types, **rules},
    )


def _peers(peers: Peers) -> list[dict[str, Any]]:
    pods = [] if peers.namespace is None else [namespace_peer(peers.namespace, peers.pods)]
    return [*pods, *blocks(peers.networks)]


def _to(peers: Peers, *numbers: int) -> dict[str, Any]:
    """Return the way to ``peers``; to any address where they are not known: a policy knows no names."""
    found = _peers(peers)
    return {**({"to": found} if found else {}), "ports": ports(*numbers)}
