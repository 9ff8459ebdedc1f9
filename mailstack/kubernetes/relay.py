"""Every object of the relay on a cluster."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.kubernetes.applications import application_objects
from mailstack.kubernetes.objects import Placed, Stage, digest, manifest, selector
from mailstack.kubernetes.relay_definition import APPLICATION, METRICS_PORT, SMTP_PORT, RelayOnCluster
from mailstack.kubernetes.relay_pods import QUEUE, confinement, container, pod, seconds_to_end, volumes
from mailstack.kubernetes.relay_policies import policies
from mailstack.kubernetes.workloads import autoscaler, disruption_budget, families, namespace_object
from mailstack.monitoring.kubernetes import dashboard_config_map, prometheus_rule, service_monitor

__all__ = ["relay_objects"]

# A job is tried so often, each time for the grace.
DRAIN_TRIES = 6
# For a pull of the image, most of it.
CHECK_SECONDS = 300
KEPT_REVISIONS = 3


def relay_objects(relay: RelayOnCluster, secrets: Mapping[str, str], secrets_version: str) -> tuple[Placed, ...]:
    """Return all objects. ``secrets`` maps each of ``secret_files`` to its text.

    Settings and secrets are in objects that never change, whose names tell the version: a new version is one roll of
    the pods, and a pod of before that starts again in the middle of it finds what it had. ``secrets_version`` is that
    of the secrets: a count, never a digest, which would help whoever guesses passwords.
    """
    return tuple(_objects(relay, secrets, secrets_version))


def _objects(relay: RelayOnCluster, secrets: Mapping[str, str], secrets_version: str) -> Iterator[Placed]:
    if relay.create_namespace:
        # With the namespace its volumes would go, and mail that nobody has delivered yet.
        yield Placed(name="namespace", manifest=_namespace(relay), stage=Stage.NAMESPACE, stays=relay.durable)
    settings = _settings(relay)
    secret_name = f"{relay.name}-{secrets_version}" if relay.secret_files else None
    yield Placed(name="service-account", manifest=_account(relay), stage=Stage.BASIS)
    yield Placed(name="settings", manifest=settings, stage=Stage.BASIS)
    if secret_name is not None:
        yield Placed(name="secrets", manifest=_secret(relay, secret_name, secrets), stage=Stage.BASIS)
    for policy in policies(relay):
        short = policy["metadata"]["name"].removeprefix(f"{relay.name}-")
        yield Placed(name=f"policy-{short}", manifest=policy, stage=Stage.BASIS)
    yield Placed(name="pods", manifest=_headless(relay), stage=Stage.BASIS)
    names = settings["metadata"]["name"], secret_name
    yield Placed(name="check", manifest=_check(relay, *names), stage=Stage.TRIAL)
    # A number that the autoscaler has changed is its own; ours is for the first pods only.
    theirs = ("spec.replicas",) if relay.scaling is not None else ()
    make = _stateful_set if relay.durable else _deployment
    yield Placed(name="workload", manifest=make(relay, *names), stage=Stage.WORKLOAD, theirs=theirs)
    yield Placed(name="service", manifest=_service(relay), stage=Stage.ACCESS)
    yield from application_objects(relay.applications, relay.labels("application"))
    where = relay.name, relay.namespace
    budget = disruption_budget(*where, relay.labels(), relay.pods)
    yield Placed(name="disruption-budget", manifest=budget, stage=Stage.ACCESS)
    if relay.scaling is not None:
        kind = "StatefulSet" if relay.durable else "Deployment"
        ends = seconds_to_end(relay)
        scaler = autoscaler(*where, relay.labels(), kind=kind, scaling=relay.scaling, seconds_to_end=ends)
        yield Placed(name="autoscaler", manifest=scaler, stage=Stage.ACCESS)
    if relay.monitoring_namespace is not None:
        dashboard = dashboard_config_map(f"{relay.name}-dashboard", relay.namespace, labels=relay.labels())
        yield Placed(name="dashboard", manifest=dashboard, stage=Stage.ACCESS)
    if relay.monitoring_objects:
        rule = prometheus_rule(relay.name, relay.namespace, labels=relay.labels())
        yield Placed(name="service-monitor", manifest=_service_monitor(relay), stage=Stage.ACCESS)
        yield Placed(name="alerts", manifest=rule, stage=Stage.ACCESS)
    for number in relay.drain_volumes:
        yield Placed(name=f"drain-{number}", manifest=_drain(relay, number, *names), stage=Stage.ERRAND)


def _namespace(relay: RelayOnCluster) -> dict[str, Any]:
    """Return the namespace. Postfix's master is root and starts its daemons as others: that is `baseline`.

    `restricted` allows NET_BIND_SERVICE alone and no root; what else of it can be kept, the pods keep.
    """
    return namespace_object(relay.namespace, relay.labels(), enforce="baseline")


def _account(relay: RelayOnCluster) -> dict[str, Any]:
    return manifest(
        "ServiceAccount", relay.name, relay.namespace, labels=relay.labels(), automountServiceAccountToken=False
    )


def _settings(relay: RelayOnCluster) -> dict[str, Any]:
    asked = {"host": relay.siblings, "port": SMTP_PORT, "keeps_below": relay.keeps_below}
    settings = {**relay.settings, "hand_over": asked}
    data = {"relay.json": json.dumps(settings, indent=1, ensure_ascii=False) + "\n"}
    if relay.authorities is not None:
        data["authorities.pem"] = relay.authorities
    name = f"{relay.name}-{digest(data)}"
    return manifest("ConfigMap", name, relay.namespace, labels=relay.labels(), immutable=True, data=data)


def _secret(relay: RelayOnCluster, name: str, secrets: Mapping[str, str]) -> dict[str, Any]:
    texts = {file: secrets[file] for file in relay.secret_files}
    return manifest(
        "Secret", name, relay.namespace, labels=relay.labels(), type="Opaque", immutable=True, stringData=texts
    )


def _stateful_set(relay: RelayOnCluster, settings_name: str, secret_name: str | None) -> dict[str, Any]:
    claim: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": relay.queue_size}},
    }
    if relay.storage_class is not None:
        claim["storageClassName"] = relay.storage_class
    return manifest(
        "StatefulSet",
        relay.name,
        relay.namespace,
        version="apps/v1",
        labels=relay.labels(),
        spec={
            "replicas": _first_replicas(relay),
            "serviceName": relay.headless_name,
            "selector": {"matchLabels": relay.pods},
            # They need no order among themselves, and one that does not start must not stop the others. An update
            # still takes one at a time: maxUnavailable is 1 unless said otherwise.
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            "revisionHistoryLimit": KEPT_REVISIONS,
            # What could not be handed over is on them.
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "template": pod(relay, settings_name, secret_name, None),
            "volumeClaimTemplates": [{"metadata": {"name": QUEUE, "labels": relay.pods}, "spec": claim}],
        },
    )


def _deployment(relay: RelayOnCluster, settings_name: str, secret_name: str | None) -> dict[str, Any]:
    return manifest(
        "Deployment",
        relay.name,
        relay.namespace,
        version="apps/v1",
        labels=relay.labels(),
        spec={
            "replicas": _first_replicas(relay),
            "selector": {"matchLabels": relay.pods},
            # A pod without a volume needs somebody to hand its queue to: the new one is there first.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "revisionHistoryLimit": KEPT_REVISIONS,
            "template": pod(relay, settings_name, secret_name, {"emptyDir": {}}),
        },
    )


def _first_replicas(relay: RelayOnCluster) -> int:
    return relay.replicas if relay.scaling is None else relay.scaling.least


def _headless(relay: RelayOnCluster) -> dict[str, Any]:
    """Return the service that has the address of each pod. Of each that is ready: mail is handed to those only."""
    ports = [{"name": "smtp", "port": SMTP_PORT, "targetPort": "smtp", "protocol": "TCP"}]
    if relay.monitoring_namespace is not None:
        ports.append({"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics", "protocol": "TCP"})
    return manifest(
        "Service",
        relay.headless_name,
        relay.namespace,
        labels=relay.labels("pods"),
        spec={"clusterIP": "None", "selector": relay.pods, "ports": ports, **families(dual_stack=relay.dual_stack)},
    )


def _service(relay: RelayOnCluster) -> dict[str, Any]:
    ports = [{"name": "smtp", "port": SMTP_PORT, "targetPort": "smtp", "protocol": "TCP"}]
    return manifest(
        "Service",
        relay.name,
        relay.namespace,
        labels=relay.labels(),
        annotations=relay.service_annotations,
        spec={"type": "ClusterIP", "selector": relay.pods, "ports": ports, **families(dual_stack=relay.dual_stack)},
    )


def _service_monitor(relay: RelayOnCluster) -> dict[str, Any]:
    """Return what lets the operator's Prometheus read every pod behind the headless service."""
    pods = selector(APPLICATION, relay.name, "pods")
    return service_monitor(relay.name, relay.namespace, selector=pods, labels=relay.labels())


