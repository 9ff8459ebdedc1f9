"""What the program registers for Postal and Caddy: order, secrets, stability."""

import asyncio
import json
from typing import Any

import pytest
from pulumi.runtime import settings as runtime_settings

from tests.graph.recording import is_secret, plain, run_graph
from tests.unit.stack_examples import dkim_key, postal_example, with_value

pytestmark = pytest.mark.slow

COMMAND = "command:remote:Command"
SECRETS = (
    "smtpsmtpsmtpsmtpsmtpsmtp",
    "apiapiapiapiapiapiapiapi",
    "database-password",
    "database-root-password",
    "admin-password-1",
    "s" * 64,
    dkim_key().splitlines()[1],
)


def guarded() -> dict[str, Any]:
    raw = postal_example()
    raw["hosts"]["relay1"] |= {"firewall": "ufw", "security_updates": True}
    return raw


def test_everything_a_role_builds_on_comes_before_it() -> None:
    recorder, _ = run_graph(guarded())
    order = [name for name, args in recorder.resources.items() if args.typ == COMMAND]
    assert order[:5] == [
        "relay1-preflight",
        "relay1-security-updates",
        "relay1-firewall",
        "relay1-firewall-confirm",
        "relay1-docker",
    ]
    assert order.index("postal-postal") > max(
        order.index(name) for name in ("relay-postfix", "caddy-caddy", "postal-mariadb")
    ), "Postal comes up when what it needs is there"


def test_certificates_and_signing_wait_for_dns_and_live_mail_waits_for_all() -> None:
    recorder, _ = run_graph(postal_example())
    order = list(recorder.resources)
    records = [name for name, args in recorder.resources.items() if "DnsRecord" in args.typ]
    live = [f"dns-{prefix}" for name in ("example.com", "example.org") for prefix in (f"{name}-mx", f"_dmarc.{name}")]
    mail = {name for name in records if name.startswith(tuple(live))}
    assert len(mail) == 4
    assert "dns-rp.example.com-mx-mx.example.com" not in mail, "nobody's mail goes there yet: Postal looks for it"
    assert max(order.index(name) for name in set(records) - mail) < order.index("caddy-caddy")
    assert order.index("caddy-caddy") < order.index("postal-postal")
    assert min(order.index(name) for name in mail) > order.index("postal-postal")


def test_the_firewall_is_confirmed_over_a_connection_of_its_own() -> None:
    recorder, _ = run_graph(guarded())
    first, second = (recorder.resources[f"relay1-{name}"] for name in ("firewall", "firewall-confirm"))
    documents = [json.loads(plain(args.inputs["stdin"]).splitlines()[1])["settings"] for args in (first, second)]
    assert documents[1] == documents[0] | {"confirm": True}
    assert [entry["port"] for entry in documents[0]["allow"]] == [25, 80, 443]


def test_no_secret_is_anywhere_but_on_standard_input() -> None:
    recorder, _ = run_graph(guarded())
    for name, args in recorder.of_type(COMMAND).items():
        assert is_secret(args.inputs["stdin"]), name
        visible = json.dumps({key: plain(value) for key, value in args.inputs.items() if not is_secret(value)})
        assert not [secret for secret in SECRETS if secret in visible], name


FLAT_KEYS = {"api_keys", "postal_smtp_keys"}


def test_keys_are_secret_outputs_and_addresses_are_not() -> None:
    _, outputs = run_graph(postal_example())
    root: Any = runtime_settings.get_root_resource()
    told = root.outputs["mail_servers"]["example/apps"]
    loop = asyncio.new_event_loop()
    hidden = {key for key, value in told.items() if loop.run_until_complete(value.is_secret())}
    flat = {key for key in FLAT_KEYS if loop.run_until_complete(root.outputs[key].is_secret())}
    loop.close()
    assert hidden == {"smtp_keys", "api_keys"}
    assert flat == FLAT_KEYS
    open_text = json.dumps(
        {key: value for key, value in outputs.items() if key not in {"mail_servers", *flat}}
        | {key: value for key, value in outputs["mail_servers"]["example/apps"].items() if key not in hidden}
    )
    assert not [secret for secret in SECRETS if secret in open_text]
    assert outputs["mail_servers"]["example/apps"]["smtp_keys"] == {"shop": "smtpsmtpsmtpsmtpsmtpsmtp"}


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        ("postal.workers", 3, {"postal-postal"}),
        ("postal.organizations.0.mail_servers.0.name", "Renamed", {"postal-postal"}),
        ("postal.database.memory_mb", 2048, {"postal-mariadb"}),
        ("postal.database.password", "rotated-password", {"postal-postal", "postal-mariadb"}),
        ("caddy.hsts_seconds", 600, {"caddy-caddy"}),
        ("hosts.relay1.firewall", "firewalld", {"relay1-firewall", "relay1-firewall-confirm"}),
    ],
)
@pytest.mark.slow
def test_a_change_runs_the_roles_it_concerns_only(path: str, value: Any, changed: set[str]) -> None:
    before, _ = run_graph(guarded())
    after, _ = run_graph(with_value(path, value, guarded))
    names = {name for name, args in before.of_type(COMMAND).items() if args.inputs != after.resources[name].inputs}
    assert names == changed


@pytest.mark.slow
def test_nothing_registers_differently_on_a_second_run() -> None:
    first, _ = run_graph(guarded())
    second, _ = run_graph(guarded())
    assert {name: args.inputs for name, args in first.resources.items()} == {
        name: args.inputs for name, args in second.resources.items()
    }


def test_destroy_keeps_mail_and_certificates_unless_asked() -> None:
    recorder, _ = run_graph(guarded())
    commands = recorder.of_type(COMMAND)
    for name in ("postal-postal", "postal-mariadb", "caddy-caddy"):
        assert "delete" not in commands[name].inputs, name
    assert "delete" in commands["relay1-firewall"].inputs
    asked, _ = run_graph(with_value("postal.on_destroy", "remove", guarded))
    assert "delete" in asked.resources["postal-postal"].inputs


def test_without_postfix_only_postal_sends() -> None:
    raw = postal_example()
    raw["relay"]["placement"] = "none"
    raw["postal"]["sending"] = {"path": "direct"}
    recorder, outputs = run_graph(raw)
    assert "relay-postfix" not in recorder.resources
    assert "smtp_host" not in outputs
    assert "mail_servers" in outputs


def test_a_preview_of_postal_does_not_crash() -> None:
    recorder, _ = run_graph(guarded(), preview=True)
    assert "postal-postal" in recorder.resources
