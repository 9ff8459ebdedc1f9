"""From settings to Caddy: its sites, its certificates, and whom it hands one to."""

from typing import Any

from mailstack.caddy.definition import (
    Acme,
    CaddyDefinition,
    Custom,
    Internal,
    MtaStsPolicy,
    SmtpDelivery,
    role_settings,
)
from mailstack.settings.caddy_model import Caddy
from mailstack.settings.model import Settings
from mailstack.stack_hosts import WEB_PORT, reach_address

__all__ = ["caddy_definition", "caddy_secrets", "caddy_settings"]

# Attachments travel in base64, which makes four bytes of three; the rest is JSON around them.
BASE64_GROWTH = 1.4
REQUEST_MARGIN_MB = 2


def _caddy(settings: Settings) -> Caddy:
    if settings.caddy is None:
        raise ValueError("the settings declare no caddy")
    return settings.caddy


def caddy_definition(settings: Settings) -> CaddyDefinition:
    """Return the definition of the web server. Raises CaddyDefinitionError; loading has ruled that out."""
    caddy, postal = _caddy(settings), settings.postal
    upstream, smtp, limit = f"127.0.0.1:{WEB_PORT}", None, 1
    tracking: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    if postal is not None:
        names = (postal.web_hostname, *caddy.extra_names)
        tracking = tuple(
            dict.fromkeys(
                f"{tracked.name}.{tracked.domain}"
                for _, server in postal.mail_servers
                for tracked in server.track_domains
            )
        )
        limit = int(postal.max_message_mb * BASE64_GROWTH) + REQUEST_MARGIN_MB
        if postal.host != caddy.host:
            address = reach_address(settings, postal.host)
            upstream = f"[{address}]:{WEB_PORT}" if ":" in address else f"{address}:{WEB_PORT}"
        elif postal.smtp_tls:
            smtp = SmtpDelivery(name=postal.smtp_hostname)
    return CaddyDefinition(
        certificates=_certificates(caddy),
        placement=caddy.placement,
        image=caddy.image,
        web_names=names,
        web_upstream=upstream,
        tracking_names=tracking,
        mta_sts=tuple(
            MtaStsPolicy(domain=policy.domain, mode=policy.mode, mx=policy.mx, max_age=policy.max_age)
            for policy in caddy.mta_sts
        ),
        smtp=smtp,
        hsts_seconds=caddy.hsts_seconds,
        max_request_mb=limit,
        expiry_warning_days=caddy.expiry_warning_days,
        on_remove=caddy.on_destroy,
    )


def _certificates(caddy: Caddy) -> Acme | Custom | Internal:
    if caddy.acme is not None and caddy.certificates == "acme":
        acme = caddy.acme
        return Acme(email=acme.email, directory=acme.directory, ca_file=acme.ca_file, challenge=acme.challenge)
    if caddy.custom is not None and caddy.certificates == "custom":
        return Custom(certificate=caddy.custom.certificate, ca_file=caddy.custom.ca_file)
    return Internal()


def caddy_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings of role ``caddy``: plain JSON, without any secret."""
    return role_settings(caddy_definition(settings))


def caddy_secrets(settings: Settings) -> dict[str, str]:
    """Return the secrets of role ``caddy``."""
    caddy = _caddy(settings)
    secrets = {
        "certificate_key": caddy.custom.private_key if caddy.custom is not None else None,
        "dns_token": caddy.acme.dns_token if caddy.acme is not None else None,
    }
    return {name: value.get_secret_value() for name, value in secrets.items() if value is not None}
