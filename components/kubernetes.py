"""Objects of a Kubernetes cluster, from plain manifests and without the price of the Kubernetes SDK.

The SDK has a class for each kind with its own copy of every field; a manifest is a mapping that says the same. These
two classes register the same resource types with the same properties; a test holds them against the SDK. The package
stays pinned in the requirements, so that the CLI knows which plugin to install (docs/adr/0018).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import pulumi

__all__ = ["FoundConfigMap", "KubernetesObject", "KubernetesProvider"]

# Of these kinds everything below `data` and `stringData` is secret, whoever reads it back.
SECRET_KIND = "Secret"  # noqa: S105 - the name of a kind
SECRET_FIELDS = ("data", "stringData")
# https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply/
PATCH_FORCE = "pulumi.com/patchForce"


@cache
def _plugin_version() -> str:
    """Return the version of the pinned SDK package, which is the plugin's. Once: it searches the disk."""
    return version("pulumi-kubernetes")


class KubernetesProvider(pulumi.ProviderResource):
    """An explicit provider: one cluster, whatever the environment names.

    ``kubeconfig`` is the text of one; None is the file that ``KUBECONFIG`` or the user's home has, of which ``context``
    picks the cluster. ``identifier`` says which cluster it is: while it stays, a new kubeconfig for the same cluster
    replaces nothing there.
    """

    def __init__(
        self,
        name: str,
        *,
        identifier: str,
        kubeconfig: pulumi.Input[str] | None,
        context: str | None = None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        """Log in as the kubeconfig says."""
        properties: dict[str, object] = {
            "clusterIdentifier": identifier,
            # Fields that somebody else owns, such as an autoscaler's replicas, stay theirs. Properties of a provider
            # are texts, so this is JSON.
            "enableServerSideApply": "true",
        }
        if kubeconfig is not None:
            properties["kubeconfig"] = pulumi.Output.secret(kubeconfig)
        if context is not None:
            properties["context"] = context
        options = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(version=_plugin_version()))
        super().__init__("kubernetes", name, properties, options)


class KubernetesObject(pulumi.CustomResource):
    """One object, exactly as its manifest says: ``apiVersion``, ``kind``, ``metadata`` with a name, and the rest.

    Values may be outputs. A Secret's data are secret whatever they come as. An object whose name stays and whose
    change the API refuses is deleted first, by the plugin itself; one with a new name is made before the old one goes.
    ``theirs`` are fields (such as ``spec.replicas``) that are given at creation and belong to the cluster afterwards.
    ``force``: all that is declared is ours, whoever had it: an autoscaler that is gone has left its name on a field.
    """

    def __init__(
        self,
        name: str,
        manifest: Mapping[str, Any],
        opts: pulumi.ResourceOptions,
        *,
        theirs: Sequence[str] = (),
        force: bool = False,
    ) -> None:
        """Declare ``manifest`` under the resource name ``name``."""
        group = str(manifest["apiVersion"])
        properties = dict(manifest)
        if force:
            metadata = manifest["metadata"]
            annotations = {**metadata.get("annotations", {}), PATCH_FORCE: "true"}
            properties["metadata"] = {**metadata, "annotations": annotations}
        hidden = [field for field in SECRET_FIELDS if field in properties and manifest["kind"] == SECRET_KIND]
        for field in hidden:
            properties[field] = pulumi.Output.secret(properties[field])
        own = pulumi.ResourceOptions(
            version=_plugin_version(),
            additional_secret_outputs=list(SECRET_FIELDS) if manifest["kind"] == SECRET_KIND else None,
            ignore_changes=list(theirs) or None,
        )
        kind = f"kubernetes:{group if '/' in group else f'core/{group}'}:{manifest['kind']}"
        super().__init__(kind, name, properties, pulumi.ResourceOptions.merge(opts, own))


class FoundConfigMap(pulumi.CustomResource):
    """A ConfigMap as it is in the cluster: read, never changed. ``data`` is what it has once ``identity`` is known."""

    data: pulumi.Output[Mapping[str, str] | None]

    def __init__(self, name: str, identity: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        """Read the one that ``identity`` (namespace/name) names."""
        own = pulumi.ResourceOptions(version=_plugin_version(), id=identity)
        properties: dict[str, object] = {"data": None}
        super().__init__("kubernetes:core/v1:ConfigMap", name, properties, pulumi.ResourceOptions.merge(opts, own))
