"""What the manifests of every workload share beyond names and labels: where its pods go, how many, how they leave."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailstack.kubernetes.objects import manifest

__all__ = ["Scaling", "autoscaler", "disruption_budget", "families", "namespace_object", "placement"]

# The API takes no longer period (HPAScalingPolicy).
LONGEST_PERIOD = 1800


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Pods by load; ``stabilization_seconds`` the load has to be low before one goes."""

    least: int
    most: int
    cpu_percent: int
    stabilization_seconds: int


def namespace_object(name: str, labels: Mapping[str, str], *, enforce: str) -> dict[str, Any]:
    """Return a namespace whose pods are held to the Pod Security level ``enforce``; what is beyond is told of."""
    modes = {"enforce": enforce, "audit": "restricted", "warn": "restricted"}
    levels = {f"pod-security.kubernetes.io/{mode}": level for mode, level in modes.items()}
    return manifest("Namespace", name, None, labels={**labels, **levels})


def placement(pods: Mapping[str, str], *, own_nodes: bool, priority_class: str | None) -> dict[str, Any]:
    """Return on which nodes pods go: never all on one, where there are more."""
    chosen = {"labelSelector": {"matchLabels": dict(pods)}}
    spread = [
        {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", **chosen}
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]
    found: dict[str, Any] = {"topologySpreadConstraints": spread}
    if own_nodes:
        apart = {"topologyKey": "kubernetes.io/hostname", **chosen}
        found["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    if priority_class is not None:
        found["priorityClassName"] = priority_class
    return found


def families(*, dual_stack: bool) -> dict[str, Any]:
    """Return the IP families of a service."""
    if dual_stack:
        return {"ipFamilyPolicy": "PreferDualStack"}
    return {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}


def disruption_budget(name: str, namespace: str, labels: Mapping[str, str], pods: Mapping[str, str]) -> dict[str, Any]:
    """Return what lets a drain of nodes take one of ``pods`` at a time."""
    return manifest(
        "PodDisruptionBudget",
        name,
        namespace,
        version="policy/v1",
        labels=labels,
        spec={
            "maxUnavailable": 1,
            "selector": {"matchLabels": dict(pods)},
            # One that does not work anyway does not keep a node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    )


def autoscaler(
    name: str, namespace: str, labels: Mapping[str, str], *, kind: str, scaling: Scaling, seconds_to_end: int
) -> dict[str, Any]:
    """Return what scales the workload ``name``, whose pods take up to ``seconds_to_end`` to go."""
    # One after the other: the next does not go before the last has ended.
    slowly = {"type": "Pods", "value": 1, "periodSeconds": min(LONGEST_PERIOD, 2 * seconds_to_end)}
    use = {"type": "Utilization", "averageUtilization": scaling.cpu_percent}
    return manifest(
        "HorizontalPodAutoscaler",
        name,
        namespace,
        version="autoscaling/v2",
        labels=labels,
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name},
            "minReplicas": scaling.least,
            "maxReplicas": scaling.most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": use}}],
            "behavior": {
                "scaleDown": {
                    "stabilizationWindowSeconds": scaling.stabilization_seconds,
                    "policies": [slowly],
                },
                "scaleUp": {
                    "stabilizationWindowSeconds": 0,
                    "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}],
                },
            },
        },
    )
