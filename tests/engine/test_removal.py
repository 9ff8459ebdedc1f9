"""`pulumi destroy` on real hosts."""

from pathlib import Path

import pytest

from tests.engine.stage import Stage

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

# Packages leave what belongs to the system: their dependencies, logs of installations, the journal.
SERVICES = ("postfix", "knot")
ROOT = Path(__file__).resolve().parents[2]


def test_destroy_refuses_while_mail_is_queued_and_then_leaves_nothing(deployed: Stage) -> None:
    stage = deployed
    stage.rehearsal.google.refuse("temporary-system-problem", stage="mail")
    stage.submit("app@mailstack.test")
    stage.wait_for_queue()
    refused = stage.run("destroy", "--yes", "--skip-preview")
    assert refused.code == 1
    assert "[postfix_relay] FAILED in step 'remove' (exit 1): 1 messages are queued" in refused.text
    assert "postqueue -f" in refused.text

    stage.rehearsal.google.clear_faults()
    stage.on("mail1", "postqueue", "-f")
    stage.wait_for_queue(empty=True)
    stage.deployed = False
    destroyed = stage.run("destroy", "--yes", "--skip-preview")
    assert destroyed.code == 0, destroyed.text
    assert stage.exported().count('"urn":') == 0

    for name in stage.rehearsal.hosts:
        listed = stage.on(name, "dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", "postfix", "knot")
        assert "installed" not in listed
        left = sorted(stage.files(name) - stage.pristine[name])
        assert [path for path in left if "mailstack" in path] == []
        assert [path for path in left if path.startswith(tuple(f"/etc/{service}" for service in SERVICES))] == []
        assert [path for path in left if path.startswith("/var/spool/postfix")] == []
        assert stage.on(name, "find", "/etc/systemd/system", "-xtype", "l") == "", "a unit enabled that is gone"
        assert stage.on(name, "sh", "-c", "ls -d /run/mailstack* /run/lock/mailstack*") in {
            "",
            "/run/lock/mailstack.lock\n",
        }
        assert stage.on(name, "systemctl", "--failed", "--plain", "--no-legend") == ""
        listening = stage.on(name, "ss", "-Hlntu")
        assert ":25 " not in listening
        assert ":53 " not in listening


def test_the_engine_has_changed_no_stack_file_of_the_checkout(stage: Stage, stack_files: dict[str, str]) -> None:
    assert (stage.engine.folder / f"Pulumi.{stage.engine.stack}.yaml").exists()
    assert {path.name: path.read_text() for path in ROOT.glob("Pulumi*.yaml")} == stack_files
