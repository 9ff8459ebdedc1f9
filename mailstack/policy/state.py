"""What holds mail outlives the resource that made it."""

from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.policy.model import Level, Policy, Resource, Seen

__all__ = ["STATE"]

CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
VOLUMES = frozenset({"docker:index/volume:Volume", CLAIM, "kubernetes:core/v1:PersistentVolume"})
WORKLOADS = frozenset({"kubernetes:apps/v1:StatefulSet", "kubernetes:apps/v1:Deployment"})
QUEUE = "/var/spool/postfix"
# Of our components: settings by which data goes with the resource.
GOING: Mapping[str, tuple[str, str]] = {
    "mariadb/remove_data": ("yes", "`pulumi destroy` removes Postal's databases, which are mail and keys"),
    "remove_volumes": ("yes", "`pulumi destroy` removes what pods have kept on the nodes"),
}


def _state(resource: Resource, seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    if resource.type in VOLUMES and not _stays(resource, seen):
        yield "holds data and goes with the stack: it is neither protected nor retained on delete"
    for name, (value, meaning) in GOING.items():
        for key, text in resource.shown(name):
            if text == value:
                yield f"{key} is {value}: {meaning}"
    if resource.type in WORKLOADS:
        yield from _workload(resource, seen)


def _stays(resource: Resource, seen: Seen) -> bool:
    options = resource.options
    if options.protect or options.retain_on_delete:
        return True
    # The engine tells policies of protect alone; the relay's component says itself whether its queue stays.
    return options.retain_on_delete is None and resource.inputs.get("name") in seen.kept_volumes


def _workload(resource: Resource, seen: Seen) -> Iterator[str]:
    claims = {claim.get("metadata", {}).get("name") for claim in resource.entries("spec", "volumeClaimTemplates")}
    if claims:
        retention = resource.mapping("spec", "persistentVolumeClaimRetentionPolicy")
        for when, what in (("whenDeleted", "with the StatefulSet"), ("whenScaled", "with fewer pods")):
            if retention.get(when) == "Delete":
                yield f"its volume claims go {what} ({when} is Delete)"
        namespace = resource.mapping("metadata").get("namespace")
        if seen.namespaces.get(str(namespace)) is False:
            yield f"its volume claims go with namespace {namespace}, which the stack made and does not retain"
    volumes = {volume.get("name"): volume for volume in resource.entries("spec", "template", "spec", "volumes")}
    for container in resource.entries("spec", "template", "spec", "containers"):
        for mount in container.get("volumeMounts") or ():
            volume = volumes.get(mount.get("name"), {})
            if mount.get("mountPath") == QUEUE and "emptyDir" in volume:
                yield f"container {container.get('name')} keeps accepted mail in an emptyDir, which goes with its pod"


STATE = Policy(
    name="state-is-protected",
    description="In production queues, databases and volumes stay when their resource goes.",
    level=Level.MANDATORY,
    environments=frozenset({"prod"}),
    source="https://www.pulumi.com/docs/iac/concepts/resources/options/retainondelete/",
    remedy="set protect or retain_on_delete (relay.docker.keep_queue, postal.removal, cluster.remove_volumes); for a "
    "planned removal name the resource in the policy's `except`",
    check=_state,
)
