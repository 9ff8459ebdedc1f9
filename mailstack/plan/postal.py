"""From settings to Postal: its definition, its database, and what applications are told."""

import hashlib
from collections.abc import Mapping
from typing import Any

from mailstack.plan.applications import sender
from mailstack.plan.cluster_access import PRIVATE_NETWORKS
from mailstack.plan.hosts import CONTAINER_NETWORK, reach_address
from mailstack.plan.model import PostalPlan, RoleRun
from mailstack.plan.postal_kubernetes import plan_kubernetes_postal, shown_kubernetes_postal
from mailstack.plan.shown import Secret, shown_run
from mailstack.postal.definition import Backup, Database, PostalDefinition, PostalDefinitionError, role_settings
from mailstack.postal.relays import Relay
from mailstack.settings.model import Settings
from mailstack.settings.names import (
    postal_dkim,
    relay_name,
    return_path_domain,
    route_domain,
    selector_suffix,
    spf_include,
    track_domain,
)
from mailstack.settings.postal_model import MailServer, Organization, Postal, PostalRoute, slug
from mailstack.settings.problems import SettingsError, definition_problems
from mailstack.upstreams import IMPLICIT_TLS_PORTS

__all__ = [
    "mail_servers",
    "mariadb_secrets",
    "mariadb_settings",
    "plan_postal",
    "postal_definition",
    "postal_secrets",
]

SMTP_PORT = 25
DAYS_PER_BACKUP = 2
ADMIN = "admin"
MAX_SLUG = 50


# Pulling images over a slow line and migrating a large database take longer than any other role.
POSTAL_TIMEOUT_SECONDS = 5400


def plan_postal(settings: Settings) -> PostalPlan | None:
    """Return Postal's plan, None without one. Raises SettingsError for what only the definition can find."""
    postal = settings.postal
    if postal is None:
        return None
    try:
        definition = postal_definition(settings)
    except PostalDefinitionError as error:
        raise SettingsError(definition_problems("postal", str(error))) from None
    secrets = postal_secrets(settings)
    if postal.placement == "kubernetes":
        told = mail_servers(settings)
        placed = plan_kubernetes_postal(settings, postal, definition, secrets, told, _sender(settings))
        return PostalPlan(
            definition=definition,
            kubernetes=placed,
            web_url=f"https://{postal.web_hostname}",
            mail_servers=told,
            shown=shown_kubernetes_postal(placed),
        )
    run = RoleRun(
        name="postal-postal",
        host=str(postal.host),
        role="postal",
        settings=role_settings(definition),
        secrets=secrets,
        on_destroy=postal.at_the_end,
        timeout_seconds=POSTAL_TIMEOUT_SECONDS,
    )
    shown: dict[str, str | Secret] = {"host": run.host, **shown_run(run.role, run.settings, run.secrets)}
    database = _database_run(settings, postal)
    if database is not None:
        shown["mariadb/host"] = database.host
        shown |= shown_run(database.role, database.settings, database.secrets, prefix="mariadb")
    return PostalPlan(
        definition=definition,
        run=run,
        database_run=database,
        web_url=f"https://{postal.web_hostname}",
        mail_servers=mail_servers(settings),
        shown=shown,
    )


def _sender(settings: Settings) -> dict[str, str]:
    """Return whom mail through the relay is from, as its applications are told; empty where there is no relay."""
    listed = settings.relay.sender_domains
    names = [domain.name for domain in settings.mail_domains] if listed is None else [*listed]
    return sender(settings, names[0]) if names and settings.relay.placement != "none" else {}


def _database_run(settings: Settings, postal: Postal) -> RoleRun | None:
    told, host = mariadb_settings(settings), postal.database_host
    if told is None or host is None:
        return None
    return RoleRun(
        name="postal-mariadb",
        host=host,
        role="mariadb",
        settings=told,
        secrets=mariadb_secrets(settings),
        on_destroy=postal.at_the_end,
    )


