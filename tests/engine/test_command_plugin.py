"""The contract of pulumi-resource-command 1.2.1: the same promises for the stand-in and, where it is, the real plugin.

What the real one does, and where that was read (github.com/pulumi/pulumi-command v1.2.1, provider/pkg/provider):

=====================================================================  =============================================
``update``, else ``create``, on any change of an input                 remote/commandController.go, Update
a ``triggers`` that comes or goes replaces; a changed item replaces    common/inputs.go (tag), sdk/python
 by ``replaceOnChanges`` of the SDK, not by the plugin                  remote/command.py (``triggers[*]``)
delete runs the state's command over the state's connection            remote/commandController.go, Delete
nothing runs in a preview; without a command nothing runs at all       remote/commandController.go, Create
a failure leaves the state as it was                                   remote/commandOutputs.go, run
the error: ``Process exited with status N: running %q:`` and output    remote/commandOutputs.go, run
one line end is taken off standard output and error                    remote/commandOutputs.go, run
lines are shown as they come and are not kept; ``logging`` selects     util/util.go, LogOutput; remote/logging.go
the connection is a secret as a whole, whoever passes it               remote/command.go (tag)
outputs are secret only where the program says so                      measured with the real plugin
no read: refresh looks at no host                                      remote/commandController.go has none

Not kept by the stand-in, and not used by this project: ``environment`` (refused), earlier output in the environment
(``addPreviousOutputInEnv``, off here), passwords, SSH agents. Told in other words: a host that is not reached.
Output of a failed command comes as standard output, then error; the real plugin mixes them as they arrive.
"""

import re
from typing import Any

import pytest

from rehearsal.ground import Host
from rehearsal.rehearse import Rehearsal
from tests.engine.contract import Contract, is_secret, kinds

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

# What the SDK's class adds to every Command, and this project's own choice.
OPTIONS = {"replace_on_changes": ["triggers[*]"], "delete_before_replace": True}


class Hosted(Contract):
    """With a host to run commands on. A test has a name of its own for its resource and its log on the host."""

    rehearsal: Rehearsal
    host: Host
    name: str

    def command(self, **inputs: Any) -> dict[str, Any]:
        """Declare a command on the host."""
        connection = {
            "host": self.host.address,
            "port": 22,
            "user": self.host.user,
            "privateKey": self.host.private_key,
            "hostKey": self.host.host_key,
        }
        return {
            "type": "command:remote:Command",
            "name": self.name,
            "inputs": {"connection": connection, "logging": "none", **inputs},
            "options": dict(OPTIONS),
        }

    def writes(self, word: str) -> str:
        """Return a shell command that leaves ``word`` in the log."""
        return f"echo {word} >> /run/{self.name}"

    def log(self) -> list[str]:
        """Return what commands wrote on the host."""
        return self.rehearsal.ground.exec(self.host, ["cat", f"/run/{self.name}"], check=False).stdout.splitlines()

    def logins(self) -> int:
        """Return how often somebody has logged in on the host."""
        self.rehearsal.ground.exec(self.host, ["journalctl", "--sync"])
        argv = ["journalctl", "--identifier", "sshd", "--output", "cat", "--no-pager"]
        return self.rehearsal.ground.exec(self.host, argv).stdout.count("Accepted publickey")

    def entry(self, *arguments: str) -> dict[str, Any]:
        """Return this test's resource in the state."""
        return self.state(*arguments)[self.name]


@pytest.fixture(scope="module", params=kinds("command"))
def stack(
    request: pytest.FixtureRequest, cli: None, rehearsal: Rehearsal, tmp_path_factory: pytest.TempPathFactory
) -> Hosted:
    found = Hosted(tmp_path_factory.mktemp("contract"), "command", request.param)
    found.rehearsal, found.host = rehearsal, rehearsal.hosts["ns1"]
    return found


@pytest.fixture
def contract(stack: Hosted, request: pytest.FixtureRequest) -> Hosted:
    stack.name = f"{stack.kind}-{request.node.originalname.removeprefix('test_')[:40]}".replace("_", "-").strip("-")
    return stack


