"""The example stack with its relay in a container, reached over SSH."""

from typing import Any

from tests.unit.stack_examples import example

__all__ = ["PASSWORD", "docker_example", "local_example"]

PASSWORD = "planted-password-77ab"


def docker_example() -> dict[str, Any]:
    """Return the relay on the engine of its host; it logs in upstream."""
    raw = example()
    raw["relay"] |= {"placement": "docker", "docker": {"ssh_key": "agent"}}
    raw["relay"]["upstream"] |= {"auth": "sasl", "username": "relay@example.com", "password": PASSWORD}
    return raw


def local_example() -> dict[str, Any]:
    """Return the relay on an engine of this machine; no host is declared."""
    raw = docker_example()
    del raw["relay"]["host"], raw["hosts"], raw["ssh"]
    raw["relay"] |= {"docker": {"endpoint": "unix:///var/run/docker.sock"}, "egress_addresses": ["93.184.216.34"]}
    return raw
