"""Our compose file for Postal, as text. One definition serves Compose v2 and v1 (1.29, Debian 12).

The role renders it on the host, where it knows the digests of the configuration: Python 3.6 and the standard library.
Facts about the image: Dockerfile, docker/wait-for.sh and app/util/health_server.rb of postalserver/postal 3.3.6.
"""

import json
from typing import Any, Dict, List, Mapping, Tuple

__all__ = ["CONFIG_LABEL", "PROJECT", "SMTP_INSIDE", "WEB_INSIDE", "image_reference", "published", "render_compose"]

PROJECT = "postal"
CONFIG_LABEL = "mailstack.config"
WEB_INSIDE = 5000
SMTP_INSIDE = 25
USER = "999:999"
WAIT_SECONDS = 120

HEAD = """# Written by mailstack; changes made here are lost. Contains no secret.
#
# cap_drop, cap_add: the image's ruby carries the file capability cap_net_bind_service=+ep. Where that capability is
#   outside the bounding set the kernel refuses to run ruby at all, so every service needs it, not only smtp.
# no-new-privileges stays off: it would take that capability away, and with it port 25 wherever the engine does not
#   open low ports to everybody (host networking, Docker before 20.10).
# command: what `postal worker` and the others run (bin/postal), without that shell script around it: a shell as
#   process 1 does not pass SIGTERM on, every stop would end in SIGKILL, and a killed worker loses mail it has locked.
# /config is shared by four services: its SELinux label must be the shared one (z); Z would lock out all but one.
"""

# Shown by Postal for the life of a container otherwise; and nothing here may set a key that postal.yml sets:
# an environment variable beats the file.
ENVIRONMENT: Tuple[Tuple[str, str], ...] = (("SILENCE_POSTAL_CONFIG_MESSAGES", "true"),)

COMMANDS: Dict[str, List[str]] = {
    "web": ["bundle", "exec", "puma", "-C", "config/puma.rb"],
    "smtp": ["bundle", "exec", "ruby", "script/smtp_server.rb"],
    "worker": ["bundle", "exec", "ruby", "script/worker.rb"],
    "runner": ["postal"],
}


def image_reference(image: Mapping[str, Any]) -> str:
    """Return ``repository:tag``, or ``repository@digest`` where a digest pins the very image."""
    if image.get("digest"):
        return f"{image['repository']}@{image['digest']}"
    return f"{image['repository']}:{image['tag']}"


def published(addresses: List[str], outside: int, inside: int) -> List[str]:
    """Return compose port entries. No address means every address of the host, IPv4 and IPv6."""
    entries = []
    for address in addresses:
        host = f"[{address}]" if ":" in address else address
        entries.append(f"{host}:{outside}:{inside}")
    return entries or [f"{outside}:{inside}"]


def render_compose(
    settings: Mapping[str, Any], image: str, config: Mapping[str, Mapping[str, Any]], digests: Mapping[str, str]
) -> str:
    """Return compose.yaml.

    ``settings`` is the role's ``compose`` group, ``image`` a reference, ``config`` Postal's configuration (host name
    and ports of the health checks are read from it), ``digests`` what labels the containers of each process.
    """
    services = [_service(name, settings, image, config, digests) for name in ("web", "smtp", "worker", "runner")]
    text = HEAD + "services:\n" + "".join(services)
    if not settings["host_network"]:
        text += f"networks:\n  mailstack:\n    external: true\n    name: {_quote(settings['network'])}\n"
    return text


def _service(
    name: str,
    settings: Mapping[str, Any],
    image: str,
    config: Mapping[str, Mapping[str, Any]],
    digests: Mapping[str, str],
) -> str:
    lines = [
        f"  {name}:",
        f"    image: {_quote(image)}",
        f"    command: {_quote(COMMANDS[name])}",
        f"    user: {_quote(USER)}",
        "    init: true" if name == "runner" else "    restart: unless-stopped",
        *_network(settings),
        *_ports(name, settings),
        "    volumes:",
        '      - "./config:/config:ro,z"',
    ]
    if name == "runner":
        # The profile keeps `up` from starting it.
        lines += ["    profiles:", "      - tools"]
    lines += [
        "    environment:",
        *(f"      {key}: {_quote(value)}" for key, value in _environment(settings)),
        "    cap_drop:",
        "      - ALL",
        "    cap_add:",
        "      - NET_BIND_SERVICE",
        "    logging:",
        "      driver: json-file",
        "      options:",
        f"        max-size: {_quote(str(settings['log_max_mb']) + 'm')}",
        f"        max-file: {_quote(str(settings['log_files']))}",
    ]
    if name != "runner":
        lines += [
            f"    mem_limit: {settings['memory_mb'][name]}m",
            # A worker finishes the message it is sending: a killed one leaves a lock, and Postal deletes locked mail.
            f"    stop_grace_period: {settings['stop_grace_seconds'] if name == 'worker' else 30}s",
            "    labels:",
            f"      {CONFIG_LABEL}: {_quote(digests[name])}",
            *_health_check(name, config),
        ]
    return "\n".join(lines) + "\n"


def _network(settings: Mapping[str, Any]) -> List[str]:
    if settings["host_network"]:
        return ["    network_mode: host"]
    return ["    networks:", "      - mailstack"]


def _ports(name: str, settings: Mapping[str, Any]) -> List[str]:
    if settings["host_network"] or name not in ("web", "smtp"):
        return []
    if name == "web":
        entries = published([settings["web_publish"]], settings["web_port"], WEB_INSIDE)
    else:
        entries = published(list(settings["smtp_publish"]), settings["smtp_port"], SMTP_INSIDE)
    return ["    ports:", *(f"      - {_quote(entry)}" for entry in entries)]


def _environment(settings: Mapping[str, Any]) -> List[Tuple[str, str]]:
    pairs = list(ENVIRONMENT)
    if settings["wait_for"]:
        pairs += [("WAIT_FOR_TARGETS", " ".join(settings["wait_for"])), ("WAIT_FOR_TIMEOUT", str(WAIT_SECONDS))]
    return pairs


def _health_check(name: str, config: Mapping[str, Mapping[str, Any]]) -> List[str]:
    """Ask each process itself. curl is in the image, wget is not. Web has no /health, and answers only its own name."""
    curl = ["CMD", "curl", "-fsS", "-o", "/dev/null", "--max-time", "5"]
    if name == "web":
        port = config.get("web_server", {}).get("default_port", WEB_INSIDE)
        host = config["postal"]["web_hostname"]
        test = [*curl, "-H", f"Host: {host}", f"http://127.0.0.1:{port}/login"]
    else:
        group, default = ("smtp_server", 9091) if name == "smtp" else ("worker", 9090)
        port = config.get(group, {}).get("default_health_server_port", default)
        test = [*curl, f"http://127.0.0.1:{port}/health"]
    return [
        "    healthcheck:",
        f"      test: {_quote(test)}",
        "      interval: 10s",
        "      timeout: 6s",
        "      retries: 6",
        # Rails on a small machine needs half a minute; failures meanwhile do not count.
        "      start_period: 60s",
    ]


def _quote(value: Any) -> str:
    """Return a JSON value with ``$`` doubled: Compose would replace ``$NAME``."""
    return json.dumps(value).replace("$", "$$")
