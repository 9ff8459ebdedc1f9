"""The one definition of the web server, and the settings of role ``caddy`` made from it.

Every placement renders the same Caddyfile from it (``mailstack.caddy.render``).
"""

import re
from typing import Any

from mailstack.caddy.model import (
    LETS_ENCRYPT,
    Acme,
    CaddyDefinition,
    CaddyDefinitionError,
    Certificates,
    Custom,
    Internal,
    MtaStsPolicy,
    SmtpDelivery,
    pair_name,
)
from mailstack.caddy.render import caddyfile

__all__ = [
    "LETS_ENCRYPT",
    "Acme",
    "CaddyDefinition",
    "CaddyDefinitionError",
    "Certificates",
    "Custom",
    "Internal",
    "MtaStsPolicy",
    "SmtpDelivery",
    "issuer_directory",
    "role_settings",
]


def issuer_directory(directory: str) -> str:
    """Return the folder of Caddy's storage that certificates of an ACME issuer are kept in.

    ``directory`` is its URL. Seen in Caddy 2.6 and 2.11: host and path joined with hyphens, in lower case, a colon
    turned into a hyphen, other special characters dropped.
    """
    host, _, path = directory.removeprefix("https://").partition("/")
    path = re.sub(r"[/\\]", "-", path.partition("?")[0]).strip("-")
    key = f"{host}-{path}" if path else host
    for old, new in ((" ", "_"), ("+", "_plus_"), ("*", "wildcard_"), (":", "-"), ("..", "")):
        key = key.lower().replace(old, new)
    return re.sub(r"[^\w@.-]", "", key)


def role_settings(definition: CaddyDefinition) -> dict[str, Any]:
    """Return the settings of role ``caddy``, the rendered Caddyfile among them. No secret is in it."""
    return {
        "placement": definition.placement,
        "image": definition.image,
        "copr_repository": definition.copr_repository,
        "caddyfile": caddyfile(definition),
        "sites": _sites(definition),
        "certificates": _certificate_settings(definition.certificates),
        "smtp": None
        if definition.smtp is None
        else {
            "name": definition.smtp.name,
            "directory": definition.smtp.directory,
            "uid": definition.smtp.uid,
            "gid": definition.smtp.gid,
            "address": definition.smtp.address,
            "port": definition.smtp.port,
        },
        "expiry_warning_days": definition.expiry_warning_days,
        "issue_wait_seconds": definition.issue_wait_seconds,
        "on_remove": definition.on_remove,
    }


def _sites(definition: CaddyDefinition) -> list[dict[str, Any]]:
    sites: dict[str, dict[str, Any]] = {}
    for name in definition.web_names:
        sites[name] = {"name": name, "kind": "web", "body": None}
    for name in definition.tracking_names:
        sites[name] = {"name": name, "kind": "tracking", "body": None}
    for policy in definition.mta_sts:
        sites[policy.name] = {"name": policy.name, "kind": "mta-sts", "body": policy.text}
    for name in definition.names:
        sites.setdefault(name, {"name": name, "kind": "smtp", "body": None})
    return list(sites.values())


def _certificate_settings(certificates: Certificates) -> dict[str, Any]:
    if isinstance(certificates, Acme):
        return {
            "kind": "acme",
            "directory": certificates.directory,
            "issuer_directory": issuer_directory(certificates.directory),
            "challenge": certificates.challenge,
            "ca_file": certificates.ca_file,
        }
    if isinstance(certificates, Custom):
        return {
            "kind": "custom",
            "certificate": certificates.certificate.strip() + "\n",
            "pair": pair_name(certificates.certificate),
            "ca_file": certificates.ca_file,
        }
    # The folder of Caddy's own authority is named after its identifier in the configuration, "local" by default.
    return {"kind": "internal", "issuer_directory": "local"}
