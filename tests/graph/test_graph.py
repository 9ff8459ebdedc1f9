"""What the program registers: names, parents, secrets, stability."""

import json
import sys
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import settings as runtime_settings
from pulumi.runtime.mocks import MockMonitor

from mailstack.dns.rdata import RECORD_TYPES
from mailstack.reach.bundle import command_line
from tests.graph.recording import Recorder, is_secret, plain, run_graph
from tests.unit.cluster_examples import single
from tests.unit.docker_examples import local_example
from tests.unit.stack_examples import REMOVE, dkim_key, example, ssh_key, with_value
from tests.unit.test_relay_hosts import two_hosts

COMMAND = "command:remote:Command"
RECORD = "cloudflare:index/dnsRecord:DnsRecord"
PASSWORD = "planted-password-5c1f"
TOKEN = "planted-token-" + "t" * 26


def with_secrets() -> dict[str, Any]:
    raw = example()
    raw["relay"]["upstream"].update(auth="sasl", username="relay@example.com", password=PASSWORD)
    raw["dns"]["cloudflare"]["api_token"] = TOKEN
    return raw


def with_server() -> dict[str, Any]:
    server = {"host": "relay1", "nameservers": ["ns1.example.com"], "hostmaster": "hostmaster@example.com"}
    return example(dns={"provider": "server", "server": server})


def test_one_command_per_role() -> None:
    recorder, _ = run_graph(with_server())
    assert sorted(recorder.of_type(COMMAND)) == [
        "dns-server",
        "dns-server-mail",
        "relay-postfix",
        "relay-rule-probe",
        "relay1-preflight",
    ]


def test_create_equals_update_and_is_the_same_for_every_role() -> None:
    recorder, _ = run_graph(with_server())
    texts = {args.inputs["create"].rpartition(" ")[0] for args in recorder.of_type(COMMAND).values()}
    assert texts == {command_line("apply").rpartition(" ")[0]}  # all but the time limit
    assert all(args.inputs["update"] == args.inputs["create"] for args in recorder.of_type(COMMAND).values())


def test_a_probe_may_poll_as_long_as_it_is_told() -> None:
    recorder, _ = run_graph(with_value("relay_rule.probe.wait_minutes", 1440))
    assert int(recorder.resources["relay-rule-probe"].inputs["create"].rpartition(" ")[2]) > 1440 * 60


def test_secrets_reach_hosts_on_standard_input_only() -> None:
    recorder, _ = run_graph(with_secrets())
    for name, args in recorder.of_type(COMMAND).items():
        assert is_secret(args.inputs["stdin"]), name
        assert is_secret(args.inputs["connection"]) or is_secret(args.inputs["connection"]["privateKey"]), name
        visible = json.dumps({key: plain(value) for key, value in args.inputs.items() if not is_secret(value)})
        for secret in (PASSWORD, TOKEN, ssh_key().splitlines()[1], dkim_key().splitlines()[1]):
            assert secret not in visible, name
    assert PASSWORD in plain(recorder.resources["relay-postfix"].inputs["stdin"])


def test_the_cloudflare_token_is_secret() -> None:
    recorder, _ = run_graph(with_secrets())
    token = recorder.resources["dns-cloudflare"].inputs["apiToken"]
    assert is_secret(token)
    assert plain(token) == TOKEN


def test_no_output_holds_a_secret() -> None:
    _, outputs = run_graph(with_secrets())
    text = json.dumps(outputs)
    for secret in (PASSWORD, TOKEN, ssh_key().splitlines()[1], dkim_key().splitlines()[1]):
        assert secret not in text


def test_host_keys_are_pinned() -> None:
    recorder, _ = run_graph(example())
    pinned = example()["hosts"]["relay1"]["host_key"]
    for args in recorder.of_type(COMMAND).values():
        assert plain(args.inputs["connection"])["hostKey"] == pinned


