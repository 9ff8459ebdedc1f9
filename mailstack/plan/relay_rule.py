"""From settings to the relay rule of Google Workspace: the rule, the steps that make it, the probe that proves it."""

import ipaddress
from dataclasses import asdict
from typing import Any

from mailstack.plan.model import RELAY_PROBE_RUN, RelayRulePlan, RoleRun
from mailstack.plan.relay import relay_definition
from mailstack.plan.shown import Secret, flat, shown_for_all, shown_run
from mailstack.postfix.relay import RelayDefinition
from mailstack.reach.bundle import ROLE_TIMEOUT_SECONDS
from mailstack.relay_rule import RelayRule, console_steps, probe_replies, rule_problems
from mailstack.settings.model import Settings
from mailstack.settings.names import google_senders
from mailstack.settings.problems import Problem, SettingsError
from mailstack.settings.upstream_model import UpstreamSettings
from mailstack.upstreams import IMPLICIT_TLS_PORTS

__all__ = ["checked_rule", "plan_relay_rule", "probe_settings", "relay_rule"]

# How replies are told apart is the probe's business, and long.
NOT_SHOWN = frozenset({"replies"})


def plan_relay_rule(settings: Settings, rule: RelayRule) -> RelayRulePlan:
    """Return the plan of ``rule`` (see ``checked_rule``) and its probes, which ask the way the relay does."""
    steps, upstream = console_steps(rule), _google(settings)
    hosts = settings.relay.host_names
    probes = {host: probe_settings(settings, relay_definition(settings, host)) for host in hosts}
    login = upstream.auth == "sasl" and upstream.username is not None and upstream.password is not None
    secrets: dict[str, Any] = {}
    if login and upstream.password is not None:
        secrets = {"username": upstream.username, "password": upstream.password.get_secret_value()}
    runs = tuple(
        RoleRun(
            name=f"{RELAY_PROBE_RUN}-{host}" if settings.relay.hosts else RELAY_PROBE_RUN,
            host=host,
            role="relay_probe",
            # The steps are part of it so that a changed rule is probed again.
            settings={**probe, "rule": steps},
            secrets=secrets,
            # A probe may poll for a day; the limit is for one that hangs.
            timeout_seconds=int(probe["deadline_seconds"]) + ROLE_TIMEOUT_SECONDS,
        )
        for host, probe in probes.items()
    )
    told = {
        host: {key: value for key, value in probe.items() if key not in NOT_SHOWN} for host, probe in probes.items()
    }
    shown: dict[str, str | Secret] = dict(flat(asdict(rule), "rule"))
    shown |= shown_for_all(
        {host: shown_run("relay_probe", probe, secrets, prefix="probe") for host, probe in told.items()}
    )
    return RelayRulePlan(rule=rule, console_steps=steps, runs=runs, shown=shown)


def checked_rule(settings: Settings) -> RelayRule | None:
    """Return the rule, None where none is declared. Raises SettingsError for what Google or good sense forbids."""
    declared, relay = settings.relay_rule, settings.relay
    unknown = any(name not in settings.hosts for name in relay.host_names)
    if declared is None or unknown or settings.google_upstream is None:
        return None
    if not google_senders(settings):
        return None  # the rules have said so
    rule = relay_rule(settings)
    problems = rule_problems(
        rule,
        egress_addresses=tuple(settings.egress_addresses),
        relay_has_credentials=settings.google_upstream.auth == "sasl",
        accepts_any_address=declared.accept_any_address,
        rehearsal=settings.environment == "local",
    )
    found = [
        Problem(field=f"relay_rule.{problem.field}", value=problem.value, rule=problem.rule, fix=problem.fix)
        for problem in problems
    ]
    if found:
        raise SettingsError(found)
    return rule


def relay_rule(settings: Settings) -> RelayRule:
    """Return the Google Admin console rule. Raises ValueError where the settings declare none."""
    declared = settings.relay_rule
    if declared is None:
        raise ValueError("the settings declare no relay_rule")
    own = tuple(str(ipaddress.ip_network(address)) for address in settings.egress_addresses)
    return RelayRule(
        name=declared.name,
        allowed_senders=declared.allowed_senders,
        ip_ranges=own if declared.ip_ranges is None else declared.ip_ranges,
        require_smtp_auth=declared.require_smtp_auth,
        require_tls=declared.require_tls,
        domains=google_senders(settings) if declared.domains is None else declared.domains,
    )


def _google(settings: Settings) -> UpstreamSettings:
    upstream = settings.google_upstream
    if upstream is None:
        raise ValueError("no upstream is Google Workspace")
    return upstream


def _probe_domain(settings: Settings, definition: RelayDefinition) -> str:
    """Return a domain whose mail goes to Google and that the relay takes; Google refuses senders of others."""
    google = google_senders(settings)
    taken = tuple(name for name in definition.sender_domains if name in google)
    return (taken or google or definition.sender_domains)[0]


def probe_settings(settings: Settings, definition: RelayDefinition) -> dict[str, Any]:
    """Return the settings of role ``relay_probe``: the same name, port and protocol the relay uses."""
    declared = settings.relay_rule
    if declared is None:
        raise ValueError("the settings declare no relay_rule")
    probe, upstream = declared.probe, _google(settings)
    sender = probe.sender or f"postmaster@{_probe_domain(settings, definition)}"
    return {
        "host": upstream.host_name,
        "port": upstream.port,
        "implicit_tls": upstream.port in IMPLICIT_TLS_PORTS,
        "helo": definition.hostname,
        "ca_file": upstream.ca_file,
        "sender": sender,
        "recipient": probe.recipient or sender,
        "ip_protocol": definition.ip_protocol,
        "source_address": None,
        "deadline_seconds": probe.wait_minutes * 60,
        "interval_seconds": probe.interval_seconds,
        "connect_timeout": 20,
        "on_failure": probe.on_failure,
        "replies": probe_replies(),
    }
