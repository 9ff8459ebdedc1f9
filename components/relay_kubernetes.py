"""The relay's objects on a cluster.

Owns: every object of the plan. Does not own: the cluster, its network plugin, and the claims of the pods' volumes,
which the StatefulSet makes and nobody removes while mail may be on them.
"""

import pulumi

from components.cluster_objects import Options, log_in, place
from mailstack.plan import RelayPlan
from mailstack.plan.relay_cluster import KubernetesRelay

__all__ = ["place_on_cluster"]

# A roll takes this much for each pod besides its grace: to be scheduled, to pull the image, to be ready.
SECONDS_A_POD, MORE_SECONDS = 120, 300


def place_on_cluster(
    name: str,
    plan: RelayPlan,
    placed: KubernetesRelay,
    kubeconfig: pulumi.Input[str] | None,
    child: Options,
) -> list[pulumi.Resource]:
    """Register the objects and return those that have to be there for the relay to take mail."""
    provider = log_in(name, placed.access, kubeconfig, child)
    after: list[pulumi.Resource] = []
    if placed.image.built:
        # Only a stack that builds pays for the SDK.
        from components.relay_image import build_for_cluster  # noqa: PLC0415

        after.append(build_for_cluster(f"{name}-image", placed.image, child()))
    relay = placed.relay
    most = relay.replicas if relay.scaling is None else relay.scaling.most
    seconds = MORE_SECONDS + most * (SECONDS_A_POD + relay.grace_seconds)
    objects = placed.objects(plan.shown)
    return [*place(name, provider, objects, child, seconds=seconds, keep=placed.keep, after=after).values()]
