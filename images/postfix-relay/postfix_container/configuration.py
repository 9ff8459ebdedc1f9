"""What the container is to be: from the mounted settings, or from environment variables."""

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mailstack.postfix.relay import role_settings
from postfix_container import paths
from postfix_container.hand_over import HandOver, hand_over_of
from postfix_container.variables import KNOWN, VariablesError, from_variables

__all__ = ["Configuration", "ConfigurationError", "read_configuration"]

GRACE_SECONDS = 25
# As postfix_exporter's.
METRICS_PORT = 9154
SECRET_NAME = re.compile(r"upstream_password_([a-z0-9-]+)\Z")


class ConfigurationError(ValueError):
    """The container cannot be what it is asked to be; the text says why and never holds a secret."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """``settings`` are those of ``mailstack.postfix.relay.role_settings``, ``secrets`` what goes with them.

    ``grace_seconds`` is the time between the request to stop and the end; ``hand_over`` who takes what is left then.
    Metrics are served on ``metrics_port``; 0: they are not.
    """

    settings: Mapping[str, Any]
    secrets: Mapping[str, Any] = field(repr=False)
    log_format: Literal["plain", "json"] = "plain"
    grace_seconds: int = GRACE_SECONDS
    metrics_port: int = METRICS_PORT
    hand_over: HandOver | None = None


def read_configuration(
    environment: Mapping[str, str], *, settings: Path = paths.SETTINGS, secrets: Path = paths.SECRETS
) -> Configuration:
    """Return the configuration. A mounted file goes before variables; both at once contradict each other.

    Raises ConfigurationError with every mistake.
    """
    log_format = environment.get("LOG_FORMAT") or "plain"
    if log_format not in {"plain", "json"}:
        raise ConfigurationError(f"LOG_FORMAT is {log_format}: must be plain or json")
    grace = environment.get("GRACE_SECONDS") or str(GRACE_SECONDS)
    if not (grace.isascii() and grace.isdigit() and int(grace) > 0):
        raise ConfigurationError(f"GRACE_SECONDS is {grace}: must be a number of seconds")
    found, known = _mounted(environment, settings, secrets) if settings.exists() else _by_hand(environment)
    try:
        hand_over = hand_over_of(found, socket.gethostname())
    except ValueError as error:
        raise ConfigurationError(f"{settings}: {error}") from None
    return Configuration(
        settings=found,
        secrets=known,
        log_format="json" if log_format == "json" else "plain",
        grace_seconds=int(grace),
        metrics_port=_metrics_port(environment, found),
        hand_over=hand_over,
    )


def _metrics_port(environment: Mapping[str, str], settings: Mapping[str, Any]) -> int:
    mounted = settings.get("metrics") or {}
    text = environment.get("METRICS_PORT") or str(mounted.get("port", METRICS_PORT))
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ConfigurationError(f"METRICS_PORT is {text}: must be a port number, or 0 for no metrics")
    submission = settings.get("submission") or {"tls_ports": ()}
    if int(text) in {*(port for _, port in settings.get("listen", ())), *submission["tls_ports"]}:
        raise ConfigurationError(f"METRICS_PORT is {text}: mail comes in there, use another port")
    return int(text)


def _mounted(
    environment: Mapping[str, str], settings: Path, secrets: Path
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    also = [name for name in KNOWN if environment.get(name) or environment.get(f"{name}_FILE")]
    if also:
        raise ConfigurationError(f"{settings} is mounted and {', '.join(also)} is set: give one of them")
    try:
        found = json.loads(settings.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{settings} cannot be used: {error}") from None
    if not isinstance(found, dict) or "main_cf" not in found:
        raise ConfigurationError(f"{settings} holds no settings of a relay")
    return found, _secrets(secrets)


def _secrets(folder: Path) -> dict[str, Any]:
    """Return the secrets by name, one file each; an orchestrator's hidden files are none."""
    known: dict[str, Any] = {}
    passwords: dict[str, str] = {}
    for path in sorted(folder.glob("[!.]*")) if folder.is_dir() else ():
        text = path.read_text(encoding="utf-8").removesuffix("\n")
        further = SECRET_NAME.match(path.name)
        if further:
            passwords[further[1]] = text
        else:
            known[path.name] = text
    return {**known, "upstream_passwords": passwords}


def _by_hand(environment: Mapping[str, str]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    try:
        wanted = from_variables(environment)
    except VariablesError as error:
        raise ConfigurationError(f"{len(str(error).splitlines())} of its variables are wrong:\n{error}") from None
    secrets = {} if wanted.password is None else {"sasl_password": wanted.password}
    return role_settings(wanted.definition), secrets
