"""Rules of ``hosts`` that need more than one field."""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator

from mailstack.settings.hosts_model import Host, Jump
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem

__all__ = ["HOSTS_RULES"]

HOST_KEY_FIX = (
    "run `ssh-keyscan -t ed25519 ADDRESS` from a network you trust, compare the fingerprint with the provider's "
    "console, and set algorithm and base64; better, create the host with a key of your own by cloud-init ssh_keys"
)


def _hosts(settings: Settings) -> Iterator[Problem]:
    places = Counter((host.address, host.port) for host in settings.hosts.values())
    for name, host in settings.hosts.items():
        field = f"hosts.{name}"
        if settings.environment == "prod":
            reached: list[tuple[str, Host | Jump]] = [(field, host)]
            if host.jump:
                reached.append((f"{field}.jump", host.jump))
            for where, target in reached:
                if target.host_key is None:
                    yield Problem(
                        field=f"{where}.host_key",
                        value="",
                        rule="is required in prod: without it anyone in between can read what is sent",
                        fix=HOST_KEY_FIX.replace("ADDRESS", target.address),
                    )
            for key, address in (("public_ipv4", host.public_ipv4), ("public_ipv6", host.public_ipv6)):
                if address is not None and not ipaddress.ip_address(address).is_global:
                    yield Problem(
                        field=f"{field}.{key}",
                        value=address,
                        rule="must be a public address in prod; others cannot reach a private or reserved one",
                        fix="write the address mail leaves from, as `curl ifconfig.me` on the host shows it",
                    )
        if places[host.address, host.port] > 1:
            yield Problem(
                field=f"{field}.address",
                value=f"{host.address} port {host.port}",
                rule="two hosts have the same address and port",
                fix="keep one of them and let everything name it",
            )


HOSTS_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_hosts,)
