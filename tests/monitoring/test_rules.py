"""The alerting rules, judged by Prometheus itself: each fires when it should, and does not when it should not."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from cli.main import main
from mailstack.monitoring import alert_names, dashboard, prometheus_rule, rule_groups, rules_text
from mailstack.postfix.metrics import RelayMetrics
from mailstack.postfix.queue_listing import QUEUES, QueueState
from tests.monitoring.promtool import promtool

DOCUMENT = Path("docs/how-to/monitoring.md")
LABELS = 'job="postfix-relay",instance="relay:9154"'
DAY = 86400


class Case(NamedTuple):
    """Series (name with further labels, and values a minute), and which alerts fire at ``minute``."""

    what: str
    series: Mapping[str, str]
    minute: int
    fires: Sequence[tuple[str, str]]


# A relay in good order; a case replaces what it is about.
QUIET = {
    "up": "1x120",
    'postfix_up{path="p"}': "1x120",
    'postfix_showq_queue_depth{queue="active"}': "1x120",
    'postfix_showq_queue_depth{queue="deferred"}': "3x120",
    'mailstack_relay_queue_oldest_message_age_seconds{queue="deferred"}': "600x120",
    'mailstack_relay_recipients_total{status="sent"}': "0+60x120",
    'mailstack_relay_recipients_total{status="bounced"}': "0+1x120",
    'mailstack_relay_recipients_total{status="expired"}': "0x120",
    "mailstack_relay_upstream_authentication_failures_total": "0x120",
    "postfix_smtpd_sasl_authentication_failures_total": "0+1x120",
    "mailstack_relay_quota_replies_total": "0x120",
    'mailstack_relay_upstream_tls_failures_total{reason="not_verified"}': "0x120",
    'mailstack_relay_certificate_expiry_timestamp_seconds{port="465"}': f"{60 * DAY}x120",
}
CRITICAL, WARNING = "critical", "warning"
DEEP = 'postfix_showq_queue_depth{queue="deferred"}'
HELD = 'postfix_showq_queue_depth{queue="hold"}'
OLD = 'mailstack_relay_queue_oldest_message_age_seconds{queue="deferred"}'
BOUNCED = 'mailstack_relay_recipients_total{status="bounced"}'
EXPIRED = 'mailstack_relay_recipients_total{status="expired"}'
SENT = 'mailstack_relay_recipients_total{status="sent"}'
TLS = 'mailstack_relay_upstream_tls_failures_total{reason="not_verified"}'
ENDS = 'mailstack_relay_certificate_expiry_timestamp_seconds{port="465"}'
LOGINS = "mailstack_relay_upstream_authentication_failures_total"
CLIENTS = "postfix_smtpd_sasl_authentication_failures_total"
QUOTA = "mailstack_relay_quota_replies_total"
CASES = (
    Case("a relay in good order", {}, 60, []),
    Case("metrics cannot be read", {"up": "1x10 0x50"}, 15, [("PostfixRelayDown", CRITICAL)]),
    Case("they could not once", {"up": "1x10 0 1x50"}, 15, []),
    Case("the master is dead", {'postfix_up{path="p"}': "1x10 0x50"}, 15, [("PostfixRelayDown", CRITICAL)]),
    Case("more than 100 wait", {DEEP: "100x60"}, 30, [("PostfixRelayHighQueue", WARNING)]),
    Case("99 wait, and one is being sent", {DEEP: "99x60"}, 30, []),
    Case("1000 wait for a minute", {DEEP: "3x20 1000 3x50"}, 22, []),
    Case("1000 are held on purpose", {HELD: "1000x60"}, 30, []),
    Case("7 bounces a minute", {BOUNCED: "0+7x60"}, 30, [("PostfixRelayHighBounceRate", WARNING)]),
    Case("7 expire a minute", {EXPIRED: "0+7x60"}, 30, [("PostfixRelayHighBounceRate", WARNING)]),
    Case("5 bounces a minute", {BOUNCED: "0+5x60"}, 30, []),
    Case("the oldest has waited for two hours", {OLD: "7200x60"}, 30, [("PostfixRelayOldestMessage", WARNING)]),
    Case("the oldest has waited for 50 minutes", {OLD: "3000x60"}, 30, []),
    Case("the upstream refuses a login", {LOGINS: "0x20 1x60"}, 25,
         [("PostfixRelayAuthenticationFailure", CRITICAL)]),
    Case("it refused one half an hour ago", {LOGINS: "0x20 1x60"}, 55, []),
    Case("5 wrong logins of clients a minute", {CLIENTS: "0+5x60"}, 30,
         [("PostfixRelayAuthenticationFailure", WARNING)]),
    Case("one wrong login of a client a minute", {CLIENTS: "0+1x60"}, 30, []),
    Case("a limit is reached", {QUOTA: "0x20 3x60"}, 30, [("PostfixRelayQuota", WARNING)]),
    Case("a limit was reached an hour ago", {QUOTA: "0x10 3x100"}, 80, []),
    Case("the upstream has another's certificate", {TLS: "0x20 2x60"}, 25, [("PostfixRelayCertificate", CRITICAL)]),
    Case("it had, an hour ago", {TLS: "0x10 2x100"}, 80, []),
    Case("the relay's certificate ends in 13 days", {ENDS: f"{13 * DAY}x120"}, 100,
         [("PostfixRelayCertificate", WARNING)]),
    Case("the relay's certificate ends in 15 days", {ENDS: f"{15 * DAY}x120"}, 100, []),
    Case("nothing leaves and the queue grows", {SENT: "60x60", DEEP: "0+2x60"}, 40,
         [("PostfixRelayStalled", CRITICAL)]),
    Case("nothing leaves, nothing comes", {SENT: "60x60", DEEP: "3x60"}, 40, []),
    Case("the queue grows while mail leaves", {DEEP: "0+2x60"}, 40, []),
)  # fmt: skip


def series(name: str, values: str) -> dict[str, str]:
    bare, _, further = name.rstrip("}").partition("{")
    labels = f"{LABELS},{further}" if further else LABELS
    return {"series": f"{bare}{{{labels}}}", "values": values}


def expected(case: Case, alert: str) -> list[dict[str, Any]]:
    """Return the labels of each alert with that name: those of its series, and what the rule adds."""
    base = {"job": "postfix-relay", "instance": "relay:9154"}
    found = []
    for name, severity in case.fires:
        if name != alert:
            continue
        own = {"path": "p"} if 'postfix_up{path="p"}' in case.series else {}
        own |= {"port": "465"} if ENDS in case.series else {}
        found.append({"exp_labels": {**base, **own, "severity": severity}})
    return found


def unit_test(case: Case) -> dict[str, Any]:
    input_series = [series(name, values) for name, values in {**QUIET, **case.series}.items()]
    return {
        "name": case.what,
        "interval": "1m",
        "input_series": input_series,
        "alert_rule_test": [
            {"eval_time": f"{case.minute}m", "alertname": alert, "exp_alerts": expected(case, alert)}
            for alert in alert_names()
        ],
    }


def without_annotations() -> str:
    """Return the rules as they are, but for their texts: promtool compares those too, word for word."""
    groups = rule_groups()
    for rule in groups[0]["rules"]:
        rule["annotations"] = {}
    return yaml.safe_dump({"groups": groups})


def test_each_alert_fires_for_what_it_is_about_and_for_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(without_annotations())
    suite = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [unit_test(case) for case in CASES]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(suite))
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "tests.yaml"))


def test_no_relay_at_all_is_a_relay_that_is_down(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(without_annotations())
    alert = {"exp_labels": {"job": "postfix-relay", "severity": CRITICAL}}
    check = {"eval_time": "5m", "alertname": "PostfixRelayDown", "exp_alerts": [alert]}
    suite = {
        "rule_files": ["rules.yaml"],
        "tests": [{"interval": "1m", "input_series": [], "alert_rule_test": [check]}],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(suite))
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "tests.yaml"))


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fired = {name for case in CASES for name, _ in case.fires}
    assert fired == set(alert_names())
    severities = {(rule["alert"], rule["labels"]["severity"]) for rule in rule_groups()[0]["rules"]}
    assert {pair for case in CASES for pair in case.fires} == severities


def test_promtool_finds_no_fault_in_the_rules_with_their_texts(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(rules_text())
    rules = len(rule_groups()[0]["rules"])
    assert f"SUCCESS: {rules} rules found" in promtool("check", "rules", "--lint=all", str(tmp_path / "rules.yaml"))


def test_promtool_finds_no_fault_in_metrics_of_every_kind() -> None:
    state = QueueState({name: [1000.0] for name in QUEUES}, {name: [5.0] for name in QUEUES})
    text = RelayMetrics().render(up=True, queue=state, certificates={465: 2e9})
    assert promtool("check", "metrics", text=text) == ""


def test_every_alert_says_what_it_means_and_leads_to_a_section_that_is_there() -> None:
    headings = {line[4:].lower() for line in DOCUMENT.read_text().splitlines() if line.startswith("### ")}
    for rule in rule_groups()[0]["rules"]:
        assert rule["labels"]["severity"] in {CRITICAL, WARNING}
        assert {"summary", "description", "runbook_url"} == set(rule["annotations"])
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == str(DOCUMENT)
        assert anchor in headings
    assert headings == {name.lower() for name in alert_names()}, "and no section is left of an alert that has gone"


def served() -> set[str]:
    """Return the name of every series that a relay can have."""
    state = QueueState({name: [] for name in QUEUES}, {name: [] for name in QUEUES})
    text = RelayMetrics().render(up=True, queue=state, certificates={465: 2e9})
    kinds = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))
    histograms = {name for name, kind in kinds.items() if kind == "histogram"}
    return set(kinds) | {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}


NAMES = re.compile(r"\b(?:postfix|mailstack_relay)_[a-z_]+")


def test_rules_dashboard_and_document_name_only_metrics_that_are_served() -> None:
    for text in (rules_text(), json.dumps(dashboard()["panels"])):
        assert set(NAMES.findall(text)) <= served()
    shown = {name for name in NAMES.findall(DOCUMENT.read_text()) if name != "postfix_exporter"}
    assert shown <= served()


def test_the_dashboards_panels_fill_rows_without_overlap_and_have_unlike_numbers() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_prometheus_reads_every_query_of_the_dashboard(tmp_path: Path) -> None:
    variables = {"$job": "postfix-relay", "$relay": ".+", "$__rate_interval": "5m"}
    rules = []
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in variables.items():
                text = text.replace(name, value)
            rules.append({"record": f"panel_{panel['id']}:{target['refId']}", "expr": text})
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", "--lint=none", str(tmp_path / "rules.yaml"))


def test_the_command_prints_a_rule_file_and_a_dashboard(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitoring", "rules", "--job", "mail"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed == {"groups": rule_groups(job="mail")}
    assert 'job="mail"' in printed["groups"][0]["rules"][0]["expr"]
    assert main(["monitoring", "dashboard"]) == 0
    assert json.loads(capsys.readouterr().out) == dashboard()
    with pytest.raises(SystemExit):
        main(["monitoring", "rules", "--job", 'a"} or vector(1) or up{job="'])


def test_the_kubernetes_rule_holds_the_same_groups() -> None:
    made = prometheus_rule("relay", "mail", job="j", labels={"release": "prometheus"})
    assert made["apiVersion"] == "monitoring.coreos.com/v1"
    assert made["metadata"] == {"name": "relay", "namespace": "mail", "labels": {"release": "prometheus"}}
    assert made["spec"]["groups"] == rule_groups(job="j")
