"""Caddy: certificates, the web server in front of Postal's web UI, and the certificate of Postal's SMTP server.

Owns: Caddy, its data directory with the certificates, and the job that hands renewed ones to Postal. Does not own:
Postal, and the DNS names (they have to be there first, for ACME). On destroy Caddy stays unless told otherwise: a
re-created one would ask the issuer for every certificate again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi

from components.base import Component
from components.remote_host import RemoteHost, RoleRun, summary
from mailstack.settings.model import Settings
from mailstack.stack_caddy import caddy_secrets, caddy_settings

__all__ = ["CaddyTls", "CaddyTlsArgs"]


@dataclass(frozen=True, kw_only=True)
class CaddyTlsArgs:
    """``settings`` and ``secrets`` are those of role ``caddy``. ``after``: what has to be there first."""

    host: RemoteHost
    settings: Mapping[str, Any]
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    after: Sequence[pulumi.Resource] = ()
    on_destroy: Literal["remove", "keep"] = "keep"

    @classmethod
    def of(
        cls, settings: Settings, hosts: Mapping[str, RemoteHost], after: Sequence[pulumi.Resource] = ()
    ) -> "CaddyTlsArgs":
        """Take what concerns Caddy out of the stack's settings. Raises ValueError where they declare none."""
        if settings.caddy is None:
            raise ValueError("the settings declare no caddy")
        return cls(
            host=hosts[settings.caddy.host],
            settings=caddy_settings(settings),
            secrets={name: pulumi.Output.secret(value) for name, value in caddy_secrets(settings).items()},
            after=after,
            on_destroy=settings.caddy.on_destroy,
        )


class CaddyTls(Component):
    """The one place certificates come from. ``certificates`` tells names, issuer and days left."""

    certificates: pulumi.Output[Any]

    def __init__(self, name: str, args: CaddyTlsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run role ``caddy`` on the host."""
        super().__init__(name, opts)
        run = RoleRun(role="caddy", settings=args.settings, secrets=args.secrets, on_destroy=args.on_destroy)
        command = args.host.run(run, f"{name}-caddy", self._child(depends_on=list(args.after)))
        self.certificates = summary(command)["facts"].apply(lambda facts: facts.get("names", {}))
        self.register_outputs({"certificates": self.certificates})
