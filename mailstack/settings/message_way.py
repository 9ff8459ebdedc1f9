"""By which of the declared ways a test message leaves: as an application or a device elsewhere would send it."""

from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from mailstack.settings.model import Settings

__all__ = ["MessageWay", "message_way"]

SMTP_PORT, HTTPS_PORT = 25, 443


@dataclass(frozen=True, kw_only=True)
class MessageWay:
    """``api``: Postal's HTTP API, else SMTP. ``told`` says in words which way it is; ``secret`` is password or key."""

    host: str
    port: int
    told: str
    api: bool = False
    tls: Literal["starttls", "implicit", "none"] = "none"
    username: str | None = None
    secret: SecretStr | None = None


def message_way(settings: Settings, sender: str) -> MessageWay | None:
    """Return the way that is declared for mail of ``sender``; None where there is none that leads in from elsewhere.

    Postal for its domains, by its API first: providers close port 25. Else the relay: by login, else from a network of
    clients.
    """
    domain = sender.rpartition("@")[2]
    return _postal(settings, domain) or _login(settings, domain) or _network(settings, domain)


def _postal(settings: Settings, domain: str) -> MessageWay | None:
    postal = settings.postal
    if postal is None:
        return None
    held = [
        (name, credential)
        for name, server in postal.mail_servers
        if domain in server.domains and server.mode == "Live"
        for credential in server.credentials
        if not credential.hold
    ]
    for kind in ("API", "SMTP") if postal.smtp_tls else ("API",):
        for name, credential in held:
            if credential.type == kind:
                api = kind == "API"
                host, port = (postal.web_hostname, HTTPS_PORT) if api else (postal.smtp_hostname, SMTP_PORT)
                return MessageWay(
                    host=host,
                    port=port,
                    told=f"Postal's {kind} at {host}:{port}, credential {credential.name} of {name}",
                    api=api,
                    tls="implicit" if api else "starttls",
                    username=None if api else name,
                    secret=credential.key,
                )
    return None


def _login(settings: Settings, domain: str) -> MessageWay | None:
    submission = settings.relay.submission
    if submission is None or not _relayed(settings, domain):
        return None
    port = submission.starttls_port or submission.tls_port
    if port is None:
        return None
    user, host = submission.users[0], settings.relay.hostname
    return MessageWay(
        host=host,
        port=port,
        told=f"the relay at {host}:{port}, logged in as {user.name}",
        tls="implicit" if submission.starttls_port is None else "starttls",
        username=user.name,
        secret=user.password,
    )


def _network(settings: Settings, domain: str) -> MessageWay | None:
    reached = settings.client_addresses
    if not settings.relay.client_networks or not reached or not _relayed(settings, domain):
        return None
    host, port = settings.relay.client_name or reached[0], settings.relay_listen_port
    return MessageWay(
        host=host, port=port, told=f"the relay at {host}:{port} without login: this machine is in relay.client_networks"
    )


def _relayed(settings: Settings, domain: str) -> bool:
    """Tell whether the relay takes a domain in MAIL FROM."""
    names = settings.relay.sender_domains
    return domain in (names if names is not None else [one.name for one in settings.mail_domains])
