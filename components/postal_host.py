"""Postal: the mail server applications hand their mail to, with its database.

Owns: the containers of Postal and MariaDB, their configuration, organisations, mail servers, domains and keys, the
backups. Does not own: the relay, the certificates and the DNS records; all three have to be there first, since Postal
signs only for domains whose records it has seen. On destroy everything stays unless told otherwise: it is mail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi

from components.base import Component
from components.remote_host import RemoteHost, RoleRun, summary
from mailstack.settings.model import Settings
from mailstack.stack_postal import (
    SECRET_OUTPUTS,
    mail_servers,
    mariadb_secrets,
    mariadb_settings,
    postal_secrets,
    postal_settings,
)

__all__ = ["PostalHost", "PostalHostArgs"]

# Pulling images over a slow line and migrating a large database take longer than any other role.
POSTAL_TIMEOUT_SECONDS = 5400


@dataclass(frozen=True, kw_only=True)
class PostalHostArgs:
    """Settings and secrets of roles ``postal`` and ``mariadb``; no ``database_host`` for a server that is there.

    ``mail_servers`` is what applications are told: full name to addresses, with keys. ``after``: what must be first.
    """

    host: RemoteHost
    settings: Mapping[str, Any]
    secrets: Mapping[str, pulumi.Input[Any]]
    web_url: str
    mail_servers: Mapping[str, Mapping[str, pulumi.Input[Any]]]
    database_host: RemoteHost | None = None
    database_settings: Mapping[str, Any] | None = None
    database_secrets: Mapping[str, pulumi.Input[str]] | None = None
    after: Sequence[pulumi.Resource] = ()
    on_destroy: Literal["remove", "keep"] = "keep"

    @classmethod
    def of(
        cls, settings: Settings, hosts: Mapping[str, RemoteHost], after: Sequence[pulumi.Resource] = ()
    ) -> "PostalHostArgs":
        """Take what concerns Postal out of the stack's settings. Raises ValueError where they declare none."""
        postal = settings.postal
        if postal is None:
            raise ValueError("the settings declare no postal")
        database = postal.database_host
        secrets = mariadb_secrets(settings)
        return cls(
            host=hosts[postal.host],
            settings=postal_settings(settings),
            secrets={name: pulumi.Output.secret(value) for name, value in postal_secrets(settings).items()},
            web_url=f"https://{postal.web_hostname}",
            mail_servers={
                name: {key: _marked(key, value) for key, value in server.items()}
                for name, server in mail_servers(settings).items()
            },
            database_host=None if database is None else hosts[database],
            database_settings=mariadb_settings(settings),
            database_secrets={name: pulumi.Output.secret(value) for name, value in secrets.items()},
            after=after,
            on_destroy=postal.on_destroy,
        )


class PostalHost(Component):
    """A complete Postal whose keys work when it is up."""

    web_url: pulumi.Output[str]
    mail_servers: Mapping[str, Mapping[str, pulumi.Output[Any]]]
    domains: pulumi.Output[Any]
    health: pulumi.Output[Any]

    def __init__(self, name: str, args: PostalHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run role ``mariadb`` where the database is ours, then role ``postal``."""
        super().__init__(name, opts)
        after = list(args.after)
        if args.database_host is not None and args.database_settings is not None:
            run = RoleRun(
                role="mariadb",
                settings=args.database_settings,
                secrets=args.database_secrets or {},
                on_destroy=args.on_destroy,
            )
            after.append(args.database_host.run(run, f"{name}-mariadb", self._child()))
        run = RoleRun(
            role="postal",
            settings=args.settings,
            secrets=args.secrets,
            on_destroy=args.on_destroy,
            timeout_seconds=POSTAL_TIMEOUT_SECONDS,
        )
        command = args.host.run(run, f"{name}-postal", self._child(depends_on=after))
        facts = summary(command)["facts"]
        # Told only once they work: whoever waits for the outputs may send at once.
        self.web_url = pulumi.Output.from_input(args.web_url)
        self.mail_servers = {
            server: {key: pulumi.Output.all(value, facts).apply(_first) for key, value in told.items()}
            for server, told in args.mail_servers.items()
        }
        self.domains = facts.apply(lambda found: found.get("domains", {}))
        self.health = facts.apply(lambda found: found.get("containers", {}))
        self.register_outputs({"mail_servers": self.mail_servers, "domains": self.domains, "health": self.health})


def _marked(key: str, value: Any) -> pulumi.Input[Any]:
    return pulumi.Output.secret(value) if key in SECRET_OUTPUTS else value


def _first(values: Sequence[Any]) -> Any:
    return values[0]
