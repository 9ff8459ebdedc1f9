"""What stacks tell is the contract: names, types, secret marks; and a change that breaks it is seen."""

import copy
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pulumi.runtime.mocks import MockResourceArgs
from pydantic import ValidationError
from syrupy.assertion import SnapshotAssertion

from mailstack.diff.facts import facts
from mailstack.outputs.contract import CONTRACT_VERSION, Outputs
from mailstack.outputs.further import plan_outputs
from mailstack.outputs.record import ContractError, Record, breaking, parse_record, record, record_text
from mailstack.outputs.reference import outputs_reference, outputs_schema
from mailstack.plan import load_plan
from mailstack.plan.shown import flat
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.stackfile import engine_config
from rehearsal.in_process import run_program
from tests.graph.recording import Recorder, is_secret, plain
from tests.unit.cluster_examples import single
from tests.unit.docker_examples import local_example
from tests.unit.kubernetes_examples import VARIANTS, on_cluster
from tests.unit.mistakes import changed, direct, logins
from tests.unit.postal_cluster_examples import postal_on_cluster
from tests.unit.test_relay_hosts import two_hosts

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs/reference"
COMMITTED = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))
# As roles tell it (roles/caddy, roles/postal, roles/k3s, roles/relay_probe).
CERTIFICATE = {"issuer": "pebble", "not_after": "2027-02-19T08:00:00Z", "days_left": 82, "sha256": "ab" * 32}
DOMAIN = {
    "dkim": "OK", "spf": "OK", "mx": None, "return_path": "Missing", "errors": {"return_path": "There is no CNAME"},
    "dkim_record_name": "postal-202611._domainkey", "dkim_record_sha256": "cd" * 32,
}  # fmt: skip
FACTS = {
    "names": {"postal.example.com": CERTIFICATE},
    "domains": {"organizations/example/servers/apps/domains/example.com": DOMAIN},
    "containers": {"web": "healthy", "smtp": "healthy", "worker": "healthy"},
}