def _postal(settings: Settings) -> Postal:
    if settings.postal is None:
        raise ValueError("the settings declare no postal")
    return settings.postal


def postal_definition(settings: Settings) -> PostalDefinition:
    """Return the definition of the installation. Raises PostalDefinitionError; loading has ruled that out."""
    postal = _postal(settings)
    caddy = settings.caddy
    apart = postal.host if caddy is not None and caddy.host != postal.host else None
    return PostalDefinition(
        web_hostname=postal.web_hostname,
        smtp_hostname=postal.smtp_hostname,
        mx_records=(postal.smtp_hostname,),
        spf_include=spf_include(settings, postal),
        return_path_domain=return_path_domain(settings, postal),
        route_domain=route_domain(settings, postal),
        track_domain=track_domain(settings, postal),
        helo_hostname=settings.relay.hostname,
        dkim_identifier=postal.dkim_identifier,
        image_repository=postal.image.repository,
        image_tag=postal.image.tag,
        image_digest=postal.image.digest,
        database=_database(settings, postal),
        relays=(_relay(settings, postal),),
        smtp_tls=postal.smtp_tls,
        ip_pools=bool(postal.ip_pools),
        trusted_proxies=_proxies(settings, postal),
        max_message_mb=postal.max_message_mb,
        worker_replicas=postal.workers,
        worker_threads=postal.worker_threads,
        memory_mb=postal.memory.model_dump(),
        network=CONTAINER_NETWORK,
        web_publish="127.0.0.1" if apart is None else reach_address(settings, apart),
        extra_config=_extra_config(settings, postal),
        provision=_provision(settings, postal),
        removal=postal.removal,
        dns_on_failure=postal.dns_check.on_failure,
        dns_wait_seconds=postal.dns_check.wait_minutes * 60,
        backup=Backup(
            calendar=postal.backup.schedule,
            keep_count=postal.backup.keep,
            keep_days=postal.backup.keep * DAYS_PER_BACKUP,
            encrypt=postal.backup.passphrase is not None,
            hook=() if postal.backup.hook is None else (postal.backup.hook,),
        ),
    )


def postal_secrets(settings: Settings) -> dict[str, Any]:
    """Return the secrets of role ``postal``."""
    postal = _postal(settings)
    database = postal.database.password.get_secret_value()
    by_name = {domain.name: domain for domain in settings.domains}
    keys = {name: postal_dkim(postal, by_name[name]) for name in postal.sending_domains}
    passphrase = postal.backup.passphrase
    return {
        "config": {
            "main_db": {"password": database},
            "message_db": {"password": database},
            "rails": {"secret_key": postal.secret_key.get_secret_value()},
        },
        "signing_key": postal.signing_key.get_secret_value(),
        "user_passwords": {ADMIN: postal.admin.password.get_secret_value()},
        "credentials": {
            f"{name}/{credential.identity}": credential.key.get_secret_value()
            for name, server in postal.mail_servers
            for credential in server.credentials
        },
        "dkim": {
            name: private.get_secret_value()
            for name, key in keys.items()
            if key is not None and (private := settings.private_dkim_key(key)) is not None
        },
        "backup_passphrase": None if passphrase is None else passphrase.get_secret_value(),
    }


def mariadb_settings(settings: Settings) -> dict[str, Any] | None:
    """Return the settings of role ``mariadb``; None for a server that is there already."""
    postal = _postal(settings)
    host, database = postal.database_host, postal.database
    if host is None:
        return None
    return {
        "image": database.image_reference,
        "network": CONTAINER_NETWORK,
        "listen": None if host == postal.host else reach_address(settings, host),
        "port": database.port,
        "memory_mb": database.memory_mb,
        "max_message_mb": postal.max_message_mb,
        "databases": {"main": database.name, "prefix": database.name},
        "username": database.username,
        "remove_data": postal.removal == "allow",
    }


