"""Postal's objects on a cluster: every one valid in every Kubernetes, and what each promises."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from mailstack.kubernetes.objects import Placed, Stage
from mailstack.plan.shown import Secret, versioned
from mailstack.settings.problems import SettingsError
from tests.unit.kubernetes_versions import every_version, hold_against
from tests.unit.pod_security import beyond_restricted
from tests.unit.postal_cluster_examples import (
    ADMIN_PASSWORD,
    POSTAL,
    SERVER,
    VARIANTS,
    objects,
    placed,
    plan_of,
    postal_on_cluster,
)
from tests.unit.postal_manifest_parts import FOREIGN, name_of, named, of_kind, templates
from tests.unit.stack_examples import dkim_key

pytestmark = pytest.mark.slow

PROCESSES = ("web", "smtp", "worker")
every_variant = pytest.mark.parametrize("changes", list(VARIANTS.values()), ids=list(VARIANTS))


def mounted_secrets(spec: Mapping[str, Any]) -> set[str]:
    """Return the names of the Secrets a pod's volumes come from."""
    found = set()
    for volume in spec["volumes"]:
        sources = [volume, *volume.get("projected", {}).get("sources", [])]
        found |= {one["secret"].get("secretName") or one["secret"]["name"] for one in sources if "secret" in one}
    return found


def told(found: tuple[Placed, ...], name: str) -> str:
    """Return everything in the Secrets of ours that a pod mounts."""
    texts = {one.manifest["metadata"]["name"]: one.manifest["stringData"] for one in found if "secret-" in one.name}
    spec = dict(templates(found))[name]["spec"]
    return "\n".join(text for secret in mounted_secrets(spec) for text in texts.get(secret, {}).values())


def telling_part(secret: str) -> str:
    """Return the longest line: that of a key is not its header."""
    return max(secret.splitlines(), key=len)


@every_variant
@every_version
def test_every_object_is_valid_in_every_supported_kubernetes(changes: dict[str, Any], version: str) -> None:
    for one in objects(changes):
        if one.manifest["kind"] not in FOREIGN:
            hold_against(version, one.manifest)


@every_variant
def test_objects_are_as_they_were_reviewed(changes: dict[str, Any], snapshot: SnapshotAssertion) -> None:
    found = [dict(one.manifest) for one in objects(changes)]
    for manifest in found:
        for field in ("stringData", "data"):
            if field in manifest:  # tested below, and where it is made
                manifest |= {field: sorted(manifest[field])}
    text = yaml.safe_dump_all(found, sort_keys=False, width=120)
    versions = [one["metadata"]["name"] for one in found if one.get("immutable") or one["kind"] == "Job"]
    for name in versions:
        text = text.replace(name, f"{name[:-10]}<version>")
    assert text == snapshot


@every_variant
def test_every_pod_is_within_restricted_and_has_no_token(changes: dict[str, Any]) -> None:
    for _, template in templates(objects(changes)):
        spec = template["spec"]
        for containers in (spec["containers"], spec.get("initContainers", [])):
            assert list(beyond_restricted({**spec, "containers": containers})) == []
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False


@every_variant
def test_only_the_last_job_is_given_a_token_and_it_is_good_for_one_object(changes: dict[str, Any]) -> None:
    found = objects(changes)
    given = {name for name, template in templates(found) if "serviceAccountToken" in json.dumps(template)}
    assert given == {"provision"}
    [role] = of_kind(found, "Role")
    assert role["rules"] == [{
        "apiGroups": [""], "resources": ["configmaps"], "resourceNames": [name_of(found, "results")],
        "verbs": ["get", "patch"],
    }]  # fmt: skip
    [binding] = of_kind(found, "RoleBinding")
    assert [one["name"] for one in binding["subjects"]] == [name_of(found, "provision-account")]
    users = {template["spec"]["serviceAccountName"] for _, template in templates(found)}
    assert users == {name_of(found, "service-account"), name_of(found, "provision-account")}


def test_each_pod_is_told_what_it_needs_and_no_other_secret() -> None:
    found = objects({})
    private = dkim_key().splitlines()[1]
    secrets = {
        "database": "database-password", "sessions": "s" * 64, "key": private, "admin": ADMIN_PASSWORD,
        "login": "admin-password-1", "smtp": "smtpsmtpsmtpsmtpsmtpsmtp", "api": "apiapiapiapiapiapiapiapi",
    }  # fmt: skip
    knows = {
        name: {what for what, secret in secrets.items() if secret in told(found, name)} for name, _ in templates(found)
    }
    assert knows == {
        "web": {"database", "sessions", "key"},
        "smtp": {"database"},
        "worker": {"database", "key"},
        "database": {"database", "admin"},
        "migrate": {"database"},
        "provision": {"database", "key", "login", "smtp", "api"},
    }


