"""What holds mail outlives the resource that made it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.policy.model import Level, Policy, Resource, Seen
from mailstack.policy.pods import pod_spec, pods_containers
from mailstack.policy.wire import mappings, text_of

__all__ = ["STATE"]

CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
# Volumes, zones and databases of the usual providers are called so; of a zone every record goes with it.
HOLDS = re.compile(
    rf"{CLAIM}|kubernetes:core/v1:PersistentVolume|.*:(Volume|Zone|ManagedZone|DatabaseInstance|DatabaseCluster)"
    r"|aws:rds/(instance:Instance|cluster:Cluster)"
)
# Volumes that go with their pod.
PASSING = {"emptyDir", "ephemeral"}
# Where accepted mail, Postal's mail and keys, and certificates are.
DATA = ("/var/spool/postfix", "/var/lib/mysql", "/var/lib/postgresql")
# Of our components: settings by which data goes with the resource.
GOING: Mapping[str, tuple[str, str]] = {
    "mariadb/remove_data": ("yes", "`pulumi destroy` removes Postal's databases, which are mail and keys"),
    "remove_volumes": ("yes", "`pulumi destroy` removes what pods have kept on the nodes"),
}


def _state(resource: Resource, seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    if HOLDS.fullmatch(resource.type) and not _stays(resource, seen):
        if resource.options.retain_on_delete is None:
            yield (
                "holds data and is not protected. Whether it is retained on delete the engine tells no policy: "
                "where it is, name it in the policy's `except`"
            )
        else:
            yield "holds data and goes with the stack: it is neither protected nor retained on delete"
    elif resource.type == CLAIM:
        yield from _namespace_goes(resource, seen, "the claim goes")
    for name, (value, meaning) in GOING.items():
        for key, text in resource.shown(name):
            if text == value:
                yield f"{key} is {value}: {meaning}"
    yield from _workload(resource, seen)


def _stays(resource: Resource, seen: Seen) -> bool:
    options = resource.options
    if options.protect or options.retain_on_delete:
        return True
    # The engine tells policies of protect alone; the relay's component says itself whether its queue stays.
    return options.retain_on_delete is None and text_of(resource.inputs.get("name")) in seen.kept_volumes


def _workload(resource: Resource, seen: Seen) -> Iterator[str]:
    # A job's pods go by themselves.
    if not resource.type.startswith("kubernetes:") or resource.type.endswith(("Job", "JobPatch")):
        return
    if resource.entries("spec", "volumeClaimTemplates"):
        yield from _claims(resource, seen)
    kept = {}
    for volume in mappings(pod_spec(resource).get("volumes")):
        kept[text_of(volume.get("name"))] = not PASSING & volume.keys()
    for container in pods_containers(resource):
        for mount in mappings(container.get("volumeMounts")):
            path = text_of(mount.get("mountPath"))
            if path.startswith(DATA) and not kept.get(text_of(mount.get("name")), True):
                yield f"container {container.get('name')} keeps {path} in a volume that goes with its pod"


def _claims(resource: Resource, seen: Seen) -> Iterator[str]:
    retention = resource.mapping("spec", "persistentVolumeClaimRetentionPolicy")
    for when, what in (("whenDeleted", "with the StatefulSet"), ("whenScaled", "with fewer pods")):
        if retention.get(when) == "Delete":
            yield f"its volume claims go {what} ({when} is Delete)"
    yield from _namespace_goes(resource, seen, "its volume claims go")


def _namespace_goes(resource: Resource, seen: Seen, what: str) -> Iterator[str]:
    namespace = text_of(resource.mapping("metadata").get("namespace"))
    if seen.namespaces.get(namespace) is False:
        yield f"{what} with namespace {namespace}, which the stack made and does not retain"


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
