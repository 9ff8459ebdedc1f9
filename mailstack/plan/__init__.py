"""The plan: what a stack is, as frozen data, computed once from its settings. Everything else only reads it."""

from mailstack.plan.make import load_plan, make_plan
from mailstack.plan.model import (
    CaddyPlan,
    CloudflarePlan,
    ClusterPlan,
    DnsPlan,
    HostPlan,
    Plan,
    PostalPlan,
    RelayPlan,
    RelayRulePlan,
    RoleRun,
)
from mailstack.plan.shown import Secret, Shown

__all__ = [
    "CaddyPlan",
    "CloudflarePlan",
    "ClusterPlan",
    "DnsPlan",
    "HostPlan",
    "Plan",
    "PostalPlan",
    "RelayPlan",
    "RelayRulePlan",
    "RoleRun",
    "Secret",
    "Shown",
    "load_plan",
    "make_plan",
]
