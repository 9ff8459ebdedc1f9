"""Every committed stack keeps the policies, as `mailstack policy` and the policy pack ask them."""

from functools import cache
from pathlib import Path

import pytest

from mailstack.policy import POLICIES, Resource
from mailstack.policy.report import policy_report
from mailstack.settings.initialise import rehearsal_config
from rehearsal.recorded import recorded_resources

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


def test_the_queue_of_a_container_is_seen_to_stay() -> None:
    found = {one.name: one for one in recorded("docker")}
    assert found["relay-queue"].options.retain_on_delete
    assert not found["relay-network"].options.retain_on_delete
    assert found["relay-network"].options.delete_before_replace