def test_a_jump_host_is_used_and_pinned() -> None:
    jump = {"address": "jump.example.com", "user": "ops", "host_key": example()["hosts"]["relay1"]["host_key"]}
    recorder, _ = run_graph(with_value("hosts.relay1.jump", jump))
    proxy = plain(recorder.resources["relay-postfix"].inputs["connection"])["proxy"]
    assert (proxy["host"], proxy["user"], proxy["hostKey"]) == ("jump.example.com", "ops", jump["host_key"])
    assert proxy["privateKey"] == ssh_key()


def test_without_a_private_key_the_agent_is_used() -> None:
    recorder, _ = run_graph(with_value("ssh.private_key", REMOVE))
    assert "privateKey" not in plain(recorder.resources["relay-postfix"].inputs["connection"])


def test_nothing_registers_differently_on_a_second_run() -> None:
    first, first_outputs = run_graph(with_secrets())
    second, second_outputs = run_graph(with_secrets())
    assert {name: args.inputs for name, args in first.resources.items()} == {
        name: args.inputs for name, args in second.resources.items()
    }
    assert first_outputs == second_outputs


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        ("relay.concurrency", 10, {"relay-postfix"}),
        ("relay.queue_lifetime_hours", 5, {"relay-postfix"}),
        ("relay.upstream.password", "rotated", {"relay-postfix", "relay-rule-probe"}),
        ("relay_rule.name", "another name", {"relay-rule-probe"}),
        ("relay_rule.probe.wait_minutes", 7, {"relay-rule-probe"}),
        ("hosts.relay1.minimum_disk_gb", 3, {"relay1-preflight"}),
    ],
)
def test_changing_one_roles_settings_runs_that_role_only(path: str, value: Any, changed: set[str]) -> None:
    before, _ = run_graph(with_secrets())
    after, _ = run_graph(with_value(path, value, with_secrets))
    names = {name for name, args in before.of_type(COMMAND).items() if args.inputs != after.resources[name].inputs}
    assert names == changed


def test_only_the_logical_host_name_replaces_a_command() -> None:
    recorder, _ = run_graph(example())
    assert {tuple(plain(args.inputs["triggers"])) for args in recorder.of_type(COMMAND).values()} == {("relay1",)}


def test_children_stand_under_their_component() -> None:
    run_graph(with_server())
    monitor = runtime_settings.get_monitor()
    assert isinstance(monitor, MockMonitor)
    urns = monitor.get_registered_resources()
    types = {urn.split("::")[3]: urn.split("::")[2] for urn in urns}
    assert types["relay-postfix"] == f"mailstack:index:PostfixRelay${COMMAND}"
    assert types["relay1-preflight"] == f"mailstack:index:RemoteHost${COMMAND}"
    assert types["dns-server"] == f"mailstack:index:DnsRecords${COMMAND}"
    assert types["relay-rule-probe"] == f"mailstack:index:WorkspaceRelayRule${COMMAND}"


def test_destroy_undoes_only_what_is_asked() -> None:
    recorder, _ = run_graph(with_server())
    commands = recorder.of_type(COMMAND)
    assert commands["relay-postfix"].inputs["delete"] == command_line("remove")
    assert "delete" not in commands["relay1-preflight"].inputs
    kept, _ = run_graph(with_value("relay.on_destroy", "keep"))
    assert "delete" not in kept.resources["relay-postfix"].inputs


def test_cloudflare_records_are_never_proxied_and_use_full_names() -> None:
    recorder, _ = run_graph(example())
    records = recorder.of_type(RECORD)
    assert len(records) >= 10
    for args in records.values():
        assert args.inputs["proxied"] is False
        assert args.inputs["name"].endswith(("example.com", "example.org"))
        assert args.inputs["ttl"] == 3600
        assert len(args.inputs["zoneId"]) == 32


