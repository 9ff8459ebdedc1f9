"""Reaching a host: pinned keys, a jump host, an unreachable one, and nothing of the payload in sight."""

from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.reach.bundle import command_line, payload
from mailstack.reach.connection import Connection
from mailstack.reach.ssh import SshError, run_over_ssh
from rehearsal.ground import Ground, Host, clean_leftovers, ensure_base_image, ensure_docker

pytestmark = pytest.mark.hosts
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMLieKFhuNb9XvbWrO4pfdop1BrKJYQm5gn9QdYZPqam"
PLANTED = "planted-secret-7f3a9c"


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    ensure_docker()
    ensure_base_image()
    clean_leftovers()
    with Ground("test-ssh") as ground:
        ground.create_host("jump")
        ground.create_host("target", admin_user=True)
        yield ground


@pytest.fixture
def hosts(ground: Ground) -> tuple[Host, Host]:
    return ground.hosts["jump"], ground.hosts["target"]


def record(host: Host, **changes: Any) -> dict[str, Any]:
    return {
        "host": host.address,
        "port": 22,
        "user": host.user,
        "privateKey": host.private_key,
        "hostKey": host.host_key,
        "dialErrorLimit": 2,
        **changes,
    }


def connection(host: Host, **changes: Any) -> Connection:
    return Connection.of_record(record(host, **changes))


def test_a_pinned_host_is_reached(hosts: tuple[Host, Host]) -> None:
    finished = run_over_ssh(connection(hosts[1]), "cat; echo problem >&2; exit 3", "hello")
    assert (finished.code, finished.stdout, finished.stderr) == (3, "hello", "problem\n")


def test_another_host_key_is_refused_and_gets_nothing(hosts: tuple[Host, Host]) -> None:
    with pytest.raises(SshError, match="verification failed"):
        run_over_ssh(connection(hosts[1], hostKey=OTHER_KEY), "cat >/tmp/leaked", PLANTED)
    assert run_over_ssh(connection(hosts[1]), "ls /tmp/leaked").code != 0


def test_a_jump_host_carries_the_connection(hosts: tuple[Host, Host]) -> None:
    jump, target = hosts
    finished = run_over_ssh(connection(target, proxy=record(jump)), "echo $SSH_CONNECTION")
    assert finished.stdout.split()[0] == jump.address


def test_the_jump_host_is_pinned_too(hosts: tuple[Host, Host]) -> None:
    jump, target = hosts
    with pytest.raises(SshError):
        run_over_ssh(connection(target, proxy=record(jump, hostKey=OTHER_KEY)), "true")


def test_an_unreachable_host_is_named(hosts: tuple[Host, Host]) -> None:
    with pytest.raises(SshError, match=hosts[0].address):
        run_over_ssh(connection(hosts[0], port=1), "true")


def test_a_role_runs_as_an_ordinary_user_with_sudo(hosts: tuple[Host, Host]) -> None:
    lines: list[str] = []
    text = payload("preflight", {"minimum_memory_mb": 64, "minimum_disk_gb": 1}, {})
    finished = run_over_ssh(connection(hosts[1]), command_line("apply"), text, on_line=lines.append)
    assert finished.code == 0, finished.stderr
    assert any(line.startswith("[preflight] ") for line in lines)
    assert run_over_ssh(connection(hosts[1]), "sudo ls /run | grep -c '^mailstack\\.'").stdout.strip() == "0"


def test_without_sudo_the_reason_is_told(ground: Ground, hosts: tuple[Host, Host]) -> None:
    target = hosts[1]
    ground.exec(target, ["mv", "/etc/sudoers.d", "/etc/sudoers.off"])
    try:
        finished = run_over_ssh(connection(target), command_line("apply"), payload("preflight", {}, {}))
    finally:
        ground.exec(target, ["mv", "/etc/sudoers.off", "/etc/sudoers.d"])
    assert finished.code == 1
    assert "needs sudo without a password" in finished.stderr


def test_a_role_that_hangs_is_ended(hosts: tuple[Host, Host]) -> None:
    settings = {"minimum_memory_mb": 64, "outbound": [{"host": "192.0.2.1", "port": 9}]}
    finished = run_over_ssh(connection(hosts[0]), command_line("apply", 1), payload("preflight", settings, {}))
    assert finished.code != 0
