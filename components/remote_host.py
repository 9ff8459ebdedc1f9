"""The one way to reach a host: connection, readiness, naming, and running a role there.

Owns: the SSH connection with its pinned host key, the preflight that runs before any role, and what every role of
the host builds on: security updates, the firewall, the container engine.
Does not own: the machine. Whoever creates it gives its address and host key as settings.
A change of the connection re-runs the roles of this host in place; roles are idempotent, so nothing changes there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi
from pulumi_command import remote

from components.base import Component
from mailstack.bundle import ROLE_TIMEOUT_SECONDS, command_line, payload
from mailstack.settings.model import Host, Jump, Settings
from mailstack.stack_hosts import docker_settings, firewall_settings, preflight_settings, updates_settings

__all__ = ["RemoteHost", "RemoteHostArgs", "RoleRun"]

DIAL_SECONDS = 15


@dataclass(frozen=True, kw_only=True)
class RemoteHostArgs:
    """How to reach the host, what it must offer, and how patient to be.

    ``preflight``, ``updates``, ``firewall`` and ``docker`` are those roles' settings; None leaves a role out.
    """

    host: Host
    ssh_private_key: pulumi.Input[str] | None
    connect_attempts: int
    preflight: Mapping[str, Any]
    updates: Mapping[str, Any] | None = None
    firewall: Mapping[str, Any] | None = None
    docker: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, settings: Settings, name: str) -> "RemoteHostArgs":
        """Take what concerns host ``name`` out of the stack's settings."""
        host = settings.hosts[name]
        key = settings.host_ssh_key(host)
        return cls(
            host=host,
            ssh_private_key=None if key is None else pulumi.Output.secret(key.get_secret_value()),
            connect_attempts=settings.ssh.connect_attempts,
            preflight=preflight_settings(settings, name),
            updates=updates_settings(settings, name),
            firewall=firewall_settings(settings, name),
            docker=docker_settings(settings, name),
        )


@dataclass(frozen=True, kw_only=True)
class RoleRun:
    """A role with what it is told. ``secrets`` travel on standard input only.

    ``on_destroy``: ``remove`` undoes the role when the resource goes, ``keep`` leaves the host as it is.
    """

    role: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, pulumi.Input[Any]] = field(default_factory=dict)
    on_destroy: Literal["remove", "keep"] = "keep"
    timeout_seconds: int = ROLE_TIMEOUT_SECONDS


class RemoteHost(Component):
    """A host that has passed its preflight and has what its roles build on."""

    def __init__(self, name: str, args: RemoteHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Connect, run the preflight, then what every other role builds on, one after the other."""
        super().__init__(name, opts)
        self.logical_name = name
        self._connection = _connection(args)
        self._ready: tuple[pulumi.Resource, ...] = ()
        self.facts = summary(self._base(name, "preflight", args.preflight))["facts"]
        if args.updates is not None:
            self._base(name, "security_updates", args.updates, on_destroy="remove")
        if args.firewall is not None:
            # The second run comes over a connection of its own: only that proves that SSH still works.
            self._base(name, "firewall", args.firewall, on_destroy="remove")
            self._base(name, "firewall", {**args.firewall, "confirm": True}, suffix="firewall-confirm")
        if args.docker is not None:
            self._base(name, "docker", args.docker)
        self.register_outputs({"facts": self.facts})

    def _base(
        self,
        name: str,
        role: str,
        settings: Mapping[str, Any],
        *,
        suffix: str = "",
        on_destroy: Literal["remove", "keep"] = "keep",
    ) -> remote.Command:
        """Run a role that everything after it waits for."""
        run = RoleRun(role=role, settings=settings, on_destroy=on_destroy)
        command = self.run(run, f"{name}-{suffix or role.replace('_', '-')}", self._child())
        self._ready = (*self._ready, command)
        return command

    def run(self, run: RoleRun, name: str, opts: pulumi.ResourceOptions) -> remote.Command:
        """Declare one role on this host. ``opts`` are the caller's child options, so the caller is the parent.

        One command carries all of a role: its code, settings and secrets on standard input. ``create`` and
        ``update`` are the same text for every role and hold none of them, so nothing can leak through it.
        """
        secrets: pulumi.Output[dict[str, Any]] = pulumi.Output.from_input(dict[str, Any](run.secrets))
        document: pulumi.Output[Any] = secrets.apply(lambda values: payload(run.role, run.settings, values))
        apply = command_line("apply", run.timeout_seconds)
        return remote.Command(
            name,
            connection=self._connection,
            create=apply,
            update=apply,
            delete=command_line("remove", run.timeout_seconds) if run.on_destroy == "remove" else None,
            stdin=pulumi.Output.secret(document),
            # Only a move to another declared host replaces. A re-created machine of the same name is a changed
            # connection, hence an update: there is nothing to remove on it.
            triggers=[self.logical_name],
            add_previous_output_in_env=False,
            logging=remote.Logging.STDERR,
            opts=pulumi.ResourceOptions.merge(
                opts,
                pulumi.ResourceOptions(
                    depends_on=list(self._ready),
                    delete_before_replace=True,
                    # Roles keep secrets out of their output. Should one slip, it is still not in the state in clear.
                    additional_secret_outputs=["stdout", "stderr"],
                ),
            ),
        )


def summary(command: remote.Command) -> pulumi.Output[dict[str, Any]]:
    """Return a role's JSON summary. The protocol keeps secrets out of it, so it need not be one."""
    return pulumi.Output.unsecret(command.stdout).apply(lambda text: json.loads(text.splitlines()[-1]))


def _connection(args: RemoteHostArgs) -> remote.ConnectionArgs:
    host = args.host
    return remote.ConnectionArgs(
        host=host.address,
        port=host.port,
        user=host.user,
        private_key=args.ssh_private_key,
        host_key=host.host_key,
        dial_error_limit=args.connect_attempts,
        per_dial_timeout=DIAL_SECONDS,
        proxy=_proxy(host.jump, args) if host.jump else None,
    )


def _proxy(jump: Jump, args: RemoteHostArgs) -> remote.ProxyConnectionArgs:
    key = (
        args.ssh_private_key if jump.private_key is None else pulumi.Output.secret(jump.private_key.get_secret_value())
    )
    return remote.ProxyConnectionArgs(
        host=jump.address,
        port=jump.port,
        user=jump.user,
        private_key=key,
        host_key=jump.host_key,
        dial_error_limit=args.connect_attempts,
        per_dial_timeout=DIAL_SECONDS,
    )
