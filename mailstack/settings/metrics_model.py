"""The shape of ``relay.metrics``: where the relay on a virtual machine tells Prometheus what it does."""

from pydantic import Field

from mailstack.settings.section import Section
from mailstack.settings.types import IpAddress, IpNetwork, Port

__all__ = ["Metrics"]


class Metrics(Section):
    """Metrics for Prometheus, read-only and without a login; absent: none are served."""

    listen_address: IpAddress = Field(default="127.0.0.1", description="Address of the host that Prometheus asks.")
    port: Port = Field(default=9154, description="Port; the default is that of postfix_exporter.")
    client_networks: tuple[IpNetwork, ...] = Field(
        default=(), description="Networks that may ask, besides the host itself."
    )
