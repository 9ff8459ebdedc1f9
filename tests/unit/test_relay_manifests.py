"""The relay's objects on a cluster: every one valid in every Kubernetes, and what each promises."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate
import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from mailstack.kubernetes.objects import Placed, Stage
from mailstack.plan.shown import Secret, versioned
from tests.unit.kubernetes_examples import IMAGE, VARIANTS, objects, placed, plan_of
from tests.unit.kubernetes_versions import VERSIONS, every_version, hold_against
from tests.unit.pod_security import beyond_baseline, beyond_restricted

pytestmark = pytest.mark.slow

every_variant = pytest.mark.parametrize("changes", list(VARIANTS.values()), ids=list(VARIANTS))


def of_kind(found: tuple[Placed, ...], kind: str) -> list[Mapping[str, Any]]:
    return [one.manifest for one in found if one.manifest["kind"] == kind]


def only(found: tuple[Placed, ...], kind: str) -> Mapping[str, Any]:
    [one] = of_kind(found, kind)
    return one


def workload(found: tuple[Placed, ...]) -> Mapping[str, Any]:
    return next(one.manifest for one in found if one.name == "workload")


def pod_specs(found: tuple[Placed, ...]) -> Iterator[Mapping[str, Any]]:
    for one in found:
        if one.manifest["kind"] in {"StatefulSet", "Deployment", "Job"}:
            yield one.manifest["spec"]["template"]["spec"]


def relay_json(found: tuple[Placed, ...]) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(only(found, "ConfigMap")["data"]["relay.json"])
    return settings


@every_variant
@every_version
def test_every_object_is_valid_in_every_supported_kubernetes(changes: dict[str, Any], version: str) -> None:
    for one in objects(changes):
        hold_against(version, one.manifest)


def test_the_check_of_objects_refuses_a_field_that_there_is_not() -> None:
    broken = {**workload(objects({})), "replicaz": 1}
    with pytest.raises(kubernetes_validate.ValidationError):
        hold_against(VERSIONS[-1], broken)


@every_variant
def test_objects_are_as_they_were_reviewed(changes: dict[str, Any], snapshot: SnapshotAssertion) -> None:
    found = [dict(one.manifest) for one in objects(changes)]
    for manifest in found:
        if manifest["kind"] == "ConfigMap":
            # Postfix's configuration has tests of its own; here is where it lies, and to whom queues are handed.
            if "relay.json" in manifest["data"]:
                shown = json.loads(manifest["data"]["relay.json"])["hand_over"]
                manifest |= {"data": {**manifest["data"], "relay.json": {"hand_over": shown}}}
            else:  # tested where it is made
                manifest |= {"data": sorted(manifest["data"])}
    text = yaml.safe_dump_all(found, sort_keys=False, width=120)
    names = [one["metadata"]["name"] for one in found if one.get("immutable") or one["kind"] == "Job"]
    for name in names:  # they end with a digest of the version
        text = text.replace(name, f"{name[:-10]}<version>")
    assert text == snapshot


@every_variant
def test_every_object_has_its_namespace_and_its_labels(changes: dict[str, Any]) -> None:
    for one in objects(changes):
        metadata = one.manifest["metadata"]
        assert ("namespace" in metadata) == (one.manifest["kind"] != "Namespace")
        assert {"app.kubernetes.io/name", "app.kubernetes.io/instance"} <= set(metadata["labels"])


@every_variant
def test_every_pod_is_within_baseline_and_breaks_restricted_in_what_postfix_needs_only(changes: dict[str, Any]) -> None:
    for spec in pod_specs(objects(changes)):
        assert list(beyond_baseline(spec)) == []
        root = set() if spec.get("hostUsers") is False else {"runAsNonRoot", "runAsUser"}
        assert set(beyond_restricted(spec)) == {"capabilities.add", *root}


@every_variant
def test_no_pod_has_a_token_a_group_for_its_volume_or_a_secret_in_its_environment(changes: dict[str, Any]) -> None:
    for spec in pod_specs(objects(changes)):
        assert spec["automountServiceAccountToken"] is False
        assert "fsGroup" not in spec["securityContext"]
        for container in spec["containers"]:
            assert {entry["name"] for entry in container["env"]} == {"GRACE_SECONDS", "LOG_FORMAT", "METRICS_PORT"}
            assert container["image"] == IMAGE


@every_variant
def test_each_selector_finds_the_pods_it_is_for(changes: dict[str, Any]) -> None:
    found = objects(changes)
    labels = workload(found)["spec"]["template"]["metadata"]["labels"]
    for kind in ("Service", "PodDisruptionBudget"):
        for one in of_kind(found, kind):
            chosen = one["spec"]["selector"]
            wanted = chosen.get("matchLabels", chosen)
            assert wanted.items() <= labels.items()
            for job in of_kind(found, "Job"):
                drain = job["spec"]["template"]["metadata"]["labels"]
                assert not wanted.items() <= drain.items(), "a job that drains a volume gets no mail from clients"
    for policy in of_kind(found, "NetworkPolicy"):
        wanted = policy["spec"]["podSelector"]["matchLabels"]
        for template in [labels, *(job["spec"]["template"]["metadata"]["labels"] for job in of_kind(found, "Job"))]:
            assert wanted.items() <= template.items()


@every_variant
def test_every_mount_has_its_volume_and_every_name_it_uses_is_an_object(changes: dict[str, Any]) -> None:
    found = objects(changes)
    named = {(one.manifest["kind"], one.manifest["metadata"]["name"]) for one in found}
    for spec in pod_specs(found):
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in spec["containers"][0]["volumeMounts"]:
            assert mount["name"] in volumes or mount["name"] == "queue"
        for volume in volumes.values():
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in named
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in named
        assert ("ServiceAccount", spec["serviceAccountName"]) in named
    durable = of_kind(found, "StatefulSet")
    assert all(("Service", one["spec"]["serviceName"]) in named for one in durable)


def test_mail_is_let_in_from_labelled_namespaces_only_and_out_to_dns_and_the_upstreams_port_only() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects({}), "NetworkPolicy")}
    assert set(policies) == {f"postfix-relay-{name}" for name in ("deny", "clients", "siblings", "egress")}
    deny = policies["postfix-relay-deny"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(deny)
    label = {"email-server.kubernetes.io/smtp-access": "true"}
    assert policies["postfix-relay-clients"]["ingress"] == [
        {"from": [{"namespaceSelector": {"matchLabels": label}}], "ports": [{"protocol": "TCP", "port": 25}]}
    ]
    dns, upstream = policies["postfix-relay-egress"]["egress"]
    assert {(port["protocol"], port["port"]) for port in dns["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert upstream == {"ports": [{"protocol": "TCP", "port": 587}]}
    [siblings] = policies["postfix-relay-siblings"]["egress"]
    assert [port["port"] for port in siblings["ports"]] == [25]


def test_metrics_are_for_the_monitoring_namespace_only() -> None:
    found = objects({"relay.kubernetes.monitoring": {"namespace": "observability"}})
    [policy] = [one for one in of_kind(found, "NetworkPolicy") if one["metadata"]["name"].endswith("-metrics")]
    reader = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}}
    assert policy["spec"]["ingress"] == [{"from": [reader], "ports": [{"protocol": "TCP", "port": 9154}]}]


def test_every_upstream_can_be_reached() -> None:
    changes = {"relay.upstreams": {"spare": {"preset": "custom", "host": "smtp.example.net", "port": 2525}}}
    found = objects(changes | {"relay.fallback_upstream": "spare", "relay.upstream.port": 587})
    [policy] = [one for one in of_kind(found, "NetworkPolicy") if one["metadata"]["name"].endswith("-egress")]
    assert [port["port"] for port in policy["spec"]["egress"][1]["ports"]] == [587, 2525]


def test_a_setting_changes_the_pods_once_by_the_name_of_what_they_mount() -> None:
    before, after = objects({}), objects({"relay.queue_lifetime_hours": 5})
    assert only(before, "ConfigMap")["metadata"]["name"] != only(after, "ConfigMap")["metadata"]["name"]
    assert only(before, "ConfigMap")["immutable"]
    assert workload(before) != workload(after)
    assert objects({}) == before, "and the same settings change nothing"


def test_another_number_of_pods_changes_no_pod() -> None:
    two, four = workload(objects({})), workload(objects({"relay.kubernetes.replicas": 4}))
    assert (two["spec"]["replicas"], four["spec"]["replicas"]) == (2, 4)
    assert two["spec"]["template"] == four["spec"]["template"]
    shown = [plan_of({"relay.kubernetes.replicas": count}).relay.shown for count in (2, 4)]
    differing = {name for name in {**shown[0], **shown[1]} if shown[0].get(name) != shown[1].get(name)}
    assert differing == {"StatefulSet postfix-relay/spec/replicas"}, "one line for a reviewer"


def with_password(password: str) -> dict[str, Any]:
    return {
        "relay.upstream.auth": "sasl", "relay.upstream.username": "relay@example.com",
        "relay.upstream.password": password,
    }  # fmt: skip


def test_a_password_changes_the_pods_once_and_no_name_tells_a_digest_of_it() -> None:
    first = plan_of(with_password("first"))
    seen = {"sasl_password": (first.relay.shown["sasl_password"].digest, 1)}  # type: ignore[union-attr]
    second = plan_of(with_password("second"))
    names = [
        only(placed(plan).objects(versioned(plan.relay.shown, seen)), "Secret")["metadata"]["name"]
        for plan in (first, first, second, plan_of(with_password("other")))
    ]
    assert names[0] == names[1]
    assert names[2] != names[0]
    assert names[3] == names[2], "the second version, whatever it is"
    assert only(objects(with_password("first")), "Secret")["stringData"] == {"sasl_password": "first"}


def test_no_password_and_no_kubeconfig_is_shown() -> None:
    shown = plan_of(VARIANTS["everything"]).relay.shown
    visible = json.dumps({name: text for name, text in shown.items() if not isinstance(text, Secret)})
    for secret in ("planted-password", "planted-token", "pw"):
        assert f'"{secret}' not in visible
    assert {name for name, text in shown.items() if isinstance(text, Secret)} == {
        "kubeconfig", "sasl_password", "upstream_password_mailgun"
    }  # fmt: skip


def test_who_comes_back_to_a_volume_keeps_the_queue_and_everybody_else_hands_it_over() -> None:
    def keeps(changes: dict[str, Any]) -> int:
        return int(relay_json(objects(changes))["hand_over"]["keeps_below"])

    assert keeps({"relay.kubernetes.replicas": 4}) == 1, "settings may ask for fewer the next time"
    assert keeps({"relay.kubernetes.autoscaling": {"min": 3}}) == 3
    assert keeps({"relay.kubernetes.ephemeral_queue": True}) == 0


def test_queues_go_to_ready_pods_only_and_the_cluster_waits_longer_than_the_container() -> None:
    found = objects({"relay.kubernetes.grace_seconds": 100})
    [headless] = [one for one in of_kind(found, "Service") if one["spec"].get("clusterIP") == "None"]
    assert not headless["spec"].get("publishNotReadyAddresses", False)
    name = headless["metadata"]["name"]
    assert relay_json(found)["hand_over"]["host"] == f"{name}.mail-relay.svc.cluster.local"
    assert workload(found)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 110


def test_volumes_outlive_their_pods_and_a_namespace_of_ours_outlives_the_stack() -> None:
    found = objects({})
    policy = workload(found)["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert [one.name for one in found if one.stays] == ["namespace"]
    assert [one.name for one in objects({"relay.kubernetes.ephemeral_queue": True}) if one.stays] == []


def test_an_autoscaler_owns_the_number_of_pods_and_takes_one_at_a_time() -> None:
    found = objects({"relay.kubernetes.autoscaling": {"scale_in_stabilization_minutes": 15}})
    assert {one.name: one.theirs for one in found if one.theirs} == {"workload": ("spec.replicas",)}
    spec = only(found, "HorizontalPodAutoscaler")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 10)
    down = spec["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] == 900
    [policy] = down["policies"]
    ends = workload(found)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert policy["value"] == 1
    assert policy["periodSeconds"] > ends, "the one before has handed its queue over"
    assert [one.theirs for one in objects({}) if one.theirs] == []


def test_a_pod_without_a_volume_has_a_successor_before_it_goes() -> None:
    spec = only(objects({"relay.kubernetes.ephemeral_queue": True}), "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_a_job_drains_the_claim_of_a_pod_that_is_gone() -> None:
    found = objects({"relay.kubernetes.drain_volumes": [2, 3]})
    jobs = [job for job in of_kind(found, "Job") if "-drain-" in job["metadata"]["name"]]
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for job in jobs
        for volume in job["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    [template] = workload(found)["spec"]["volumeClaimTemplates"]
    assert claims == [f"{template['metadata']['name']}-postfix-relay-{number}" for number in (2, 3)]
    assert all(job["spec"]["template"]["spec"]["containers"][0]["args"] == ["drain"] for job in jobs)
    assert {one.stage for one in found if one.name.startswith("drain-")} == {Stage.ERRAND}, "once siblings are there"


def test_a_job_tries_every_new_configuration_before_a_pod_is_touched() -> None:
    found = objects({})
    [trial] = [one for one in found if one.manifest["kind"] == "Job"]
    spec = trial.manifest["spec"]["template"]["spec"]
    assert spec["containers"][0]["args"] == ["check"]
    assert Stage.BASIS < trial.stage < Stage.WORKLOAD
    assert trial.manifest["spec"]["backoffLimit"] == 0, "a mistake stays one"
    # It reads what the pods will read, and has a queue of its own: theirs may be in use.
    own = {volume["name"]: volume for volume in spec["volumes"]}
    theirs = {volume["name"]: volume for volume in workload(found)["spec"]["template"]["spec"]["volumes"]}
    assert own.pop("queue") == {"name": "queue", "emptyDir": {}}
    assert own == theirs
    [again] = [one for one in objects({"relay.queue_lifetime_hours": 5}) if one.name == "check"]
    assert again.manifest["metadata"]["name"] != trial.manifest["metadata"]["name"]


def test_only_a_readiness_probe_asks_for_more_than_processes() -> None:
    container = workload(objects({}))["spec"]["template"]["spec"]["containers"][0]
    assert container["livenessProbe"]["exec"]["command"] == ["postfix-relay", "alive"]
    assert container["readinessProbe"]["exec"]["command"] == ["postfix-relay", "health"]


def test_applications_are_told_the_service() -> None:
    assert placed(plan_of({})).relay.host == "postfix-relay.mail-relay.svc.cluster.local"
    assert placed(plan_of(VARIANTS["everything"])).relay.host == "relay.email-server-prod.svc.cluster.example"


def test_dual_stack_is_listened_to_and_trusted() -> None:
    plan = plan_of({"relay.kubernetes.dual_stack": True})
    assert plan.relay.definition.listen_addresses == ("0.0.0.0", "::")
    assert "fd00::/8" in plan.relay.definition.client_networks
    assert plan.relay.definition.ip_protocol == "ipv4", "as the upstream knows us"


def test_a_queue_that_may_be_lost_is_told_at_every_update() -> None:
    assert [text for text in plan_of({"relay.kubernetes.ephemeral_queue": True}).warnings if "ephemeral_queue" in text]
    assert not [text for text in plan_of({}).warnings if "ephemeral_queue" in text]
