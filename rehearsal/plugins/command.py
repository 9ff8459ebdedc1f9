"""Stand-in for pulumi-resource-command: ``command:remote:Command`` over the OpenSSH client.

Contract of 1.2.1, read in provider/pkg/provider/remote of github.com/pulumi/pulumi-command; point by point, with what
is not kept, in tests/engine/test_command_plugin.py, which holds the real plugin to the same promises.
"""

import json
import secrets
from collections.abc import Callable

from mailstack.reach.connection import Connection
from mailstack.reach.ssh import SshError, run_over_ssh
from rehearsal.plugins.differences import differences
from rehearsal.plugins.provider import (
    UNKNOWN,
    Difference,
    Log,
    PluginError,
    Properties,
    plain,
    secret,
    serve,
)

__all__ = ["CommandProvider"]

KIND = "command:remote:Command"
OUTPUTS = ("stdout", "stderr")
# Input ``logging`` to the streams that are shown; None is the default.
SHOWN = {None: OUTPUTS, "stdoutAndStderr": OUTPUTS, "stdout": ("stdout",), "stderr": ("stderr",), "none": ()}


class CommandProvider:
    """Runs commands on hosts."""

    name = "command"
    version = "1.2.1"

    def configure(self, settings: Properties) -> None:
        """Nothing can be configured."""

    def check(self, kind: str, inputs: Properties, *, old: Properties, name: str) -> Properties:
        """Make the connection a secret as a whole."""
        if kind != KIND:
            raise PluginError(f"the stand-in for the command plugin does not know {kind}")
        if plain(inputs).get("environment"):
            raise PluginError("the stand-in for the command plugin does not set environment variables")
        return {**inputs, "connection": secret(plain(inputs["connection"]))}

    def diff(self, kind: str, old: Properties, new: Properties) -> Difference:
        """Compare inputs: triggers that come or go replace. For a changed one the program asks, by the SDK's class."""
        old = {key: value for key, value in old.items() if key not in OUTPUTS}
        changes = dict(differences(old, new))
        return Difference(changes=changes, replaces=tuple(path for path in changes if path == "triggers"))

    def create(self, kind: str, inputs: Properties, *, preview: bool, log: Log) -> tuple[str, Properties]:
        """Run ``create``."""
        identity = f"{log.name}{secrets.token_hex(4)}"
        if preview:
            return identity, {**inputs, **dict.fromkeys(OUTPUTS, UNKNOWN)}
        return identity, {**inputs, **_run(inputs, "create", log)}

    def update(
        self, kind: str, identity: str, old: Properties, inputs: Properties, *, preview: bool, log: Log
    ) -> Properties:
        """Run ``update``, else ``create``."""
        if preview:
            return {**inputs, **dict.fromkeys(OUTPUTS, UNKNOWN)}
        return {**inputs, **_run(inputs, "update" if plain(inputs).get("update") else "create", log)}

    def read(
        self, kind: str, identity: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        """Return what the state has: the real plugin looks at nothing either."""
        return identity, inputs, outputs

    def delete(self, kind: str, identity: str, outputs: Properties, *, log: Log) -> None:
        """Run the state's ``delete``, where it has one."""
        if plain(outputs).get("delete"):
            _run(outputs, "delete", log)


def _run(properties: Properties, action: str, log: Log) -> Properties:
    told = plain(properties)
    command = told.get(action)
    if not command:
        return dict.fromkeys(OUTPUTS, "")
    shown = SHOWN[told.get("logging")]
    try:
        finished = run_over_ssh(
            Connection.of_record(told["connection"]),
            command,
            told.get("stdin") or "",
            on_line=log.info if "stderr" in shown else _drop,
        )
    except SshError as error:
        mismatch = "ssh: handshake failed: ssh: host key mismatch: " if "verification failed" in str(error) else ""
        raise PluginError(f"{mismatch}{error}") from None
    if "stdout" in shown:
        _show(finished.stdout, log.info)
    if finished.code != 0:
        quoted = json.dumps(command, ensure_ascii=False)
        output = finished.stdout + finished.stderr
        raise PluginError(f"Process exited with status {finished.code}: running {quoted}:\n{output}")
    return {"stdout": finished.stdout.removesuffix("\n"), "stderr": finished.stderr.removesuffix("\n")}


def _show(text: str, show: Callable[[str], None]) -> None:
    for line in text.splitlines():
        show(line)


def _drop(_line: str) -> None:
    pass


if __name__ == "__main__":
    serve(CommandProvider())
