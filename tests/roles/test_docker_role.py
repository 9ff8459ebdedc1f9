"""The Docker role on real hosts: Docker and Compose from Debian, containers running while things change."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.reach.bundle import Action
from rehearsal.ground import Ground, Host
from tests.roles.support import Run, run_role

pytestmark = pytest.mark.hosts

NETWORK = {"name": "mailstack", "bridge": "br-mailstack", "subnet": "172.29.25.0/24", "gateway": "172.29.25.1"}
SETTINGS: dict[str, Any] = {"source": "distribution", "network": NETWORK, "registry_mirrors": []}
# Answers with an image made from the host's own busybox.
TINY = "tar -C / -ch bin/busybox $(ldd /bin/busybox | grep -o '/lib[^ ]*') | docker import - tiny >/dev/null"


class Machine:
    """A host and the role on it."""

    def __init__(self, ground: Ground, host: Host) -> None:
        self.ground, self.host = ground, host

    def run(self, action: Action = "apply", **changes: Any) -> Run:
        return run_role(self.ground, self.host, "docker", {**SETTINGS, **changes}, action=action)

    def sh(self, script: str, *, check: bool = True) -> str:
        return str(self.ground.exec(self.host, ["sh", "-ec", script], check=check).stdout)

    def daemon(self) -> dict[str, Any]:
        return dict(json.loads(self.sh("cat /etc/docker/daemon.json")))

    def start_of(self, unit: str) -> str:
        return self.sh(f"systemctl show -p MainPID --value {unit}").strip()


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("docker-role") as made:
        yield made


@pytest.fixture(scope="module")
def bare(ground: Ground) -> Host:
    return ground.create_host("bare", unsafe_dpkg=True, docker=True)


@pytest.fixture(scope="module")
def first(ground: Ground, bare: Host) -> Run:
    """The first run on a host without Docker; a run that cannot work comes before it."""
    machine = Machine(ground, bare)
    overlap = machine.run(network={**NETWORK, "subnet": ground.subnet, "gateway": ground.gateway})
    assert overlap.code == 1
    assert "overlaps what this host already reaches" in overlap.error
    assert machine.sh("command -v docker || true") == ""
    return machine.run()


@pytest.fixture
def machine(ground: Ground, bare: Host, first: Run) -> Machine:
    """The host as declared."""
    made = Machine(ground, bare)
    if made.run("check").code != 0:
        again = made.run()
        assert again.code == 0, again.progress
    return made


@pytest.fixture(scope="module")
def tiny(ground: Ground, bare: Host, first: Run) -> str:
    ground.exec(bare, ["sh", "-ec", f"apt-get install -qq busybox >/dev/null; {TINY}"])
    return "tiny"


def test_first_run_gives_engine_compose_and_network(first: Run, machine: Machine) -> None:
    assert (first.code, first.status) == (0, "changed"), first.progress
    facts = first.summary["facts"]
    assert facts["engine"]
    assert facts["compose_command"] in (["docker", "compose"], ["docker-compose"])
    assert facts["storage_driver"] == "overlay2"
    assert machine.sh(" ".join([*facts["compose_command"], "version", "--short"])).strip() == facts["compose"]
    inspected = json.loads(machine.sh("docker network inspect mailstack"))[0]
    assert inspected["Options"]["com.docker.network.bridge.name"] == "br-mailstack"
    mtu = machine.sh("cat /sys/class/net/eth0/mtu").strip()
    assert inspected["Options"]["com.docker.network.driver.mtu"] == mtu
    assert "172.29.25.1/24" in machine.sh("ip -4 -o address show dev br-mailstack")
    assert machine.daemon()["log-opts"] == {"max-size": "10m", "max-file": "5"}
    assert machine.sh("docker info --format '{{.LiveRestoreEnabled}}'").strip() == "true"


def test_second_run_reports_no_change_and_touches_nothing(machine: Machine) -> None:
    before = machine.start_of("docker.service"), machine.sh("stat -c %Y:%i /etc/docker/daemon.json; docker network ls")
    second = machine.run()
    assert (second.code, second.status, second.summary["changed"]) == (0, "unchanged", [])
    assert before == (
        machine.start_of("docker.service"),
        machine.sh("stat -c %Y:%i /etc/docker/daemon.json; docker network ls"),
    )
    assert machine.run("check").code == 0


def test_check_reports_what_was_changed_by_hand_and_changes_nothing(machine: Machine) -> None:
    machine.sh("docker network rm mailstack; systemctl disable docker 2>&1; echo '{}' >/etc/docker/daemon.json")
    drift = machine.run("check")
    assert (drift.code, drift.status) == (2, "drift")
    assert len(drift.summary["changed"]) == 3
    assert machine.daemon() == {}
    assert "mailstack" not in machine.sh("docker network ls")
    assert machine.run().code == 0
    assert machine.run("check").code == 0


def test_a_stopped_docker_is_started_and_keeps_its_network(machine: Machine) -> None:
    identity = machine.sh("docker network inspect -f '{{.Id}}' mailstack")
    machine.sh("systemctl stop docker.socket docker.service")
    assert machine.run("check").status == "drift"
    done = machine.run()
    assert (done.code, done.status) == (0, "changed"), done.progress
    assert machine.sh("docker network inspect -f '{{.Id}}' mailstack") == identity


def test_containers_outlive_a_change_of_the_daemon(machine: Machine, tiny: str) -> None:
    machine.sh("jq --version >/dev/null 2>&1 || true; echo '{\"debug\": false}' >/etc/docker/daemon.json")
    machine.sh(
        "systemctl restart docker; docker run -d --name stays --network mailstack tiny /bin/busybox sleep 1000000"
    )
    started = "docker inspect -f '{{.State.StartedAt}} {{.State.Pid}}' stays"
    before = machine.sh(started)
    try:
        changed = machine.run(registry_mirrors=["https://mirror.example.com"])
        assert (changed.code, changed.status) == (0, "changed"), changed.progress
        assert machine.sh(started) == before
        assert machine.daemon()["debug"] is False
        assert machine.daemon()["registry-mirrors"] == ["https://mirror.example.com"]
        assert "mirror.example.com" in machine.sh("docker info")
    finally:
        machine.sh("docker rm -f stays; rm /etc/docker/daemon.json; systemctl restart docker")


def test_a_configuration_docker_does_not_start_with_is_taken_back(machine: Machine) -> None:
    # A flag and a key of the same meaning: dockerd refuses to start, and no validation sees it.
    machine.sh(
        "mkdir -p /etc/systemd/system/docker.service.d; echo '{}' >/etc/docker/daemon.json\n"
        "printf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/dockerd -H fd:// --log-driver=local\\n' "
        ">/etc/systemd/system/docker.service.d/flag.conf; systemctl daemon-reload; systemctl restart docker"
    )
    try:
        failed = machine.run()
        assert failed.code == 1
        assert "the previous configuration is back and Docker runs with it" in failed.error
        assert machine.daemon() == {}
        assert machine.sh("docker info --format '{{.LoggingDriver}}'").strip() == "local"
        assert machine.sh("ls /var/lib/mailstack/docker").split() == ["state.json"]
    finally:
        machine.sh("rm -r /etc/systemd/system/docker.service.d; systemctl daemon-reload; systemctl restart docker")


def test_a_run_killed_while_docker_restarts_is_mended_by_the_next(machine: Machine) -> None:
    machine.sh("echo '{\"debug\": false}' >/etc/docker/daemon.json; systemctl restart docker")
    machine.sh(
        'printf \'#!/bin/sh\\ncase "$*" in *restart*docker.service*) kill -9 $PPID;; esac\\n'
        'exec /usr/bin/systemctl "$@"\\n\' >/usr/local/bin/systemctl; chmod +x /usr/local/bin/systemctl'
    )
    try:
        assert machine.run().summary == {}
    finally:
        machine.sh("rm /usr/local/bin/systemctl")
    again = machine.run()
    assert (again.code, again.status) == (0, "changed"), again.progress
    assert machine.daemon()["log-driver"] == "json-file"
    assert machine.daemon()["debug"] is False
    assert machine.run().status == "unchanged"


def test_another_subnet_is_refused_while_containers_use_the_network_and_made_when_none_does(
    machine: Machine, tiny: str
) -> None:
    other = {**NETWORK, "subnet": "172.29.30.0/24", "gateway": "172.29.30.1"}
    machine.sh("docker run -d --name user --network mailstack tiny /bin/busybox sleep 1000000; docker stop -t 0 user")
    refused = machine.run(network=other)
    assert refused.code == 1
    assert "user" in refused.error
    assert "172.29.25.1/24" in machine.sh("ip -4 -o address show dev br-mailstack")
    machine.sh("docker rm -f user")
    moved = machine.run(network=other)
    assert (moved.code, moved.status) == (0, "changed"), moved.progress
    assert "172.29.30.1/24" in machine.sh("ip -4 -o address show dev br-mailstack")
    assert machine.run(network=other).status == "unchanged"


def test_after_a_reboot_the_network_unit_is_up_once_the_address_is_there(machine: Machine) -> None:
    machine.ground.stop(machine.host)
    machine.ground.start(machine.host)
    # Starting a unit that is being started waits for it, as a unit ordered after it does.
    machine.sh(
        "systemctl start mailstack-network.service; ip -4 -o address show dev br-mailstack | grep 172.29.25.1/24"
    )
    assert machine.run("check").code == 0


def test_docker_from_elsewhere_is_used_with_a_warning(machine: Machine) -> None:
    # Without packages of that name nothing says where the engine came from.
    done = machine.run(source="docker")
    assert (done.code, done.status) == (0, "unchanged"), done.progress
    assert "used as it is" in done.summary["warnings"][0]


def test_removal_is_refused_while_containers_are_there_and_then_leaves_the_host_as_it_was(
    machine: Machine, tiny: str
) -> None:
    machine.sh("docker run -d --name user --network mailstack tiny /bin/busybox sleep 1000000")
    refused = machine.run("remove")
    assert refused.code == 1
    assert "containers use network mailstack: user" in refused.error
    machine.sh("docker network disconnect mailstack user")
    refused = machine.run("remove")
    assert refused.code == 1
    assert "there are containers in it: user" in refused.error
    assert machine.run("check").code == 0
    machine.sh("docker rm -f user; docker volume create precious")
    removed = machine.run("remove")
    assert (removed.code, removed.status) == (0, "removed"), removed.progress
    left = machine.sh(
        "command -v docker docker-compose containerd runc || true; ls /etc/docker/daemon.json 2>/dev/null || true\n"
        "ls /etc/systemd/system | grep mailstack || true; ls /var/lib/mailstack 2>/dev/null || true"
    )
    assert left == ""
    assert machine.sh("ls /var/lib/docker/volumes | grep precious").strip() == "precious"
    assert "/var/lib/docker" in removed.summary["warnings"][0]
    assert machine.run("remove").summary["changed"] == []
