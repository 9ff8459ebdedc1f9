"""Objects of one cluster, in an order in which each finds what it builds on. What they are, a plan says."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import pulumi

from components.kubernetes import KubernetesObject, KubernetesProvider
from mailstack.kubernetes.objects import Placed, Stage
from mailstack.plan.cluster_access import ClusterAccess

__all__ = ["Options", "log_in", "place"]

Options = Callable[..., pulumi.ResourceOptions]
# Pods are waited for, and jobs; what is not about pods has the engine's own limits.
WITH_PODS = frozenset(Stage) - {Stage.NAMESPACE, Stage.BASIS, Stage.ACCESS}


def log_in(
    name: str, access: ClusterAccess, kubeconfig: pulumi.Input[str] | None, child: Options
) -> KubernetesProvider:
    """Return the provider of a component called ``name``.

    ``kubeconfig`` is that of a cluster the stack makes itself; settings that name another one go before it. ``child``
    returns the options of a child of the component.
    """
    return KubernetesProvider(
        f"{name}-cluster",
        identifier=access.identifier,
        kubeconfig=kubeconfig if access.kubeconfig is None else access.kubeconfig,
        context=access.context,
        opts=child(),
    )


def place(
    name: str,
    provider: KubernetesProvider,
    objects: Iterable[Placed],
    child: Options,
    *,
    seconds: int,
    keep: bool,
    after: Sequence[pulumi.Resource] = (),
) -> Mapping[str, KubernetesObject]:
    """Register ``objects`` stage by stage and return them by their names.

    ``seconds`` a workload or a job may take. Nothing with pods begins before ``after``.
    """
    found = list(objects)
    made: dict[str, KubernetesObject] = {}
    for stage in Stage:
        limit = f"{seconds}s"
        limits = pulumi.CustomTimeouts(create=limit, update=limit, delete=limit) if stage in WITH_PODS else None
        before = [*made.values(), *(after if stage > Stage.BASIS else ())]
        made |= {
            one.name: KubernetesObject(
                f"{name}-{one.name}",
                one.manifest,
                child(
                    provider=provider,
                    depends_on=before,
                    retain_on_delete=one.stays or keep,
                    custom_timeouts=limits,
                    replace_on_changes=list(one.fixed) or None,
                    delete_before_replace=bool(one.fixed) or None,
                ),
                theirs=one.theirs,
                force=one.stage is Stage.WORKLOAD and not one.theirs,
            )
            for one in found
            if one.stage is stage
        }
    return made