def test_an_administrators_secret_that_is_there_is_mounted_by_one_job_only() -> None:
    found = objects(VARIANTS["everything"])
    users = {name for name, template in templates(found) if "mariadb-root" in mounted_secrets(template["spec"])}
    assert users == {"database"}
    sources = named(found, "database")["spec"]["template"]["spec"]["volumes"][0]["projected"]["sources"]
    assert sources[1]["secret"]["items"] == [{"key": "root-password", "path": "password"}]


@every_variant
def test_no_secret_is_in_a_name_an_environment_or_a_config_map(changes: dict[str, Any]) -> None:
    plan = plan_of(changes)
    assert plan.settings.postal is not None
    secrets = [telling_part(one.get_secret_value()) for one in plan.settings.postal.secrets]
    for one in objects(changes):
        if one.manifest["kind"] != "Secret":
            text = json.dumps(one.manifest, ensure_ascii=False)
            assert not [secret for secret in secrets if secret in text], one.name


@every_variant
def test_every_mount_has_its_volume_and_every_name_it_uses_is_an_object(changes: dict[str, Any]) -> None:
    found = objects(changes)
    plan = plan_of(changes)
    foreign = {placed(plan).postal.smtp_tls_secret, "mariadb-root"}
    there = {(one.manifest["kind"], one.manifest["metadata"]["name"]) for one in found}
    for _, template in templates(found):
        spec = template["spec"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert {("Secret", name) for name in mounted_secrets(spec) - foreign} <= there
        configs = {one["configMap"]["name"] for one in spec["volumes"] if "configMap" in one}
        assert {("ConfigMap", name) for name in configs} <= there
        assert ("ServiceAccount", spec["serviceAccountName"]) in there
    for budget in of_kind(found, "PodDisruptionBudget"):
        process = budget["metadata"]["name"].rpartition("-")[2]
        assert (
            budget["spec"]["selector"]["matchLabels"].items()
            <= dict(templates(found))[process]["metadata"]["labels"].items()
        )


def test_jobs_come_before_pods_one_after_the_other_and_the_ways_in_last() -> None:
    stages = {one.name: one.stage for one in objects({})}
    assert stages["database"] < stages["migrate"] < stages["provision"] < stages["web"]
    assert stages["web"] == stages["smtp"] == stages["worker"] == Stage.WORKLOAD
    assert stages["policy-deny"] < stages["database"], "nobody runs before it is shut in"
    assert stages["web"] < stages["smtp-service"]
    assert stages["worker-names"] < stages["worker"]


JOBS = ("database", "migrate", "provision")


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({}, set()),
        ({"postal.workers": 4}, set()),
        ({f"{POSTAL}.replicas": {"web": 5}}, set()),
        ({f"{POSTAL}.worker_grace_seconds": 600}, set()),
        ({f"{SERVER}.name": "Renamed"}, {"provision"}),
        ({"postal.removal": "allow"}, {"provision"}),
        ({"postal.image": {"tag": "3.3.8"}}, set(JOBS)),
        ({f"{POSTAL}.job_round": 2}, set(JOBS)),
        ({"postal.database.port": 3307}, set(JOBS)),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:50],
)
def test_a_job_runs_again_for_a_new_version_of_what_it_does_and_never_else(
    changes: dict[str, Any], again: set[str]
) -> None:
    before, after = objects({}), objects(changes)
    assert {name for name in JOBS if name_of(before, name) != name_of(after, name)} == again
    for name in set(JOBS) - again:
        assert named(before, name) == named(after, name), "a job of the same name is the same job: it cannot change"


@pytest.mark.parametrize(
    ("changes", "rolled"),
    [
        ({f"{SERVER}.name": "Renamed"}, set()),
        ({"postal.worker_threads": 5}, {"worker"}),
        ({"postal.max_message_mb": 10}, {"smtp"}),
        ({"postal.secret_key": "t" * 64}, {"web"}),
        ({"postal.workers": 3}, set()),
        ({"postal.image": {"tag": "3.3.8"}}, set(PROCESSES)),
        ({"postal.database.password": "another-password"}, set(PROCESSES)),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:50],
)
def test_a_change_rolls_the_pods_that_read_it_only(changes: dict[str, Any], rolled: set[str]) -> None:
    first = plan_of({})
    assert first.postal is not None
    seen = {name: (text.digest, 1) for name, text in first.postal.shown.items() if isinstance(text, Secret)}
    second = plan_of(changes)
    assert second.postal is not None
    after = placed(second).objects(versioned(second.postal.shown, seen))
    before = dict(templates(objects({})))
    assert {name for name, template in templates(after) if name in PROCESSES and template != before[name]} == rolled


def test_no_name_tells_a_digest_of_a_password() -> None:
    one, other = (objects({"postal.database.password": text}) for text in ("first-password", "other-password"))
    assert [each.manifest["metadata"]["name"] for each in one] == [each.manifest["metadata"]["name"] for each in other]


