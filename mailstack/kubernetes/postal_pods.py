"""Postal's pods: what runs, with which rights, on which mounts, and when it counts as well.

Facts about the image: see ``mailstack.postal.compose``. Its ruby carries the file capability cap_net_bind_service, so
that capability has to be in the bounding set, or the kernel refuses to run ruby at all. Nobody uses it here: the ports
of pods are above 1024. So pods are within the Pod Security level `restricted`.
"""

from collections.abc import Mapping
from typing import Any

from mailstack.kubernetes.postal_definition import (
    SMTP_HEALTH_PORT,
    SMTP_PORT,
    WEB_PORT,
    WORKER_HEALTH_PORT,
    PostalOnCluster,
    Process,
)
from mailstack.kubernetes.postal_files import PostalFiles
from mailstack.kubernetes.workloads import placement
from mailstack.postal.compose import COMMANDS, WAIT_SECONDS

__all__ = ["MOUNTED_SCRIPTS", "container", "pod_template", "security", "temporary"]

USER = 999
MOUNTED_SCRIPTS = "/mailstack"
# What Rails and Ruby write besides the database; the rest of the image stays as it is.
WRITABLE: Mapping[str, str] = {
    "tmp": "/tmp",  # noqa: S108 - of the container
    "app-tmp": "/opt/postal/app/tmp",
    "app-log": "/opt/postal/app/log",
}
# Before it is asked to stop, a pod still gets connections until every node has heard that it goes.
LEAVING_SECONDS = 5


def pod_template(postal: PostalOnCluster, files: PostalFiles, process: Process) -> dict[str, Any]:
    """Return the template of a process's pods."""
    name, pods = process.name, postal.pods(process.name)
    # As `postal worker` and the others do, without the shell around it, which would not pass SIGTERM on.
    command = ["ruby", f"{MOUNTED_SCRIPTS}/worker.rb"] if name == "worker" else COMMANDS[name]
    running = container(postal, name, command, _mounts(postal, name)) | _while_running(postal, process)
    leaving = 0 if name == "worker" else LEAVING_SECONDS
    return {
        "metadata": {"labels": postal.labels(name)},
        "spec": {
            **placement(pods, own_nodes=postal.own_nodes, priority_class=postal.priority_class),
            **security(postal, postal.name),
            "terminationGracePeriodSeconds": process.grace_seconds + leaving,
            "containers": [running],
            "volumes": [*_volumes(postal, files, name), *temporary()],
        },
    }


def security(postal: PostalOnCluster, account: str) -> dict[str, Any]:
    """Return what holds for every pod: as whom it runs, and that it cannot ask the cluster for anything."""
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            # So that this user reads its Secrets, which nobody else does.
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"imagePullSecrets": [{"name": postal.image_pull_secret}]} if postal.image_pull_secret else {}),
    }


def container(
    postal: PostalOnCluster, name: str, command: list[str], mounts: list[dict[str, Any]], *, memory_mb: int = 768
) -> dict[str, Any]:
    """Return a container of the image, which waits for the database before it runs ``command``."""
    database = postal.database
    return {
        "name": name,
        "image": postal.image,
        "imagePullPolicy": "IfNotPresent",
        # The entry point stays: it waits for the database, then becomes this.
        "args": list(command),
        "env": [
            {"name": "SILENCE_POSTAL_CONFIG_MESSAGES", "value": "true"},
            {"name": "WAIT_FOR_TARGETS", "value": f"{database['host']}:{database['port']}"},
            {"name": "WAIT_FOR_TIMEOUT", "value": str(WAIT_SECONDS)},
        ],
        "resources": {"requests": {"cpu": "100m", "memory": f"{memory_mb}Mi"}, "limits": {"memory": f"{memory_mb}Mi"}},
        "securityContext": {
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": postal.read_only_root,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        },
        "volumeMounts": [*mounts, *({"name": volume, "mountPath": path} for volume, path in WRITABLE.items())],
    }


def temporary() -> list[dict[str, Any]]:
    """Return the volumes behind what the image writes to."""
    return [{"name": name, "emptyDir": {"sizeLimit": "1Gi"}} for name in WRITABLE]


def _mounts(postal: PostalOnCluster, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": "config", "mountPath": "/config", "readOnly": True}]
    if _has_script(postal, name):
        found.append({"name": "scripts", "mountPath": MOUNTED_SCRIPTS, "readOnly": True})
    return found


def _has_script(postal: PostalOnCluster, name: str) -> bool:
    return name == "worker" or (name == "smtp" and postal.smtp_tls_secret is not None)


def _volumes(postal: PostalOnCluster, files: PostalFiles, name: str) -> list[dict[str, Any]]:
    sources: list[dict[str, Any]] = [{"secret": {"name": files.secret_name(name)}}]
    if name == "smtp" and postal.smtp_tls_secret is not None:
        # Not part of the versioned Secret: whoever renews the certificate writes here, and the kubelet follows.
        items = [{"key": "tls.crt", "path": "smtp.cert"}, {"key": "tls.key", "path": "smtp.key"}]
        sources.append({"secret": {"name": postal.smtp_tls_secret, "items": items}})
    found: list[dict[str, Any]] = [{"name": "config", "projected": {"defaultMode": 0o440, "sources": sources}}]
    if _has_script(postal, name):
        found.append({"name": "scripts", "configMap": {"name": files.scripts_name(name)}})
    return found


def _while_running(postal: PostalOnCluster, process: Process) -> dict[str, Any]:
    memory = f"{process.memory_mb}Mi"
    found: dict[str, Any] = {
        "resources": {"requests": {"cpu": process.cpu, "memory": memory}, "limits": {"memory": memory}},
        **{"web": _web, "smtp": _smtp, "worker": _worker}[process.name](postal),
    }
    if process.name != "worker":
        found["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", str(LEAVING_SECONDS)]}}}
    return found


