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
outputs are secret only where the program says so                      measured
no read: refresh looks at no host                                      remote/commandController.go has none

Not kept by the stand-in, and not used by this project: ``environment`` (refused), earlier output in the environment
(``addPreviousOutputInEnv``, off here), passwords, SSH agents. Told in other words: a host that is not reached.
Output of a failed command comes as standard output, then error; the real plugin mixes them as they arrive.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from rehearsal.ground import Host
from rehearsal.rehearse import Rehearsal
from tests.engine.contract import Contract, is_secret, kinds

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

LOG = "/run/contract-log"
# What the SDK's class adds to every Command.
SDK_OPTIONS = {"replace_on_changes": ["triggers[*]"], "delete_before_replace": True}


class Hosted(Contract):
    """With a host to run commands on."""

    rehearsal: Rehearsal
    host: Host

    def command(self, name: str = "one", **inputs: Any) -> dict[str, Any]:
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
            "name": name,
            "inputs": {"connection": connection, "logging": "none", **inputs},
            "options": dict(SDK_OPTIONS),
        }

    def log(self) -> list[str]:
        """Return and forget what commands wrote on the host."""
        argv = ["sh", "-c", f"cat {LOG}; rm -f {LOG}"]
        return self.rehearsal.ground.exec(self.host, argv, check=False).stdout.splitlines()

    def logins(self) -> int:
        """Return how often somebody has logged in on the host."""
        self.rehearsal.ground.exec(self.host, ["journalctl", "--sync"])
        argv = ["journalctl", "--identifier", "sshd", "--output", "cat", "--no-pager"]
        return self.rehearsal.ground.exec(self.host, argv).stdout.count("Accepted publickey")


@pytest.fixture(params=kinds("command"))
def contract(
    request: pytest.FixtureRequest, cli: None, rehearsal: Rehearsal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hosted]:
    found = Hosted(tmp_path_factory.mktemp("contract"), "command", request.param)
    found.rehearsal, found.host = rehearsal, rehearsal.hosts["ns1"]
    found.log()
    yield found
    assert found.run([], "up", "--yes", "--skip-preview").code == 0, "nothing stays behind"
    found.log()


def wrote(word: str) -> str:
    """Return a shell command that leaves ``word`` in the log."""
    return f"echo {word} >> {LOG}"


def test_a_preview_runs_nothing_and_knows_no_output(contract: Hosted) -> None:
    declared = contract.command(create=wrote("create"))
    logins = contract.logins()
    assert contract.preview(declared).code == 0
    assert (contract.log(), contract.logins()) == ([], logins)

    contract.up(declared)
    assert contract.log() == ["create"]
    declared["inputs"]["stdin"] = "changed"
    assert "+ stdin" in contract.preview(declared).text
    assert contract.log() == []


def test_outputs_lose_one_line_end_and_standard_input_arrives(contract: Hosted) -> None:
    text = "z\u00e4hlt\nzwei\n\n"
    done = contract.up(contract.command(create="cat; printf 'err\\n\\n' >&2", stdin=text))
    assert (done.code, done.changes) == (0, {"one": "created"})
    outputs = contract.state()["one"]["outputs"]
    assert (outputs["stdout"], outputs["stderr"]) == (text.removesuffix("\n"), "err\n")
    assert (outputs["stdin"], outputs["logging"]) == (text, "none")


def test_the_connection_is_a_secret_as_a_whole_and_secrets_stay_secret(contract: Hosted) -> None:
    secret = "planted-c41d"
    declared = contract.command(create="cat >/dev/null; echo told", stdin={"secret": secret})
    declared["options"]["additional_secret_outputs"] = ["stdout"]
    contract.up(declared)
    entry = contract.state()["one"]
    for place in ("inputs", "outputs"):
        assert is_secret(entry[place]["connection"])
        assert is_secret(entry[place]["stdin"])
    assert is_secret(entry["outputs"]["stdout"])
    opened = contract.state("--show-secrets")["one"]
    assert '"told"' in str(opened["outputs"]["stdout"])
    key = contract.host.private_key.splitlines()[2]
    for path in contract.engine.folder.rglob("*"):
        if path.is_file() and "plugins" not in path.parts:
            content = path.read_bytes()
            assert secret.encode() not in content, path
            assert key.encode() not in content, path

    declared["inputs"]["stdin"] = {"secret": "another"}
    shown = contract.preview(declared).text
    assert "~ stdin" in shown
    assert "[secret] => [secret]" in shown
    assert "another" not in shown


def test_nothing_changed_runs_nothing(contract: Hosted) -> None:
    declared = contract.command(create=wrote("create"), update=wrote("update"), stdin={"secret": "s"}, triggers=["a"])
    contract.up(declared)
    contract.log()
    logins = contract.logins()
    assert "2 unchanged" in contract.up(declared).text
    assert (contract.log(), contract.logins()) == ([], logins)


def test_any_changed_input_runs_update_and_create_where_there_is_none(contract: Hosted) -> None:
    first = contract.command(create=wrote("create"))
    contract.up(first)
    first["inputs"]["stdin"] = "x"
    assert contract.up(first).changes == {"one": "updated"}
    assert contract.log() == ["create", "create"]

    first["inputs"]["update"] = wrote("update")
    assert contract.up(first).changes == {"one": "updated"}
    first["inputs"]["connection"]["dialErrorLimit"] = 3
    shown = contract.preview(first).text
    assert "~ connection: [secret] => [secret]" in shown
    assert contract.up(first).changes == {"one": "updated"}
    first["inputs"]["delete"] = wrote("delete")
    assert contract.up(first).changes == {"one": "updated"}
    assert contract.log() == ["update"] * 3


