"""Caddy: certificates, the web server in front of Postal's web UI, and the certificate of Postal's SMTP server.

Owns: Caddy, its data directory with the certificates, and the job that hands renewed ones to Postal. Does not own:
Postal, and the DNS names (they have to be there first, for ACME). On destroy Caddy stays unless told otherwise: a
re-created one would ask the issuer for every certificate again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.base import Component
from components.remote_host import RemoteHost, summary
from mailstack.plan import CaddyPlan

__all__ = ["CaddyTls", "CaddyTlsArgs"]


@dataclass(frozen=True, kw_only=True)
class CaddyTlsArgs:
    """``plan`` is Caddy's part of the plan. ``after``: what has to be there first."""

    plan: CaddyPlan
    hosts: Mapping[str, RemoteHost]
    after: Sequence[pulumi.Resource] = ()


class CaddyTls(Component):
    """The one place certificates come from. ``certificates`` tells names, issuer and days left."""

    certificates: pulumi.Output[Any]

    def __init__(self, name: str, args: CaddyTlsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run role ``caddy`` on the host."""
        super().__init__(name, args.plan.shown, opts)
        run = args.plan.run
        self.command = args.hosts[run.host].run(run, self._child(depends_on=list(args.after)))
        self.certificates = summary(self.command)["facts"].apply(lambda facts: facts.get("names", {}))
        self.register_outputs({"certificates": self.certificates})
