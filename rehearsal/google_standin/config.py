"""The stand-in's configuration: listeners, certificates and the relay rule, read from JSON.

All errors of a document are reported together in one ``ConfigError``.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from rehearsal.serving import ConfigError, read_json

__all__ = [
    "ANY_ADDRESS",
    "DOMAIN_ADDRESSES",
    "REGISTERED_USERS",
    "Limits",
    "ListenerConfig",
    "RelayRule",
    "StandinConfig",
    "TlsFiles",
]

REGISTERED_USERS: Final = "registered-users"
DOMAIN_ADDRESSES: Final = "domain-addresses"
ANY_ADDRESS: Final = "any-address"
_ALLOWED_SENDERS: Final = (REGISTERED_USERS, DOMAIN_ADDRESSES, ANY_ADDRESS)
_TLS_MODES: Final = ("starttls", "implicit")
_REFUSAL_STAGES: Final = ("mail", "rcpt", "data")

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sending limits. Defaults are Google's published ceilings (support.google.com/a/answer/2956491).

    Counts are recipients unless named messages; ``message_size_bytes`` is 25 MiB.
    """

    recipients_per_transaction: int = 100
    message_size_bytes: int = 25 * 1024 * 1024
    customer_recipients_per_day: int = 4_600_000
    customer_recipients_per_10_minutes: int = 319_444
    user_messages_per_day: int = 10_000
    user_unique_recipients_per_day: int = 10_000


@dataclass(frozen=True, kw_only=True)
class RelayRule:
    """The "SMTP relay service" setting of a Workspace account, plus what the account knows.

    An empty ``allowed_ips`` means that the rule has no address list; then SMTP AUTH must be required.
    ``smtp_auth_users`` maps full addresses to app passwords and never appears in logs or answers.
    """

    domains: tuple[str, ...]
    allowed_ips: tuple[IpNetwork, ...] = ()
    allowed_senders: str = DOMAIN_ADDRESSES
    registered_users: frozenset[str] = frozenset()
    require_tls: bool = True
    require_smtp_auth: bool = False
    smtp_auth_users: Mapping[str, str] = field(default_factory=dict, repr=False)
    refuse_relay_at: str = "rcpt"
    limits: Limits = Limits()

    def allows_ip(self, ip: str) -> bool:
        """Whether the address is in the list; true when the rule has no list."""
        if not self.allowed_ips:
            return True
        address = ipaddress.ip_address(ip)
        return any(address in network for network in self.allowed_ips)

    def to_json(self) -> dict[str, Any]:
        """The rule without passwords: ``smtp_auth_users`` becomes the list of user names."""
        return {
            "domains": list(self.domains),
            "allowed_ips": [str(network) for network in self.allowed_ips],
            "allowed_senders": self.allowed_senders,
            "registered_users": sorted(self.registered_users),
            "require_tls": self.require_tls,
            "require_smtp_auth": self.require_smtp_auth,
            "smtp_auth_users": sorted(self.smtp_auth_users),
            "refuse_relay_at": self.refuse_relay_at,
            "limits": {item.name: getattr(self.limits, item.name) for item in fields(Limits)},
        }

    @classmethod
    def from_json(cls, value: object) -> "RelayRule":
        """Read a rule object.

        Raises:
            ConfigError: unknown keys, wrong types or values, or a rule that would accept anybody.
        """
        reader = _Reader(value, "rule")
        rule = cls(
            domains=tuple(name.lower().rstrip(".") for name in reader.strings("domains", required=True)),
            allowed_ips=reader.networks("allowed_ips"),
            allowed_senders=reader.choice("allowed_senders", _ALLOWED_SENDERS, DOMAIN_ADDRESSES),
            registered_users=frozenset(name.lower() for name in reader.strings("registered_users")),
            require_tls=reader.boolean("require_tls", default=True),
            require_smtp_auth=reader.boolean("require_smtp_auth", default=False),
            smtp_auth_users={key.lower(): text for key, text in reader.mapping("smtp_auth_users").items()},
            refuse_relay_at=reader.choice("refuse_relay_at", _REFUSAL_STAGES, "rcpt"),
            limits=_limits(reader),
        )
        if not rule.allowed_ips and not rule.require_smtp_auth:
            reader.problem("allowed_ips", "is empty and require_smtp_auth is false: anybody could relay")
        reader.finish()
        return rule


