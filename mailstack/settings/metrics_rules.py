"""Rules of ``relay.metrics`` that need more than one field."""

import ipaddress
from collections.abc import Callable, Iterator

from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem

__all__ = ["METRICS_RULES"]

FIELD = "relay.metrics"
USUAL_PORT = 9154


# What each placement without a host of ours says instead.
ELSEWHERE = {
    "none": ("needs Postfix, and placement is none", "remove it"),
    "docker": ("has no effect: a container serves them at port 9154 to its own networks", "remove it"),
    "kubernetes": ("has no effect: pods serve them to a namespace", "remove it, and set relay.kubernetes.monitoring"),
}


def _placement(settings: Settings) -> Iterator[Problem]:
    if settings.relay.metrics is not None and settings.relay.placement in ELSEWHERE:
        rule, fix = ELSEWHERE[settings.relay.placement]
        yield Problem(field=FIELD, value="a mapping", rule=rule, fix=fix)


def _reach(settings: Settings) -> Iterator[Problem]:
    metrics = settings.relay.metrics
    if metrics is None:
        return
    address = ipaddress.ip_address(metrics.listen_address)
    outside = not address.is_loopback
    if settings.relay.hosts and outside and not address.is_unspecified:
        yield Problem(
            field=f"{FIELD}.listen_address",
            value=metrics.listen_address,
            rule="is an address of one host, and the relay runs on several",
            fix="use 0.0.0.0; client_networks says who may ask",
        )
    if outside and not metrics.client_networks:
        yield Problem(
            field=f"{FIELD}.client_networks",
            value="",
            rule=f"is required when metrics are served at {metrics.listen_address}: otherwise nobody could read them",
            fix="list the network of Prometheus, or remove listen_address for 127.0.0.1",
        )
    if not outside and metrics.client_networks:
        yield Problem(
            field=f"{FIELD}.client_networks",
            value=", ".join(metrics.client_networks),
            rule=f"has no effect: {metrics.listen_address} is reached from the host itself only",
            fix="set listen_address to the address Prometheus asks, or remove client_networks",
        )
    for index, text in enumerate(metrics.client_networks):
        network = ipaddress.ip_network(text)
        if network.prefixlen == 0:
            yield Problem(
                field=f"{FIELD}.client_networks[{index}]",
                value=text,
                rule="stands for everybody, and the metrics tell how much mail the company sends",
                fix="list the network of Prometheus only",
            )


def _port(settings: Settings) -> Iterator[Problem]:
    metrics = settings.relay.metrics
    if metrics is None:
        return
    taken = _taken(settings)
    if metrics.port in taken:
        yield Problem(
            field=f"{FIELD}.port",
            value=str(metrics.port),
            rule=f"is taken on {', '.join(settings.relay.host_names)} by {taken[metrics.port]}",
            fix="leave the key out for 9154" if metrics.port != USUAL_PORT else "use another port",
        )


def _taken(settings: Settings) -> dict[int, str]:
    """Return the ports of the relay's hosts that are in use, and by what. On which address does not matter here."""
    relay = settings.relay
    taken = {22: "SSH", settings.relay_listen_port: "relay.listen_port"}
    taken |= {host.port: "SSH" for host in settings.relay_hosts}
    if relay.submission is not None:
        ports = (relay.submission.starttls_port, relay.submission.tls_port)
        taken |= {port: "relay.submission" for port in ports if port is not None}
    if settings.postal is not None and settings.postal.host in relay.host_names:
        taken |= {25: "Postal", 5000: "Postal"}
    if settings.postal is not None and settings.postal.database_host in relay.host_names:
        taken[settings.postal.database.port] = "Postal's database"
    if settings.caddy is not None and settings.caddy.host in relay.host_names:
        taken |= {80: "Caddy", 443: "Caddy"}
    if settings.dns.server is not None and settings.dns.server.host in relay.host_names:
        taken[settings.dns.server.port] = "dns.server"
    return taken


METRICS_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_placement, _reach, _port)
