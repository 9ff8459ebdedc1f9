"""Alerting rules for the relay, as Prometheus reads them (prometheus.io/docs/prometheus/latest/configuration).

The metrics are those of mailstack.postfix.metrics. What each alert means and what to do: docs/how-to/monitoring.md.
"""

from collections.abc import Iterator
from typing import Any

import yaml

__all__ = ["JOB", "RUNBOOK", "alert_names", "checked_job", "rule_groups", "rules_text"]

# The name of the scrape job, or of the Service in Kubernetes.
JOB = "postfix-relay"
RUNBOOK = "docs/how-to/monitoring.md"
GROUP = "postfix-relay"

HIGH_QUEUE = 100
BOUNCES_PER_SECOND = 0.1
OLDEST_SECONDS = 3600
CLIENT_LOGINS = 20
# ACME renews 30 days before the end: at 14 it has failed for two weeks.
CERTIFICATE_DAYS = 14


def rule_groups(*, job: str = JOB, runbook: str = RUNBOOK) -> list[dict[str, Any]]:
    """Return the groups of a rule file. ``job`` is the label of the scrape, ``runbook`` a path or URL without anchor.

    Every alert has severity ``critical`` (mail is lost or stands still) or ``warning``, a summary, a description and
    ``runbook_url``. Each relay is judged by itself. Raises ValueError for a job that cannot be written in a rule.
    """
    rules = [_with_runbook(rule, runbook) for rule in _rules(f'job="{checked_job(job)}"')]
    return [{"name": GROUP, "rules": rules}]


def checked_job(text: str) -> str:
    """Return a job's name. Raises ValueError where it would end the label it stands in."""
    if any(character in text for character in '"\\\n'):
        raise ValueError(f"{text!r} cannot be a job: it holds a quote, backslash or line end")
    return text


def rules_text(*, job: str = JOB, runbook: str = RUNBOOK) -> str:
    """Return a rule file for Prometheus in YAML."""
    return yaml.safe_dump({"groups": rule_groups(job=job, runbook=runbook)}, sort_keys=False, width=1000)


def alert_names() -> tuple[str, ...]:
    """Return the name of each alert once, in the order of the rules."""
    return tuple(dict.fromkeys(rule["alert"] for rule in rule_groups()[0]["rules"]))


def _with_runbook(rule: dict[str, Any], runbook: str) -> dict[str, Any]:
    anchor = f"{runbook}#{rule['alert'].lower()}"
    return {**rule, "annotations": {**rule["annotations"], "runbook_url": anchor}}


def _alert(name: str, severity: str, wait: str, expression: str, summary: str, description: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": wait,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }


def _rules(job: str) -> Iterator[dict[str, Any]]:
    queue = f'sum without (queue) (postfix_showq_queue_depth{{{job},queue!="hold"}})'
    sent = f'mailstack_relay_recipients_total{{{job},status="sent"}}'
    yield _alert(
        "PostfixRelayDown", "critical", "2m",
        f"up{{{job}}} == 0 or postfix_up{{{job}}} == 0 or absent(up{{{job}}})",
        "The Postfix relay {{ $labels.instance }} is down",
        "Its metrics cannot be read, or Postfix's master does not run: applications cannot hand mail over.",
    )  # fmt: skip
    yield _alert(
        "PostfixRelayHighQueue", "warning", "10m", f"{queue} > {HIGH_QUEUE}",
        "{{ $value }} messages wait in the queue of {{ $labels.instance }}",
        f"More than {HIGH_QUEUE} messages have waited for 10 minutes. Mail is late, nothing is lost yet.",
    )  # fmt: skip
    yield _alert(
        "PostfixRelayHighBounceRate", "warning", "5m",
        f'sum without (status) (rate(mailstack_relay_recipients_total{{{job},status=~"bounced|expired"}}[5m]))'
        f" > {BOUNCES_PER_SECOND}",
        "{{ $labels.instance }} bounces {{ $value | humanize }} recipients a second",
        "The upstream refuses mail for good, or it has grown too old. Many bounces cost the domain its reputation.",
    )  # fmt: skip
    yield _alert(
        "PostfixRelayOldestMessage", "warning", "10m",
        f'max without (queue) (mailstack_relay_queue_oldest_message_age_seconds{{{job},queue!="hold"}})'
        f" > {OLDEST_SECONDS}",
        "The oldest message of {{ $labels.instance }} has waited for {{ $value | humanizeDuration }}",
        "It is tried again until relay.queue_lifetime_hours have passed, then it bounces.",
    )  # fmt: skip
    yield from _login_rules(job)
    yield _alert(
        "PostfixRelayQuota", "warning", "0m", f"increase(mailstack_relay_quota_replies_total{{{job}}}[30m]) > 0",
        "The upstream of {{ $labels.instance }} says that a limit is reached",
        "Mail waits and goes out when the limit clears, if that is within relay.queue_lifetime_hours.",
    )  # fmt: skip
    yield from _certificate_rules(job)
    yield _alert(
        "PostfixRelayStalled", "critical", "5m",
        # In 15 minutes nothing left, and the queue is longer than it was.
        f"sum without (status) (increase({sent}[15m])) == 0 and {queue} > 0 and "
        f'sum without (queue) (delta(postfix_showq_queue_depth{{{job},queue!="hold"}}[15m])) > 0',
        "{{ $labels.instance }} delivers nothing while its queue grows",
        "For 15 minutes no recipient got mail, and more and more waits.",
    )  # fmt: skip


def _login_rules(job: str) -> Iterator[dict[str, Any]]:
    yield _alert(
        "PostfixRelayAuthenticationFailure", "critical", "0m",
        f"increase(mailstack_relay_upstream_authentication_failures_total{{{job}}}[15m]) > 0",
        "The upstream refuses the login of {{ $labels.instance }}",
        "A wrong, expired or revoked password: mail waits for a right one. No login where one is wanted: mail bounces.",
    )  # fmt: skip
    yield _alert(
        "PostfixRelayAuthenticationFailure", "warning", "0m",
        f"increase(postfix_smtpd_sasl_authentication_failures_total{{{job}}}[15m]) > {CLIENT_LOGINS}",
        "{{ $labels.instance }} has refused {{ $value | humanize }} logins of clients in 15 minutes",
        "Somebody guesses passwords, or an application has an old one.",
    )  # fmt: skip


def _certificate_rules(job: str) -> Iterator[dict[str, Any]]:
    yield _alert(
        "PostfixRelayCertificate", "critical", "0m",
        f"sum without (reason) (increase(mailstack_relay_upstream_tls_failures_total{{{job}}}[15m])) > 0",
        "{{ $labels.instance }} cannot verify the certificate of its upstream",
        "Nothing was sent: the name or the authority is wrong, or TLS is not offered. Somebody may be in between.",
    )  # fmt: skip
    yield _alert(
        "PostfixRelayCertificate", "warning", "1h",
        f"mailstack_relay_certificate_expiry_timestamp_seconds{{{job}}} - time() < {CERTIFICATE_DAYS} * 86400",
        "The certificate of {{ $labels.instance }} on port {{ $labels.port }} ends in {{ $value | humanizeDuration }}",
        "It was not renewed. When it ends, clients refuse to hand mail over.",
    )  # fmt: skip
