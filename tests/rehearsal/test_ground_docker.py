"""Docker inside a host of the rehearsal ground: it works as on a server, and stays inside."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.ground import Ground, GroundError, Host
from rehearsal.ground.docker import docker, docker_bytes, docker_try
from rehearsal.ground.inner_docker import data_volume
from rehearsal.images import ensure_docker_host_image, ensure_service_image
from rehearsal.waiting import wait_for

pytestmark = pytest.mark.hosts

GATEWAY = "172.29.25.1"
SECONDS = 20.0
IMAGE = "inner:1"
LISTENER = r"""
$SIG{TERM} = sub { exit };
$server = IO::Socket::INET->new(LocalPort => 25, Listen => 5, ReuseAddr => 1);
while ($client = $server->accept) {
    while (<$client>) { last if /^\r/ }
    print $client "HTTP/1.0 200 OK\r\n\r\n";
    close $client;
}
"""
"""Answers every HTTP request; Perl is what the image has at hand."""


def archive(image: str) -> bytes:
    """Return a docker-load(1) archive in which ``image`` is called ``IMAGE``."""
    docker(["tag", image, IMAGE])
    try:
        return docker_bytes(["save", IMAGE])
    finally:
        docker(["image", "rm", IMAGE])


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("test-ground-docker") as made:
        yield made


@pytest.fixture(scope="module")
def host(ground: Ground) -> Host:
    """A host with Docker, a network as the stack has it, and a container listening on a mail port."""
    image = ensure_docker_host_image(lambda _line: None)
    made = ground.create_host("inner1", image=image, aliases=["inner1.example.com"], docker=True, memory_mb=1024)
    ground.exec(made, ["docker", "load"], input=archive(ensure_service_image(lambda _line: None)))
    bridge = ["--opt", "com.docker.network.bridge.name=br-mailstack", "--subnet", "172.29.25.0/24"]
    ground.exec(made, ["docker", "network", "create", *bridge, "--gateway", GATEWAY, "mailstack"])
    run = ["docker", "run", "--detach", "--name", "smtp", "--network", "mailstack", "--restart", "unless-stopped"]
    ports = ["--publish", "25:25", "--publish", "127.0.0.1:5000:25"]
    ground.exec(made, [*run, *ports, IMAGE, "perl", "-MIO::Socket::INET", "-e", LISTENER])
    return made


@pytest.fixture(scope="module")
def neighbour(ground: Ground) -> Host:
    return ground.create_host("neighbour1", aliases=["neighbour1.example.com"])


def answers(ground: Ground, host: Host, url: str) -> bool:
    options = ["--silent", "--fail", "--max-time", "5", "--output", "/dev/null"]
    return ground.exec(host, ["curl", *options, url], check=False).returncode == 0


def connect_from_container(ground: Ground, host: Host, address: str, port: int) -> str:
    """Try to connect from a container; return ``connected`` or what bash says."""
    script = f"exec 3<>/dev/tcp/{address}/{port} && echo connected"
    done = ground.exec(host, ["docker", "exec", "smtp", "timeout", "5", "bash", "-c", script], check=False)
    return (done.stdout + done.stderr).strip()


def test_a_port_published_inside_a_host_answers_there_and_to_its_neighbours(
    ground: Ground, host: Host, neighbour: Host
) -> None:
    assert wait_for(lambda: answers(ground, host, "http://127.0.0.1:5000"), SECONDS)
    assert answers(ground, host, "http://127.0.0.1:25")
    assert answers(ground, host, "http://[::1]:25")
    assert answers(ground, neighbour, "http://inner1.example.com:25")
    assert not answers(ground, neighbour, "http://inner1.example.com:5000"), "published on the loopback only"


def test_containers_reach_each_other_their_host_and_its_neighbours_by_name(
    ground: Ground, host: Host, neighbour: Host
) -> None:
    ground.exec(neighbour, ["systemd-run", "--unit", "web", "python3", "-m", "http.server", "2525"])
    ground.exec(host, ["systemd-run", "--unit", "relay", "python3", "-m", "http.server", "2525", "--bind", GATEWAY])
    assert wait_for(lambda: connect_from_container(ground, host, GATEWAY, 2525) == "connected", SECONDS)
    assert wait_for(
        lambda: connect_from_container(ground, host, "neighbour1.example.com", 2525) == "connected", SECONDS
    )
    assert connect_from_container(ground, host, "smtp", 25) == "connected"


def test_a_container_cannot_reach_a_mail_port_outside_the_ground(ground: Ground, host: Host) -> None:
    # 198.51.100.0/24 is documentation only (RFC 5737): no packet to it would be answered anyway.
    for port in (25, 465, 587, 2525):
        assert "unreachable" in connect_from_container(ground, host, "198.51.100.7", port)
    guard = ground.exec(host, ["ip", "rule", "show"]).stdout
    assert "suppress_prefixlength 0" in guard
    assert "dport 25 unreachable" in guard


def test_memory_of_containers_counts_as_memory_of_their_host(ground: Ground, host: Host) -> None:
    eat = ["docker", "run", "--rm", IMAGE, "perl", "-e", 'my $x = "x" x 1_500_000_000; print length $x']
    assert ground.exec(host, eat, check=False).returncode == 137, "killed, as on a server of this size"
    shown = ground.exec(host, ["docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", "smtp"]).stdout
    assert not shown.startswith("0B")
    assert answers(ground, host, "http://127.0.0.1:25")


def test_containers_come_back_after_a_power_cut_and_after_a_shutdown(ground: Ground, host: Host) -> None:
    for end in (ground.cut_power, ground.stop):
        end(host)
        ground.start(host)
        assert wait_for(lambda: answers(ground, host, "http://127.0.0.1:25"), SECONDS)
    assert ground.exec(host, ["systemctl", "is-system-running"], check=False).stdout == "running\n"


def test_a_running_docker_is_not_copied(ground: Ground, host: Host) -> None:
    with pytest.raises(GroundError, match="in use by mailstack-test-ground-docker-inner1"):
        ground.create_host("copy", docker_volume_from=host)
    with pytest.raises(GroundError, match="docker=True"):
        ground.create_host("copy", docker_volume_from=ground.create_host("plain"))
    ground.remove(ground.hosts["plain"])
    assert "copy" not in ground.hosts


def test_a_snapshot_starts_with_no_containers_and_a_copy_with_all_of_them(ground: Ground, host: Host) -> None:
    ground.stop(host)
    snapshot = ground.snapshot(host)
    fresh = ground.create_host("fresh", image=snapshot, docker=True)
    assert ground.exec(fresh, ["docker", "ps", "--all", "--quiet"]).stdout == ""
    copy = ground.create_host("copy", image=snapshot, docker_volume_from=host)
    assert wait_for(lambda: answers(ground, copy, "http://127.0.0.1:25"), SECONDS)
    ground.start(host)
    assert wait_for(lambda: answers(ground, host, "http://127.0.0.1:25"), SECONDS)
    for extra in (fresh, copy):
        ground.remove(extra)


def test_nothing_of_the_inner_docker_outlives_its_host(ground: Ground) -> None:
    image = ensure_service_image(lambda _line: None)
    made = ground.create_host("gone", docker=True, unsafe_dpkg=True)
    volume = data_volume(made.container_id)
    # As a container that was running when the power failed: its group is still there.
    ground.exec(made, ["sh", "-c", "for d in /sys/fs/cgroup/*/docker; do mkdir -p $d/left-behind; done"])
    ground.remove(made)
    assert docker_try(["volume", "inspect", volume]).returncode != 0
    assert not list(Path("/sys/fs/cgroup").glob("*/docker/left-behind"))
    assert docker_try(["image", "inspect", image]).returncode == 0