def test_a_migration_is_never_repeated_by_itself_and_never_beside_another() -> None:
    spec = named(objects({}), "migrate")["spec"]
    assert {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [0]}} in spec["podFailurePolicy"][
        "rules"
    ]
    assert spec["podReplacementPolicy"] == "Failed"
    assert (spec["parallelism"], spec["completions"]) == (1, 1)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    steps = [one["name"] for one in spec["template"]["spec"]["initContainers"]]
    assert steps == ["check", "migrate"], "looked at before it is touched"


def test_workers_keep_their_names_finish_what_they_hold_and_give_back_what_the_last_one_held() -> None:
    found = objects({f"{POSTAL}.worker_grace_seconds": 400})
    worker = named(found, "worker")
    assert worker["kind"] == "StatefulSet"
    spec = worker["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 400
    [container] = spec["containers"]
    assert "command" not in container, "the entry point stays"
    assert container["args"] == ["ruby", "/mailstack/worker.rb"]
    script = named(found, "scripts-worker")["data"]["worker.rb"]
    assert 'exec("bundle", "exec", "ruby", "script/worker.rb")' in script
    assert container["livenessProbe"]["periodSeconds"] * container["livenessProbe"]["failureThreshold"] >= 180
    stale = placed(plan_of({})).postal.config["postal"]["queued_message_lock_stale_days"]
    assert stale > 1, "Postal deletes what has been locked for so long"


def test_the_bootstrap_runner_is_that_of_the_role() -> None:
    data = named(objects({}), "scripts-jobs")["data"]
    assert data["bootstrap.rb"] == Path("roles/postal/runner/bootstrap.rb").read_text(encoding="utf-8")
    [container] = named(objects({}), "provision")["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["ruby", "/mailstack/provision.rb"]


def test_the_smtp_service_hands_on_real_client_addresses_to_an_unprivileged_port() -> None:
    found = objects({})
    spec = named(found, "smtp-service")["spec"]
    assert (spec["type"], spec["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
    assert spec["ports"] == [{"name": "smtp", "port": 25, "targetPort": "smtp", "protocol": "TCP"}]
    [container] = named(found, "smtp")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["smtp"] == placed(plan_of({})).postal.config["smtp_server"]["default_port"] == 2525


def test_an_autoscaler_owns_the_number_of_pods_and_stopped_means_none() -> None:
    scaled = objects(VARIANTS["scaled"])
    assert {one.name for one in scaled if one.theirs == ("spec.replicas",)} == set(PROCESSES)
    worker = next(
        one for one in of_kind(scaled, "HorizontalPodAutoscaler") if one["metadata"]["name"] == "postal-worker"
    )
    assert worker["spec"]["scaleTargetRef"]["kind"] == "StatefulSet"
    assert worker["spec"]["behavior"]["scaleDown"]["policies"][0]["value"] == 1
    stopped = objects({f"{POSTAL}.stopped": True})
    assert {named(stopped, name)["spec"]["replicas"] for name in PROCESSES} == {0}


def test_applications_are_told_the_same_as_on_a_host() -> None:
    postal = plan_of({}).postal
    assert postal is not None
    told_here = postal.mail_servers["example/apps"]
    assert told_here["smtp_host"] == "mx.example.com"
    assert told_here["smtp_keys"] == {"shop": Secret("smtpsmtpsmtpsmtpsmtpsmtp")}
    assert postal.web_url == "https://postal.example.com"


def test_a_reviewer_sees_what_changes_and_no_secret() -> None:
    plans = [plan_of(changes).postal for changes in ({}, {"postal.workers": 3})]
    shown = [plan.shown for plan in plans if plan is not None]
    differing = {name for name in {**shown[0], **shown[1]} if shown[0].get(name) != shown[1].get(name)}
    assert differing == {"StatefulSet postal-worker/spec/replicas"}, "one line"
    visible = json.dumps({name: text for name, text in shown[0].items() if not isinstance(text, Secret)})
    settings = plan_of({}).settings.postal
    assert settings is not None
    assert not [one for one in settings.secrets if telling_part(one.get_secret_value()) in visible]
    assert "database_admin" in shown[0]


@pytest.mark.slow
def test_more_than_a_secret_holds_is_refused_before_the_cluster_does() -> None:
    few, many = ({"postal.organizations.0.name": "x", "postal.organizations.1": organization(n)} for n in (1, 400))
    assert placed(plan_of(few))
    with pytest.raises(SettingsError, match="more than a Secret of a cluster holds"):
        plan_of(many)


def organization(servers: int) -> dict[str, Any]:
    """Return an organisation of so many mail servers, each with fifty keys of applications."""
    return {
        "name": "Large",
        "permalink": "large",
        "mail_servers": [
            {
                "name": f"Server {number}",
                "permalink": f"server-{number}",
                "domains": ["example.com"],
                "credentials": [
                    {"name": f"key {each}", "type": "SMTP", "key": f"{number:04}{each:04}".ljust(24, "k")}
                    for each in range(50)
                ],
            }
            for number in range(servers)
        ],
    }


def test_the_example_has_no_host_at_all() -> None:
    assert "hosts" not in postal_on_cluster()
    assert list(plan_of({}).runs()) == []
