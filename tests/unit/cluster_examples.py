"""A stack with a cluster of three servers and an agent, for tests of its plan and its mistakes."""

import copy
from typing import Any

from tests.unit.stack_examples import HOST_KEY, example, postal_example

__all__ = ["SHA256", "TOKEN", "cluster_example", "single"]

SHA256 = "a" * 64
TOKEN = "cluster-planted-token".replace("-", "") + "t" * 20


def host(number: int) -> dict[str, Any]:
    return {
        "address": f"node{number}.example.com",
        "host_key": HOST_KEY,
        "private_address": f"10.0.0.{number}",
    }


def cluster_example() -> dict[str, Any]:
    """Return a production stack whose cluster stands apart from the mail hosts."""
    raw = example()
    raw["hosts"] |= {f"node{number}": host(number) for number in (1, 2, 3, 4)}
    raw["cluster"] = {
        "servers": ["node1", "node2", "node3"],
        "agents": ["node4"],
        "version": "v1.33.5+k3s1",
        "sha256": {"amd64": SHA256},
        "token": TOKEN,
        "api_address": "kube.example.com",
    }
    return copy.deepcopy(raw)


def single() -> dict[str, Any]:
    """Return Postal, Caddy, the relay and a cluster of one server on one host."""
    raw = postal_example()
    raw["cluster"] = {
        "servers": ["relay1"],
        "version": "v1.33.5+k3s1",
        "sha256": {"amd64": SHA256, "arm64": SHA256},
        "token": TOKEN,
    }
    return raw
