"""From settings to the Kubernetes cluster: one run of role ``k3s`` for each node, and two for the whole."""

from typing import Any

from mailstack.plan.hosts import API_PORT, reach_address
from mailstack.plan.model import ClusterPlan, RoleRun
from mailstack.plan.shown import Secret, Shown, flat, shown_run
from mailstack.settings.cluster_model import Cluster
from mailstack.settings.model import Settings

__all__ = ["node_config", "plan_cluster"]

TOKEN_FILE = "/etc/rancher/k3s/cluster-token"  # noqa: S105 - a place, not a token
# Joining, an etcd snapshot and a way back after an upgrade that fails: each waits for the node.
WAITS = 3
DOWNLOAD_SECONDS = 1200


def plan_cluster(settings: Settings) -> ClusterPlan | None:
    """Return the cluster's plan; None without one."""
    cluster = settings.cluster
    if cluster is None:
        return None
    runs = tuple(
        RoleRun(
            name=f"cluster-{name}",
            host=name,
            role="k3s",
            settings=_node(settings, cluster, name),
            secrets=_secrets(cluster),
            on_destroy=cluster.on_destroy,
            timeout_seconds=DOWNLOAD_SECONDS + WAITS * cluster.ready_seconds,
        )
        for name in cluster.hosts
    )
    first = cluster.servers[0]
    members = {
        "nodes": list(cluster.hosts),
        "version": cluster.version,
        "remove_gone": cluster.on_destroy == "remove",
        "ready_seconds": cluster.ready_seconds,
    }
    members_run = RoleRun(
        name="cluster-members", host=first, role="k3s_members", settings=members, on_destroy=cluster.on_destroy
    )
    kubeconfig_run = RoleRun(
        name="cluster-kubeconfig",
        host=first,
        role="k3s_kubeconfig",
        settings={"server": _url(cluster.api_address or settings.hosts[first].address)},
        on_destroy=cluster.on_destroy,
        secret_output=True,
    )
    shown = _shown(runs, members_run, kubeconfig_run)
    return ClusterPlan(node_runs=runs, members_run=members_run, kubeconfig_run=kubeconfig_run, shown=shown)


def _shown(runs: tuple[RoleRun, ...], members: RoleRun, kubeconfig: RoleRun) -> Shown:
    found: dict[str, str | Secret] = {}
    for run in runs:
        found |= flat({key: value for key, value in run.settings.items() if key in {"node", "config"}}, run.host)
    common = {key: value for key, value in runs[0].settings.items() if key not in {"node", "config"}}
    found |= shown_run(runs[0].role, common, runs[0].secrets)
    found |= shown_run(members.role, members.settings, prefix="members")
    return found | shown_run(kubeconfig.role, kubeconfig.settings, prefix="kubeconfig")


def _node(settings: Settings, cluster: Cluster, name: str) -> dict[str, Any]:
    """Return the settings of role ``k3s`` on host ``name``."""
    others = [reach_address(settings, server) for server in cluster.servers if server != name]
    return {
        "node": {
            "name": name,
            "kind": "server" if name in cluster.servers else "agent",
            # The first server makes a cluster: where another one has it already, that would be a second one.
            "first": name == cluster.servers[0],
            "servers": others,
        },
        "version": cluster.version,
        "sha256": dict(cluster.sha256),
        "download_url": cluster.download_url,
        "binary_file": cluster.binary_file,
        "airgap_images": [images.model_dump() for images in cluster.airgap_images],
        "ca_sha256": cluster.ca_sha256,
        "config": node_config(settings, cluster, name),
        "registries": {
            "mirrors": {registry.name: list(registry.endpoints) for registry in cluster.registries},
            "logins": {
                registry.name: {"username": registry.username, "ca_file": registry.ca_file}
                for registry in cluster.registries
                if registry.username is not None or registry.ca_file is not None
            },
        },
        "ready_seconds": cluster.ready_seconds,
        "remove_volumes": cluster.remove_volumes,
    }


def node_config(settings: Settings, cluster: Cluster, name: str) -> dict[str, Any]:
    """Return config.yaml of a node (https://docs.k3s.io/cli/server and /cli/agent). No secret is in it."""
    first = cluster.servers[0]
    config: dict[str, Any] = {"node-name": name, "token-file": TOKEN_FILE}
    if settings.hosts[name].private_address is not None:
        config["node-ip"] = settings.hosts[name].private_address
    labels = cluster.node_labels.get(name, {})
    if labels:
        config["node-label"] = [f"{key}={value}" for key, value in sorted(labels.items())]
    if name != first:
        config["server"] = _url(reach_address(settings, first))
    if name not in cluster.servers:
        return config
    if name == first:
        # etcd from the beginning: a cluster on SQLite can neither grow nor be saved by a snapshot.
        config["cluster-init"] = True
    api = cluster.api_address or settings.hosts[first].address
    addresses = [reach_address(settings, server) for server in cluster.servers]
    return {
        **config,
        "tls-san": list(dict.fromkeys([api, *addresses, *cluster.tls_san])),
        "cluster-cidr": cluster.pod_network,
        "service-cidr": cluster.service_network,
        "disable": sorted(cluster.disable),
        "secrets-encryption": cluster.encrypt_secrets,
        "write-kubeconfig-mode": "0600",
    }


def _url(address: str) -> str:
    return f"https://[{address}]:{API_PORT}" if ":" in address else f"https://{address}:{API_PORT}"


def _secrets(cluster: Cluster) -> dict[str, Any]:
    """Return the secrets of role ``k3s``."""
    passwords = {
        registry.name: registry.password.get_secret_value()
        for registry in cluster.registries
        if registry.password is not None
    }
    return {"token": cluster.token.get_secret_value(), **({"registry_passwords": passwords} if passwords else {})}
