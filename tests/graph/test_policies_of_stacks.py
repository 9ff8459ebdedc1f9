"""Every committed stack keeps the policies, as `mailstack policy` and the policy pack ask them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mailstack.policy import POLICIES, Resource
from mailstack.policy.report import policy_report
from mailstack.settings.initialise import rehearsal_config
from rehearsal.recorded import recorded_resources
from tests.unit.cluster_examples import single
from tests.unit.docker_examples import local_example
from tests.unit.kubernetes_examples import on_cluster
from tests.unit.mistakes import changed, direct
from tests.unit.test_relay_hosts import two_hosts

ROOT = Path(__file__).resolve().parents[2]
STACKS = {path.name.split(".")[1]: path for path in sorted(ROOT.glob("Pulumi.*.yaml"))}


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/dev/null")


@cache
def recorded(stack: str) -> list[Resource]:
    return recorded_resources(stack, rehearsal_config(STACKS[stack]))


def violations(resources: list[Resource]) -> dict[str, list[str]]:
    report = policy_report("test", resources, {})
    return {one["name"]: [each["resource"] for each in one["violations"]] for one in report["policies"]}


@pytest.mark.parametrize("stack", sorted(STACKS))
def test_a_committed_stack_keeps_every_policy(stack: str) -> None:
    report = policy_report(stack, recorded(stack), {})
    assert report["environment"] == rehearsal_config(STACKS[stack])["environment"]
    assert report["resources"] > 10
    assert {one["name"]: one["violations"] for one in report["policies"]} == {one.name: [] for one in POLICIES}


def test_what_settings_allow_for_a_reason_the_policies_still_tell() -> None:
    raw = rehearsal_config(STACKS["staging"])
    raw["relay"]["upstream"]["tls"] = "encrypt"
    raw["relay_rule"].update(allowed_senders="any-address", accept_any_address=True)
    del raw["hosts"]["ns1"]["host_key"]
    found = violations(recorded_resources("staging", raw, preview=True))
    assert {name: listed for name, listed in found.items() if listed} == {
        "tls-is-checked": ["relay"],
        "host-keys-are-pinned": ["ns1", "ns1-preflight", "dns-server", "dns-server-mail"],
        "workspace-rule-names-senders": ["relay-rule"],
    }


# Postal's images have no digest there; what runs otherwise is pinned, or built by the stack.
IN_PRODUCTION: dict[str, tuple[Callable[[], dict[str, Any]], set[str]]] = {
    "one host with everything": (single, {"postal"}),
    "a relay on two hosts": (two_hosts, set()),
    "a relay in a container": (local_example, set()),
    "a relay on a cluster": (on_cluster, {"relay-check", "relay-workload"}),
    "Postal alone": (direct, {"postal"}),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in IN_PRODUCTION])
@pytest.mark.parametrize("preview", [False, True])
def test_every_placement_keeps_the_rules_of_production(name: str, preview: bool) -> None:
    raw, unpinned = IN_PRODUCTION[name]
    found = violations(recorded_resources("test", {**raw(), "environment": "prod"}, preview=preview))
    assert set(found.pop("images-are-pinned")) == unpinned
    assert [name for name, listed in found.items() if listed] == []


WEAK_TLS = {"relay.upstream.tls": "encrypt"}
ANYBODY = {"relay_rule.allowed_senders": "any-address", "relay_rule.accept_any_address": True}
NO_POLICY = {"domains.0.dmarc": {"policy": "none"}}
GOES = {"postal.on_destroy": "remove", "postal.removal": "allow"}
DMARC = {"dmarc-is-enforced": ["dns-_dmarc.example.com-txt-dmarc"]}
RULE = {"workspace-rule-names-senders": ["relay-rule"]}
VIOLATED: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, Any], dict[str, list[str]]]] = {
    "TLS on a host": (single, WEAK_TLS, {"tls-is-checked": ["relay"]}),
    "TLS in a container": (local_example, WEAK_TLS, {"tls-is-checked": ["relay"]}),
    "TLS on a cluster": (on_cluster, WEAK_TLS, {"tls-is-checked": ["relay"]}),
    "rule of a container": (local_example, ANYBODY, RULE),
    "rule of a cluster": (on_cluster, ANYBODY, RULE),
    "DMARC beside a container": (local_example, NO_POLICY, DMARC),
    "DMARC beside a cluster": (on_cluster, NO_POLICY, DMARC),
    "queue of a container": (
        local_example,
        {"relay.docker.keep_queue": False},
        {"state-is-protected": ["relay-queue"]},
    ),
    "database of a host": (single, GOES, {"state-is-protected": ["postal"]}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VIOLATED)
def test_every_placement_is_held_to_the_same(name: str) -> None:
    make, change, expected = VIOLATED[name]
    found = violations(recorded_resources("test", {**changed(make(), change), "environment": "prod"}))
    del found["images-are-pinned"]  # see above
    assert {policy: listed for policy, listed in found.items() if listed} == expected


def test_the_queue_of_a_container_is_seen_to_stay() -> None:
    found = {one.name: one for one in recorded("docker")}
    assert found["relay-queue"].options.retain_on_delete
    assert not found["relay-network"].options.retain_on_delete
    assert found["relay-network"].options.delete_before_replace
