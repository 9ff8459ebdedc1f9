"""From ``relay.metrics`` to what the host's role, firewall and preflight are told."""

from typing import Any

from mailstack.settings.model import Settings

__all__ = ["metrics_clients", "metrics_listen", "metrics_settings"]

HOLDER = "mailstack-relay-metrics"


def metrics_settings(settings: Settings) -> dict[str, Any]:
    """Return the part of the relay's role: nothing where no metrics are wanted."""
    metrics = settings.relay.metrics
    if metrics is None:
        return {}
    told = {"listen": [metrics.listen_address, metrics.port], "networks": list(metrics.client_networks)}
    return {"metrics": told}


def metrics_clients(settings: Settings, host: str) -> tuple[int, tuple[str, ...]] | None:
    """Return the port that is open on ``host``, and for which networks; None where nobody else may ask."""
    relay = settings.relay
    here = host in relay.host_names and relay.placement == "vm"
    if not here or relay.metrics is None or not relay.metrics.client_networks:
        return None
    return relay.metrics.port, relay.metrics.client_networks


def metrics_listen(settings: Settings) -> list[dict[str, Any]]:
    """Return the port that has to be free on the relay's host."""
    metrics = settings.relay.metrics
    if metrics is None:
        return []
    return [{"address": metrics.listen_address, "port": metrics.port, "holder": HOLDER}]
