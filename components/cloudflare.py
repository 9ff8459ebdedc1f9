"""Cloudflare records without the price of the Cloudflare SDK.

Importing ``pulumi_cloudflare`` costs 2 to 7 seconds and 117 MB, for a resource with seven inputs. These two classes
register the same resource types with the same properties; a test holds them against the SDK. The package stays
pinned in the requirements, so the CLI knows which plugin to install (docs/adr/0004).
"""

from functools import cache
from importlib.metadata import version

import pulumi

from mailstack.dns.cloudflare import CloudflareInput

__all__ = ["CloudflareProvider", "CloudflareRecord"]


# The engine's name of a key that the API writes with an underscore.
_CAMEL_CASE = {"matching_type": "matchingType"}


@cache
def _plugin_version() -> str:
    """Return the version of the pinned SDK package, which is the plugin's. Once: it searches the disk."""
    return version("pulumi-cloudflare")


class CloudflareProvider(pulumi.ProviderResource):
    """An explicit provider: one API token, whatever else is in the environment."""

    def __init__(self, name: str, api_token: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        """Log in with ``api_token``."""
        options = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(version=_plugin_version()))
        super().__init__("cloudflare", name, {"apiToken": pulumi.Output.secret(api_token)}, options)


class CloudflareRecord(pulumi.CustomResource):
    """One DNS record. Never proxied: a proxy in front of a mail host breaks SMTP."""

    def __init__(
        self, name: str, zone_id: pulumi.Input[str], record: CloudflareInput, opts: pulumi.ResourceOptions
    ) -> None:
        """Declare ``record`` in the zone with ``zone_id`` (32 hexadecimal digits)."""
        properties: dict[str, object] = {
            "zoneId": zone_id,
            "name": record.name,
            "type": record.type,
            "ttl": record.ttl,
            "proxied": False,
        }
        if record.content is not None:
            properties["content"] = record.content
        if record.data is not None:
            properties["data"] = {_CAMEL_CASE.get(key, key): value for key, value in record.data.items()}
        if record.priority is not None:
            properties["priority"] = record.priority
        options = pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                version=_plugin_version(),
                # Cloudflare refuses two records that clash, and a replacement clashes with what it replaces.
                delete_before_replace=True,
            ),
        )
        super().__init__("cloudflare:index/dnsRecord:DnsRecord", name, properties, options)
