"""From settings to the Secrets that applications on a cluster read, and what a reviewer sees of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from mailstack.kubernetes.applications import ApplicationVariables
from mailstack.outputs.application import SECRET_VARIABLES, application
from mailstack.outputs.contract import CONTRACT_VERSION
from mailstack.plan.shown import Secret
from mailstack.settings.cluster_workload_model import ApplicationSecret
from mailstack.settings.postal_kubernetes_model import PostalApplicationSecret

__all__ = ["postal_applications", "relay_applications", "shown_applications"]


def relay_applications(
    asked: Iterable[ApplicationSecret], smtp_environment: Mapping[str, str]
) -> tuple[ApplicationVariables, ...]:
    """Return what applications of the relay are told."""
    outputs = {"contract_version": CONTRACT_VERSION, "smtp_environment": smtp_environment}
    return tuple(_told(one, application(outputs, via="relay").variables) for one in asked)


def postal_applications(
    asked: Iterable[PostalApplicationSecret], mail_servers: Mapping[str, Any], sender: Mapping[str, str]
) -> tuple[ApplicationVariables, ...]:
    """Return what applications of Postal are told. The rules have seen that server and credential are there."""
    outputs = {
        "contract_version": CONTRACT_VERSION,
        "smtp_environment": sender,
        "mail_servers": {name: _opened(server) for name, server in mail_servers.items()},
    }
    return tuple(
        _told(one, application(outputs, via="postal", server=one.server, credential=one.credential).variables)
        for one in asked
    )


def _told(asked: ApplicationSecret, variables: Mapping[str, str]) -> ApplicationVariables:
    return ApplicationVariables(namespace=asked.namespace, name=asked.name, variables=variables)


def _opened(server: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {name: secret.value for name, secret in value.items()} if isinstance(value, Mapping) else value
        for key, value in server.items()
    }


def shown_applications(told: Iterable[ApplicationVariables]) -> dict[str, str | Secret]:
    """Return each variable, those that are secret as such."""
    return {
        f"{one.resource}/{name}": Secret(text) if name in SECRET_VARIABLES else text
        for one in told
        for name, text in one.variables.items()
    }