def test_a_preview_runs_nothing(contract: Hosted) -> None:
    declared = contract.command(create=contract.writes("create"))
    logins = contract.logins()
    assert contract.preview(declared).code == 0
    contract.up(declared)
    declared["inputs"]["stdin"] = "changed"
    assert "+ stdin" in contract.preview(declared).text
    assert (contract.log(), contract.logins()) == (["create"], logins + 1)


def test_outputs_lose_one_line_end_and_standard_input_arrives(contract: Hosted) -> None:
    text = "z\u00e4hlt\nzwei\n\n"
    done = contract.up(contract.command(create="cat; printf 'err\\n\\n' >&2", stdin=text))
    assert (done.code, done.changes) == (0, {contract.name: "created"})
    outputs = contract.entry()["outputs"]
    assert (outputs["stdout"], outputs["stderr"]) == (text.removesuffix("\n"), "err\n")
    assert (outputs["stdin"], outputs["logging"]) == (text, "none")


def test_the_connection_is_a_secret_as_a_whole_and_secrets_stay_secret(contract: Hosted) -> None:
    secret = "planted-c41d"
    declared = contract.command(create="cat >/dev/null; echo told; echo free >&2", stdin={"secret": secret})
    declared["options"]["additional_secret_outputs"] = ["stdout"]
    contract.up(declared)
    entry = contract.entry()
    for place in ("inputs", "outputs"):
        assert is_secret(entry[place]["connection"])
        assert is_secret(entry[place]["stdin"])
    assert is_secret(entry["outputs"]["stdout"])
    assert entry["outputs"]["stderr"] == "free"
    key = contract.host.private_key.splitlines()[2]
    for path in (contract.engine.folder / "state").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert secret.encode() not in content, path
        assert key.encode() not in content, path
    opened = contract.entry("--show-secrets")["outputs"]
    assert "told" in str(opened["stdout"])
    assert key in str(opened["connection"])

    declared["inputs"]["stdin"] = {"secret": "another"}
    shown = contract.preview(declared).text
    assert "~ stdin" in shown
    assert "[secret] => [secret]" in shown
    assert "another" not in shown


def test_update_runs_for_any_changed_input_create_where_there_is_none_and_nothing_for_none(contract: Hosted) -> None:
    declared = contract.command(create=contract.writes("create"), triggers=["a"])
    contract.up(declared)
    logins = contract.logins()
    assert contract.up(declared).changes == {}
    assert contract.logins() == logins

    changed = {contract.name: "updated"}
    declared["inputs"]["stdin"] = "x"
    assert contract.up(declared).changes == changed
    assert contract.log() == ["create", "create"]
    declared["inputs"]["update"] = contract.writes("update")
    assert contract.up(declared).changes == changed
    declared["inputs"]["connection"]["dialErrorLimit"] = 3
    assert "~ connection: [secret] => [secret]" in contract.preview(declared).text
    assert contract.up(declared).changes == changed
    declared["inputs"]["delete"] = contract.writes("delete")
    assert contract.up(declared).changes == changed
    assert contract.log() == ["create"] * 2 + ["update"] * 3


def test_a_changed_trigger_replaces_and_delete_is_what_the_state_says(contract: Hosted) -> None:
    declared = contract.command(create=contract.writes("create"), delete=contract.writes("of-before"), triggers=["a"])
    contract.up(declared)
    before = contract.entry()["id"]
    declared["inputs"].update(delete=contract.writes("of-now"), triggers=["b"])
    shown = contract.preview(declared).text
    assert re.search(r"\+-\s*command:remote:Command: \(replace\)", shown)
    assert '~ [0]: "a" => "b"' in shown
    assert "1 replaced" in contract.up(declared).text
    assert contract.entry()["id"] != before
    declared["inputs"]["delete"] = "false"
    assert contract.destroy(declared).code == 0
    assert contract.log() == ["create", "of-before", "create", "of-now"]


def test_without_the_sdk_only_triggers_that_come_or_go_replace(contract: Hosted) -> None:
    declared = contract.command(create="true")
    declared["options"] = {}
    contract.up(declared)
    declared["inputs"]["triggers"] = ["a"]
    assert "1 replaced" in contract.up(declared).text
    declared["inputs"]["triggers"] = ["b"]
    assert contract.up(declared).changes == {contract.name: "updated"}


