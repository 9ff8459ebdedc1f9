"""The pods of the relay: what runs, with which rights, on which mounts, and when it counts as well."""

from collections.abc import Mapping
from typing import Any

from mailstack.kubernetes.relay_definition import METRICS_PORT, SMTP_PORT, RelayOnCluster
from mailstack.kubernetes.workloads import placement

__all__ = ["QUEUE", "QUEUE_FOLDER", "confinement", "container", "pod", "seconds_to_end", "volumes"]

QUEUE, QUEUE_FOLDER = "queue", "/var/spool/postfix"
# What images/postfix-relay/README.md says: root with these, on a root file system that nothing is written to.
# NET_BIND_SERVICE for port 25 where a runtime does not set net.ipv4.ip_unprivileged_port_start to 0.
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
# Passwords are among what is rendered, so none of it touches a disk. Sizes with room: a fresh pod has 200 KiB.
IN_MEMORY: Mapping[str, tuple[str, str]] = {
    "configuration": ("/etc/postfix", "32Mi"),
    "run": ("/run", "16Mi"),
    "tmp": ("/tmp", "16Mi"),  # noqa: S108 - of the container
    "data": ("/var/lib/postfix", "64Mi"),
}
# Before it is asked to stop, a pod still takes mail until every node has heard that it goes.
LEAVING_SECONDS = 5
# Between the container's own time limit and the cluster's.
MARGIN_SECONDS = 5


def seconds_to_end(relay: RelayOnCluster) -> int:
    """Return how long a pod may take to end: longer than the container itself does."""
    return LEAVING_SECONDS + relay.grace_seconds + MARGIN_SECONDS


def pod(
    relay: RelayOnCluster, settings_name: str, secret_name: str | None, queue: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the pod's template; ``queue`` is its volume, None where a claim template makes it.

    No ``fsGroup``: with it every file of the queue would become group-writable, which Postfix refuses. The container's
    root owns the volume, and Postfix's own start sets what is below it.
    """
    return {
        "metadata": {"labels": relay.labels()},
        "spec": {
            **placement(relay.pods, own_nodes=relay.own_nodes, priority_class=relay.priority_class),
            **confinement(relay),
            "containers": [{**container(relay, secret_name), **_while_running(relay)}],
            "volumes": volumes(relay, settings_name, secret_name, queue),
        },
    }


def confinement(relay: RelayOnCluster) -> dict[str, Any]:
    """Return what holds for every pod of the relay: as whom it runs, and how long it may take to end."""
    return {
        "serviceAccountName": relay.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **({"hostUsers": False} if relay.user_namespaces else {}),
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        **({"imagePullSecrets": [{"name": relay.image_pull_secret}]} if relay.image_pull_secret else {}),
        "terminationGracePeriodSeconds": seconds_to_end(relay),
    }


def container(relay: RelayOnCluster, secret_name: str | None, action: str = "run") -> dict[str, Any]:
    """Return the container that does ``action``, without what only one that takes mail has."""
    mounts = [
        {"name": QUEUE, "mountPath": QUEUE_FOLDER},
        *({"name": name, "mountPath": path} for name, (path, _) in IN_MEMORY.items()),
        {"name": "settings", "mountPath": "/etc/mailstack", "readOnly": True},
    ]
    if secret_name is not None:
        mounts.append({"name": "secrets", "mountPath": "/run/secrets/mailstack", "readOnly": True})
    if relay.authorities is not None:
        mounts.append({"name": "authorities", "mountPath": "/etc/ssl/certs", "readOnly": True})
    watched = action == "run" and relay.monitoring_namespace is not None
    return {
        "name": "postfix",
        "image": relay.image,
        "imagePullPolicy": "IfNotPresent",
        "args": [action],
        "env": [
            {"name": "GRACE_SECONDS", "value": str(relay.grace_seconds)},
            {"name": "LOG_FORMAT", "value": "json"},
            {"name": "METRICS_PORT", "value": str(METRICS_PORT if watched else 0)},
        ],
        "resources": {name: dict(amounts) for name, amounts in relay.resources.items() if amounts},
        "securityContext": {
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsUser": 0,
            "capabilities": {"drop": ["ALL"], "add": list(CAPABILITIES)},
        },
        "volumeMounts": mounts,
    }


def volumes(
    relay: RelayOnCluster, settings_name: str, secret_name: str | None, queue: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Return the volumes behind the mounts of ``container``."""
    found: list[dict[str, Any]] = [] if queue is None else [{"name": QUEUE, **queue}]
    for name, (_, size) in IN_MEMORY.items():
        found.append({"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    files = [{"key": "relay.json", "path": "relay.json"}]
    found.append({"name": "settings", "configMap": {"name": settings_name, "items": files}})
    if relay.authorities is not None:
        items = [{"key": "authorities.pem", "path": "ca-certificates.crt"}]
        found.append({"name": "authorities", "configMap": {"name": settings_name, "items": items}})
    if secret_name is not None:
        found.append({"name": "secrets", "secret": {"secretName": secret_name, "defaultMode": 0o400}})
    return found


def _while_running(relay: RelayOnCluster) -> dict[str, Any]:
    ports = [{"name": "smtp", "containerPort": SMTP_PORT, "protocol": "TCP"}]
    if relay.monitoring_namespace is not None:
        ports.append({"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"})
    well = {"exec": {"command": ["postfix-relay", "health"]}, "timeoutSeconds": 10}
    return {
        "ports": ports,
        "startupProbe": {**well, "periodSeconds": 2, "failureThreshold": 60},
        # Not ready while it shuts down, and while a part of Postfix fails; an upstream that is away changes nothing.
        "readinessProbe": {**well, "periodSeconds": 10, "failureThreshold": 2},
        # Started again only for what a new start mends: never for load, and never for what the upstream does.
        "livenessProbe": {
            "exec": {"command": ["postfix-relay", "alive"]},
            "timeoutSeconds": 10,
            "periodSeconds": 30,
            "failureThreshold": 4,
        },
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(LEAVING_SECONDS)]}}},
    }
