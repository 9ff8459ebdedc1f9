"""From settings to Caddy: its sites, its certificates, and whom it hands one to."""

from mailstack.caddy.definition import (
    Acme,
    CaddyDefinition,
    CaddyDefinitionError,
    Custom,
    Internal,
    SmtpDelivery,
    issuer_directory,
    role_settings,
)
from mailstack.caddy.model import pair_name
from mailstack.caddy.render import PAIRS_DIRECTORY
from mailstack.plan.hosts import WEB_PORT, reach_address
from mailstack.plan.model import CaddyPlan, RoleRun
from mailstack.plan.mta_sts import served_policies
from mailstack.plan.shown import Secret, flat, shown_run
from mailstack.settings.caddy_model import Caddy
from mailstack.settings.model import Settings
from mailstack.settings.problems import SettingsError, definition_problems

__all__ = ["caddy_definition", "certificate_files", "plan_caddy"]

# Attachments travel in base64, which makes four bytes of three; the rest is JSON around them.
BASE64_GROWTH = 1.4
REQUEST_MARGIN_MB = 2


# Where the host sees Caddy's storage, by placement; the same as in roles/caddy.
HOST_STORAGE = {"service": "/var/lib/caddy/.local/share/caddy", "container": "/var/lib/mailstack-caddy/caddy"}
INTERNAL_ISSUER = "local"
# The Caddyfile follows from the rest.
NOT_SHOWN = frozenset({"caddyfile"})


def plan_caddy(settings: Settings) -> CaddyPlan | None:
    """Return the web server's plan, None without one. Raises SettingsError for what only the definition can find."""
    if settings.caddy is None:
        return None
    try:
        definition = caddy_definition(settings)
    except CaddyDefinitionError as error:
        raise SettingsError(definition_problems("caddy", str(error))) from None
    run = RoleRun(
        name="caddy-caddy",
        host=settings.caddy.host,
        role="caddy",
        settings=role_settings(definition),
        secrets=_secrets(settings.caddy),
        on_destroy=settings.caddy.on_destroy,
    )
    told = {key: value for key, value in run.settings.items() if key not in NOT_SHOWN}
    shown: dict[str, str | Secret] = {"host": run.host, "web_upstream": definition.web_upstream}
    shown |= flat({"max_request_mb": definition.max_request_mb, "hsts_seconds": definition.hsts_seconds})
    return CaddyPlan(definition=definition, run=run, shown=shown | shown_run(run.role, told, run.secrets))


def _caddy(settings: Settings) -> Caddy:
    if settings.caddy is None:
        raise ValueError("the settings declare no caddy")
    return settings.caddy


def caddy_definition(settings: Settings) -> CaddyDefinition:
    """Return the definition of the web server. Raises CaddyDefinitionError; loading has ruled that out."""
    # On a cluster another web server stands before Postal.
    caddy, postal = _caddy(settings), None if settings.postal_on_cluster else settings.postal
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
        if postal.host is not None and postal.host != caddy.host:
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
        mta_sts=tuple(served_policies(caddy)),
        smtp=smtp,
        certificate_names=(settings.relay.hostname,) if settings.submission_uses_caddy else (),
        hsts_seconds=caddy.hsts_seconds,
        max_request_mb=limit,
        expiry_warning_days=caddy.expiry_warning_days,
        on_remove=caddy.on_destroy,
    )


def certificate_files(settings: Settings, name: str) -> tuple[str, str]:
    """Return where Caddy keeps the certificate of ``name`` and its key on its host; renewed ones stay there."""
    caddy = _caddy(settings)
    kind = _certificates(caddy)
    if isinstance(kind, Custom):
        folder = f"{PAIRS_DIRECTORY}/{pair_name(kind.certificate)}"
        return f"{folder}/certificate.pem", f"{folder}/key.pem"
    issuer = issuer_directory(kind.directory) if isinstance(kind, Acme) else INTERNAL_ISSUER
    folder = f"{HOST_STORAGE[caddy.placement]}/certificates/{issuer}/{name}"
    return f"{folder}/{name}.crt", f"{folder}/{name}.key"


def _certificates(caddy: Caddy) -> Acme | Custom | Internal:
    if caddy.acme is not None and caddy.certificates == "acme":
        acme = caddy.acme
        return Acme(email=acme.email, directory=acme.directory, ca_file=acme.ca_file, challenge=acme.challenge)
    if caddy.custom is not None and caddy.certificates == "custom":
        return Custom(certificate=caddy.custom.certificate, ca_file=caddy.custom.ca_file)
    return Internal()


def _secrets(caddy: Caddy) -> dict[str, str]:
    """Return the secrets of role ``caddy``."""
    secrets = {
        "certificate_key": caddy.custom.private_key if caddy.custom is not None else None,
        "dns_token": caddy.acme.dns_token if caddy.acme is not None else None,
    }
    return {name: value.get_secret_value() for name, value in secrets.items() if value is not None}
