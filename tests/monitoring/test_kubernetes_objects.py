"""Rules, dashboard and scrape as Kubernetes objects."""

import json

from kubernetes_validate import validate

from mailstack.monitoring import dashboard, dashboard_config_map, service_monitor


def test_the_dashboard_is_a_config_map_that_grafanas_side_car_finds() -> None:
    made = dashboard_config_map("relay-dashboard", "mail", labels={"app": "relay"})
    assert made["metadata"]["labels"] == {"app": "relay", "grafana_dashboard": "1"}
    assert json.loads(made["data"]["postfix-relay.json"]) == dashboard()
    validate(made, "1.31", strict=True)


def test_the_service_monitor_reads_the_metrics_port_of_the_chosen_services_and_names_the_job() -> None:
    made = service_monitor("relay", "mail", selector={"app": "relay"}, labels={"release": "prometheus"}, interval="1m")
    assert made["kind"] == "ServiceMonitor"
    assert made["spec"]["selector"] == {"matchLabels": {"app": "relay"}}
    assert made["spec"]["namespaceSelector"] == {"matchNames": ["mail"]}
    [endpoint] = made["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["interval"]) == ("metrics", "/metrics", "1m")
    assert endpoint["relabelings"] == [{"action": "replace", "targetLabel": "job", "replacement": "postfix-relay"}]


def test_no_function_hands_out_what_another_call_could_change() -> None:
    first = service_monitor("relay", "mail", selector={"app": "relay"})
    first["spec"]["endpoints"].clear()
    assert service_monitor("relay", "mail", selector={"app": "relay"})["spec"]["endpoints"]