def test_a_failed_create_leaves_nothing_and_says_command_and_output(contract: Hosted) -> None:
    failed = contract.up(contract.command(create='echo "s\u00f6rry"; echo bad >&2; exit 3'))
    assert failed.code == 1
    told = 'Process exited with status 3: running "echo \\"s\u00f6rry\\"; echo bad >&2; exit 3":'
    assert told in failed.diagnostics
    assert {"s\u00f6rry", "bad"} <= set(failed.diagnostics.split())
    assert contract.name not in contract.state()


def test_a_failed_update_leaves_the_state_and_the_next_one_tries_again(contract: Hosted) -> None:
    declared = contract.command(create=contract.writes("create"), update="exit 4")
    contract.up(declared)
    before = contract.entry("--show-secrets")["outputs"]
    declared["inputs"]["stdin"] = "x"
    for _attempt in range(2):
        failed = contract.up(declared)
        assert (failed.code, failed.changes) == (1, {})
        assert 'Process exited with status 4: running "exit 4":' in failed.diagnostics
    assert contract.entry("--show-secrets")["outputs"] == before
    declared["inputs"]["update"] = contract.writes("mended")
    assert contract.up(declared).changes == {contract.name: "updated"}
    assert contract.log() == ["create", "mended"]


def test_refresh_looks_at_no_host(contract: Hosted) -> None:
    declared = contract.command(create="true")
    contract.up(declared)
    before = (contract.entry("--show-secrets")["outputs"], contract.logins())
    refreshed = contract.refresh(declared)
    assert (refreshed.code, refreshed.changes) == (0, {})
    assert (contract.entry("--show-secrets")["outputs"], contract.logins()) == before


def test_logging_selects_what_is_shown_as_it_comes_and_keeps_none(contract: Hosted) -> None:
    expected = {
        "none": set(),
        "stdout": {"stdout-out"},
        "stderr": {"stderr-err"},
        "stdoutAndStderr": {"stdoutAndStderr-out", "stdoutAndStderr-err"},
        None: {"None-out", "None-err"},
    }
    declared = []
    for level in expected:
        # `up` does not show a command's text, so a line can only come from the host.
        one = contract.command(create=f"echo {level}-out; sleep 0.5; echo {level}-err >&2", logging=level)
        declared.append({**one, "name": f"{contract.name}-{level}"})
    done = contract.up(*declared)
    assert done.code == 0
    shown = set(re.findall(r"\b(?:none|stdout|stderr|stdoutAndStderr|None)-(?:out|err)\b", done.text))
    assert shown == set().union(*expected.values())
    assert not re.search(r"-(?:out|err)\b", done.diagnostics)


def test_without_a_command_nothing_runs(contract: Hosted) -> None:
    logins = contract.logins()
    assert contract.up(contract.command()).changes == {contract.name: "created"}
    outputs = contract.entry()["outputs"]
    assert (outputs["stdout"], outputs["stderr"], contract.logins()) == ("", "", logins)


def test_another_host_key_ends_before_a_login(contract: Hosted) -> None:
    declared = contract.command(create=contract.writes("create"))
    declared["inputs"]["connection"].update(hostKey=contract.rehearsal.hosts["mail1"].host_key, dialErrorLimit=1)
    logins = contract.logins()
    failed = contract.up(declared)
    assert failed.code == 1
    assert "host key mismatch" in failed.diagnostics
    assert (contract.log(), contract.logins()) == ([], logins)


def test_what_is_protected_stays(contract: Hosted) -> None:
    declared = contract.command(create=contract.writes("create"), delete=contract.writes("delete"))
    declared["options"]["protect"] = True
    contract.up(declared)
    refused = contract.destroy(declared)
    assert refused.code == 1
    assert "protected" in refused.text
    assert contract.log() == ["create"]
    declared["options"]["protect"] = False
    contract.up(declared)
    assert contract.destroy(declared).changes == {contract.name: "deleted"}
    assert contract.log() == ["create", "delete"]