def mariadb_secrets(settings: Settings) -> dict[str, str]:
    """Return the secrets of role ``mariadb``; empty for a server that is there already."""
    database = _postal(settings).database
    if database.root_password is None:
        return {}
    return {
        "root_password": database.root_password.get_secret_value(),
        "password": database.password.get_secret_value(),
    }


def mail_servers(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return what applications need, by the full name of their mail server. The keys are secrets."""
    postal = _postal(settings)
    web = f"https://{postal.web_hostname}"
    return {
        name: {
            "smtp_host": postal.smtp_hostname,
            "smtp_port": SMTP_PORT,
            "smtp_starttls": postal.smtp_tls,
            # Postal looks at the password only; this name also suits CRAM-MD5.
            "smtp_user": name,
            "smtp_keys": _keys(server, "SMTP"),
            "api_url": f"{web}/api/v1",
            "api_keys": _keys(server, "API"),
            "sender_domains": list(server.domains),
            "web_url": f"{web}/org/{name.partition('/')[0]}/servers/{server.permalink}",
            "health_url": f"{web}/login",
        }
        for name, server in postal.mail_servers
    }


def _keys(server: MailServer, kind: str) -> dict[str, Secret]:
    return {
        credential.name: Secret(credential.key.get_secret_value())
        for credential in server.credentials
        if credential.type == kind
    }


def _database(settings: Settings, postal: Postal) -> Database:
    database = postal.database
    host = "mariadb"
    if database.address is not None:
        host = database.address
    elif postal.database_host not in {None, postal.host}:
        host = reach_address(settings, str(postal.database_host))
    return Database(
        kind=database.kind,
        host=host,
        port=database.port,
        username=database.username,
        main=database.name,
        prefix=database.name,
        client_image=database.image_reference,
    )


def _relay(settings: Settings, postal: Postal) -> Relay:
    """Return where Postal hands its mail to: the relay, or the upstream itself."""
    if postal.sending.path == "postfix":
        near = settings.postal_shares_relay_host or settings.postal_shares_relay_cluster
        tls = postal.sending.tls or ("none" if near else "opportunistic")
        return Relay(
            name=relay_name(settings, postal),
            port=settings.relay_listen_port,
            tls="none" if tls == "none" else "auto",
        )
    upstream = settings.relay.upstream
    verified = upstream.tls in {"secure", "verify"}
    if upstream.port in IMPLICIT_TLS_PORTS:
        return Relay(name=upstream.host_name, port=upstream.port, tls="tls")
    return Relay(name=upstream.host_name, port=upstream.port, tls="starttls-verified" if verified else "auto")


def _proxies(settings: Settings, postal: Postal) -> tuple[str, ...]:
    """Return who speaks for web clients: Caddy, as the containers see it, or the controller of a cluster."""
    if postal.cluster is not None:
        # Only the controller's pods reach the web pods; which addresses they have, the cluster knows.
        return postal.cluster.web.proxy_networks or PRIVATE_NETWORKS[False]
    if settings.caddy is None:
        return ()
    if settings.caddy.host != postal.host:
        return (reach_address(settings, settings.caddy.host),)
    return ("127.0.0.1",) if postal.ip_pools else (postal.gateway,)


def _extra_config(settings: Settings, postal: Postal) -> dict[str, dict[str, Any]]:
    """Return postal.yml keys beyond the definition: mail of Postal itself, then the company's own ones."""
    relay = _relay(settings, postal)
    mail = postal.app_mail
    own: dict[str, dict[str, Any]] = {
        "smtp": {
            "host": relay.name,
            "port": relay.port,
            # Left out, Postal's mail library never upgrades, whatever enable_starttls_auto says.
            "enable_starttls": relay.tls == "starttls-verified",
            "from_name": mail.from_name if mail is not None else "Postal",
            "from_address": mail.from_address if mail is not None else f"postmaster@{settings.mail_domains[0].name}",
        }
    }
    for group, keys in postal.config.items():
        own.setdefault(group, {}).update(keys)
    return own


def _provision(settings: Settings, postal: Postal) -> dict[str, Any]:
    """Return the desired organisations and mail servers; the keys of each mapping are the identities across runs."""
    return {
        "users": {
            ADMIN: {
                "email_address": postal.admin.email,
                "first_name": postal.admin.first_name,
                "last_name": postal.admin.last_name,
                "admin": True,
            }
        },
        "ip_pools": {
            slug(pool.name): {
                "name": pool.name,
                "default": pool.default,
                "addresses": {_identity(address.ipv4): address.model_dump() for address in pool.addresses},
            }
            for pool in postal.ip_pools
        },
        "organizations": {
            organization.permalink: _organization(settings, postal, organization)
            for organization in postal.organizations
        },
    }


def _organization(settings: Settings, postal: Postal, organization: Organization) -> dict[str, Any]:
    pools = {server.ip_pool for server in organization.mail_servers if server.ip_pool is not None}
    return {
        "name": organization.name,
        "permalink": organization.permalink,
        "owner": ADMIN,
        **({"ip_pools": sorted(slug(pool) for pool in pools)} if pools else {}),
        "servers": {server.permalink: _server(settings, postal, server) for server in organization.mail_servers},
    }


def _server(settings: Settings, postal: Postal, server: MailServer) -> dict[str, Any]:
    by_name = {domain.name: domain for domain in settings.domains}
    optional = {
        "send_limit": server.send_limit,
        "postmaster_address": server.postmaster,
        "ip_pool": None if server.ip_pool is None else slug(server.ip_pool),
    }
    keys = {name: postal_dkim(postal, by_name[name]) for name in server.domains}
    return {
        "name": server.name,
        "permalink": server.permalink,
        "mode": server.mode,
        **{name: value for name, value in optional.items() if value is not None},
        "domains": {
            name: {"dkim_identifier_string": selector_suffix(postal, key)}
            for name, key in keys.items()
            if key is not None
        },
        "credentials": {
            credential.identity: {"type": credential.type, "name": credential.name, "hold": credential.hold}
            for credential in server.credentials
        },
        **_routes(server),
        "track_domains": {
            _identity(f"{tracked.name}.{tracked.domain}"): {
                "name": tracked.name,
                "domain": tracked.domain,
                "ssl_enabled": True,
                "track_clicks": tracked.clicks,
                "track_loads": tracked.opens,
            }
            for tracked in server.track_domains
        },
        "webhooks": {
            webhook.identity: {
                "name": webhook.name,
                "url": webhook.url,
                "all_events": not webhook.events,
                "events": list(webhook.events),
            }
            for webhook in server.webhooks
        },
    }


def _routes(server: MailServer) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {"http_endpoints": {}, "smtp_endpoints": {}, "address_endpoints": {}}
    routes = {}
    for route in server.routes:
        identity = _identity(f"{route.name}@{route.domain}")
        group, endpoint = _endpoint(route)
        if group is not None:
            found[group][identity] = endpoint
        routes[identity] = {
            "name": route.name,
            "domain": route.domain,
            "mode": route.mode,
            "spam_mode": route.spam_mode,
            "endpoint": None if group is None else f"{group}/{identity}",
        }
    return {**found, "routes": routes}


def _identity(text: str) -> str:
    """Return a stable key for something known by an address; the digest keeps a.b and a-b apart."""
    return f"{slug(text)[:MAX_SLUG]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}".lstrip("-")


def _endpoint(route: PostalRoute) -> tuple[str | None, Mapping[str, Any]]:
    if route.http_url is not None:
        return "http_endpoints", {"name": f"{route.name}@{route.domain}", "url": route.http_url}
    if route.smtp_host is not None:
        return "smtp_endpoints", {
            "name": f"{route.name}@{route.domain}",
            "hostname": route.smtp_host,
            "port": SMTP_PORT,
            "ssl_mode": "Auto",
        }
    if route.address is not None:
        return "address_endpoints", {"address": route.address}
    return None, {}
