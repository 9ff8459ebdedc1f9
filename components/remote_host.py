"""The one way to reach a host: connection, readiness, naming, and running a role there.

Owns: the SSH connection with its pinned host key, the preflight that runs before any role, and what every role of
the host builds on: security updates, the firewall, the container engine.
Does not own: the machine. Whoever creates it gives its address and host key as settings.
A change of the connection re-runs the roles of this host in place; roles are idempotent, so nothing changes there.
"""

import json
from typing import Any

import pulumi
from pulumi_command import remote

from components.base import Component
from mailstack.plan import HostPlan, RoleRun
from mailstack.reach.bundle import command_line, payload
from mailstack.reach.connection import Connection, Jump

__all__ = ["RemoteHost", "secret_output", "summary"]


class RemoteHost(Component):
    """A host that has passed its preflight and has what its roles build on; ``ready`` are the roles that saw to it."""

    def __init__(self, name: str, args: HostPlan, opts: pulumi.ResourceOptions | None = None) -> None:
        """Connect, run the preflight, then what every other role builds on, one after the other."""
        super().__init__(name, args.shown, opts)
        self.logical_name = name
        self._connection = _connection(args.connection)
        self.ready: tuple[remote.Command, ...] = ()
        for run in args.runs:
            self.ready = (*self.ready, self.run(run, self._child()))
        self.facts = summary(self.ready[0])["facts"]
        self.register_outputs({"facts": self.facts})

    def run(self, run: RoleRun, opts: pulumi.ResourceOptions) -> remote.Command:
        """Declare one role on this host. ``opts`` are the caller's child options, so the caller is the parent.

        One command carries all of a role: its code, settings and secrets on standard input. ``create`` and
        ``update`` are the same text for every role and hold none of them, so nothing can leak through it.
        """
        apply = command_line("apply", run.timeout_seconds)
        return remote.Command(
            run.name,
            connection=self._connection,
            create=apply,
            update=apply,
            delete=command_line("remove", run.timeout_seconds) if run.on_destroy == "remove" else None,
            stdin=pulumi.Output.secret(payload(run.role, run.settings, run.secrets)),
            # Only a move to another declared host replaces. A re-created machine of the same name is a changed
            # connection, hence an update: there is nothing to remove on it.
            triggers=[self.logical_name],
            add_previous_output_in_env=False,
            logging=remote.Logging.NONE if run.secret_output else remote.Logging.STDERR,
            opts=pulumi.ResourceOptions.merge(
                opts,
                pulumi.ResourceOptions(
                    depends_on=list(self.ready),
                    delete_before_replace=True,
                    aliases=[pulumi.Alias(name=name) for name in run.formerly],
                    # Roles keep secrets out of their output. Should one slip, it is still not in the state in clear.
                    additional_secret_outputs=["stdout", "stderr"],
                ),
            ),
        )


def summary(command: remote.Command) -> pulumi.Output[dict[str, Any]]:
    """Return a role's JSON summary. The protocol keeps secrets out of it, so it need not be one."""
    return pulumi.Output.unsecret(command.stdout).apply(lambda text: json.loads(text.splitlines()[-1]))


def secret_output(command: remote.Command) -> pulumi.Output[str]:
    """Return, as a secret, what a role with ``secret_output`` told: see docs/adr/0015."""
    return pulumi.Output.secret(command.stdout).apply(lambda text: str(json.loads(text.splitlines()[0])["secret"]))


def _connection(connection: Connection) -> remote.ConnectionArgs:
    return remote.ConnectionArgs(
        host=connection.address,
        port=connection.port,
        user=connection.user,
        private_key=_secret(connection.private_key),
        host_key=connection.host_key,
        dial_error_limit=connection.attempts,
        per_dial_timeout=connection.dial_seconds,
        proxy=_proxy(connection.jump, connection) if connection.jump else None,
    )


def _proxy(jump: Jump, connection: Connection) -> remote.ProxyConnectionArgs:
    return remote.ProxyConnectionArgs(
        host=jump.address,
        port=jump.port,
        user=jump.user,
        private_key=_secret(jump.private_key),
        host_key=jump.host_key,
        dial_error_limit=connection.attempts,
        per_dial_timeout=connection.dial_seconds,
    )


def _secret(value: str | None) -> pulumi.Output[str] | None:
    return None if value is None else pulumi.Output.secret(value)
