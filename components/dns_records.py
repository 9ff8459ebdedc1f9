"""The DNS records that follow from the rest of the stack.

Owns: MX, A/AAAA, SPF, DKIM and DMARC of the declared domains and hosts, at Cloudflare or on an authoritative server
of ours. Does not own: any other record of the zone at Cloudflare; those stay as they are. A server of ours serves
exactly what is declared. The zones are an output in BIND format too, for those with DNS elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.base import Component
from components.remote_host import RemoteHost, RoleRun
from mailstack.dns import Record
from mailstack.dns_declaration import declared, server_settings, zone_outputs, zone_records
from mailstack.settings.model import Settings

__all__ = ["DnsRecords", "DnsRecordsArgs"]


@dataclass(frozen=True, kw_only=True)
class DnsRecordsArgs:
    """``zones`` maps a zone to its records. One of ``api_token`` (with ``zone_ids``) and ``server``, or neither."""

    zones: Mapping[str, tuple[Record, ...]]
    texts: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    api_token: pulumi.Input[str] | None = None
    zone_ids: Mapping[str, str] | None = None
    server: RemoteHost | None = None
    server_settings: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, settings: Settings, hosts: Mapping[str, RemoteHost]) -> "DnsRecordsArgs":
        """Take what concerns DNS out of the stack's settings."""
        cloudflare, server = settings.dns.cloudflare, settings.dns.server
        return cls(
            zones=zone_records(settings),
            texts=zone_outputs(settings),
            warnings=tuple(str(warning) for warning in declared(settings).warnings),
            api_token=None if cloudflare is None else pulumi.Output.secret(cloudflare.api_token.get_secret_value()),
            zone_ids=None if cloudflare is None else cloudflare.zones,
            server=None if server is None else hosts[server.host],
            server_settings=None if server is None else server_settings(settings),
        )


class DnsRecords(Component):
    """The records of all zones, wherever they are served from."""

    zones: pulumi.Output[dict[str, str]]

    def __init__(self, name: str, args: DnsRecordsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the records."""
        super().__init__(name, opts)
        for sentence in args.warnings:
            pulumi.log.warn(sentence, resource=self)
        if args.api_token is not None and args.zone_ids is not None:
            self._at_cloudflare(name, args, args.api_token, args.zone_ids)
        if args.server is not None and args.server_settings is not None:
            run = RoleRun(role="dns_server", settings=args.server_settings, on_destroy="remove")
            args.server.run(run, f"{name}-server", self._child())
        self.zones = pulumi.Output.from_input(dict(args.texts))
        self.register_outputs({"zones": self.zones})

    def _at_cloudflare(
        self, name: str, args: DnsRecordsArgs, token: pulumi.Input[str], zone_ids: Mapping[str, str]
    ) -> None:
        # Only a stack with Cloudflare pays for what this needs.
        from components.cloudflare import CloudflareProvider, CloudflareRecord  # noqa: PLC0415
        from mailstack.dns.cloudflare import resource_name, to_cloudflare  # noqa: PLC0415

        provider = CloudflareProvider(f"{name}-cloudflare", token, self._child())
        for zone, records in args.zones.items():
            for record in records:
                CloudflareRecord(
                    f"{name}-{resource_name(record)}",
                    zone_ids[zone],
                    to_cloudflare(record),
                    self._child(provider=provider),
                )
