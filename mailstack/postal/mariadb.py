"""MariaDB for Postal: its configuration, its compose file and the rights of Postal's user, as text.

The role carries this module to the host: Python 3.6 and the standard library only. The image's contract is that of
the official one (docker.io/library/mariadb): MARIADB_*_FILE, /etc/mysql/conf.d, healthcheck.sh.
"""

import hashlib
import json
from typing import Any, List, Mapping

__all__ = ["OLDEST_VERSION", "PROJECT", "VOLUME", "render_cnf", "render_compose", "rights", "sql_text"]

PROJECT = "mailstack-mariadb"
VOLUME = "mailstack-mariadb-data"
# Postal's documentation: MariaDB 10.6 or newer; MySQL is not supported.
OLDEST_VERSION = (10, 6)
USER = "999:999"
# Raw messages are stored in one row each; the redo log should hold ten of them (Postal, prerequisites).
MESSAGES_IN_LOG = 10
SMALLEST_LOG_MB = 150
# A message travels as one packet, escaped; 64 MB is what installations with large mail ended up with (#594, #1328).
PACKETS_PER_MESSAGE = 4
SMALLEST_PACKET_MB = 64
SMALLEST_BUFFER_MB = 128

HEAD = "# Written by mailstack; changes made here are lost. Contains no secret.\n"


def render_cnf(settings: Mapping[str, Any]) -> str:
    """Return the option file. ``memory_mb`` is the container's limit, ``max_message_mb`` the largest message."""
    buffer_mb = max(SMALLEST_BUFFER_MB, settings["memory_mb"] // 2)
    log_mb = max(SMALLEST_LOG_MB, settings["max_message_mb"] * MESSAGES_IN_LOG)
    packet_mb = max(SMALLEST_PACKET_MB, settings["max_message_mb"] * PACKETS_PER_MESSAGE)
    return HEAD + "\n".join(
        [
            "[mariadbd]",
            "character-set-server = utf8mb4",
            "collation-server = utf8mb4_general_ci",
            f"innodb_buffer_pool_size = {buffer_mb}M",
            f"innodb_log_file_size = {log_mb}M",
            f"max_allowed_packet = {packet_mb}M",
            "innodb_flush_log_at_trx_commit = 1",
            "# No replica reads a binary log, and it fills the disk (postalserver/postal#1236).",
            "skip-log-bin",
            "# Clients are containers: their addresses have no names worth a look-up.",
            "skip-name-resolve",
            "local-infile = 0",
            "",
            "[mariadb-dump]",
            f"max_allowed_packet = {packet_mb}M",
            "",
        ]
    )


def render_compose(settings: Mapping[str, Any]) -> str:
    """Return compose.yaml. A changed option file changes the label, so Compose makes the container anew."""
    digest = hashlib.sha256(render_cnf(settings).encode("utf-8")).hexdigest()[:32]
    lines = [
        "services:",
        "  mariadb:",
        f"    image: {_quote(settings['image'])}",
        # The image's start script would change to this user itself; so nothing in it ever is root.
        f"    user: {_quote(USER)}",
        "    restart: unless-stopped",
        "    networks:",
        "      mailstack:",
        "        aliases:",
        "          - mariadb",
        *_ports(settings),
        "    volumes:",
        '      - "data:/var/lib/mysql"',
        '      - "./conf.d:/etc/mysql/conf.d:ro,Z"',
        '      - "./secrets:/run/secrets/mailstack:ro,Z"',
        "    environment:",
        "      MARIADB_ROOT_PASSWORD_FILE: /run/secrets/mailstack/root_password",
        "      MARIADB_PASSWORD_FILE: /run/secrets/mailstack/password",
        "      MARIADB_ROOT_HOST: localhost",
        f"      MARIADB_DATABASE: {_quote(settings['databases']['main'])}",
        f"      MARIADB_USER: {_quote(settings['username'])}",
        "      MARIADB_AUTO_UPGRADE: '1'",
        "    cap_drop:",
        "      - ALL",
        "    security_opt:",
        "      - no-new-privileges:true",
        f"    mem_limit: {settings['memory_mb']}m",
        # InnoDB writes its buffers out; cut short, the next start has to recover.
        "    stop_grace_period: 120s",
        "    logging:",
        "      driver: json-file",
        "      options:",
        '        max-size: "20m"',
        '        max-file: "5"',
        "    labels:",
        f"      mailstack.config: {_quote(digest)}",
        "    healthcheck:",
        '      test: ["CMD", "healthcheck.sh", "--connect", "--innodb_initialized"]',
        "      interval: 10s",
        "      timeout: 10s",
        "      retries: 6",
        "      start_period: 120s",
        "volumes:",
        "  data:",
        f"    name: {VOLUME}",
        "networks:",
        "  mailstack:",
        "    external: true",
        f"    name: {_quote(settings['network'])}",
    ]
    return HEAD + "\n".join(lines) + "\n"


def _ports(settings: Mapping[str, Any]) -> List[str]:
    if not settings.get("listen"):
        return []
    address = settings["listen"]
    host = f"[{address}]" if ":" in address else address
    entry = f"{host}:{settings['port']}:3306"
    return ["    ports:", f"      - {_quote(entry)}"]


def rights(settings: Mapping[str, Any]) -> List[str]:
    """Return the database patterns Postal's user needs all rights on: the main one, and those Postal makes itself."""
    databases = settings["databases"]
    return [_pattern(databases["main"]), _pattern(databases["prefix"]) + "-server-%"]


def _pattern(name: str) -> str:
    """In GRANT, ``_`` stands for any character, unless escaped."""
    return str(name).replace("_", "\\_")


def sql_text(value: str) -> str:
    """Return ``value`` as an SQL string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _quote(value: Any) -> str:
    """Return a JSON text with ``$`` doubled: Compose would replace ``$NAME``."""
    return json.dumps(value).replace("$", "$$")
