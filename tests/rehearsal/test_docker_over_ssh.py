"""A Docker engine over SSH, with the options that pulumi-docker gets: the pinned machine answers, no other does."""

import threading
import time
from collections.abc import Iterator

import pytest

from mailstack.reach.connection import Connection
from mailstack.reach.docker_api import DockerApi, DockerError, EngineAccess, ssh_options
from mailstack.reach.place import ContainerPlace, PlaceError, StoppedError
from rehearsal.ground import Ground, Host
from rehearsal.images import ensure_docker_host_image
from rehearsal.waiting import wait_for

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Ground, Host]]:
    image = ensure_docker_host_image(lambda _line: None)
    with Ground("docker-over-ssh") as ground:
        made = ground.create_host("engine", image=image, docker=True)
        argv = ["docker", "version"]
        assert wait_for(lambda: ground.exec(made, argv, check=False).returncode == 0, 120, pause=1.0)
        yield ground, made


@pytest.fixture
def host(site: tuple[Ground, Host]) -> Host:
    return site[1]


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


# An image of what the host itself has: there is no registry here. It counts.
MAKE = """
set -e
tar --create --directory / --exclude 'usr/bin/docker*' --exclude 'usr/sbin/docker*' --exclude 'usr/bin/containerd*' \\
  --exclude usr/lib/firmware --exclude usr/lib/modules bin lib lib64 usr/bin usr/lib usr/lib64 etc run/lock tmp |
  docker import - counting
docker run --detach --name counting counting \\
  python3 -uc 'import itertools, time; [(print("line", n), time.sleep(0.2)) for n in itertools.count()]'
"""


def test_a_container_there_runs_roles_and_its_log_is_read_and_followed(site: tuple[Ground, Host]) -> None:
    ground, host = site
    ground.exec(host, ["bash", "-c", MAKE])
    place = ContainerPlace(name="counting", api=DockerApi(access(host, host.host_key)))
    with pytest.raises(PlaceError, match=r"counting: .*operation is 'none': must be one of list, flush"):
        place.run("relay_operations", {"operation": "none"}, "check")
    assert wait_for(lambda: len(place.log(None)) >= 5, 30)
    assert place.log(None)[0] == "line 0"
    assert len(place.log(None, 2)) == 2
    assert place.log(time.time() + 60) == []
    seen: list[str] = []
    threading.Thread(target=place.follow, args=(time.time(), seen.append), daemon=True).start()
    assert wait_for(lambda: len(seen) >= 3, 30), "lines come as they are written"
    assert all(line.startswith("line ") for line in seen)
    ground.exec(host, ["docker", "kill", "counting"])
    with pytest.raises(StoppedError, match=r"container counting does not run: .*not running"):
        place.run("relay_operations", {"operation": "list"}, "check")
    assert place.log(None)[0] == "line 0", "its log is there still"
    ground.exec(host, ["docker", "rm", "counting"])
    with pytest.raises(StoppedError, match="No such container"):
        place.run("relay_operations", {"operation": "list"}, "check")
