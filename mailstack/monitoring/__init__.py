"""What watches the relay: alerting rules and a dashboard as plain data, and both as Kubernetes objects."""

from mailstack.monitoring.dashboard import dashboard, dashboard_text
from mailstack.monitoring.kubernetes import dashboard_config_map, prometheus_rule, service_monitor
from mailstack.monitoring.rules import JOB, alert_names, checked_job, rule_groups, rules_text

__all__ = [
    "JOB",
    "alert_names",
    "checked_job",
    "dashboard",
    "dashboard_config_map",
    "dashboard_text",
    "prometheus_rule",
    "rule_groups",
    "rules_text",
    "service_monitor",
]
