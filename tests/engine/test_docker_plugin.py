"""The contract of pulumi-resource-docker 5.2.0: the same promises for the stand-in and, where it is, the real plugin.

What the real one does, and where that was read (github.com/pulumi/pulumi-docker, provider/; for what it bridges,
github.com/kreuzwerker/terraform-provider-docker v4.5.0, internal/provider):

=====================================================================  =============================================
a container without a name gets one from the resource's, which stays   provider/resources.go (required name)
a container's new settings replace it, the old one goes first          resources.go, DeleteBeforeReplace
memory, restart policy and the like are changed in place               resource_docker_container_funcs.go, Update
uploads go in before the start; a read-only root refuses them          the same, Create; measured with Docker 20.10
``attach`` waits for the end and keeps exit code and log               the same, Create
``wait`` waits for health; what is not healthy in time is in the       the same, Create
 state, unfinished, and the update has failed
removing stops with the grace given, and kills at once without one     the same, Delete
a refresh sees that a container is gone, or stopped when it must run   the same, Read
networks and volumes of other settings are replaced                    resource_docker_network.go, _volume.go
a volume of that name that is there is taken as it is                  resource_docker_volume.go, Create (the API's)
an image is built again when its context has changed                   provider/image.go, Check: contextDigest
one that is pushed is known by the digest its registry gave            the same, dockerBuild: repoDigest

Not kept by the stand-in, and not used by this project: services, secrets and configs of a swarm, tags, plugins,
devices, ``dns``, ``hosts``, ``mounts``. It builds with the first builder, where the real one uses
BuildKit unless told otherwise. Defaults that the real plugin writes into a state are fewer here.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from rehearsal.ground.docker import docker, docker_json, docker_try
from rehearsal.ground.network import candidates, docker_networks, machine_routes
from rehearsal.images import ensure_images
from rehearsal.images.relay import ensure_relay_base
from rehearsal.waiting import wait_for
from tests.engine.contract import Contract, kinds

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

CONTAINER = "docker:index/container:Container"
PROVIDER = {
    "type": "pulumi:providers:docker",
    "name": "engine",
    "inputs": {"host": "unix:///var/run/docker.sock"},
    "options": {"version": "5.2.0"},
}


class Docked(Contract):
    """With an image to run. A test has a name of its own for what it makes."""

    image: str
    name: str

    def thing(self, kind: str, **inputs: Any) -> dict[str, Any]:
        return {"type": kind, "name": self.name, "inputs": inputs, "options": {"provider": "engine"}}

    def container(self, script: str = "sleep 600", **inputs: Any) -> dict[str, Any]:
        told = {"name": self.name, "image": self.image, "command": ["sh", "-c", script], "networkMode": "none"}
        return self.thing(CONTAINER, **{**told, **inputs})

    def inspect(self, name: str = "") -> dict[str, Any]:
        found: dict[str, Any] = docker_json(["container", "inspect", name or self.name])[0]
        return found


@pytest.fixture(scope="module", params=kinds("docker"))
def stack(request: pytest.FixtureRequest, cli: None, tmp_path_factory: pytest.TempPathFactory) -> Docked:
    found = Docked(tmp_path_factory.mktemp("contract"), "docker", request.param)
    found.image = ensure_relay_base(lambda _line: None)
    return found


@pytest.fixture
def contract(stack: Docked, request: pytest.FixtureRequest) -> Iterator[Docked]:
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:30].strip("-")
    stack.name = f"mailstack-{stack.kind}-{name}"
    yield stack
    stack.destroy(PROVIDER)
    docker_try(["rm", "--force", "--volumes", stack.name])


def test_a_preview_makes_nothing_and_a_second_up_changes_nothing(contract: Docked) -> None:
    declared = contract.container(
        memory=64,
        memorySwap=64,
        capabilities={"adds": ["CAP_CHOWN"], "drops": ["ALL"]},
        securityOpts=["no-new-privileges"],
        logDriver="json-file",
        logOpts={"max-size": "1m"},
        ulimits=[{"name": "nofile", "soft": 64, "hard": 64}],
        tmpfs={"/run": "size=1m"},
    )
    assert contract.preview(PROVIDER, declared).code == 0
    assert docker_try(["container", "inspect", contract.name]).returncode != 0
    assert contract.up(PROVIDER, declared).changes == {contract.name: "created"}
    limits = contract.inspect()["HostConfig"]
    assert (limits["Memory"], limits["MemorySwap"]) == (64 * 1024 * 1024,) * 2
    assert (limits["CapAdd"], limits["CapDrop"]) == (["CAP_CHOWN"], ["ALL"])
    assert contract.up(PROVIDER, declared).changes == {}
    assert contract.refresh(PROVIDER, declared).code == 0
    assert contract.up(PROVIDER, declared).changes == {}


def test_memory_changes_in_place_a_command_replaces(contract: Docked) -> None:
    contract.up(PROVIDER, contract.container(memory=64, memorySwap=64))
    first = contract.inspect()["Id"]
    assert contract.up(PROVIDER, contract.container(memory=96, memorySwap=96)).changes == {contract.name: "updated"}
    assert contract.inspect()["HostConfig"]["Memory"] == 96 * 1024 * 1024
    assert contract.inspect()["Id"] == first
    replaced = contract.up(PROVIDER, contract.container("sleep 601", memory=96, memorySwap=96))
    assert "1 replaced" in replaced.text
    assert contract.inspect()["Id"] != first


def test_uploads_are_there_before_the_start_attach_keeps_code_and_log(contract: Docked) -> None:
    upload = {"file": "/given/secret", "content": "planted-5a1c", "permissions": "0400"}
    declared = contract.container(
        "stat -c %a /given/secret; wc -c < /given/secret; exit 3",
        uploads={"secret": [upload]}, attach=True, logs=True, mustRun=False,
    )  # fmt: skip
    declared["options"]["additional_secret_outputs"] = ["uploads"]
    assert contract.up(PROVIDER, declared).code == 0
    outputs = contract.state()[contract.name]["outputs"]
    assert (outputs["exitCode"], outputs["containerLogs"].split()) == (3, ["400", "12"])
    for path in (contract.engine.folder / "state").rglob("*"):
        assert not path.is_file() or b"planted-5a1c" not in path.read_bytes(), path
    assert contract.up(PROVIDER, declared).changes == {}


def test_a_read_only_root_refuses_uploads(contract: Docked) -> None:
    upload = {"file": "/given/x", "content": "x"}
    failed = contract.up(PROVIDER, contract.container(readOnly=True, uploads=[upload]))
    assert failed.code == 1
    assert "rootfs is marked read-only" in failed.text


def test_a_container_without_a_name_gets_one_and_volumes_are_taken_from_it(contract: Docked) -> None:
    giver = contract.container("echo told > /etc/given/x", attach=True, mustRun=False)
    del giver["inputs"]["name"]
    giver["inputs"]["volumes"] = [{"containerPath": "/etc/given"}]
    contract.up(PROVIDER, giver)
    name = contract.state()[contract.name]["outputs"]["name"]
    assert name.startswith(f"{contract.name}-")
    given = ["--volumes-from", f"{name}:ro", contract.image, "cat", "/etc/given/x"]
    taken = docker(["run", "--rm", "--network", "none", *given])
    assert taken == "told"
    volumes = [mount["Name"] for mount in contract.inspect(name)["Mounts"]]
    assert contract.destroy(PROVIDER).code == 0
    assert all(docker_try(["volume", "inspect", volume]).returncode != 0 for volume in volumes)


def test_what_is_not_healthy_in_time_fails_and_is_known_to_the_state(contract: Docked) -> None:
    check = {"tests": ["CMD", "false"], "interval": "1s", "timeout": "1s", "retries": 1}
    failed = contract.up(PROVIDER, contract.container(healthcheck=check, wait=True, waitTimeout=3))
    assert failed.code == 1
    assert "container failed to be in healthy state" in failed.text
    assert contract.name in contract.state()
    assert contract.destroy(PROVIDER).code == 0
    assert docker_try(["container", "inspect", contract.name]).returncode != 0


def test_removing_gives_the_time_that_is_set(contract: Docked) -> None:
    script = "trap 'echo bye > /keep/bye; exit 0' TERM; while :; do sleep 0.1; done"
    volume = f"{contract.name}-keep"
    declared = contract.container(
        script, destroyGraceSeconds=10, volumes=[{"volumeName": volume, "containerPath": "/keep"}]
    )
    contract.up(PROVIDER, declared)
    assert contract.destroy(PROVIDER).code == 0
    mount = f"{volume}:/keep"
    assert docker(["run", "--rm", "--network", "none", "--volume", mount, contract.image, "cat", "/keep/bye"]) == "bye"
    docker(["volume", "rm", volume])


def test_a_refresh_sees_what_is_gone_or_stopped(contract: Docked) -> None:
    declared = contract.container()
    contract.up(PROVIDER, declared)
    docker(["kill", contract.name])
    contract.refresh(PROVIDER, declared)
    assert contract.up(PROVIDER, declared).changes == {contract.name: "updated"}
    assert contract.inspect()["State"]["Running"]
    docker(["rm", "--force", contract.name])
    contract.refresh(PROVIDER, declared)
    assert contract.up(PROVIDER, declared).changes == {contract.name: "created"}


def test_a_network_is_internal_as_asked_and_another_subnet_replaces_it(contract: Docked) -> None:
    free = candidates(contract.name, [*machine_routes(), *docker_networks()])
    first, second = str(next(free)), str(next(free))

    def network(subnet: str) -> dict[str, Any]:
        told = contract.thing(
            "docker:index/network:Network", name=contract.name, internal=True, ipamConfigs=[{"subnet": subnet}]
        )
        told["options"]["delete_before_replace"] = True
        return told

    contract.up(PROVIDER, network(first))
    found = docker_json(["network", "inspect", contract.name])[0]
    assert (found["Internal"], found["IPAM"]["Config"][0]["Subnet"]) == (True, first)
    assert contract.up(PROVIDER, network(first)).changes == {}
    assert "1 replaced" in contract.up(PROVIDER, network(second)).text
    assert contract.destroy(PROVIDER).code == 0
    assert docker_try(["network", "inspect", contract.name]).returncode != 0


def test_a_volume_that_is_there_is_taken_as_it_is_and_may_be_left_behind(contract: Docked) -> None:
    docker(["volume", "create", contract.name])
    mount = ["--rm", "--network", "none", "--volume", f"{contract.name}:/v", contract.image]
    docker(["run", *mount, "touch", "/v/mail"])
    declared = contract.thing("docker:index/volume:Volume", name=contract.name)
    declared["options"]["retain_on_delete"] = True
    assert contract.up(PROVIDER, declared).changes == {contract.name: "created"}
    assert contract.destroy(PROVIDER).code == 0
    assert docker(["run", *mount, "ls", "/v"]) == "mail"
    docker(["volume", "rm", contract.name])


def test_an_image_is_built_again_when_its_context_has_changed(contract: Docked, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"ARG WORD=none\nFROM {contract.image}\nARG WORD\nCOPY note /note\nENV WORD=$WORD\n"
    )
    (tmp_path / "note").write_text("one")
    (tmp_path / ".dockerignore").write_text("*\n!note\n")
    (tmp_path / "other").write_text("not part of it")
    build = {"context": str(tmp_path), "dockerfile": str(tmp_path / "Dockerfile"), "args": {"WORD": "w"}}
    build |= {"platform": "linux/amd64"}
    name = f"{contract.name}:1"
    declared = contract.thing("docker:index/image:Image", imageName=name, build=build, skipPush=True)
    run = ["run", "--rm", "--network", "none", name, "sh", "-c", "cat /note; echo $WORD"]
    try:
        assert contract.up(PROVIDER, declared).code == 0
        assert docker(run) == "onew"
        (tmp_path / "other").write_text("still not part of it")
        assert contract.up(PROVIDER, declared).changes == {}
        (tmp_path / "note").write_text("two")
        assert contract.up(PROVIDER, declared).changes == {contract.name: "updated"}
        assert docker(run) == "twow"
        assert (
            json.loads(docker(["image", "inspect", name]))[0]["Id"]
            == contract.state()[contract.name]["outputs"]["repoDigest"]
        )
    finally:
        docker_try(["image", "rm", "--force", name])


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """An empty registry on loopback, where Docker asks for no TLS; its address."""
    config = {"version": "0.1", "storage": {"filesystem": {"rootdirectory": "/srv/held"}}, "http": {"addr": ":5000"}}
    script = 'printf %s "$1" >/srv/config.yml; exec docker-registry serve /srv/config.yml'
    image = ensure_images(lambda _line: None).services
    command = ["run", "--detach", "--rm", "--init", "--publish", "127.0.0.1::5000", image]
    container = docker([*command, "sh", "-ec", script, "registry", json.dumps(config)])
    try:
        address = docker(["port", container, "5000/tcp"]).splitlines()[0]
        assert wait_for(lambda: answers(address), 30), docker(["logs", container])
        yield address
    finally:
        docker_try(["rm", "--force", container])


def answers(address: str) -> bool:
    try:
        return requests.get(f"http://{address}/v2/", timeout=2).ok
    except requests.RequestException:
        return False


def test_an_image_that_is_pushed_is_known_by_its_registrys_digest(
    contract: Docked, registry: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {contract.image}\nRUN true\n")
    build = {"context": str(tmp_path), "dockerfile": str(tmp_path / "Dockerfile"), "platform": "linux/amd64"}
    repository = f"mailstack/{contract.name}"
    login = {"server": registry, "username": "someone", "password": "planted-registry-password"}
    inputs = {"imageName": f"{registry}/{repository}:1", "build": build, "registry": login, "skipPush": False}
    declared = contract.thing("docker:index/image:Image", **inputs)
    try:
        done = contract.up(PROVIDER, declared)
        assert done.code == 0, done.text
        accepted = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
        manifest = f"http://{registry}/v2/{repository}/manifests/1"
        held = requests.head(manifest, headers={"Accept": accepted}, timeout=10).headers["Docker-Content-Digest"]
        assert contract.state()[contract.name]["outputs"]["repoDigest"] == f"{registry}/{repository}@{held}"
        assert contract.up(PROVIDER, declared).changes == {}
    finally:
        docker_try(["image", "rm", "--force", f"{registry}/{repository}:1"])
