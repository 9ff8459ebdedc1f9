"""Which of the relay's monitoring objects the cluster can take: found out while planning.

The kinds of the Prometheus operator are there where somebody has installed it. Where they are not, an object of such a
kind would fail the whole update.
"""

from collections.abc import Mapping
from dataclasses import replace

from mailstack.plan.cluster_access import ClusterAccess
from mailstack.plan.model import Plan
from mailstack.plan.relay_cluster import KubernetesRelay
from mailstack.plan.relay_kubernetes import shown_kubernetes
from mailstack.reach.kubernetes_api import KubernetesUnknownError, ambient_kubeconfig, api_groups

__all__ = ["SERVICE_MONITOR", "plan_monitoring"]

OPERATOR = "monitoring.coreos.com"
SERVICE_MONITOR = f"kubernetes:{OPERATOR}/v1:ServiceMonitor"


def plan_monitoring(plan: Plan, *, watched: bool, environment: Mapping[str, str]) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan with the objects the cluster can take, and a notice about those it cannot.

    ``watched`` says that the last update left some. A cluster that cannot be asked keeps what it has, so that a preview
    from elsewhere shows no change that is none.
    """
    declared = plan.settings.relay.kubernetes
    placed = plan.relay.kubernetes
    if placed is None or declared is None or declared.monitoring is None or declared.monitoring.objects == "no":
        return plan, ()
    if declared.monitoring.objects == "yes":
        return _watched(plan, placed), ()
    field = "relay.kubernetes.monitoring"
    try:
        known = OPERATOR in api_groups(_kubeconfig(placed.access, environment), placed.access.context)
    except KubernetesUnknownError as error:
        kept = "what is there stays" if watched else "they are left out; set objects to yes where it has the operator"
        found = f"{field}: whether the cluster has the Prometheus operator was not seen, {error}: {kept}"
        return (_watched(plan, placed) if watched else plan), (found,)
    if known:
        return _watched(plan, placed), ()
    return plan, (f"{field}: the cluster has no Prometheus operator (no {OPERATOR}), its objects are left out",)


def _kubeconfig(access: ClusterAccess, environment: Mapping[str, str]) -> str:
    if access.kubeconfig is not None:
        return access.kubeconfig
    if access.context is None:
        raise KubernetesUnknownError("it is one that this stack makes")
    return ambient_kubeconfig(environment)


def _watched(plan: Plan, placed: KubernetesRelay) -> Plan:
    after = placed.with_monitoring()
    shown = {**plan.relay.shown, **shown_kubernetes(after)}
    return replace(plan, relay=replace(plan.relay, kubernetes=after, shown=shown))
