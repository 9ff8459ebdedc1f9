"""Stand-in for pulumi-resource-command: ``command:remote:Command`` over the OpenSSH client.

Contract of 1.2.1, read in provider/pkg/provider/remote of github.com/pulumi/pulumi-command: a changed ``triggers``
replaces, any other changed input updates in place (``update``, else ``create``); delete runs the old state's command on
the old connection; a failed create leaves nothing in the state; preview runs nothing and its outputs are unknown;
there is no read, so refresh sees nothing. Standard output and error lose their last line end. A failure shows the whole
command, quoted, and all output. Not kept: ``environment``, which this project never sets, is refused.
"""

import json
import secrets
from typing import Any

from mailstack.reach.connection import Connection
from mailstack.reach.ssh import SshError, run_over_ssh
from rehearsal.plugins.differences import differences
from rehearsal.plugins.provider import (
    UNKNOWN,
    Difference,
    Log,
    PluginError,
    Properties,
    has_secret,
    plain,
    secret,
    serve,
)

__all__ = ["CommandProvider"]

KIND = "command:remote:Command"
OUTPUTS = ("stdout", "stderr")


class CommandProvider:
    """Runs commands on hosts."""

    name = "command"
    version = "1.2.1"

    def configure(self, settings: Properties) -> None:
        """Nothing can be configured."""

    def diff(self, kind: str, old: Properties, new: Properties) -> Difference:
        """Compare inputs: a changed trigger replaces."""
        old = {key: value for key, value in old.items() if key not in OUTPUTS}
        changes = dict(differences(old, new))
        return Difference(changes=changes, replaces=tuple(path for path in changes if path.startswith("triggers")))

    def create(self, kind: str, inputs: Properties, *, preview: bool, log: Log) -> tuple[str, Properties]:
        """Run ``create``."""
        _check(kind, inputs)
        if preview:
            return "", {**inputs, **dict.fromkeys(OUTPUTS, UNKNOWN)}
        return secrets.token_hex(8), {**inputs, **_run(inputs, "create", log)}

    def update(
        self, kind: str, identity: str, old: Properties, inputs: Properties, *, preview: bool, log: Log
    ) -> Properties:
        """Run ``update``, else ``create``."""
        _check(kind, inputs)
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


def _check(kind: str, inputs: Properties) -> None:
    if kind != KIND:
        raise PluginError(f"the stand-in for the command plugin does not know {kind}")
    if plain(inputs).get("environment"):
        raise PluginError("the stand-in for the command plugin does not set environment variables")


def _run(properties: Properties, action: str, log: Log) -> Properties:
    told = plain(properties)
    command = told[action]
    level = told.get("logging", "stdoutAndStderr")
    show = log.info if level in {"stderr", "stdoutAndStderr"} else _drop
    try:
        finished = run_over_ssh(
            Connection.of_record(told["connection"]), command, told.get("stdin") or "", on_line=show
        )
    except SshError as error:
        mismatch = "ssh: handshake failed: ssh: host key mismatch: " if "verification failed" in str(error) else ""
        raise PluginError(f"{mismatch}{error}") from None
    if finished.code != 0:
        output = finished.stdout + finished.stderr
        raise PluginError(f"Process exited with status {finished.code}: running {json.dumps(command)}:\n{output}")
    # What a command prints may hold what it was told.
    mark = secret if has_secret(properties) else _same
    return {"stdout": mark(finished.stdout.removesuffix("\n")), "stderr": mark(finished.stderr.removesuffix("\n"))}


def _drop(_line: str) -> None:
    pass


def _same(value: Any) -> Any:
    return value


if __name__ == "__main__":
    serve(CommandProvider())
