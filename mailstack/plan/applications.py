"""What applications are told about the relay: the variables of an SMTP library, and a piece of a compose file."""

from collections.abc import Mapping

import yaml

from mailstack.plan.relay_container import DockerRelay
from mailstack.postfix.relay import RelayDefinition
from mailstack.settings.model import Settings

__all__ = ["compose_snippet", "sender", "smtp_environment"]

APPLICATION = "app"
SNIPPET_HEAD = "# Give your own service this environment and this network; the network is there already.\n"


def smtp_environment(settings: Settings, definition: RelayDefinition, host: str) -> dict[str, str]:
    """Return the variables. No user and no password: who may send is told by the network a client is in.

    SMTP_USE_TLS is false: the relay offers no TLS on this side, the way to the upstream is the one that is encrypted.
    """
    return {
        "SMTP_HOST": host,
        "SMTP_PORT": str(definition.listen_port),
        "SMTP_USE_TLS": "false",
        **sender(settings, definition.sender_domains[0]),
    }


def sender(settings: Settings, domain: str) -> dict[str, str]:
    """Return whom mail is from; ``domain`` is the first that may send through the relay."""
    return {
        "SMTP_FROM_EMAIL": settings.relay.from_email or f"noreply@{domain}",
        "SMTP_FROM_NAME": settings.relay.from_name or domain,
    }


def compose_snippet(relay: DockerRelay, environment: Mapping[str, str]) -> str:
    """Return YAML for `docker compose` that puts a service on the relay's network and tells it the variables.

    Compose reads ``$`` as the start of a variable of its own; doubled it is a plain one.
    """
    told = {name: text.replace("$", "$$") for name, text in environment.items()}
    document = {
        "services": {APPLICATION: {"environment": told, "networks": ["default", "mail"]}},
        "networks": {"mail": {"name": relay.network.name, "external": True}},
    }
    return SNIPPET_HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
