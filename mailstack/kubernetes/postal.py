"""Every object of Postal on a cluster."""

from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.kubernetes.applications import application_objects
from mailstack.kubernetes.objects import Placed, Stage, manifest
from mailstack.kubernetes.postal_access import access_objects, headless_worker
from mailstack.kubernetes.postal_definition import PostalOnCluster, Process
from mailstack.kubernetes.postal_files import PostalFiles
from mailstack.kubernetes.postal_jobs import job_objects
from mailstack.kubernetes.postal_pods import pod_template
from mailstack.kubernetes.postal_policies import postal_policies
from mailstack.kubernetes.workloads import autoscaler, disruption_budget, namespace_object

__all__ = ["postal_objects"]

KEPT_REVISIONS = 3


def postal_objects(
    postal: PostalOnCluster, secrets: Mapping[str, Any], versions: Mapping[str, int] | None
) -> tuple[Placed, ...]:
    """Return all objects.

    ``secrets`` are those of role ``postal``, with ``database_admin`` where the administrator's password is ours;
    ``versions`` counts the changes of each, by its path in there. None for a reviewer: then no name tells a version.
    """
    return tuple(_objects(postal, PostalFiles(postal, secrets, versions)))


def _objects(postal: PostalOnCluster, files: PostalFiles) -> Iterator[Placed]:
    if postal.create_namespace:
        labels = {**postal.labels(), **postal.namespace_labels}
        yield Placed(
            name="namespace",
            manifest=namespace_object(postal.namespace, labels, enforce="restricted"),
            stage=Stage.NAMESPACE,
        )
    account = manifest(
        "ServiceAccount", postal.name, postal.namespace, labels=postal.labels(), automountServiceAccountToken=False
    )
    yield Placed(name="service-account", manifest=account, stage=Stage.BASIS)
    yield from files.objects()
    for policy in postal_policies(postal):
        short = policy["metadata"]["name"].removeprefix(f"{postal.name}-")
        yield Placed(name=f"policy-{short}", manifest=policy, stage=Stage.BASIS)
    yield Placed(name="worker-names", manifest=headless_worker(postal), stage=Stage.BASIS)
    yield from job_objects(postal, files)
    for process in postal.processes:
        yield from _process(postal, files, process)
    yield from access_objects(postal)
    yield from application_objects(postal.applications, postal.labels("application"))


def _process(postal: PostalOnCluster, files: PostalFiles, process: Process) -> Iterator[Placed]:
    name, labels = postal.called(process.name), postal.labels(process.name)
    scaling = None if postal.stopped else process.scaling
    # A number that the autoscaler has changed is its own; ours is for the first pods only.
    theirs = ("spec.replicas",) if scaling is not None else ()
    workload = _workload(postal, files, process)
    yield Placed(name=process.name, manifest=workload, stage=Stage.WORKLOAD, theirs=theirs)
    budget = disruption_budget(name, postal.namespace, labels, postal.pods(process.name))
    yield Placed(name=f"{process.name}-budget", manifest=budget, stage=Stage.ACCESS)
    if scaling is not None:
        ends = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        kind = workload["kind"]
        scaler = autoscaler(name, postal.namespace, labels, kind=kind, scaling=scaling, seconds_to_end=ends)
        yield Placed(name=f"{process.name}-autoscaler", manifest=scaler, stage=Stage.ACCESS)


def _workload(postal: PostalOnCluster, files: PostalFiles, process: Process) -> dict[str, Any]:
    """Return a Deployment, of workers a StatefulSet.

    Postal marks a message with the name of the host whose worker has it. A worker that was killed left such marks, and
    nobody but a worker of the same name can know that they mean nothing any more: so workers keep their names, of
    which a StatefulSet never has two at once.
    """
    replicas = process.replicas if process.scaling is None else process.scaling.least
    spec: dict[str, Any] = {
        "replicas": 0 if postal.stopped else replicas,
        "selector": {"matchLabels": postal.pods(process.name)},
        "revisionHistoryLimit": KEPT_REVISIONS,
        "template": pod_template(postal, files, process),
    }
    if process.name == "worker":
        spec |= {
            "serviceName": postal.called("worker"),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
        }
    else:
        # The new pod answers before the old one goes.
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    return manifest(
        "StatefulSet" if process.name == "worker" else "Deployment",
        postal.called(process.name),
        postal.namespace,
        version="apps/v1",
        labels=postal.labels(process.name),
        spec=spec,
    )