def _check(relay: RelayOnCluster, settings_name: str, secret_name: str | None) -> dict[str, Any]:
    """Return the job that tries the configuration. Only where it ends well are pods replaced: else none is touched."""
    told = {**container(relay, secret_name, "check"), "terminationMessagePolicy": "FallbackToLogsOnError"}
    spec = {
        "restartPolicy": "Never",
        **confinement(relay),
        "containers": [told],
        "volumes": volumes(relay, settings_name, secret_name, {"emptyDir": {}}),
    }
    return _job(
        relay, "check", "check", spec, [settings_name, secret_name], backoffLimit=0, activeDeadlineSeconds=CHECK_SECONDS
    )


def _job(
    relay: RelayOnCluster, name: str, component: str, spec: Mapping[str, Any], version: list[str | None], **rest: Any
) -> dict[str, Any]:
    """Return a job that runs once for each version of image, settings and secrets."""
    return manifest(
        "Job",
        f"{relay.name}-{name}-{digest([relay.image, *version])}",
        relay.namespace,
        version="batch/v1",
        labels=relay.labels(component),
        spec={
            **rest,
            "completions": 1,
            "parallelism": 1,
            "template": {"metadata": {"labels": relay.labels(component)}, "spec": spec},
        },
    )


def _drain(relay: RelayOnCluster, number: int, settings_name: str, secret_name: str | None) -> dict[str, Any]:
    """Return the job that hands over what is on the volume of pod ``number``, which is gone for good.

    Should that pod come back, one of the two waits: Postfix locks its queue, and most volumes are for one node.
    """
    claim = {"persistentVolumeClaim": {"claimName": f"{QUEUE}-{relay.name}-{number}"}}
    spec = {
        "restartPolicy": "Never",
        **confinement(relay),
        "containers": [container(relay, secret_name, "drain")],
        "volumes": volumes(relay, settings_name, secret_name, claim),
    }
    return _job(relay, f"drain-{number}", "drain", spec, [settings_name, secret_name], backoffLimit=DRAIN_TRIES - 1)
