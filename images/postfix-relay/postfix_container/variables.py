"""The relay from environment variables, for people who run the image by hand.

Each variable may come from a file instead: ``RELAYHOST_PASSWORD_FILE`` names one that holds ``RELAYHOST_PASSWORD``.
"""

import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mailstack.postfix.relay import RelayDefinition, RelayDefinitionError
from mailstack.upstreams import IMPLICIT_TLS_PORTS, PRESETS, Upstream
from postfix_container.networks import attached_networks

__all__ = ["KNOWN", "VariablesError", "Wanted", "from_variables"]

# What each means is in the README.
KNOWN = (
    "RELAYHOST",
    "SMTP_SERVER",
    "SMTP_PORT",
    "RELAYHOST_USERNAME",
    "RELAYHOST_PASSWORD",
    "ALLOWED_SENDER_DOMAINS",
    "maildomain",
    "MASQUERADE_DOMAINS",
    "SERVER_HOSTNAME",
    "CLIENT_NETWORKS",
)
# As the seeds' manifests and other images spell them.
ALIASES: Mapping[str, str] = {"relayhost": "RELAYHOST", "MAILDOMAIN": "maildomain"}
PLACE = re.compile(r"\[?(?P<host>[^\[\]:\s]+)\]?(:(?P<port>\d+))?\Z")
DEFAULT_PORT = 587


class VariablesError(ValueError):
    """Variables are missing or contradict each other; one line for each mistake."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The relay and the password of its upstream, None without a login."""

    definition: RelayDefinition
    password: str | None


def from_variables(environment: Mapping[str, str]) -> Wanted:
    """Return the relay that ``environment`` describes. Raises VariablesError with every mistake."""
    problems: list[str] = []
    values = _values(environment, problems)
    host, port = _upstream(values, problems)
    domains = _domains(values)
    if not domains:
        problems.append("ALLOWED_SENDER_DOMAINS is missing: name the domains you send from, or nobody could send")
    username, password = values.get("RELAYHOST_USERNAME"), values.get("RELAYHOST_PASSWORD")
    if (username is None) != (password is None):
        missing, there = ("PASSWORD", "USERNAME") if password is None else ("USERNAME", "PASSWORD")
        problems.append(f"RELAYHOST_{missing} is missing: RELAYHOST_{there} is set, and a login needs both")
    preset = _preset(host)
    if preset is not None and not preset.authorises_by_ip and username is None:
        problems.append(f"RELAYHOST_USERNAME is missing: {preset.title} takes mail after a login only")
    hostname = values.get("SERVER_HOSTNAME") or socket.getfqdn()
    if "." not in hostname:
        problems.append(
            "SERVER_HOSTNAME is missing: give the name for EHLO, inside a domain of yours; upstreams refuse or "
            "throttle a container's id"
        )
    if problems:
        raise VariablesError("\n".join(problems))
    networks = tuple(_words(values["CLIENT_NETWORKS"])) if "CLIENT_NETWORKS" in values else attached_networks()
    known = preset or PRESETS["custom"]
    try:
        definition = RelayDefinition(
            hostname=hostname,
            sender_domains=domains,
            upstream_host=host,
            upstream_port=port,
            implicit_tls=port in IMPLICIT_TLS_PORTS,
            sasl_username=username,
            listen_addresses=("0.0.0.0",),  # noqa: S104 - the container's own networks, and the networks above only
            client_networks=networks,
            masquerade_domains=tuple(_words(values.get("MASQUERADE_DOMAINS", ""))),
            message_size_limit_bytes=known.message_size_bytes,
            recipient_limit=known.recipients_per_transaction,
            concurrency=known.concurrency,
            temporary_reply_patterns=known.temporary_replies,
            smtputf8=known.smtputf8,
        )
    except RelayDefinitionError as error:
        raise VariablesError(str(error)) from None
    return Wanted(definition=definition, password=password)


def _values(environment: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """Return the known variables that are set; an empty one counts as not set."""
    found: dict[str, str] = {}
    for name, value in _with_files(environment, problems):
        target = ALIASES.get(name, name)
        if found.setdefault(target, value) != value:
            problems.append(f"{target} is given twice, with two values: remove one")
    return found


def _with_files(environment: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, str]]:
    for name in (*KNOWN, *ALIASES):
        if environment.get(name):
            yield name, environment[name]
        file = environment.get(f"{name}_FILE")
        if file:
            try:
                text = Path(file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{name}_FILE is {file}: cannot be read: {error}")
            else:
                # A file ends with a line end, a password does not.
                yield name, text.removesuffix("\n").removesuffix("\r")


def _upstream(values: Mapping[str, str], problems: list[str]) -> tuple[str, int]:
    server, port = values.get("SMTP_SERVER"), values.get("SMTP_PORT")
    if port is not None and not (port.isascii() and port.isdigit()):
        problems.append(f"SMTP_PORT is {port}: must be a port number")
        port = None
    given = values.get("RELAYHOST")
    if given is None:
        if server is None:
            problems.append("RELAYHOST is missing: name the upstream, such as [smtp-relay.gmail.com]:587")
        return server or "", int(port or DEFAULT_PORT)
    place = PLACE.match(given)
    if place is None:
        problems.append(f"RELAYHOST is {given}: must be [host]:port, host:port or host")
        return "", DEFAULT_PORT
    if server is not None and server != place["host"]:
        problems.append(f"SMTP_SERVER is {server}, RELAYHOST names {place['host']}: give one of them")
    if port is not None and place["port"] is not None and port != place["port"]:
        problems.append(f"SMTP_PORT is {port}, RELAYHOST names port {place['port']}: give one of them")
    return place["host"], int(place["port"] or port or DEFAULT_PORT)


def _domains(values: Mapping[str, str]) -> tuple[str, ...]:
    first = _words(values.get("maildomain", ""))
    return tuple(dict.fromkeys(name.lower() for name in (*first, *_words(values.get("ALLOWED_SENDER_DOMAINS", "")))))


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _preset(host: str) -> Upstream | None:
    """Return what is known of the service behind a host name."""
    for known in PRESETS.values():
        for name in known.hosts.values():
            pattern = re.escape(name).replace(re.escape("{region}"), known.region_pattern or "x")
            if re.fullmatch(pattern, host.lower()):
                return known
    return None
