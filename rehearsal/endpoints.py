"""Swaps what a rehearsal must not touch: hosts, keys and secrets. Everything else of the stack file stays.

The upstream and the DNS provider keep their names and ports: on the throw-away network the upstream's name resolves
to the stand-in, whose certificate the hosts trust. So main.cf is, byte for byte, the one production gets.
"""

import copy
from collections.abc import Mapping
from typing import Any, Protocol

from mailstack.caddy.model import LETS_ENCRYPT
from mailstack.dns import authority_of

__all__ = ["ThrowawayHost", "google_rule", "with_certificates", "with_hosts", "with_images", "without_cluster"]


# Where the throw-away hosts keep what they trust.
HOST_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


class ThrowawayHost(Protocol):
    """What the swap needs to know of a host; ``rehearsal.ground.Host`` is one."""

    @property
    def address(self) -> str:
        """IPv4 address on the throw-away network."""

    @property
    def user(self) -> str:
        """Login name."""

    @property
    def private_key(self) -> str:
        """Private key, OpenSSH text."""

    @property
    def host_key(self) -> str:
        """Public host key, algorithm and base64."""


def with_hosts(raw: Mapping[str, Any], hosts: Mapping[str, ThrowawayHost]) -> dict[str, Any]:
    """Return the configuration with every host replaced by its throw-away twin. No jump host is needed there.

    A declared private address becomes the twin's, wherever it stands: in listen addresses and client networks too.
    """
    private = {
        raw["hosts"][name]["private_address"]: host.address
        for name, host in hosts.items()
        if "private_address" in raw["hosts"][name]
    }
    swapped: dict[str, Any] = _with_addresses(copy.deepcopy(dict(raw)), private)
    for name, host in hosts.items():
        entry = swapped["hosts"][name]
        entry.pop("jump", None)
        entry.update(
            address=host.address, port=22, user=host.user, private_key=host.private_key, host_key=host.host_key
        )
        # Throw-away hosts share one small machine; the real minimum is the real host's business.
        entry["minimum_memory_mb"] = min(entry.get("minimum_memory_mb", 400), 400)
        entry["minimum_disk_gb"] = min(entry.get("minimum_disk_gb", 2), 2)
    return swapped


def _with_addresses(value: Any, replaced: Mapping[str, str]) -> Any:
    """Return ``value`` with every address that stands alone, or with a mask, replaced."""
    if isinstance(value, dict):
        return {key: _with_addresses(item, replaced) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_addresses(item, replaced) for item in value]
    if isinstance(value, str):
        address, slash, mask = value.partition("/")
        return f"{replaced[address]}{slash}{mask}" if address in replaced else value
    return value


def without_cluster(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration without its Kubernetes cluster: the ground has neither its program nor the kernel."""
    return {key: value for key, value in raw.items() if key != "cluster"}


def with_images(raw: Mapping[str, Any], *, postal: str, mariadb: str) -> dict[str, Any]:
    """Return the configuration with the images taken from a mirror; ``postal`` and ``mariadb`` are names with tags."""
    swapped = copy.deepcopy(dict(raw))
    if "postal" in swapped:
        repository, _, tag = postal.rpartition(":")
        # The rehearsal's registry has one release; a digest would name other bytes.
        swapped["postal"]["image"] = {"repository": repository, "tag": tag}
        database = swapped["postal"]["database"]
        database["image"], _, database["tag"] = mariadb.rpartition(":")
        database.pop("digest", None)
    return swapped


def with_certificates(raw: Mapping[str, Any], *, directory: str, pair: tuple[str, str]) -> dict[str, Any]:
    """Return the configuration with certificates that can be had on the ground.

    ``directory`` is that of an ACME server there. ``pair`` (chain and key) stands for a certificate of the company,
    whose key a rehearsal never opens. Both chain to what the hosts trust.
    """
    swapped = copy.deepcopy(dict(raw))
    caddy = swapped.get("caddy", {})
    if "acme" in caddy:
        # CAA records are to say of the real issuer what they would say in production.
        issuer = caddy["acme"].get("caa_name") or authority_of(caddy["acme"].get("directory", LETS_ENCRYPT))
        caddy["acme"] |= {"directory": directory, "ca_file": HOST_AUTHORITIES, "caa_name": issuer}
    if "custom" in caddy:
        caddy["custom"] = {"certificate": pair[0], "private_key": pair[1], "ca_file": HOST_AUTHORITIES}
    return swapped


def google_rule(
    *,
    domains: list[str],
    allowed_ips: list[str],
    allowed_senders: str,
    require_tls: bool,
    login: tuple[str, str] | None,
    require_smtp_auth: bool,
) -> dict[str, Any]:
    """Return the stand-in's rule: what an administrator would have set in the console after reading the steps.

    ``allowed_ips`` are the throw-away hosts' addresses, standing for the public ones of the settings.
    """
    return {
        "domains": domains,
        "allowed_ips": allowed_ips,
        "allowed_senders": allowed_senders,
        "registered_users": [],
        "require_tls": require_tls,
        "require_smtp_auth": require_smtp_auth,
        "smtp_auth_users": dict([login]) if login else {},
    }
