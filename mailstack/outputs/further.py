"""Outputs that follow from the plan alone: flat, for consumers that read one value each."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from mailstack.kubernetes.postal_definition import WORKER_HEALTH_PORT
from mailstack.kubernetes.relay_definition import METRICS_PORT
from mailstack.plan import Plan, Secret

__all__ = ["Flat", "plan_outputs", "postal_outputs"]

# A mapping of secrets is told as one secret.
Flat = str | int | bool | list[str] | dict[str, str] | dict[str, Secret]


def plan_outputs(plan: Plan) -> dict[str, Flat]:
    """Return what holds before anything runs: names, addresses, and the passwords that the settings give."""
    return {**_relay(plan), **_submission(plan), "health_urls": _health(plan), "metrics_urls": _metrics(plan)}


def postal_outputs(mail_servers: Mapping[str, Mapping[str, Any]]) -> dict[str, Flat]:
    """Return Postal's flat outputs, empty without a mail server. They are to be told only once its keys work."""
    if not mail_servers:
        return {}
    first = next(iter(mail_servers.values()))
    keys: dict[str, dict[str, Secret]] = {
        kind: {f"{server}/{name}": key for server, told in mail_servers.items() for name, key in told[kind].items()}
        for kind in ("api_keys", "smtp_keys")
    }
    return {
        "api_url": first["api_url"],
        "api_key_names": list(keys["api_keys"]),
        "api_keys": keys["api_keys"],
        "postal_smtp_host": first["smtp_host"],
        "postal_smtp_port": first["smtp_port"],
        "postal_smtp_starttls": first["smtp_starttls"],
        "postal_smtp_key_names": list(keys["smtp_keys"]),
        "postal_smtp_keys": keys["smtp_keys"],
    }


def _relay(plan: Plan) -> dict[str, Flat]:
    if not plan.relay.placed:
        return {}
    environment = plan.relay.smtp_environment
    found: dict[str, Flat] = {
        "smtp_from_email": environment["SMTP_FROM_EMAIL"],
        "smtp_from_name": environment["SMTP_FROM_NAME"],
    }
    if plan.relay.kubernetes is not None:
        found["smtp_client_namespace_labels"] = dict(plan.relay.kubernetes.relay.client_namespace_labels)
    return found


def _submission(plan: Plan) -> dict[str, Flat]:
    declared = plan.settings.relay.submission
    if declared is None or not plan.relay.runs:
        return {}
    ports = {"submission_starttls_port": declared.starttls_port, "submission_tls_port": declared.tls_port}
    return {
        "submission_host": plan.relay.definition.hostname,
        **{name: port for name, port in ports.items() if port is not None},
        "submission_users": [user.name for user in declared.users],
        "submission_passwords": {user.name: Secret(user.password.get_secret_value()) for user in declared.users},
    }


def _health(plan: Plan) -> dict[str, str]:
    found: dict[str, str] = {}
    if plan.postal is not None:
        found["postal"] = f"{plan.postal.web_url}/login"
    place = _inside(plan)
    if place is not None:
        found["relay"] = f"http://{place}/healthz"
    policies = () if plan.caddy is None else plan.caddy.definition.mta_sts
    for policy in policies:
        found[f"mta-sts {policy.domain}"] = f"https://mta-sts.{policy.domain}/.well-known/mta-sts.txt"
    return found


def _metrics(plan: Plan) -> dict[str, str]:
    found = _relay_metrics(plan)
    placed = None if plan.postal is None else plan.postal.kubernetes
    if placed is not None and placed.postal.metrics_namespace is not None:
        postal = placed.postal
        name = f"{postal.called('worker')}.{postal.namespace}.svc.{postal.cluster_domain}"
        found["postal worker"] = f"http://{name}:{WORKER_HEALTH_PORT}/metrics"
    return found


def _relay_metrics(plan: Plan) -> dict[str, str]:
    place = _inside(plan)
    if place is not None:
        return {"relay": f"http://{place}/metrics"}
    metrics, runs = plan.settings.relay.metrics, plan.relay.runs
    if metrics is None:
        return {}
    several = len(runs) > 1
    return {
        f"relay {run.host}" if several else "relay": f"http://{_asked_at(plan, run.host)}:{metrics.port}/metrics"
        for run in runs
    }


def _asked_at(plan: Plan, host: str) -> str:
    """Return the address that metrics of a host are asked at, fit for a URL."""
    metrics = plan.settings.relay.metrics
    listen = ipaddress.ip_address("127.0.0.1" if metrics is None else str(metrics.listen_address))
    address = plan.hosts[host].connection.address if listen.is_unspecified else str(listen)
    return f"[{address}]" if ":" in address else address


def _inside(plan: Plan) -> str | None:
    """Return ``host:port`` of the relay's metrics as its network sees them; None for a relay on a host."""
    if plan.relay.docker is not None:
        return f"{plan.relay.docker.name}:{METRICS_PORT}"
    if plan.relay.kubernetes is not None and plan.relay.kubernetes.relay.monitoring_namespace is not None:
        return f"{plan.relay.kubernetes.relay.siblings}:{METRICS_PORT}"
    return None
