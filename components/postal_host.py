"""Postal: the mail server applications hand their mail to, on a host with its database, or on a cluster.

Owns: the containers of Postal and MariaDB, or the cluster's objects; their configuration, organisations, mail servers,
domains and keys, the backups of a host. Does not own: the relay, the certificates, the DNS records and the database of
a cluster; all have to be there first, since Postal signs only for domains whose records it has seen. On destroy a
host's Postal stays unless told otherwise: it is mail. A cluster's goes, its mail is in the database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_command.remote import Command

from components.base import Component
from components.postal_kubernetes import place_postal
from components.remote_host import RemoteHost, summary
from mailstack.plan import PostalPlan, Secret

__all__ = ["PostalHost", "PostalHostArgs"]


@dataclass(frozen=True, kw_only=True)
class PostalHostArgs:
    """``plan`` is Postal's part of the plan. ``after``: what has to be there first.

    ``kubeconfig`` is that of a cluster of this stack, for placement kubernetes where the settings name no other.
    """

    plan: PostalPlan
    hosts: Mapping[str, RemoteHost]
    after: Sequence[pulumi.Resource] = ()
    kubeconfig: pulumi.Input[str] | None = None


class PostalHost(Component):
    """A complete Postal whose keys work when it is up."""

    web_url: pulumi.Output[str]
    mail_servers: Mapping[str, Mapping[str, pulumi.Output[Any]]]
    domains: pulumi.Output[Any]
    health: pulumi.Output[Any]

    def __init__(self, name: str, args: PostalHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run role ``mariadb`` where the database is ours, then role ``postal``; or make the cluster's objects."""
        super().__init__(name, args.plan.shown, opts)
        placed = args.plan.kubernetes
        self.ready: list[pulumi.Resource]
        if placed is not None:
            self.ready, facts = place_postal(name, args.plan, placed, args.kubeconfig, self._child, args.after)
        else:
            command = self._on_host(args)
            self.ready, facts = [command], summary(command)["facts"]
        # Told only once they work: whoever waits for the outputs may send at once.
        self.web_url = pulumi.Output.from_input(args.plan.web_url)
        self.mail_servers = {
            server: {key: pulumi.Output.all(_marked(value), facts).apply(_first) for key, value in told.items()}
            for server, told in args.plan.mail_servers.items()
        }
        self.domains = facts.apply(lambda found: found.get("domains", {}))
        self.health = facts.apply(lambda found: found.get("containers", {}))
        self.register_outputs({"mail_servers": self.mail_servers, "domains": self.domains, "health": self.health})

    def _on_host(self, args: PostalHostArgs) -> Command:
        after, run, database = list(args.after), args.plan.run, args.plan.database_run
        if run is None:
            raise ValueError("the plan places Postal nowhere")
        if database is not None:
            after.append(args.hosts[database.host].run(database, self._child()))
        return args.hosts[run.host].run(run, self._child(depends_on=after))


def _marked(value: Any) -> pulumi.Input[Any]:
    """Return ``value``, as a secret where it holds any: a mapping of names to keys."""
    if isinstance(value, Mapping):
        return pulumi.Output.secret({name: key.value for name, key in value.items() if isinstance(key, Secret)})
    return value


def _first(values: Sequence[Any]) -> Any:
    return values[0]