def with_every_type() -> dict[str, Any]:
    raw = example()
    raw["dns"] |= {
        "signed_zones": ["example.org"],
        "records": [
            {"name": "example.org", "type": "CAA", "values": ['0 issue "letsencrypt.org"']},
            {"name": "_sip._tcp.example.org", "type": "SRV", "priority": 5, "values": ["1 5060 sip.example.net"]},
            {"name": "_443._tcp.www.example.org", "type": "TLSA", "values": [f"3 1 1 {'0a' * 32}"]},
            {"name": "sub.example.org", "type": "NS", "values": ["ns1.example.net"]},
            {"name": "*.example.org", "type": "CNAME", "values": ["www.example.net"]},
        ],
    }
    return raw


@pytest.mark.slow
def test_cloudflare_records_register_as_the_sdk_would() -> None:
    recorder, _ = run_graph(with_every_type())
    of_type = {args.inputs["type"]: args for args in recorder.of_type(RECORD).values()}
    assert of_type.keys() == set(RECORD_TYPES)
    for ours, theirs in _registered_with_the_sdk(list(of_type.values())):
        assert theirs.typ == ours.typ
        assert theirs.inputs == ours.inputs
        assert ("content" in ours.inputs) != ("data" in ours.inputs), "the plugin refuses both"


def _registered_with_the_sdk(records: list[Any]) -> list[tuple[Any, Any]]:
    import pulumi_cloudflare  # noqa: PLC0415 - seconds, and only this test pays them

    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="mailstack", stack="test")

    @pulumi.runtime.test  # type: ignore[untyped-decorator] # the SDK has no types for it
    def register() -> None:
        for number, inputs in enumerate(record.inputs for record in records):
            data = inputs.get("data")
            if data is not None:
                fields = {"matching_type" if key == "matchingType" else key: value for key, value in data.items()}
                data = pulumi_cloudflare.DnsRecordDataArgs(**fields)
            pulumi_cloudflare.DnsRecord(
                f"sdk-{number}",
                zone_id=inputs["zoneId"],
                name=inputs["name"],
                type=inputs["type"],
                content=inputs.get("content"),
                data=data,
                ttl=inputs["ttl"],
                proxied=inputs["proxied"],
                priority=inputs.get("priority"),
            )

    register()
    return [(record, recorder.resources[f"sdk-{number}"]) for number, record in enumerate(records)]


def test_the_cloudflare_sdk_is_not_imported() -> None:
    sys.modules.pop("pulumi_cloudflare", None)
    run_graph(example())
    assert "pulumi_cloudflare" not in sys.modules


def test_preview_with_unknown_outputs_does_not_crash() -> None:
    recorder, _ = run_graph(example(), preview=True)
    assert "relay-postfix" in recorder.resources


def test_bad_settings_register_nothing() -> None:
    with pytest.raises(pulumi.RunError, match=r"2 mistakes"):
        run_graph(with_value("relay.host", "nowhere", lambda: with_value("dns.ttl", 1)))


def test_outputs_are_the_documented_contract() -> None:
    _, outputs = run_graph(single())  # it has every part, but for a relay in a container
    _, contained = run_graph(local_example())
    documented = {
        line.split("`")[1] for line in Path("docs/outputs.md").read_text().splitlines() if line.startswith("| `")
    }
    assert {*outputs, *contained} == documented


def test_main_reads_like_the_architecture() -> None:
    assert len(Path("__main__.py").read_text().splitlines()) < 80


def test_each_relay_host_waits_for_the_one_before_and_the_name_for_clients_for_all() -> None:
    raw = two_hosts()
    server = {"host": "relay1", "nameservers": ["ns1.example.com"], "hostmaster": "hostmaster@example.com"}
    raw["dns"] = {"provider": "server", "server": server}
    recorder, outputs = run_graph(raw)
    order = [name for name in recorder.resources if name.startswith(("relay-postfix", "dns-server-"))]
    assert order == ["relay-postfix-relay1", "relay-postfix-relay2", "dns-server-clients", "dns-server-mail"]
    assert (outputs["smtp_host"], outputs["smtp_hosts"]) == ("smtp.example.com", ["10.20.0.5", "10.20.0.6"])
    assert list(outputs["relay_rule_probes"]) == ["relay1", "relay2"]
