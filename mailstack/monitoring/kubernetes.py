"""Rules, dashboard and scrape as Kubernetes objects, plain dicts that pulumi-kubernetes or kubectl take.

ServiceMonitor and PrometheusRule are of the Prometheus operator (monitoring.coreos.com/v1): a cluster need not have
them. The ConfigMap is found by the side-car of Grafana's chart through its label.
"""

from collections.abc import Mapping
from typing import Any

from mailstack.monitoring.dashboard import dashboard_text
from mailstack.monitoring.rules import JOB, RUNBOOK, rule_groups

__all__ = ["DASHBOARD_LABEL", "dashboard_config_map", "prometheus_rule", "service_monitor"]

OPERATOR = "monitoring.coreos.com/v1"
DASHBOARD_LABEL = ("grafana_dashboard", "1")


def _object(
    version: str, kind: str, name: str, namespace: str, labels: Mapping[str, str] | None, **content: Any
) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels or {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def service_monitor(
    name: str,
    namespace: str,
    *,
    selector: Mapping[str, str],
    port: str = "metrics",
    job: str = JOB,
    labels: Mapping[str, str] | None = None,
    interval: str = "30s",
) -> dict[str, Any]:
    """Return what lets the operator's Prometheus read every pod behind the services with the labels ``selector``.

    ``port`` is the port's name in the service, ``labels`` what that Prometheus looks for. The job is always ``job``,
    whatever the service is called, so that rules and dashboard find it.
    """
    endpoint = {
        "port": port,
        "path": "/metrics",
        "interval": interval,
        "scrapeTimeout": "10s",
        "relabelings": [{"action": "replace", "targetLabel": "job", "replacement": job}],
    }
    spec = {
        "selector": {"matchLabels": dict(selector)},
        "namespaceSelector": {"matchNames": [namespace]},
        "endpoints": [endpoint],
    }
    return _object(OPERATOR, "ServiceMonitor", name, namespace, labels, spec=spec)


def prometheus_rule(
    name: str, namespace: str, *, job: str = JOB, runbook: str = RUNBOOK, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the alerting rules; ``labels`` are what the operator's Prometheus looks for."""
    return _object(
        OPERATOR, "PrometheusRule", name, namespace, labels, spec={"groups": rule_groups(job=job, runbook=runbook)}
    )


def dashboard_config_map(
    name: str, namespace: str, *, job: str = JOB, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the dashboard with the label by which Grafana's side-car finds it."""
    key, value = DASHBOARD_LABEL
    data = {"postfix-relay.json": dashboard_text(job=job)}
    return _object("v1", "ConfigMap", name, namespace, {**(labels or {}), key: value}, data=data)
