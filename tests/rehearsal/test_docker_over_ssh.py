"""A Docker engine over SSH, with the options that pulumi-docker gets: the pinned machine answers, no other does."""

from collections.abc import Iterator

import pytest

from mailstack.reach.connection import Connection
from mailstack.reach.docker_api import DockerApi, DockerError, EngineAccess, ssh_options
from rehearsal.ground import Ground, Host
from rehearsal.images import ensure_docker_host_image
from rehearsal.waiting import wait_for

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    image = ensure_docker_host_image(lambda _line: None)
    with Ground("docker-over-ssh") as ground:
        made = ground.create_host("engine", image=image, docker=True)
        argv = ["docker", "version"]
        assert wait_for(lambda: ground.exec(made, argv, check=False).returncode == 0, 120, pause=1.0)
        yield made


def access(host: Host, host_key: str) -> EngineAccess:
    connection = Connection(address=host.address, port=22, user="root", private_key=None, host_key=host_key, attempts=1)
    return EngineAccess(
        endpoint=f"ssh://root@{host.address}:22", ssh_options=ssh_options(connection, host.private_key_file)
    )


def test_the_pinned_machine_answers(host: Host) -> None:
    api = DockerApi(access(host, host.host_key))
    made = api.call("POST", "/volumes/create", {"Name": "over-ssh"})
    assert made["Name"] == "over-ssh"
    assert api.call("GET", "/volumes/none", missing_is_none=True) is None
    with pytest.raises(DockerError) as refused:
        api.call("GET", "/volumes/none")
    assert refused.value.status == 404


def test_another_machine_is_not_talked_to(host: Host) -> None:
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ+3yT5hZZz1Uo3u+8zcWzdehVKbgCO947DtCvIzA640"
    with pytest.raises(DockerError, match="Host key verification failed"):
        DockerApi(access(host, other)).call("GET", "/version")
