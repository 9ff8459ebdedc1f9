"""The one definition of a Postal installation, and the settings of role ``postal`` that follow from it."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mailstack.postal.config import config_problems, merge_extra
from mailstack.postal.provisioning import provision_problems
from mailstack.postal.relays import HOST_NAME, Relay, relay_url

__all__ = ["Backup", "Database", "PostalDefinition", "PostalDefinitionError", "role_settings"]

DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)\Z")
# 3.3.7 closes an SQL injection (GHSA-x2hq-rfpg-3xr5) and requests to internal addresses by webhooks.
OLDEST_VERSION = (3, 3, 7)
SHORTEST_STOP_GRACE_SECONDS = 120
MEMORY_MB: Mapping[str, int] = {"web": 768, "smtp": 512, "worker": 768}
DATABASE_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}\Z")


class PostalDefinitionError(ValueError):
    """Fields of the definition cannot be used; the text has one sentence for each."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """Where MariaDB is. ``client_image`` has the programs dumps are made with, for every kind."""

    kind: Literal["container", "external"] = "container"
    host: str = "mariadb"
    port: int = 3306
    username: str = "postal"
    main: str = "postal"
    prefix: str = "postal"
    client_image: str = "docker.io/library/mariadb:10.11"
    wait_seconds: int = 90


@dataclass(frozen=True, kw_only=True)
class Backup:
    """Dumps of all databases with the configuration. ``calendar`` is systemd.time(7), UTC; None: only by hand."""

    directory: str = "/var/backups/mailstack-postal"
    calendar: str | None = "*-*-* 02:30:00"
    keep_count: int = 7
    keep_days: int = 30
    encrypt: bool = False
    hook: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PostalDefinition:
    """What decides one installation. Host names are lower case; sizes in megabytes; times in seconds."""

    web_hostname: str
    smtp_hostname: str
    mx_records: tuple[str, ...]
    spf_include: str
    return_path_domain: str
    route_domain: str
    track_domain: str
    helo_hostname: str | None = None
    dkim_identifier: str = "postal"
    custom_return_path_prefix: str = "psrp"
    image_repository: str = "ghcr.io/postalserver/postal"
    image_tag: str = "3.3.7"
    image_digest: str | None = None
    database: Database = field(default_factory=Database)
    # Empty: Postal delivers to the recipients' own mail servers.
    relays: tuple[Relay, ...] = ()
    smtp_tls: bool = True
    ip_pools: bool = False
    trusted_proxies: tuple[str, ...] = ()
    max_message_mb: int = 14
    worker_replicas: int = 1
    worker_threads: int = 2
    stop_grace_seconds: int = 150
    memory_mb: Mapping[str, int] = field(default_factory=lambda: dict(MEMORY_MB))
    network: str = "mailstack"
    web_publish: str = "127.0.0.1"
    web_port: int = 5000
    smtp_publish: tuple[str, ...] = ()
    smtp_port: int = 25
    log_max_mb: int = 20
    log_files: int = 5
    extra_config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    provision: Mapping[str, Any] = field(default_factory=dict)
    removal: Literal["refuse", "allow"] = "refuse"
    dns_on_failure: Literal["warn", "fail"] = "warn"
    dns_wait_seconds: int = 60
    backup: Backup = field(default_factory=Backup)
    check_api: bool = True
    check_smtp: bool = True
    health_seconds: int = 180

    def __post_init__(self) -> None:
        """Raise PostalDefinitionError with everything that is wrong."""
        problems = [
            *_name_problems(self),
            *_image_problems(self),
            *_process_problems(self),
            *_publish_problems(self),
            *config_problems(self.extra_config),
            *provision_problems(self.provision),
        ]
        if problems:
            raise PostalDefinitionError("\n".join(problems))


def _name_problems(given: PostalDefinition) -> Iterator[str]:
    names = {
        "web_hostname": given.web_hostname,
        "smtp_hostname": given.smtp_hostname,
        "spf_include": given.spf_include,
        "return_path_domain": given.return_path_domain,
        "route_domain": given.route_domain,
        "track_domain": given.track_domain,
        **{f"mx_records {position}": name for position, name in enumerate(given.mx_records, 1)},
    }
    if given.helo_hostname is not None:
        names["helo_hostname"] = given.helo_hostname
    for place, name in names.items():
        if not HOST_NAME.match(name) or "." not in name:
            yield f"{place}: {name!r} is not a full host name in lower case"
    if not given.mx_records:
        yield "mx_records: at least one name, or Postal tells every domain that its MX records are in order"
    for relay in given.relays:
        if relay.name in {given.return_path_domain, given.smtp_hostname}:
            yield f"relays: {relay.name} is Postal itself, mail would go round in circles"
    if given.database.host == "localhost":
        yield "database.host: localhost means a socket file, which no container has; use a name or an address"
    for place, name in (("main", given.database.main), ("prefix", given.database.prefix)):
        if not DATABASE_NAME.match(name):
            yield f"database.{place}: {name!r} must be 1 to 40 letters, digits, - and _"
    if given.database.main.startswith(f"{given.database.prefix}-server-"):
        yield "database.main: is named like a message database, Postal might drop it"


def _image_problems(given: PostalDefinition) -> Iterator[str]:
    version = VERSION.match(given.image_tag)
    if version is None:
        yield f"image.tag: {given.image_tag!r} moves on its own; pin a release such as 3.3.7"
    elif tuple(int(part) for part in version.groups()) < OLDEST_VERSION:
        yield f"image.tag: {given.image_tag} has known holes (GHSA-x2hq-rfpg-3xr5); use 3.3.7 or newer"
    if given.image_digest is not None and not DIGEST.match(given.image_digest):
        yield f"image.digest: {given.image_digest!r} is not sha256: and 64 hexadecimal digits"


def _process_problems(given: PostalDefinition) -> Iterator[str]:
    if given.worker_replicas < 1 or given.worker_threads < 1:
        yield "worker_replicas and worker_threads: at least 1, or no mail is sent"
    if given.ip_pools and given.worker_replicas > 1:
        yield "worker_replicas: IP pools need host networking, where only one worker has its health port; raise threads"
    if given.stop_grace_seconds < SHORTEST_STOP_GRACE_SECONDS:
        yield f"stop_grace_seconds: at least {SHORTEST_STOP_GRACE_SECONDS}: a worker killed while sending loses mail"
    if set(given.memory_mb) != set(MEMORY_MB) or min(given.memory_mb.values(), default=0) < 128:
        yield f"memory_mb: a limit of 128 or more for each of {', '.join(MEMORY_MB)}"
    if not 1 <= given.max_message_mb <= 100:
        yield f"max_message_mb: {given.max_message_mb} is not between 1 and 100"


def _publish_problems(given: PostalDefinition) -> Iterator[str]:
    try:
        web = ipaddress.ip_address(given.web_publish)
    except ValueError:
        yield f"web_publish: {given.web_publish!r} is not an address"
    else:
        if not web.is_private or web.is_unspecified:
            yield f"web_publish: {web} would show Postal's web server without TLS; use 127.0.0.1 or a private address"
    for address in given.smtp_publish:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            yield f"smtp_publish: {address!r} is not an address"
    if given.backup.keep_count < 1 or given.backup.keep_days < 1:
        yield "backup.keep_count and backup.keep_days: at least 1"
    if not given.backup.directory.startswith("/") or given.backup.directory.startswith("/opt/postal/config"):
        yield f"backup.directory: {given.backup.directory!r} must be an absolute path outside Postal's configuration"
    if given.backup.hook and not given.backup.hook[0].startswith("/"):
        yield f"backup.hook: {given.backup.hook[0]!r} must be the full path of a program"


def role_settings(given: PostalDefinition) -> dict[str, Any]:
    """Return what role ``postal`` gets. Nothing in it is secret."""
    database = given.database
    return {
        "image": {"repository": given.image_repository, "tag": given.image_tag, "digest": given.image_digest},
        "compose": _compose(given),
        "config": merge_extra(_config(given), given.extra_config),
        "database": {
            "kind": database.kind,
            "host": database.host,
            "port": database.port,
            "username": database.username,
            "main": database.main,
            "prefix": database.prefix,
            "client_image": database.client_image,
            "wait_seconds": database.wait_seconds,
        },
        "smtp_certificate": given.smtp_tls,
        "relay": {"name": given.relays[0].name, "port": given.relays[0].port} if given.relays else None,
        "provision": dict(given.provision),
        "removal": given.removal,
        "dns_check": {"on_failure": given.dns_on_failure, "wait_seconds": given.dns_wait_seconds},
        "backup": {
            "directory": given.backup.directory,
            "calendar": given.backup.calendar,
            "keep_count": given.backup.keep_count,
            "keep_days": given.backup.keep_days,
            "encrypt": given.backup.encrypt,
            "hook": list(given.backup.hook),
        },
        "checks": {"api": given.check_api, "smtp": given.check_smtp, "health_seconds": given.health_seconds},
    }


def _compose(given: PostalDefinition) -> dict[str, Any]:
    database = given.database
    return {
        "network": given.network,
        "host_network": given.ip_pools,
        "worker_replicas": given.worker_replicas,
        "stop_grace_seconds": given.stop_grace_seconds,
        "web_publish": given.web_publish,
        "web_port": given.web_port,
        "smtp_publish": list(given.smtp_publish),
        "smtp_port": given.smtp_port,
        "memory_mb": dict(given.memory_mb),
        "log_max_mb": given.log_max_mb,
        "log_files": given.log_files,
        "wait_for": [f"{database.host}:{database.port}"],
    }


def _config(given: PostalDefinition) -> dict[str, dict[str, Any]]:
    database = given.database
    connection = {"host": database.host, "port": database.port, "username": database.username}
    return {
        "postal": {
            "web_hostname": given.web_hostname,
            "web_protocol": "https",
            "smtp_hostname": given.smtp_hostname,
            "use_ip_pools": given.ip_pools,
            # Postal drops null and crashes on it here; no relay means no key.
            **({"smtp_relays": [relay_url(relay) for relay in given.relays]} if given.relays else {}),
            **({"trusted_proxies": list(given.trusted_proxies)} if given.trusted_proxies else {}),
        },
        "web_server": {
            # With host networking this address is the host's own; in a container it is the container's.
            "default_bind_address": given.web_publish if given.ip_pools else "0.0.0.0",  # noqa: S104
            **({"default_port": given.web_port} if given.ip_pools else {}),
        },
        "worker": {"threads": given.worker_threads},
        "main_db": {**connection, "database": database.main},
        "message_db": {**connection, "database_name_prefix": database.prefix},
        "smtp_server": {
            # `::`, Postal's default, fails where IPv6 is off; a container is reached by IPv4 through Docker anyway.
            "default_bind_address": (*given.smtp_publish, "::")[0] if given.ip_pools else "0.0.0.0",  # noqa: S104
            **({"default_port": given.smtp_port} if given.ip_pools else {}),
            "tls_enabled": given.smtp_tls,
            "max_message_size": given.max_message_mb,
        },
        "dns": {
            "mx_records": list(given.mx_records),
            "spf_include": given.spf_include,
            "return_path_domain": given.return_path_domain,
            "route_domain": given.route_domain,
            "track_domain": given.track_domain,
            **({"helo_hostname": given.helo_hostname} if given.helo_hostname else {}),
            "dkim_identifier": given.dkim_identifier,
            "custom_return_path_prefix": given.custom_return_path_prefix,
        },
    }
