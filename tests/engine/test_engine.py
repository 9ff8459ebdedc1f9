"""What the real engine does with the program: preview, up, up again, one change, refresh, other machines."""

import copy
import time

import dns.message
import dns.query
import pytest

from mailstack.settings.stackfile import engine_config, new_ssh_key
from rehearsal.in_process import InProcessBackend, run_program
from tests.engine.stage import Stage

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

COMPONENTS = {"ns1", "mail1", "relay", "relay-rule", "dns"}
ROLES_OF = {
    "mail1": {"mail1-preflight", "relay-postfix", "relay-rule-probe"},
    "ns1": {"ns1-preflight", "dns-server", "dns-server-mail"},
}
COMMANDS = ROLES_OF["mail1"] | ROLES_OF["ns1"]


def test_preview_registers_every_resource_and_touches_no_host(deployed: Stage) -> None:
    preview = deployed.first_preview
    assert preview is not None
    assert preview.code == 0
    assert preview.planned == dict.fromkeys(COMPONENTS | COMMANDS | {f"mailstack-{deployed.engine.stack}"}, "create")
    assert deployed.logged_by_preview == {"mail1": "", "ns1": ""}


def test_up_logs_in_once_per_role(deployed: Stage) -> None:
    up = deployed.first_up
    assert up is not None
    assert {name: what for name, what in up.changes.items() if name in COMMANDS} == dict.fromkeys(COMMANDS, "created")
    logins = {name: text.count("Accepted publickey") for name, text in deployed.logged_by_up.items()}
    assert logins == {name: len(roles) for name, roles in ROLES_OF.items()}


def test_progress_of_the_roles_is_shown_while_they_run(deployed: Stage) -> None:
    assert deployed.first_up is not None
    for line in ("[preflight] done: ", "[postfix_relay] install: ", "[dns_server] answers: ", "[relay_probe] probe: "):
        assert line in deployed.first_up.text


def test_after_up_mail_flows_and_every_check_passes(deployed: Stage) -> None:
    checks = deployed.rehearsal.prove(deployed.engine.outputs())
    assert [f"{check.name}: {check.evidence}" for check in checks if not check.passed] == []
    assert len(checks) > 15


def test_a_rehearsal_runs_the_engine_where_there_is_one(deployed: Stage) -> None:
    outputs = deployed.rehearsal.bring_up()
    assert outputs == deployed.engine.outputs()
    stack_file = f"Pulumi.{deployed.rehearsal.stack}.yaml"
    assert (deployed.rehearsal.engine_folder / stack_file).exists()


def test_second_up_changes_nothing_and_opens_no_connection(deployed: Stage) -> None:
    before = deployed.ssh_logs()
    again = deployed.up()
    expected = deployed.preview(None, "--expect-no-changes")
    assert (again.code, again.changes, expected.code) == (0, {}, 0)
    assert f"{len(COMPONENTS | COMMANDS) + 1} unchanged" in again.text
    assert deployed.ssh_logs() == before


def test_one_changed_setting_runs_one_role_on_one_host(deployed: Stage) -> None:
    raw = copy.deepcopy(deployed.declared)
    raw["relay"]["concurrency"] = 7
    before = deployed.ssh_logs()
    with deployed.put_back():
        changed = deployed.up(raw)
        assert (changed.code, changed.changes) == (0, {"relay-postfix": "updated"})
        after = deployed.ssh_logs()
        assert after["ns1"] == before["ns1"]
        assert after["mail1"].count("Accepted publickey") == before["mail1"].count("Accepted publickey") + 1
        assert "smtp_destination_concurrency_limit = 7" in deployed.on("mail1", "postconf", "-n")


def test_a_changed_rule_is_probed_again_and_nothing_else_runs(deployed: Stage) -> None:
    raw = copy.deepcopy(deployed.declared)
    raw["relay_rule"]["name"] = "another name"
    with deployed.put_back():
        changed = deployed.up(raw)
        assert (changed.code, changed.changes) == (0, {"relay-rule-probe": "updated"})
        assert "another name" in deployed.engine.outputs()["relay_rule_console_steps"]


def test_a_stack_without_a_rule_has_no_probe(deployed: Stage) -> None:
    raw = copy.deepcopy(deployed.declared)
    del raw["relay_rule"]
    preview = deployed.preview(raw)
    assert preview.code == 0
    assert preview.planned == {"relay-rule": "delete", "relay-rule-probe": "delete"}


def test_a_hand_edit_is_found_by_the_rehearsal_and_not_by_refresh(deployed: Stage) -> None:
    deployed.on("mail1", "sh", "-c", "echo '# by hand' >> /etc/postfix/main.cf")
    before = deployed.ssh_logs()
    refresh = deployed.run("refresh", "--yes", "--skip-preview")
    assert (refresh.code, refresh.changes) == (0, {})
    assert deployed.ssh_logs() == before
    assert deployed.up().changes == {}

    drift = deployed.rehearsal.drift()
    assert any("main.cf" in what for what in drift)
    assert deployed.on("mail1", "tail", "-n", "1", "/etc/postfix/main.cf") == "# by hand\n", "drift changes nothing"

    config = engine_config(deployed.declared)
    run_program(deployed.engine.stack, config, InProcessBackend(lambda _line: None))
    assert deployed.rehearsal.drift() == []
    assert deployed.on("mail1", "tail", "-n", "1", "/etc/postfix/main.cf") != "# by hand\n"


def test_a_host_created_anew_is_updated_in_place(deployed: Stage) -> None:
    old = deployed.rehearsal.hosts["ns1"]
    new = deployed.ground.create_host(f"ns1-{time.time_ns():x}", hostname="ns1.rehearsal.test", unsafe_dpkg=True)
    deployed.ground.remove(old)
    deployed.replace_host("ns1", new)
    assert (new.address, new.host_key) != (old.address, old.host_key)
    before = deployed.ssh_log("mail1")

    changed = deployed.up()
    assert (changed.code, changed.changes) == (0, dict.fromkeys(ROLES_OF["ns1"], "updated"))
    assert deployed.ssh_log("mail1") == before
    assert deployed.ssh_log("ns1").count("Accepted publickey") == len(ROLES_OF["ns1"])
    answer = dns.query.udp(dns.message.make_query("mailstack.test", "MX"), new.address, timeout=5)
    assert "smtp.google.com" in answer.to_text()
    assert deployed.up().changes == {}


def test_a_host_with_another_key_than_the_pinned_one_gets_nothing(deployed: Stage) -> None:
    raw = copy.deepcopy(deployed.declared)
    raw["hosts"]["ns1"]["host_key"] = " ".join(new_ssh_key()[1].split()[:2])
    before = deployed.ssh_log("ns1")
    with deployed.put_back():
        failed = deployed.up(raw)
        assert failed.code == 1
        assert failed.changes == {}
        assert "(ns1-preflight)" in failed.text
        assert "host key mismatch" in failed.text
    seen = deployed.ssh_log("ns1").removeprefix(before)
    assert seen != before
    assert "Connection closed" in seen
    assert "Accepted" not in seen
    assert "Failed" not in seen, "not even a login was tried"
