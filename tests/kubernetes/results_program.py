"""The program of the results' test: what a job writes to is read as ``components.postal_kubernetes`` reads it."""

import json

import pulumi

from components.kubernetes import FoundConfigMap, KubernetesObject, KubernetesProvider

config = pulumi.Config()
options = pulumi.ResourceOptions
cluster = KubernetesProvider("cluster", identifier="test", kubeconfig=config.require_secret("key"), opts=options())


def config_map(name: str, *, theirs: tuple[str, ...] = ()) -> KubernetesObject:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}
    return KubernetesObject(name, manifest, options(provider=cluster), theirs=theirs)


results, job = config_map("results", theirs=("data",)), config_map(f"job-{config.require('version')}")
written = pulumi.Output.all(results.id, job.id).apply(lambda ids: str(ids[0]))
found = FoundConfigMap("found", written, options(provider=cluster, depends_on=[job]))
pulumi.export("found", found.data.apply(lambda data: json.loads((data or {}).get("domains", "{}"))))