class Telling(Recorder):
    """Roles tell everything they ever tell."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        identity, state = super().new_resource(args)
        if args.typ == "command:remote:Command":
            *before, last, end = state["stdout"].split("\n")
            summary = json.loads(last)
            summary["facts"] |= FACTS
            state["stdout"] = "\n".join([*before, json.dumps(summary), end])
        return identity, state


def told(raw: dict[str, Any]) -> dict[str, Any]:
    """Run the program and return its outputs as the engine is told them, with the secret marks."""
    outputs: dict[str, Any] = whole(run_program("test", engine_config(raw), Telling(), marked=True))
    return outputs


def whole(value: Any) -> Any:
    """Return ``value`` with whole numbers as such: between program and engine all numbers are floats."""
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def values(value: Any, path: str, *, secret: bool = False) -> Iterator[tuple[str, str, bool]]:
    """Yield (path, type, secret) of a value and everything in it, in the spelling of the record."""
    secret = secret or is_secret(value)
    bare = plain(value) if not isinstance(value, dict | list) or is_secret(value) else value
    kinds = {bool: "boolean", str: "string", int: "integer", dict: "object", list: "array", type(None): "null"}
    yield path, kinds[type(bare)], secret
    if isinstance(bare, dict):
        for key, item in bare.items():
            # Mappings are known by the contract: only their keys are names of the user's.
            name = key if f"{path}.{key}" in record() else "*"
            yield from values(item, f"{path}.{name}", secret=secret)
    elif isinstance(bare, list):
        for item in bare:
            yield from values(item, f"{path}[]", secret=secret)


def shape(outputs: Mapping[str, Any]) -> list[str]:
    """Return what a stack tells, one line a value: its path, type and mark."""
    found = {line for name, value in outputs.items() for line in values(value, name)}
    return [f"{path}: {kind}{', secret' if secret else ''}" for path, kind, secret in sorted(found)]


def assert_as_promised(outputs: Mapping[str, Any]) -> None:
    Outputs.model_validate_json(json.dumps(plain(dict(outputs))))
    promised = record()
    for name, value in outputs.items():
        for path, kind, secret in values(value, name):
            if path not in promised:
                assert promised[path.rpartition(".")[0]]["type"] == "object", f"{path} is in no contract"
                continue
            entry = promised[path]
            assert kind == entry["type"] or (kind == "null" and entry["optional"]), path
            inside = any(other.startswith((f"{path}.", f"{path}[")) and promised[other]["secret"] for other in promised)
            assert secret == entry["secret"] or (secret and inside), f"{path}: secret is {secret}"


def parts(names: Iterable[str]) -> list[Any]:
    """Return parameters of which ``make check`` has two placements; pulumi-docker, for a container, takes long."""
    fast = {"local", "kubernetes"}
    return [pytest.param(name, marks=[] if name in fast else [pytest.mark.slow]) for name in names]


@pytest.mark.parametrize("stack", parts(COMMITTED))
def test_every_committed_stack_tells_what_the_contract_says_and_what_it_told_before(
    stack: str, snapshot: SnapshotAssertion
) -> None:
    outputs = told(rehearsal_config(ROOT / f"Pulumi.{stack}.yaml"))
    assert_as_promised(outputs)
    assert shape(outputs) == snapshot


def with_everything_on_a_cluster() -> dict[str, Any]:
    return changed(on_cluster(), VARIANTS["everything"])


def with_metrics(host: str) -> Callable[[], dict[str, Any]]:
    return lambda: changed(two_hosts(), {"relay.metrics": {"listen_address": host, "client_networks": ["10.9.0.0/24"]}})


EXAMPLES: dict[str, Callable[[], dict[str, Any]]] = {
    "one host with everything": single,
    "container": local_example,
    "relay on a cluster": with_everything_on_a_cluster,
    "Postal on a cluster": postal_on_cluster,
    "Postal alone": direct,
    "logins": logins,
    "two hosts with metrics": with_metrics("0.0.0.0"),
}


@functools.cache
def told_by(name: str) -> dict[str, Any]:
    return told(EXAMPLES[name]())


@pytest.mark.parametrize("name", parts(EXAMPLES))
def test_every_kind_of_stack_tells_what_the_contract_says(name: str) -> None:
    assert_as_promised(told_by(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_diff_knows_of_outputs_what_the_program_tells(name: str) -> None:
    said = {fact.label: fact.value for key, fact in facts(load_plan(EXAMPLES[name]())).items() if key[0] == "outputs"}
    told = dict(flat({output: plain(value) for output, value in told_by(name).items()}))
    assert said
    assert said == {label: told[label] for label in said}


@pytest.mark.slow
def test_every_output_of_the_contract_is_told_by_some_stack() -> None:
    found: set[str] = set()
    for name in EXAMPLES:
        found |= told_by(name).keys()
    assert found == set(Outputs.model_fields)


def test_flat_outputs_say_the_same_as_the_mappings() -> None:
    outputs = plain(told_by("one host with everything"))
    server = outputs["mail_servers"]["example/apps"]
    assert outputs["api_url"] == server["api_url"]
    assert outputs["api_keys"] == {"example/apps/shop": server["api_keys"]["shop"]}
    assert outputs["api_key_names"] == ["example/apps/shop"]
    assert outputs["postal_smtp_keys"] == {"example/apps/shop": server["smtp_keys"]["shop"]}
    assert (outputs["postal_smtp_host"], outputs["postal_smtp_port"]) == (server["smtp_host"], server["smtp_port"])
    assert outputs["smtp_from_email"] == outputs["smtp_environment"]["SMTP_FROM_EMAIL"]


def test_metrics_and_health_are_told_where_they_are_asked() -> None:
    def places(raw: dict[str, Any]) -> tuple[Any, Any]:
        outputs = plan_outputs(load_plan(raw))
        return outputs["metrics_urls"], outputs["health_urls"]

    addresses = {name: two_hosts()["hosts"][name]["address"] for name in ("relay1", "relay2")}
    everywhere = {f"relay {name}": f"http://{address}:9154/metrics" for name, address in addresses.items()}
    assert places(with_metrics("0.0.0.0")())[0] == everywhere
    assert places(local_example()) == (
        {"relay": "http://postfix-relay:9154/metrics"},
        {"relay": "http://postfix-relay:9154/healthz"},
    )
    pods = {"relay": "http://relay-pods.email-server-prod.svc.cluster.example:9154/metrics"}
    assert places(with_everything_on_a_cluster())[0] == pods
    assert places(on_cluster()) == ({}, {}), "without monitoring a policy keeps everybody out"
    read = changed(postal_on_cluster(), {"postal.kubernetes.metrics_namespace": "monitoring"})
    worker = "http://postal-worker.mail-postal.svc.cluster.local:9090/metrics"
    assert places(read)[0] == {"postal worker": worker}
    assert places(single())[1]["postal"] == "https://postal.example.com/login"
    assert places(logins())[0] == {}


def test_logins_are_told_with_their_passwords_secret() -> None:
    outputs = told_by("logins")
    declared = logins()["relay"]["submission"]["users"]
    assert is_secret(outputs["submission_passwords"])
    assert plain(outputs["submission_passwords"]) == {user["name"]: user["password"] for user in declared}
    assert (outputs["submission_host"], outputs["submission_tls_port"]) == ("relay.example.com", 465)


# --- the record -----------------------------------------------------------------------------------------------------


def test_the_reference_is_made_from_the_models() -> None:
    write = "run `mailstack schema --write`"
    assert (REFERENCE / "outputs.md").read_text() == outputs_reference(), write
    assert (REFERENCE / "outputs.schema.json").read_text() == outputs_schema(), write


def test_no_output_goes_changes_its_type_or_loses_its_secret_mark_without_a_new_contract_version() -> None:
    kept = (REFERENCE / "outputs.contract.json").read_text()
    version, before = parse_record(kept)
    assert version == CONTRACT_VERSION, "run `mailstack schema --write`"
    assert breaking(before, record()) == []
    assert before == record(), "something is new: run `mailstack schema --write`"
    assert record_text(kept) == kept


def test_what_version_1_promised_first_is_promised_as_long_as_it_is_version_1() -> None:
    """The names of the first table, by hand: a record that was edited would not tell."""
    first = {
        "contract_version": "integer", "dns_zones": "object", "smtp_host": "string", "smtp_hosts": "array",
        "smtp_port": "integer", "smtp_environment": "object", "compose_snippet": "string", "relay_hostname": "string",
        "sender_domains": "array", "mail_servers": "object", "postal_url": "string", "postal_health": "object",
        "postal_domains": "object", "certificates": "object", "kubeconfig": "string", "kubernetes_version": "string",
        "relay_rule_console_steps": "string", "relay_rule_probe": "object", "relay_rule_probes": "object",
        "verify": "string",
    }  # fmt: skip
    assert CONTRACT_VERSION == 1, "then this test goes"
    now = record()
    assert {name: now[name]["type"] for name in first} == first
    assert {name for name in first if now[name]["secret"]} == {"kubeconfig"}


def removed(contract: Record) -> None:
    del contract["smtp_host"]


def renamed(contract: Record) -> None:
    contract["api_urls"] = contract.pop("api_url")


def retyped(contract: Record) -> None:
    contract["smtp_port"]["type"] = "string"


def opened(contract: Record) -> None:
    contract["mail_servers.*.smtp_keys.*"]["secret"] = False


def closed(contract: Record) -> None:
    contract["smtp_host"]["secret"] = True


def missing(contract: Record) -> None:
    contract["dns_zones"]["optional"] = True


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (removed, "smtp_host is gone"),
        (renamed, "api_url is gone"),
        (retyped, "smtp_port was integer and is string"),
        (opened, "mail_servers.*.smtp_keys.* was secret and is told in clear"),
        (closed, "smtp_host was told in clear and is secret"),
        (missing, "dns_zones was always there and may be missing"),
    ],
)
def test_each_breaking_change_needs_a_new_contract_version(
    change: Callable[[Record], None], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = copy.deepcopy(record())
    change(now)
    assert sentence in "; ".join(breaking(record(), now))
    kept = json.dumps({"contract_version": CONTRACT_VERSION, "outputs": record()})
    monkeypatch.setattr("mailstack.outputs.record.record", lambda: now)
    with pytest.raises(ContractError, match=r"raise CONTRACT_VERSION"):
        record_text(kept)
    monkeypatch.setattr("mailstack.outputs.record.CONTRACT_VERSION", CONTRACT_VERSION + 1)
    assert parse_record(record_text(kept)) == (CONTRACT_VERSION + 1, now)


def test_what_is_added_breaks_nothing() -> None:
    now = {**record(), "queue_url": {"type": "string", "optional": True, "secret": False}}
    assert breaking(record(), now) == []  # type: ignore[arg-type] # a literal


GOOD: dict[str, Any] = {"contract_version": 1, "verify": "{}", "operations": "{}", "dns_zones": {}, "health_urls": {},
                        "metrics_urls": {}}  # fmt: skip


@pytest.mark.parametrize("wrong", [{"smtp_port": "25"}, {"contract_version": None}, {"smtp_hosts": "10.0.0.1"}])
def test_outputs_that_are_no_contract_are_refused_by_models_and_schema_alike(wrong: dict[str, Any]) -> None:
    schema = json.loads(outputs_schema())
    Outputs.model_validate_json(json.dumps(GOOD))
    jsonschema.validate(GOOD, schema)
    with pytest.raises(ValidationError):
        Outputs.model_validate_json(json.dumps(GOOD | wrong))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(GOOD | wrong, schema)


def test_who_keeps_a_copy_of_the_schema_is_not_broken_by_an_output_that_is_added() -> None:
    """The models refuse it all the same: nothing is told that is in no contract."""
    certificate = {**CERTIFICATE, "serial": "01"}
    added = GOOD | {"queue_url": "http://10.0.0.1", "certificates": {"postal.example.com": certificate}}
    jsonschema.validate(added, json.loads(outputs_schema()))
    with pytest.raises(ValidationError):
        Outputs.model_validate_json(json.dumps(added))
