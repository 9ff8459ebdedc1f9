"""A Grafana dashboard for the relay, as the JSON that Grafana imports (schema version 39, Grafana 10 and later)."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from mailstack.monitoring.rules import JOB

__all__ = ["UID", "dashboard", "dashboard_text"]

UID = "mailstack-postfix-relay"
TITLE = "Postfix relay"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS, HEIGHT = 24, 8

# Title, unit, width of 24, and each query with its legend. $relay is one instance or several.
Query = tuple[str, str]
Panel = tuple[str, str, int, Sequence[Query]]
WHO = 'job="$job",instance=~"$relay"'
DELAYS = f"sum by (le) (rate(mailstack_relay_delivery_delay_seconds_bucket{{{WHO}}}[$__rate_interval]))"
STATS: tuple[Panel, ...] = (
    ("Relays up", "short", 4, ((f"sum(postfix_up{{{WHO}}})", ""),)),
    ("In the queue", "short", 5, ((f"sum(postfix_showq_queue_depth{{{WHO}}})", ""),)),
    ("Oldest message", "s", 5, ((f"max(mailstack_relay_queue_oldest_message_age_seconds{{{WHO}}})", ""),)),
    ("Sent in 24 h", "short", 5,
     ((f'sum(increase(mailstack_relay_recipients_total{{{WHO},status="sent"}}[24h]))', ""),)),
    ("Certificate ends in", "s", 5,
     ((f"min(mailstack_relay_certificate_expiry_timestamp_seconds{{{WHO}}}) - time()", ""),)),
)  # fmt: skip
GRAPHS: tuple[Panel, ...] = (
    ("Recipients by result", "reqps", 12,
     ((f"sum by (status) (rate(mailstack_relay_recipients_total{{{WHO}}}[$__rate_interval]))", "{{status}}"),)),
    ("Queue", "short", 12, ((f"sum by (queue) (postfix_showq_queue_depth{{{WHO}}})", "{{queue}}"),)),
    ("Oldest message by queue", "s", 12,
     ((f"max by (queue) (mailstack_relay_queue_oldest_message_age_seconds{{{WHO}}})", "{{queue}}"),)),
    ("Time from arrival to delivery", "s", 12,
     tuple(
         (f"histogram_quantile({part}, {DELAYS})", f"{part:.0%}")
         for part in (0.5, 0.95, 0.99)
     )),
    ("Deferrals by subject (RFC 3463)", "reqps", 12,
     ((f"sum by (subject) (rate(mailstack_relay_deferrals_total{{{WHO}}}[$__rate_interval]))", "{{subject}}"),)),
    ("Deferred and bounced by status code", "reqps", 12,
     ((f"sum by (dsn) (rate(postfix_smtp_deferred_messages_by_dsn_total{{{WHO}}}[$__rate_interval]))", "{{dsn}}"),
      (f"sum by (dsn) (rate(postfix_smtp_bounced_messages_by_dsn_total{{{WHO}}}[$__rate_interval]))", "{{dsn}}"))),
    ("Connections", "reqps", 12,
     ((f"sum(rate(postfix_smtpd_connects_total{{{WHO}}}[$__rate_interval]))", "from clients"),
      (f"sum by (trust) (rate(postfix_smtp_tls_connections_total{{{WHO}}}[$__rate_interval]))", "upstream, {{trust}}"),
      (f"sum by (reason) (rate(mailstack_relay_upstream_connect_failures_total{{{WHO}}}[$__rate_interval]))",
       "upstream, {{reason}}"))),
    ("Deliveries by connection", "reqps", 12,
     ((f"sum by (connection) (rate(mailstack_relay_upstream_deliveries_total{{{WHO}}}[$__rate_interval]))",
       "{{connection}}"),)),
    ("Trouble", "short", 12,
     ((f"sum(increase(mailstack_relay_upstream_authentication_failures_total{{{WHO}}}[$__rate_interval]))",
       "upstream refuses the login"),
      (f"sum(increase(mailstack_relay_quota_replies_total{{{WHO}}}[$__rate_interval]))", "limit of the upstream"),
      (f"sum by (reason) (increase(mailstack_relay_upstream_tls_failures_total{{{WHO}}}[$__rate_interval]))",
       "TLS {{reason}}"),
      (f"sum(increase(postfix_smtpd_sasl_authentication_failures_total{{{WHO}}}[$__rate_interval]))",
       "logins of clients refused"))),
    ("Refused by the relay, by code", "reqps", 12,
     ((f"sum by (code) (rate(postfix_smtpd_messages_rejected_total{{{WHO}}}[$__rate_interval]))", "{{code}}"),)),
)  # fmt: skip


def dashboard(*, job: str = JOB) -> dict[str, Any]:
    """Return the dashboard; ``job`` is what its variable starts with. Data source and relay are chosen in Grafana."""
    return {
        "uid": UID,
        "title": TITLE,
        "tags": ["postfix", "mailstack"],
        "schemaVersion": 39,
        "editable": True,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": _variables(job)},
        "panels": list(_panels()),
    }


def dashboard_text(*, job: str = JOB) -> str:
    """Return the dashboard as indented JSON with a final newline."""
    return json.dumps(dashboard(job=job), indent=2) + "\n"


def _variables(job: str) -> list[dict[str, Any]]:
    jobs = {"name": "job", "label": "Job", "query": "label_values(postfix_up, job)", "current": _chosen(job)}
    relays = {
        "name": "relay",
        "label": "Relay",
        "query": 'label_values(postfix_up{job="$job"}, instance)',
        "current": _chosen("$__all"),
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
    }
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return [source, *({"type": "query", "datasource": SOURCE, "refresh": 2, **each} for each in (jobs, relays))]


def _chosen(value: str) -> dict[str, str]:
    return {"text": "All" if value == "$__all" else value, "value": value}


def _panels() -> Iterator[dict[str, Any]]:
    number, x, y = 0, 0, 0
    for kind, panels, height in (("stat", STATS, 4), ("timeseries", GRAPHS, HEIGHT)):
        for title, unit, width, queries in panels:
            number += 1
            yield {
                "id": number,
                "type": kind,
                "title": title,
                "datasource": SOURCE,
                "gridPos": {"x": x, "y": y, "w": width, "h": height},
                "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                "targets": [
                    {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": text, "legendFormat": legend}
                    for index, (text, legend) in enumerate(queries)
                ],
            }
            x += width
            if x + width > COLUMNS:
                x, y = 0, y + height
        x, y = 0, y + (height if x else 0)
