"""Rules that hold for every workload on a cluster, whatever it is."""

import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from mailstack.settings.cluster_workload_model import ApplicationSecret, Autoscaling, ClusterLogin
from mailstack.settings.problems import Problem, one_of

__all__ = [
    "access_problems",
    "application_problems",
    "kubeconfig_server",
    "object_problems",
    "scaling_problems",
    "whole_networks",
]

OURS = "app.kubernetes.io/"


def access_problems(prefix: str, asked: ClusterLogin, *, own_cluster: bool) -> Iterator[Problem]:
    """Yield what keeps a login from naming one cluster, today and tomorrow; a stack may have its ``own_cluster``."""
    if asked.kubeconfig is None and asked.context is None and not own_cluster:
        yield Problem(
            field=f"{prefix}.kubeconfig",
            value="",
            rule="is required, or context: a current context may be another cluster tomorrow",
            fix="name the context, as `kubectl config get-contexts` shows it",
        )
    if asked.kubeconfig is not None:
        found = yaml.safe_load(asked.kubeconfig.get_secret_value())
        contexts = [str(entry.get("name")) for entry in found["contexts"] if isinstance(entry, Mapping)]
        if asked.context is not None and asked.context not in contexts:
            yield Problem(
                field=f"{prefix}.context",
                value=asked.context,
                rule="is no context of the kubeconfig",
                fix=one_of(contexts, asked.context),
            )
        elif kubeconfig_server(asked) is None:
            yield Problem(
                field=f"{prefix}.kubeconfig",
                value="[secret]",
                rule="must lead from its current context to a server",
                fix="name the context, or take `kubectl config view --raw --minify --flatten`",
            )


def kubeconfig_server(asked: ClusterLogin) -> str | None:
    """Return the address of the API server that the kubeconfig's context leads to, None where it leads to none."""
    if asked.kubeconfig is None:
        return None
    found = yaml.safe_load(asked.kubeconfig.get_secret_value())
    context = _named(found["contexts"], asked.context or found.get("current-context"), "context")
    cluster = _named(found["clusters"], context.get("cluster"), "cluster")
    return str(cluster["server"]) if cluster.get("server") else None


def _named(entries: list[Any], name: Any, key: str) -> Mapping[str, Any]:
    for entry in entries:
        if isinstance(entry, Mapping) and entry.get("name") == name and isinstance(entry.get(key), Mapping):
            inner: Mapping[str, Any] = entry[key]
            return inner
    return {}


def scaling_problems(field: str, scaling: Autoscaling) -> Iterator[Problem]:
    """Yield what is wrong with an autoscaler's bounds."""
    if scaling.max < scaling.min:
        yield Problem(
            field=f"{field}.max",
            value=str(scaling.max),
            rule=f"must not be less than min, which is {scaling.min}",
            fix="raise it, or lower min",
        )


def object_problems(
    prefix: str, *, create_namespace: bool, needed: Mapping[str, str | None], labels: Mapping[str, str]
) -> Iterator[Problem]:
    """Yield what is wrong with objects of a namespace: ``needed`` are names of those that have to be there already."""
    for key, name in needed.items():
        if name is not None and create_namespace:
            yield Problem(
                field=f"{prefix}.{key}",
                value=name,
                rule="cannot be there: the namespace is yet to be made",
                fix="make namespace and secret yourself, and set create_namespace to false",
            )
    for name, text in labels.items():
        if name.startswith(OURS):
            yield Problem(
                field=f"{prefix}.labels.{name}",
                value=text,
                rule=f"is set by this project: {OURS} labels tell its pods from others",
                fix="use another prefix",
            )


def application_problems(prefix: str, asked: Sequence[ApplicationSecret]) -> Iterator[Problem]:
    """Yield the Secrets of applications that would be the same object."""
    for (namespace, name), count in Counter((one.namespace, one.name) for one in asked).items():
        if count > 1:
            yield Problem(
                field=f"{prefix}.application_secrets",
                value=f"{namespace}/{name}",
                rule="is listed twice: two Secrets of a namespace need two names",
                fix="remove one, or give it another name",
            )


def whole_networks(prefix: str, listed: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Yield the networks of policies that are every address there is."""
    for key, networks in listed.items():
        for index, text in enumerate(networks):
            if ipaddress.ip_network(text).prefixlen == 0:
                yield Problem(
                    field=f"{prefix}.network_policies.{key}[{index}]",
                    value=text,
                    rule="is every address, so it allows what leaving the key out allows",
                    fix="list the networks, or leave it out",
                )
