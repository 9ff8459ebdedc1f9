"""Postal's objects on a cluster: jobs for the database first, then the pods, then the ways in.

Owns: every object of the plan. Does not own: the cluster, its ingress controller, cert-manager, and the database.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.cluster_objects import Options, log_in, place
from components.kubernetes import FoundConfigMap
from mailstack.kubernetes.postal_jobs import MIGRATION_SECONDS
from mailstack.plan import PostalPlan
from mailstack.plan.postal_cluster import KubernetesPostal
from mailstack.postal.render import PROCESSES

__all__ = ["place_postal"]

# Besides the longest job: to be scheduled, to pull the image, to roll every pod.
MORE_SECONDS = 1800
DOMAINS = "domains"


def place_postal(
    name: str,
    plan: PostalPlan,
    placed: KubernetesPostal,
    kubeconfig: pulumi.Input[str] | None,
    child: Options,
    after: Sequence[pulumi.Resource],
) -> tuple[list[pulumi.Resource], pulumi.Output[dict[str, Any]]]:
    """Register the objects; return them and the facts that role ``postal`` tells on a host.

    The facts are there once everything is. No job runs before ``after``.
    """
    provider = log_in(name, placed.access, kubeconfig, child)
    seconds = MIGRATION_SECONDS + MORE_SECONDS
    made = place(name, provider, placed.objects(plan.shown), child, seconds=seconds, keep=placed.keep, after=after)
    # Written by the job while it ran: so it is read after the job, not as it was made.
    written = pulumi.Output.all(made["results"].id, made["provision"].id).apply(lambda ids: str(ids[0]))
    results = FoundConfigMap(f"{name}-found", written, child(provider=provider, depends_on=[made["provision"]]))
    # Whoever waits for a pod's object waits until the pod is ready.
    state = "stopped" if placed.postal.stopped else "healthy"
    there = pulumi.Output.all(*(one.id for one in made.values()))
    facts = pulumi.Output.all(results.data, there).apply(
        lambda found: {"domains": _domains(found[0]), "containers": dict.fromkeys(PROCESSES, state)}
    )
    return [*made.values()], facts


def _domains(data: Mapping[str, str] | None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data or {}).get(DOMAINS, "{}"))
    return found