def _web(postal: PostalOnCluster) -> dict[str, Any]:
    # It answers its own name only, and has no page for health. /login asks the database; so a database that is away
    # takes the pod out of the service, but starts no pod again: the page of tracking names asks nobody.
    page = {"path": "/login", "port": "http", "httpHeaders": [{"name": "Host", "value": postal.web_hostname}]}
    alive = {"path": "/", "port": "http", "httpHeaders": [{"name": "X-Postal-Track-Host", "value": "1"}]}
    return {
        "ports": [{"name": "http", "containerPort": WEB_PORT, "protocol": "TCP"}],
        "startupProbe": {"httpGet": alive, "timeoutSeconds": 5, "periodSeconds": 2, "failureThreshold": 150},
        "readinessProbe": {"httpGet": page, "timeoutSeconds": 5, "periodSeconds": 10, "failureThreshold": 3},
        "livenessProbe": {"httpGet": alive, "timeoutSeconds": 10, "periodSeconds": 30, "failureThreshold": 4},
    }


def _smtp(postal: PostalOnCluster) -> dict[str, Any]:
    listening = {"tcpSocket": {"port": "smtp"}, "timeoutSeconds": 5}
    if postal.smtp_tls_secret is None:
        alive: dict[str, Any] = {"httpGet": {"path": "/health", "port": "health"}, "timeoutSeconds": 10}
    else:
        # Postal reads its certificate once. A server that shows another one than the renewed is started again.
        command = ["ruby", f"{MOUNTED_SCRIPTS}/certificate.rb", "/config/smtp.cert", str(SMTP_PORT)]
        alive = {"exec": {"command": command}, "timeoutSeconds": 20}
    return {
        "ports": [
            {"name": "smtp", "containerPort": SMTP_PORT, "protocol": "TCP"},
            {"name": "health", "containerPort": SMTP_HEALTH_PORT, "protocol": "TCP"},
        ],
        "startupProbe": {**listening, "periodSeconds": 2, "failureThreshold": 150},
        "readinessProbe": {**listening, "periodSeconds": 10, "failureThreshold": 2},
        "livenessProbe": {**alive, "periodSeconds": 60, "failureThreshold": 4},
    }


def _worker(_postal: PostalOnCluster) -> dict[str, Any]:
    health = {"httpGet": {"path": "/health", "port": "health"}, "timeoutSeconds": 5}
    return {
        "ports": [{"name": "health", "containerPort": WORKER_HEALTH_PORT, "protocol": "TCP"}],
        "startupProbe": {**health, "periodSeconds": 2, "failureThreshold": 150},
        "readinessProbe": {**health, "periodSeconds": 10, "failureThreshold": 3},
        # Slow to judge: a worker that is killed while it sends may send the same message twice.
        "livenessProbe": {**health, "periodSeconds": 30, "failureThreshold": 6},
    }
