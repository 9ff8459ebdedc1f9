"""Who reaches Postal's pods on a cluster, whom they reach, and by which names."""

from typing import Any

from mailstack.dns.records import Address
from tests.unit.kubernetes_examples import plan_of as relay_plan_of
from tests.unit.plan_parts import dns_records, relay_definition
from tests.unit.postal_cluster_examples import VARIANTS, objects, placed, plan_of
from tests.unit.postal_manifest_parts import named, of_kind, templates


def policies(changes: dict[str, Any]) -> dict[str, Any]:
    return {one["metadata"]["name"]: one["spec"] for one in of_kind(objects(changes), "NetworkPolicy")}


def test_everything_is_refused_but_what_each_component_needs() -> None:
    found = policies({})
    deny = found["postal-deny"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(deny)
    for _, template in templates(objects({})):
        assert deny["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    ingress = {name: spec["ingress"] for name, spec in found.items() if "ingress" in spec}
    controller = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
    assert ingress == {
        "postal-web": [{"from": [controller], "ports": [{"protocol": "TCP", "port": 5000}]}],
        "postal-smtp": [{"ports": [{"protocol": "TCP", "port": 2525}]}],
    }
    opened = {
        name: {port["port"] for rule in spec["egress"] for port in rule["ports"]}
        for name, spec in found.items()
        if "egress" in spec
    }
    assert opened == {
        "postal-database": {53, 3306},
        "postal-web-out": {25, 53},
        "postal-worker-out": {25, 53, 443},
        "postal-provision-out": {53, 443, 6443},
    }


def test_mail_goes_to_the_pods_of_the_clusters_own_relay_and_bounces_come_back() -> None:
    mail = policies({})["postal-worker-out"]["egress"][0]
    [peer] = mail["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "mail-relay"}
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "postfix-relay"
    plan = plan_of({})
    namespace = named(objects({}), "namespace")
    assert plan.relay.kubernetes is not None
    assert plan.relay.kubernetes.relay.client_namespace_labels.items() <= namespace["metadata"]["labels"].items()
    assert relay_definition(plan).bounce_host == "postal-smtp.mail-postal.svc.cluster.local"
    back = [
        one.manifest["spec"] for one in plan.relay.kubernetes.objects(plan.relay.shown) if one.name == "policy-bounces"
    ]
    [rule] = back[0]["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 2525}]
    smtp = named(objects({}), "smtp")["spec"]["template"]["metadata"]["labels"]
    assert rule["to"][0]["podSelector"]["matchLabels"].items() <= smtp.items()
    alone = relay_plan_of({})
    assert alone.relay.kubernetes is not None
    assert not [one for one in alone.relay.kubernetes.objects(alone.relay.shown) if one.name == "policy-bounces"]


def test_a_relay_of_another_cluster_reaches_postal_by_its_public_name() -> None:
    plan = plan_of({"postal.sending": {"relay_name": "relay.example.com"}, "relay.kubernetes": {"context": "other"}})
    assert relay_definition(plan).bounce_host == "mx.example.com"
    assert plan.relay.kubernetes is not None
    assert plan.relay.kubernetes.relay.egress.ports == (25, 587)
    assert placed(plan).postal.mail_out.peers.namespace is None
    assert placed(plan).postal.config["postal"]["smtp_relays"] == ["smtp://relay.example.com:25?ssl_mode=Auto"]


def test_metrics_are_for_the_monitoring_namespace_only() -> None:
    found = policies(VARIANTS["everything"])
    reader = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert found["post-worker-metrics"]["ingress"] == [{"from": [reader], "ports": [{"protocol": "TCP", "port": 9090}]}]
    assert found["post-smtp-metrics"]["ingress"] == [{"from": [reader], "ports": [{"protocol": "TCP", "port": 9091}]}]


def test_a_probe_that_starts_pods_again_does_not_ask_the_database() -> None:
    [web] = named(objects({}), "web")["spec"]["template"]["spec"]["containers"]
    assert web["readinessProbe"]["httpGet"]["path"] == "/login"
    assert web["readinessProbe"]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "postal.example.com"}]
    assert web["livenessProbe"]["httpGet"]["path"] == "/"


def test_a_browser_comes_by_ingress_or_by_routes_that_mark_tracking_names() -> None:
    ingress = named(objects({}), "ingress")
    assert ingress["metadata"]["annotations"] == {"cert-manager.io/cluster-issuer": "letsencrypt"}
    assert ingress["spec"]["tls"] == [{"hosts": ["postal.example.com"], "secretName": "postal-web-tls"}]
    certificate = named(objects({}), "smtp-certificate")["spec"]
    assert (certificate["dnsNames"], certificate["secretName"]) == (["mx.example.com"], "postal-smtp-tls")
    found = objects(VARIANTS["everything"])
    assert not of_kind(found, "Ingress")
    assert named(found, "route")["spec"]["hostnames"] == ["postal.example.com"]
    tracking = named(found, "tracking-route")["spec"]
    assert tracking["hostnames"] == ["click.example.com"]
    [marked] = tracking["rules"][0]["filters"]
    assert marked["requestHeaderModifier"]["set"] == [{"name": "X-Postal-Track-Host", "value": "1"}]


def test_names_lead_to_the_load_balancers() -> None:
    plan = plan_of(VARIANTS["everything"])
    found = {(record.name, record.type): record.data for record in dns_records(plan)}
    assert found["mx.example.com", "A"] == Address(ip="93.184.216.40")
    assert found["mx.example.com", "AAAA"] == Address(ip="2606:2800:220:1::40")
    assert found["postal.example.com", "A"] == Address(ip="93.184.216.41")
    assert found["track.example.com", "A"] == Address(ip="93.184.216.41")