def test_a_changed_trigger_replaces_and_delete_is_what_the_state_says(contract: Hosted) -> None:
    declared = contract.command(create=wrote("create"), delete=wrote("delete-of-before"), triggers=["a"])
    contract.up(declared)
    before = contract.state()["one"]["id"]
    declared["inputs"].update(delete=wrote("delete-of-now"), triggers=["b"])
    shown = contract.preview(declared).text
    assert "+-command:remote:Command: (replace)" in shown
    assert '~ [0]: "a" => "b"' in shown
    assert contract.up(declared).changes == {"one": "replaced"}
    assert contract.state()["one"]["id"] != before
    assert contract.log() == ["create", "delete-of-before", "create"]
    declared["inputs"]["delete"] = "false"
    assert contract.destroy(declared).code == 0
    assert contract.log() == ["delete-of-now"]


def test_a_changed_trigger_without_the_sdk_updates_and_one_that_comes_replaces(contract: Hosted) -> None:
    declared = contract.command(create=wrote("create"))
    declared["options"] = {}
    contract.up(declared)
    declared["inputs"]["triggers"] = ["a"]
    assert contract.up(declared).changes["one"] != "updated"
    declared["inputs"]["triggers"] = ["b"]
    assert contract.up(declared).changes == {"one": "updated"}


def test_a_failed_create_leaves_nothing_and_says_command_and_output(contract: Hosted) -> None:
    command = 'echo "s\u00f6rry"; echo bad >&2; exit 3'
    failed = contract.up(contract.command(create=command))
    assert failed.code == 1
    assert f'Process exited with status 3: running "{command.replace(chr(34), chr(92) + chr(34))}":' in failed.diagnostics
    assert "s\u00f6rry" in failed.diagnostics
    assert "bad" in failed.diagnostics
    assert "one" not in contract.state()


def test_a_failed_update_leaves_the_state_and_the_next_one_tries_again(contract: Hosted) -> None:
    declared = contract.command(create=wrote("create"), update="exit 4", delete=wrote("delete"))
    contract.up(declared)
    before = contract.state("--show-secrets")["one"]["outputs"]
    declared["inputs"]["stdin"] = "x"
    for _attempt in range(2):
        failed = contract.up(declared)
        assert (failed.code, failed.changes) == (1, {})
        assert 'Process exited with status 4: running "exit 4":' in failed.diagnostics
        assert contract.state("--show-secrets")["one"]["outputs"] == before
    declared["inputs"]["update"] = wrote("mended")
    assert contract.up(declared).changes == {"one": "updated"}
    assert contract.log() == ["create", "mended"]


def test_refresh_looks_at_no_host(contract: Hosted) -> None:
    declared = contract.command(create=wrote("create"))
    contract.up(declared)
    before = (contract.state("--show-secrets")["one"]["outputs"], contract.logins())
    refreshed = contract.refresh(declared)
    assert (refreshed.code, refreshed.changes) == (0, {})
    assert (contract.state("--show-secrets")["one"]["outputs"], contract.logins()) == before


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("none", set()),
        ("stdout", {"out-line"}),
        ("stderr", {"err-line"}),
        ("stdoutAndStderr", {"out-line", "err-line"}),
        (None, {"out-line", "err-line"}),
    ],
)
def test_logging_shows_lines_as_they_come_and_keeps_none(contract: Hosted, level: str | None, shown: set[str]) -> None:
    # The command's text is not shown by `up`, so a line can only come from the host.
    declared = contract.command(create="echo out-line; echo err-line >&2")
    declared["inputs"]["logging"] = level
    if level is None:
        del declared["inputs"]["logging"]
    done = contract.up(declared)
    assert {line for line in ("out-line", "err-line") if line in done.text} == shown
    assert "-line" not in done.diagnostics


def test_without_a_command_nothing_runs(contract: Hosted) -> None:
    logins = contract.logins()
    assert contract.up(contract.command()).changes == {"one": "created"}
    outputs = contract.state()["one"]["outputs"]
    assert (outputs["stdout"], outputs["stderr"], contract.logins()) == ("", "", logins)


def test_another_host_key_ends_before_a_login(contract: Hosted) -> None:
    declared = contract.command(create=wrote("create"))
    declared["inputs"]["connection"]["hostKey"] = contract.rehearsal.hosts["mail1"].host_key
    declared["inputs"]["connection"]["dialErrorLimit"] = 1
    logins = contract.logins()
    failed = contract.up(declared)
    assert failed.code == 1
    assert "host key mismatch" in failed.diagnostics
    assert (contract.log(), contract.logins()) == ([], logins)


def test_what_is_protected_stays(contract: Hosted) -> None:
    declared = contract.command(create=wrote("create"), delete=wrote("delete"))
    declared["options"]["protect"] = True
    contract.up(declared)
    refused = contract.destroy(declared)
    assert refused.code == 1
    assert "protected" in refused.text
    assert contract.log() == ["create"]
    declared["options"]["protect"] = False
    assert contract.up(declared).code == 0
    assert contract.destroy(declared).changes == {"one": "deleted"}
    assert contract.log() == ["delete"]
