"""Cloudflare's API as a plan has it, and the IDs of the plan's zones there."""

from mailstack.plan import CloudflarePlan
from mailstack.reach.cloudflare import CloudflareApi
from mailstack.reach.pace import Pace

__all__ = ["api_and_ids"]


def api_and_ids(cloudflare: CloudflarePlan, url: str) -> tuple[CloudflareApi, dict[str, str | None]]:
    """Return the API at ``url`` within the plan's rate limit, and zone to ID: None for one the token does not see.

    IDs that the plan has not are asked for. Raises CloudflareError.
    """
    api = CloudflareApi(url, cloudflare.api_token.value, pace=Pace(cloudflare.calls, cloudflare.seconds))
    unnamed = [zone for zone, identity in cloudflare.zone_ids.items() if identity is None]
    return api, {**cloudflare.zone_ids, **(api.zone_ids(unnamed) if unnamed else {})}
