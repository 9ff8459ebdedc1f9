"""The policy pack as the SDK calls it: what the engine hands over reaches the policies, and what they say goes back."""

import runpy
from pathlib import Path
from typing import Any

import yaml
from pulumi_policy import (
    EnforcementLevel,
    PolicyCustomTimeouts,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)
from pulumi_policy.deserialize import deserialize_properties
from pulumi_policy.policy import _NotApplicableError
from pulumi_policy.proxy import UnknownValueError, unknown_checking_proxy

from mailstack.policy import POLICIES
from mailstack.policy.wire import SECRET, SIGNATURE, UNKNOWN_VALUES

FOLDER = Path(__file__).resolve().parents[2] / "policy"
COMMAND = "command:remote:Command"


class Run:
    """One run of the pack; asks it as the SDK's server does: first the remediation, then every policy."""

    def __init__(self) -> None:
        self.policies: list[ResourceValidationPolicy] = runpy.run_path(str(FOLDER), run_name="pack")[
            "Pack"
        ]().policies()

    def ask(
        self, kind: str, inputs: dict[str, Any], config: dict[str, Any] | None = None, *, marks: bool = True
    ) -> dict[str, list[str]]:
        """Return what each policy reports, all under ``config``."""
        shown = unknown_checking_proxy(deserialize_properties(inputs, True))
        if marks:
            for policy in self.policies:
                if policy.enforcement_level is EnforcementLevel.REMEDIATE:
                    assert policy.remediate(_args(kind, shown, {})) is None, "it changes nothing"
        found: dict[str, list[str]] = {}
        for policy in self.policies:
            if not policy.has_validation():
                continue
            props = unknown_checking_proxy(deserialize_properties(inputs))
            said = _said(policy, _args(kind, props, config or {}))
            found |= {policy.name: said} if said else {}
        return found


def _said(policy: ResourceValidationPolicy, args: ResourceValidationArgs) -> list[str]:
    said: list[str] = []
    try:
        policy.validate(args, lambda message, _urn: said.append(message))
    except _NotApplicableError as reason:
        said.append(f"not applicable: {reason.reason}")
    except UnknownValueError as unknown:  # of which the SDK makes a warning
        said.append(f"unclear: {unknown.message}")
    return said


def _args(kind: str, props: Any, config: dict[str, Any]) -> ResourceValidationArgs:
    options = PolicyResourceOptions(False, [], True, [], PolicyCustomTimeouts(0, 0, 0), [])
    return ResourceValidationArgs(kind, props, f"urn:pulumi:a::b::{kind}::one", "one", options, None, config)


def hidden(value: Any) -> dict[str, Any]:
    return {SIGNATURE: SECRET, "value": value}


def test_it_has_every_policy_at_its_level() -> None:
    told = {policy.name: policy for policy in Run().policies}
    levels = {policy.name: told.pop(policy.name).enforcement_level for policy in POLICIES}
    assert levels == {policy.name: EnforcementLevel(policy.level) for policy in POLICIES}
    assert list(told) == ["secret-marks"]


def test_what_is_secret_is_told_from_what_is_not() -> None:
    connection = {"host": "a", "hostKey": "ssh-ed25519 AAAA", "privateKey": "x"}
    assert Run().ask(COMMAND, {"connection": hidden(connection), "stdin": hidden("x")}) == {}
    found = Run().ask(COMMAND, {"connection": connection, "stdin": hidden("x")})
    assert list(found) == ["secrets-are-secret"]
    assert "connection.privateKey" in found["secrets-are-secret"][0]
    assert "Fix: " in found["secrets-are-secret"][0]


def test_what_only_an_update_tells_stops_nobody_and_is_said() -> None:
    for unknown in UNKNOWN_VALUES:
        record = {"type": "A", "name": unknown, "ttl": unknown, "proxied": unknown, "content": unknown}
        assert Run().ask("cloudflare:index/dnsRecord:DnsRecord", record) == {
            "mail-hosts-are-not-proxied": ["unclear: string value at .one.proxied can't be known during preview"],
            "ttl-has-bounds": ["unclear: string value at .one.ttl can't be known during preview"],
        }
        assert Run().ask(COMMAND, {"connection": unknown, "stdin": hidden(unknown)}) == {
            "host-keys-are-pinned": ["unclear: string value at .one.connection can't be known during preview"]
        }


def test_what_is_known_is_reported_beside_what_is_not() -> None:
    unknown = min(UNKNOWN_VALUES)
    ports = [{"internal": 3306.0, "external": 3306.0}, {"internal": unknown, "external": 25.0}]
    found = Run().ask("docker:index/container:Container", {"image": "x", "ports": ports})["no-public-admin-port"]
    assert [one.partition(":")[0] for one in found] == [
        "port 3306 of the container is published on every address. Fix",
        "unclear",
    ]


def test_a_component_tells_which_rules_hold_for_what_follows() -> None:
    for environment, wrong in (("prod", ["images-are-pinned"]), ("local", [])):
        run = Run()
        run.ask("mailstack:index:PostfixRelay", {"environment": environment})
        assert list(run.ask("docker:index/container:Container", {"image": "caddy:2"})) == wrong


def test_configuration_reaches_the_policy() -> None:
    record = {"type": "A", "name": "a.example.com", "ttl": 3600.0, "proxied": True}
    kind = "cloudflare:index/dnsRecord:DnsRecord"
    assert list(Run().ask(kind, record, {"max_seconds": 600.0})) == ["mail-hosts-are-not-proxied", "ttl-has-bounds"]
    assert Run().ask(kind, record, {"except": ["one"]}) == {}


def test_without_the_marks_only_who_needs_them_does_not_look() -> None:
    """A configuration for `all` policies switches off the one that reads the marks."""
    found = Run().ask(COMMAND, {"connection": {"host": "a"}, "delete": "rm -rf /opt"}, marks=False)
    assert list(found) == ["host-keys-are-pinned", "secrets-are-secret", "deletes-are-safe"]
    assert found["secrets-are-secret"] == ["not applicable: policy secret-marks is off, so nobody sees what is secret"]


def test_the_engine_finds_the_pack_and_the_packages_it_needs() -> None:
    project = yaml.safe_load((FOLDER / "PulumiPolicy.yaml").read_text())
    assert project["runtime"] == {"name": "python", "options": {"toolchain": "pip", "virtualenv": "../.venv"}}
    assert project["name"] == "mailstack"
