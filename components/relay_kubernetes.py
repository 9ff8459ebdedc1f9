"""The relay's objects on a cluster, in an order in which each finds what it builds on.

Owns: every object of the plan. Does not own: the cluster, its network plugin, and the claims of the pods' volumes,
which the StatefulSet makes and nobody removes while mail may be on them.
"""

from collections.abc import Callable

import pulumi

from components.kubernetes import KubernetesObject, KubernetesProvider
from mailstack.kubernetes.objects import Placed, Stage
from mailstack.plan import RelayPlan
from mailstack.plan.relay_cluster import KubernetesRelay

__all__ = ["place_on_cluster"]

Options = Callable[..., pulumi.ResourceOptions]
# A roll takes this much for each pod besides its grace: to be scheduled, to pull the image, to be ready.
SECONDS_A_POD, MORE_SECONDS = 120, 300


def place_on_cluster(
    name: str,
    plan: RelayPlan,
    placed: KubernetesRelay,
    kubeconfig: pulumi.Input[str] | None,
    child: Options,
) -> list[pulumi.Resource]:
    """Register the objects and return those that have to be there for the relay to take mail.

    ``kubeconfig`` is that of a cluster the stack makes itself; settings that name another one go before it. ``child``
    returns the options of a child of the component.
    """
    access = placed.access
    provider = KubernetesProvider(
        f"{name}-cluster",
        identifier=access.identifier,
        kubeconfig=kubeconfig if access.kubeconfig is None else access.kubeconfig,
        context=access.context,
        opts=child(),
    )
    before: list[pulumi.Resource] = []
    if placed.image.built:
        # Only a stack that builds pays for the SDK.
        from components.relay_image import build_for_cluster  # noqa: PLC0415

        before.append(build_for_cluster(f"{name}-image", placed.image, child()))
    for stage in Stage:
        made = [
            KubernetesObject(
                f"{name}-{one.name}",
                one.manifest,
                child(
                    provider=provider,
                    depends_on=list(before),
                    retain_on_delete=one.stays or placed.keep,
                    custom_timeouts=_timeouts(one, placed),
                ),
                theirs=one.theirs,
            )
            for one in placed.objects(plan.shown)
            if one.stage is stage
        ]
        before += made
    return before


def _timeouts(one: Placed, placed: KubernetesRelay) -> pulumi.CustomTimeouts | None:
    """Return how long a roll of all pods may take; what is not about pods has the engine's own limits."""
    if one.stage not in {Stage.TRIAL, Stage.WORKLOAD, Stage.ERRAND}:
        return None
    relay = placed.relay
    most = relay.replicas if relay.scaling is None else relay.scaling.most
    limit = f"{MORE_SECONDS + most * (SECONDS_A_POD + relay.grace_seconds)}s"
    return pulumi.CustomTimeouts(create=limit, update=limit, delete=limit)