@dataclass(frozen=True, kw_only=True)
class ListenerConfig:
    """One SMTP port. ``port`` 0 takes a free one; ``tls`` is ``starttls`` or ``implicit``."""

    host: str
    port: int
    tls: str


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """Certificate (chain, leaf first) and key, PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class StandinConfig:
    """Everything the stand-in needs.

    ``faulty_certificates`` are the choices of the ``certificate`` fault, by name. With ``client_ca`` the
    server asks for a client certificate and accepts sessions without one. ``idle_timeout_seconds`` ends a
    session that says nothing.
    """

    listeners: tuple[ListenerConfig, ...]
    certificate: TlsFiles
    rule: RelayRule
    control_host: str = "127.0.0.1"
    control_port: int = 8025
    faulty_certificates: Mapping[str, TlsFiles] = field(default_factory=dict)
    client_ca: Path | None = None
    hostname: str = "smtp-relay.gmail.com"
    idle_timeout_seconds: float = 300.0

    @classmethod
    def from_json(cls, value: object) -> "StandinConfig":
        """Read the whole document.

        Raises:
            ConfigError: with every problem found.
        """
        reader = _Reader(value, "config")
        tls = _Reader(reader.take("tls", {}), "tls", reader.problems)
        control = _Reader(reader.take("control", {}), "control", reader.problems)
        placeholder = RelayRule(domains=("example.invalid",), require_smtp_auth=True)
        config = cls(
            listeners=_listeners(reader),
            certificate=_tls_files(tls),
            rule=placeholder,
            control_host=control.string("host", "127.0.0.1"),
            control_port=control.integer("port", 8025),
            faulty_certificates={
                name: _tls_files(_Reader(item, f"tls.faulty.{name}", reader.problems), whole=True)
                for name, item in tls.objects("faulty").items()
            },
            client_ca=_optional_path(tls, "client_ca"),
            hostname=reader.string("hostname", "smtp-relay.gmail.com"),
            idle_timeout_seconds=reader.number("idle_timeout_seconds", 300.0),
        )
        try:
            config = replace(config, rule=RelayRule.from_json(reader.take("rule", None)))
        except ConfigError as error:
            reader.problems.extend(error.problems)
        tls.unknown()
        control.unknown()
        reader.finish()
        return config

    @classmethod
    def from_file(cls, path: Path) -> "StandinConfig":
        """Read a JSON file.

        Raises:
            OSError: the file cannot be read.
            ConfigError: the text is not JSON or not a valid configuration.
        """
        return cls.from_json(read_json(path))


class _Reader:
    """Takes keys out of a JSON object and collects what is wrong with them."""

    def __init__(self, value: object, where: str, problems: list[str] | None = None) -> None:
        self.where = where
        self.problems: list[str] = problems if problems is not None else []
        self._left: dict[str, Any] = dict(value) if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            self.problems.append(f"{where}: expected an object")

    def problem(self, key: str, rule: str) -> None:
        self.problems.append(f"{self.where}.{key}: {rule}")

    def take(self, key: str, default: object) -> Any:
        return self._left.pop(key, default)

    def _typed(self, key: str, default: Any, check: Callable[[Any], bool], what: str) -> Any:
        value = self._left.pop(key, default)
        if check(value):
            return value
        self.problem(key, f"expected {what}, got {type(value).__name__}")
        return default

    def string(self, key: str, default: str) -> str:
        return str(self._typed(key, default, lambda v: isinstance(v, str) and bool(v), "text"))

    def boolean(self, key: str, *, default: bool) -> bool:
        return bool(self._typed(key, default, lambda v: isinstance(v, bool), "true or false"))

    def integer(self, key: str, default: int) -> int:
        return int(
            self._typed(
                key,
                default,
                lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0,
                "a whole number of at least 0",
            )
        )

    def number(self, key: str, default: float) -> float:
        return float(
            self._typed(
                key,
                default,
                lambda v: isinstance(v, int | float) and not isinstance(v, bool) and v > 0,
                "a number above 0",
            )
        )

    def choice(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        value = self._left.pop(key, default)
        if value in allowed:
            return str(value)
        self.problem(key, f"{value!r} is not one of {', '.join(allowed)}")
        return default

    def strings(self, key: str, *, required: bool = False) -> list[str]:
        value = self._typed(
            key,
            [],
            lambda v: isinstance(v, list) and all(isinstance(item, str) and item for item in v),
            "a list of texts",
        )
        if required and not value:
            self.problem(key, "at least one is needed")
        return [str(item) for item in value]

    def mapping(self, key: str) -> dict[str, str]:
        value = self._typed(
            key,
            {},
            lambda v: isinstance(v, dict) and all(isinstance(item, str) for item in v.values()),
            "an object of texts",
        )
        return {str(name): str(text) for name, text in value.items()}

    def objects(self, key: str) -> dict[str, Any]:
        value = self._typed(key, {}, lambda v: isinstance(v, dict), "an object")
        return dict(value)

    def networks(self, key: str) -> tuple[IpNetwork, ...]:
        found: list[IpNetwork] = []
        for text in self.strings(key):
            try:
                found.append(ipaddress.ip_network(text))
            except ValueError as error:
                self.problem(key, f"{error}")
        return tuple(found)

    def unknown(self) -> None:
        for key in sorted(self._left):
            self.problem(key, "unknown key")
        self._left.clear()

    def finish(self) -> None:
        self.unknown()
        if self.problems:
            raise ConfigError(self.problems)


def _limits(reader: _Reader) -> Limits:
    inner = _Reader(reader.take("limits", {}), f"{reader.where}.limits", reader.problems)
    limits = Limits(**{item.name: inner.integer(item.name, int(item.default)) for item in _limit_fields()})
    inner.unknown()
    return limits


def _limit_fields() -> list[Any]:
    return list(fields(Limits))


def _listeners(reader: _Reader) -> tuple[ListenerConfig, ...]:
    items = reader.take("listeners", [])
    if not isinstance(items, list) or not items:
        reader.problem("listeners", "expected a list with at least one entry")
        return ()
    found: list[ListenerConfig] = []
    for number, item in enumerate(items):
        entry = _Reader(item, f"listeners[{number}]", reader.problems)
        found.append(
            ListenerConfig(
                host=entry.string("host", "127.0.0.1"),
                port=entry.integer("port", 587),
                tls=entry.choice("tls", _TLS_MODES, "starttls"),
            )
        )
        entry.unknown()
    return tuple(found)


def _tls_files(reader: _Reader, *, whole: bool = False) -> TlsFiles:
    paths: dict[str, Path] = {}
    for key in ("certificate", "key"):
        text = reader.string(key, "-")
        if text == "-":
            reader.problem(key, "the path of a PEM file is needed")
        paths[key] = Path(text)
    if whole:
        reader.unknown()
    return TlsFiles(certificate=paths["certificate"], key=paths["key"])


def _optional_path(reader: _Reader, key: str) -> Path | None:
    value = reader.take(key, None)
    if value is None:
        return None
    if isinstance(value, str) and value:
        return Path(value)
    reader.problem(key, "expected the path of a PEM file or null")
    return None
