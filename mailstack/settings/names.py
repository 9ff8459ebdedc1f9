"""Names that follow from the settings: what DNS publishes, Postal believes and the relay routes by."""

from collections.abc import Collection, Iterable
from typing import Literal

from mailstack.dns import zone_of
from mailstack.dns.names import topmost
from mailstack.settings.domains_model import DkimKey, Domain
from mailstack.settings.model import Settings
from mailstack.settings.postal_model import Postal
from mailstack.settings.providers_model import Mailgun
from mailstack.settings.relay_kubernetes_model import RelayKubernetes
from mailstack.settings.upstream_model import UpstreamSettings

__all__ = [
    "base_domain",
    "bounce_domains",
    "custom_return_path",
    "google_senders",
    "mailgun_name",
    "postal_dkim",
    "provider_region",
    "relay_name",
    "return_path_domain",
    "route_domain",
    "selector_suffix",
    "spf_include",
    "track_domain",
    "under_any",
    "zone_names",
]

# What Postal puts in front of a sending domain for a return path of its own (custom_return_path_prefix).
CUSTOM_RETURN_PATH = "psrp"


def under_any(name: str, parents: Iterable[str]) -> bool:
    """Tell whether ``name`` is one of ``parents`` or below one."""
    return any(name == parent or name.endswith(f".{parent}") for parent in parents)


def zone_names(settings: Settings) -> Collection[str]:
    """Return the zones: those declared at Cloudflare, or the domains that are not inside another one."""
    if settings.dns.cloudflare is not None and settings.dns.cloudflare.zones:
        return settings.dns.cloudflare.zones
    return topmost(domain.name for domain in settings.domains)


def base_domain(settings: Settings, postal: Postal) -> str:
    """Return the declared domain that Postal's own names live in: the longest one its web name is below."""
    names = {domain.name: None for domain in settings.domains}
    return zone_of(postal.web_hostname, names) or next(iter(names))


def return_path_domain(settings: Settings, postal: Postal) -> str:
    """Return the domain in MAIL FROM of everything Postal sends; bounces come back to it."""
    return postal.return_path_domain or f"rp.{base_domain(settings, postal)}"


def route_domain(settings: Settings, postal: Postal) -> str:
    """Return the domain of route addresses."""
    return postal.route_domain or f"routes.{base_domain(settings, postal)}"


def track_domain(settings: Settings, postal: Postal) -> str:
    """Return the name that tracking names of all domains are aliases of."""
    return postal.track_domain or f"track.{base_domain(settings, postal)}"


def custom_return_path(domain: str) -> str:
    """Return a sending domain's own return path."""
    return f"{CUSTOM_RETURN_PATH}.{domain}"


def bounce_domains(settings: Settings, postal: Postal) -> tuple[str, ...]:
    """Return every domain that bounces of Postal's mail go to."""
    own = [custom_return_path(name) for name in postal.sending_domains] if postal.custom_return_paths else []
    return (return_path_domain(settings, postal), *own)


def google_senders(settings: Settings) -> tuple[str, ...]:
    """Return every domain in MAIL FROM of mail that goes to Google, the fallback counted."""

    def google(upstream: UpstreamSettings | None) -> bool:
        return upstream is not None and upstream.preset == "google-workspace"

    spare = google(settings.fallback)
    names = tuple(domain.name for domain in settings.mail_domains if spare or google(settings.upstream_of(domain)))
    if settings.postal is None:
        return names
    # Postal's return path stands in MAIL FROM; the common one takes the first upstream.
    common, *own = bounce_domains(settings, settings.postal)
    by_default = spare or google(settings.relay.upstream)
    return (*names, *([common] if by_default else []), *(name for name in own if name.partition(".")[2] in names))


def spf_include(settings: Settings, postal: Postal) -> str:
    """Return what Postal looks for in the SPF record of its domains: the include of the upstream, where mail leaves.

    An upstream without one leaves the record of the installation itself, spf.<base domain>.
    """
    upstream = settings.relay.upstream
    if upstream.spf_include is not None:
        return upstream.spf_include
    source = upstream.provider.spf
    return source.domain if source is not None else f"spf.{base_domain(settings, postal)}"


def relay_name(settings: Settings, postal: Postal) -> str:
    """Return the name Postal's containers connect to.

    Postal looks it up by DNS alone, so an address or an entry in /etc/hosts would not do. On the same host it
    stands for the host's side of the container network; its public address may not be on the host at all. Elsewhere
    it is the name that applications have, where there is one; on a cluster that of the service.
    """
    if postal.sending.relay_name is not None:
        return postal.sending.relay_name
    if settings.relay.placement == "kubernetes":
        return (settings.relay.kubernetes or RelayKubernetes()).service_name
    if not settings.postal_shares_relay_host:
        return settings.relay.client_name or settings.relay.hostname
    first, _, rest = settings.relay.hostname.partition(".")
    return f"{first}-internal.{rest}"


def postal_dkim(postal: Postal, domain: Domain) -> DkimKey | None:
    """Return the key Postal signs ``domain`` with: its own RSA key, whose selector begins with Postal's identifier.

    One that is only published waits for its `signing` day; one that is retired signs no more.
    """
    prefix = f"{postal.dkim_identifier}-"
    own = [
        key
        for key in domain.dkim
        if key.ours and key.tenant is None and key.key_type == "rsa" and key.selector.startswith(prefix)
        and key.retired is None and key.revoked is None and (key.published is None or key.signing is not None)
    ]  # fmt: skip
    return own[-1] if own else None  # the last one is the newest: a rotation adds below


def selector_suffix(postal: Postal, key: DkimKey) -> str:
    """Return the part of the selector that Postal stores with the domain."""
    return key.selector.removeprefix(f"{postal.dkim_identifier}-")


def mailgun_name(domain: Domain, asked: Mailgun) -> str:
    """Return the sending domain at Mailgun: the declared one, or the domain itself."""
    return asked.domain or domain.name


def provider_region(settings: Settings, domain: Domain, preset: Literal["ses", "mailgun"]) -> str | None:
    """Return the region of a domain's sending service: its own, or that of the domain's upstream at that service."""
    asked = domain.ses if preset == "ses" else domain.mailgun
    if asked is not None and asked.region is not None:
        return asked.region
    upstream = settings.upstream_of(domain)
    return upstream.region if upstream.preset == preset else None
