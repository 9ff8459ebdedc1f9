"""The jobs before Postal's pods: each runs once for a version, which its name tells, and the next waits for it."""

from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.kubernetes.objects import Placed, Stage, manifest
from mailstack.kubernetes.postal_definition import PostalOnCluster
from mailstack.kubernetes.postal_files import PostalFiles
from mailstack.kubernetes.postal_pods import MOUNTED_SCRIPTS, container, security, temporary

__all__ = ["JOBS", "job_objects"]

JOBS = ("database", "migrate", "provision")
# A migration of a large database takes long; the others wait for DNS at most.
MIGRATION_SECONDS, OTHER_SECONDS = 5400, 1800
# What provision.rb ends with where trying again would not help.
REFUSED = 3
RBAC = "rbac.authorization.k8s.io/v1"
API_FILES = "/var/run/secrets/mailstack-api"
CHECK_PENDING = ["bundle", "exec", "rails", "db:abort_if_pending_migrations"]


def job_objects(postal: PostalOnCluster, files: PostalFiles) -> Iterator[Placed]:
    """Yield the jobs, and what lets the last one tell its results: the right to write one ConfigMap."""
    if postal.admin is not None:
        yield Placed(name="database", manifest=_database(postal, files), stage=Stage.DATABASE)
    yield Placed(name="migrate", manifest=_migrate(postal, files), stage=Stage.TABLES)
    yield from _results(postal)
    yield Placed(name="provision", manifest=_provision(postal, files), stage=Stage.CONTENT)


def _database(postal: PostalOnCluster, files: PostalFiles) -> dict[str, Any]:
    """Return the job that makes database and user. No other pod ever sees the administrator's password."""
    admin = postal.admin
    assert admin is not None  # noqa: S101 - tells the type checker what the caller has made sure of
    sources: list[dict[str, Any]] = [{"secret": {"name": files.secret_name("database")}}]
    if admin.secret is not None:
        items = [{"key": admin.secret_key, "path": "password"}]
        sources.append({"secret": {"name": admin.secret, "items": items}})
    volume = {"name": "config", "projected": {"defaultMode": 0o440, "sources": sources}}
    running = _container(postal, "database", ["ruby", f"{MOUNTED_SCRIPTS}/database.rb"])
    return _job(postal, files, "database", {"containers": [running], "volumes": _volumes(files, volume)})


def _migrate(postal: PostalOnCluster, files: PostalFiles) -> dict[str, Any]:
    """Return the job that looks around, makes or migrates the tables, and asks the database whether that is so.

    It is never repeated by itself: a migration that failed half-way is for a person to look at. Moved by a drain it
    starts again, but never beside the one before.
    """
    spec = {
        "initContainers": [
            _container(postal, "check", ["ruby", f"{MOUNTED_SCRIPTS}/check.rb"]),
            # Makes tables where there are none, migrates them where there are some.
            _container(postal, "migrate", ["postal", "initialize"]),
        ],
        # `postal initialize` is a shell script; this asks the database itself.
        "containers": [_container(postal, "verify", CHECK_PENDING)],
        "volumes": _volumes(files, _config(files, "migrate")),
    }
    ends = {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [0]}}
    return _job(postal, files, "migrate", spec, seconds=MIGRATION_SECONDS, ends=ends)


def _provision(postal: PostalOnCluster, files: PostalFiles) -> dict[str, Any]:
    """Return the job that runs the bootstrap runner of role ``postal``, remembers and tells what it found."""
    running = _container(postal, "provision", ["ruby", f"{MOUNTED_SCRIPTS}/provision.rb"])
    running["env"] = [
        *running["env"],
        {"name": "API_FILES", "value": API_FILES},
        {"name": "NAMESPACE", "value": postal.namespace},
        {"name": "VERSION", "value": files.job_name("provision")},
    ]
    running["volumeMounts"] = [*running["volumeMounts"], {"name": "api", "mountPath": API_FILES, "readOnly": True}]
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    authority = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    api = {"name": "api", "projected": {"defaultMode": 0o440, "sources": [token, authority]}}
    spec = {"containers": [running], "volumes": [*_volumes(files, _config(files, "provision")), api]}
    ends = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [REFUSED]}}
    seconds = OTHER_SECONDS + int(postal.dns_check["wait_seconds"])
    return _job(postal, files, "provision", spec, seconds=seconds, ends=ends, account=postal.called("provision"))


def _container(postal: PostalOnCluster, name: str, command: list[str]) -> dict[str, Any]:
    mounts: list[dict[str, Any]] = [
        {"name": "config", "mountPath": "/config", "readOnly": True},
        {"name": "scripts", "mountPath": MOUNTED_SCRIPTS, "readOnly": True},
    ]
    return container(postal, name, command, mounts)


def _config(files: PostalFiles, component: str) -> dict[str, Any]:
    return {"name": "config", "secret": {"secretName": files.secret_name(component), "defaultMode": 0o440}}


def _volumes(files: PostalFiles, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(config), {"name": "scripts", "configMap": {"name": files.scripts_name("jobs")}}, *temporary()]


def _job(
    postal: PostalOnCluster,
    files: PostalFiles,
    component: str,
    spec: Mapping[str, Any],
    *,
    seconds: int = OTHER_SECONDS,
    ends: Mapping[str, Any] | None = None,
    account: str | None = None,
) -> dict[str, Any]:
    moved = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    template = {"restartPolicy": "Never", **security(postal, account or postal.name), **spec}
    return manifest(
        "Job",
        files.job_name(component),
        postal.namespace,
        version="batch/v1",
        labels=postal.labels(component),
        spec={
            "backoffLimit": 2,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": seconds,
            "podFailurePolicy": {"rules": [moved, *([dict(ends)] if ends is not None else [])]},
            # Two at once would be two migrations at once.
            "podReplacementPolicy": "Failed",
            "template": {"metadata": {"labels": postal.labels(component)}, "spec": template},
        },
    )


def _results(postal: PostalOnCluster) -> Iterator[Placed]:
    name, labels = postal.called("provision"), postal.labels("provision")
    account = manifest("ServiceAccount", name, postal.namespace, labels=labels, automountServiceAccountToken=False)
    yield Placed(name="provision-account", manifest=account, stage=Stage.BASIS)
    results = manifest("ConfigMap", postal.results_name, postal.namespace, labels=labels)
    yield Placed(name="results", manifest=results, stage=Stage.BASIS, theirs=("data",))
    rule = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": [postal.results_name],
        "verbs": ["get", "patch"],
    }
    yield Placed(
        name="provision-role",
        manifest=manifest("Role", name, postal.namespace, version=RBAC, labels=labels, rules=[rule]),
        stage=Stage.BASIS,
    )
    binding = manifest(
        "RoleBinding",
        name,
        postal.namespace,
        version=RBAC,
        labels=labels,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        subjects=[{"kind": "ServiceAccount", "name": name, "namespace": postal.namespace}],
    )
    yield Placed(name="provision-binding", manifest=binding, stage=Stage.BASIS)
