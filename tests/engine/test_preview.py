"""What a reviewer sees: `pulumi preview --diff` tells of each change exactly what it does, and nothing else.

The engine is real; the command plugin is one that reaches no host (``dry_plugin``), since a preview runs nothing.
"""

import copy
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.stackfile import new_dkim_key
from rehearsal.engine import Engine
from tests.engine.conftest import ROOT
from tests.engine.preview_reader import Shown, read_preview

pytestmark = pytest.mark.engine

PASSWORDS = ("planted-first-5e21", "planted-second-9a77")
DNS_RUNS = {"dns-server": "update", "dns-server-mail": "update"}
Raw = dict[str, Any]


class Reviewed:
    """The local stack, up, and previews of changes to it."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self.engine = Engine("local", folder, self.lines.append, plugins={"command": "tests.engine.dry_plugin"})
        raw = rehearsal_config(ROOT / "Pulumi.local.yaml")
        raw["hosts"]["mail1"]["firewall"] = "none"
        raw["caddy"]["mta_sts"] = [{"domain": "mailstack.test", "mode": "testing", "mx": ["smtp.google.com"]}]
        raw["relay"]["upstream"].update(auth="sasl", username="relay@mailstack.test", password=PASSWORDS[0])
        raw["relay"].update(listen_addresses=["127.0.0.1", "172.29.25.1", "10.1.0.1"], client_networks=["10.1.0.0/24"])
        raw["domains"].append(
            {
                "name": "in.mailstack.test",
                "mx": [{"preference": 10, "exchange": "mx.mailstack.test"}],
                "dkim": [{"selector": "postal-202611", "private_key": new_dkim_key()}],
            }
        )
        server(raw)["domains"].append("in.mailstack.test")
        self.raw = raw
        self.engine.configure(raw)
        self.engine.select()
        self.engine.up()

    def preview(self, change: Callable[[Raw], object] = lambda _raw: None) -> Shown:
        """Return what a preview of a changed configuration shows."""
        raw = copy.deepcopy(self.raw)
        change(raw)
        self.engine.configure(raw)
        self.lines.clear()
        self.engine.preview("--diff")
        return read_preview("\n".join(self.lines))


@pytest.fixture(scope="module")
def stack(cli: None, tmp_path_factory: pytest.TempPathFactory) -> Reviewed:
    return Reviewed(tmp_path_factory.mktemp("reviewed"))


def server(raw: Raw) -> Raw:
    found: Raw = raw["postal"]["organizations"][0]["mail_servers"][0]
    return found


def test_nothing_changed_shows_nothing(stack: Reviewed) -> None:
    shown = stack.preview()
    assert (shown.components, shown.resources, shown.outputs) == ({}, {}, set())
    assert any("unchanged" in line for line in stack.lines)


def test_a_preview_says_of_each_domain_who_may_send_and_what_changes(stack: Reviewed) -> None:
    stack.preview(lambda raw: raw["domains"][0].update(dmarc={"policy": "reject"}))
    said = "\n".join(line.strip() for line in stack.lines)
    assert re.search(r"^mailstack\.test\nmay send +.*of 10 lookups\)$", said, re.MULTILINE), said
    changes = re.findall(r"^changes +(.*)$", said, re.MULTILINE)
    assert changes == ["~ TXT _dmarc.mailstack.test", "none"], said


CHANGES: list[tuple[str, Callable[[Raw], object], dict[str, dict[str, str]], dict[str, str]]] = [
    (
        "relay concurrency",
        lambda raw: raw["relay"].update(concurrency=60),
        {
            "relay": {
                "main.cf/smtp_destination_concurrency_limit": '"50" => "60"',
                "main.cf/smtp_initial_destination_concurrency": '"50" => "60"',
            }
        },
        {"relay-postfix": "update"},
    ),
    (
        "queue lifetime",
        lambda raw: raw["relay"].update(queue_lifetime_hours=96),
        {"relay": {"main.cf/maximal_queue_lifetime": '"48h" => "96h"'}},
        {"relay-postfix": "update"},
    ),
    (
        "a client network",
        lambda raw: raw["relay"]["client_networks"].append("10.2.0.0/24"),
        {
            "relay": {
                "main.cf/mynetworks": '"127.0.0.0/8, 10.1.0.0/24, 172.29.25.0/24" => '
                '"127.0.0.0/8, 10.1.0.0/24, 10.2.0.0/24, 172.29.25.0/24"'
            }
        },
        {"relay-postfix": "update"},
    ),
    (
        "an extra main.cf parameter",
        lambda raw: raw["relay"].update(extra_parameters={"smtp_data_xfer_timeout": "240s"}),
        {"relay": {"main.cf/smtp_data_xfer_timeout": '+ "240s"'}},
        {"relay-postfix": "update"},
    ),
    (
        "a Postal credential",
        lambda raw: server(raw)["credentials"].append({"name": "crm", "type": "SMTP", "key": "K" * 24}),
        {
            "postal": {
                "credentials/mailstack/apps/smtp-crm": "+ [secret]",
                "credentials/mailstack/apps/smtp-crm version": '+ "1"',
                "provision/organizations/mailstack/servers/apps/credentials/smtp-crm/hold": '+ "no"',
                "provision/organizations/mailstack/servers/apps/credentials/smtp-crm/name": '+ "crm"',
                "provision/organizations/mailstack/servers/apps/credentials/smtp-crm/type": '+ "SMTP"',
            }
        },
        {"postal-postal": "update"},
    ),
    (
        "a Caddy name",
        lambda raw: raw["caddy"].update(extra_names=["web.mailstack.test"]),
        {
            "caddy": {"sites/web.mailstack.test/kind": '+ "web"'},
            "dns": {"record/web.mailstack.test-a-192.0.2.10": '+ "300 192.0.2.10"'},
        },
        {"caddy-caddy": "update", **DNS_RUNS},
    ),
    (
        "a changed password",
        lambda raw: raw["relay"]["upstream"].update(password=PASSWORDS[1]),
        {
            "relay": {"sasl_password version": '"1" => "2"'},
            "relay-rule": {"probe/password version": '"1" => "2"'},
        },
        {"relay-postfix": "update", "relay-rule-probe": "update"},
    ),
    (
        "another changed password",
        lambda raw: raw["postal"]["admin"].update(password=PASSWORDS[1]),
        {"postal": {"user_passwords/admin version": '"1" => "2"'}},
        {"postal-postal": "update"},
    ),
]


@pytest.mark.parametrize(
    ("change", "components", "resources"), [row[1:] for row in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_a_change_shows_exactly_what_it_changes(
    stack: Reviewed, change: Callable[[Raw], object], components: dict[str, dict[str, str]], resources: dict[str, str]
) -> None:
    shown = stack.preview(change)
    assert shown.components == components
    assert shown.resources == resources
    text = "\n".join(stack.lines)
    assert [password for password in PASSWORDS if password in text] == [], "which one, never its value"


def test_a_further_sending_domain_shows_its_records_and_who_has_to_know_it(stack: Reviewed) -> None:
    shown = stack.preview(lambda raw: raw["domains"].append({"name": "second.test"}))
    assert shown.components["dns"] == {
        "record/_dmarc.second.test-txt-dmarc": '+ "300 \\"v=DMARC1; p=quarantine\\""',
        "record/second.test-mx-smtp.google.com": '+ "300 1 smtp.google.com."',
        "record/second.test-txt-spf": '+ "300 \\"v=spf1 include:_spf.google.com ~all\\""',
        "zones": '"mailstack.test" => "mailstack.test, second.test"',
    }
    assert shown.components["relay"].pop("maps/senders/entries/second.test") == '+ "OK"'
    rest = shown.components["relay"]
    assert [key.partition("/rules/")[0] for key in rest] == ["maps/local_senders"] * 2, "the same list once more"
    assert list(shown.components["relay-rule"]) == ["rule/domains"]
    assert "second.test" in shown.components["relay-rule"]["rule/domains"].partition("=>")[2]
    assert set(shown.components) == {"dns", "relay", "relay-rule"}
    assert shown.resources == {"relay-postfix": "update", "relay-rule-probe": "update", **DNS_RUNS}


def test_a_route_shows_the_route_and_its_endpoint(stack: Reviewed) -> None:
    route = {"name": "orders", "domain": "in.mailstack.test", "http_url": "https://app.mailstack.test/in"}
    shown = stack.preview(lambda raw: server(raw).update(routes=[route]))
    assert set(shown.components) == {"postal"} | set(shown.components) & {"dns"}
    keys = shown.components["postal"]
    prefix = "provision/organizations/mailstack/servers/apps"
    assert {key.removeprefix(prefix).split("/")[1] for key in keys} == {"routes", "http_endpoints"}
    assert any(value == '+ "https://app.mailstack.test/in"' for value in keys.values())
    assert all(value.startswith("+ ") for value in keys.values())
    assert shown.resources["postal-postal"] == "update"
    assert set(shown.resources) <= {"postal-postal", *DNS_RUNS}


def test_mta_sts_mode_shows_the_policy_and_its_new_id(stack: Reviewed) -> None:
    shown = stack.preview(lambda raw: raw["caddy"]["mta_sts"][0].update(mode="enforce"))
    assert set(shown.components) == {"caddy", "dns"}
    assert shown.components["caddy"] == {
        "sites/mta-sts.mailstack.test/body": "(yaml) {",
        "mode": '"testing" => "enforce"',
    }
    [(key, change)] = shown.components["dns"].items()
    assert key.startswith("record/_mta-sts.mailstack.test-txt")
    assert change.count("v=STSv1; id=") == 2
    assert shown.resources == {"caddy-caddy": "update", **DNS_RUNS}


def test_firewall_on_shows_every_opening_and_the_two_runs(stack: Reviewed) -> None:
    shown = stack.preview(lambda raw: raw["hosts"]["mail1"].update(firewall="ufw"))
    assert list(shown.components) == ["mail1"]
    keys = shown.components["mail1"]
    assert keys["firewall/kind"] == '+ "ufw"'
    assert {key.split("/")[2] for key in keys if key.startswith("firewall/allow/")} == {
        "25 tcp",
        "80 tcp",
        "443 tcp",
        "2525 tcp",
    }
    assert keys["firewall/allow/2525 tcp/sources"] == '+ "10.1.0.0/24"'
    assert all(key.startswith("firewall/") or key == "code of role firewall" for key in keys)
    assert shown.resources == {"mail1-firewall": "create", "mail1-firewall-confirm": "create"}


def test_a_roles_changed_code_shows_with_equal_settings(stack: Reviewed, tmp_path: Path) -> None:
    for name in ("components", "mailstack", "roles", "rehearsal"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__main__.py", "Pulumi.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    role = tmp_path / "roles/postfix_relay/role.py"
    role.write_text(f"{role.read_text()}\n# one line more\n")
    engine = stack.engine
    before, engine._project_folder = engine._project_folder, tmp_path
    try:
        shown = stack.preview()
    finally:
        engine._project_folder = before
    [change] = shown.components["relay"].items()
    assert change[0] == "code of role postfix_relay"
    assert " => " in change[1]
    assert (list(shown.components), shown.resources) == (["relay"], {"relay-postfix": "update"})


def test_versions_of_secrets_settle_and_neither_value_nor_digest_is_in_the_state(stack: Reviewed) -> None:
    raw = copy.deepcopy(stack.raw)
    raw["relay"]["upstream"]["password"] = PASSWORDS[1]
    try:
        stack.engine.configure(raw)
        stack.engine.up()
        stack.engine.preview("--expect-no-changes")
        state = stack.engine.run("stack", "export", "--stack", "local", quiet=True)
        digests = [hashlib.sha256(password.encode()).hexdigest() for password in PASSWORDS]
        assert [text for text in (*PASSWORDS, *digests) if text in state] == []
        assert '"sasl_password version": "2"' in state
    finally:
        stack.engine.configure(stack.raw)
        stack.engine.up()


def test_a_stack_of_before_moves_over_without_a_command_running(cli: None, tmp_path: Path) -> None:
    """Components had no inputs once; a stack brought up like that changes in its components only."""
    lines: list[str] = []
    engine = Engine("local", tmp_path / "stack", lines.append, plugins={"command": "tests.engine.dry_plugin"})
    engine.configure(rehearsal_config(ROOT / "Pulumi.local.yaml"))
    engine.select()
    old = tmp_path / "old"
    old.mkdir()
    for name in ("components", "mailstack", "roles"):
        shutil.copytree(ROOT / name, old / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__main__.py", "Pulumi.yaml"):
        shutil.copy(ROOT / name, old / name)
    (old / ".venv").symlink_to(ROOT / ".venv")
    base = old / "components/base.py"
    bare = base.read_text().replace("dict(_inputs(shown))", "{}").replace("{**outputs, **kept}", "outputs")
    assert bare.count("{}, opts") == 1
    base.write_text(bare)
    before, engine._project_folder = engine._project_folder, old
    engine.up()
    engine._project_folder = before
    lines.clear()
    engine.preview("--diff")
    shown = read_preview("\n".join(lines))
    assert shown.resources == {}, "no command, no record"
    assert set(shown.components) == {"mail1", "ns1", "dns", "relay", "caddy", "postal", "relay-rule"}
