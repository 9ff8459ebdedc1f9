"""The rehearsal ground: what it promises to the tests and demos that run on it."""

import ipaddress
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.ground import Ground, GroundError, Host, clean_leftovers, pieces
from rehearsal.ground.keys import make_key
from rehearsal.ground.leftovers import Piece, remove_ground
from rehearsal.ground.state import CHECKOUT


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("test-ground") as made:
        yield made


@pytest.fixture(scope="module")
def relay(ground: Ground) -> Host:
    return ground.create_host(
        "relay1", hostname="relay1.example.com", aliases=["smtp-relay.gmail.com"], memory_mb=512, unsafe_dpkg=True
    )


@pytest.fixture(scope="module")
def client(ground: Ground) -> Host:
    return ground.create_host("client1", admin_user=True)


def resolve(ground: Ground, host: Host, name: str) -> str:
    return ground.exec(host, ["python3", "-c", f"import socket; print(socket.gethostbyname({name!r}))"]).stdout.strip()


@pytest.mark.hosts
def test_ssh_works_with_the_pinned_host_key(ground: Ground, relay: Host) -> None:
    assert ground.ssh(relay, ["hostname"]).stdout == "relay1.example.com\n"
    assert ground.ssh(relay, ["cat"], input="from stdin").stdout == "from stdin"


@pytest.mark.hosts
def test_ssh_refuses_a_host_with_another_key(relay: Host, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"{relay.ssh_host} {other.public}\n")
    command = [part.replace(relay.known_hosts_file, str(known_hosts)) for part in relay.ssh_command()]
    result = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    assert result.returncode == 255
    assert "Host key verification failed" in result.stderr


@pytest.mark.hosts
def test_host_key_is_the_one_put_in_before_the_first_boot(ground: Ground, relay: Host, client: Host) -> None:
    assert ground.copy_out(relay, "/etc/ssh/ssh_host_ed25519_key.pub").decode().strip() == relay.host_key
    assert relay.host_key != client.host_key
    assert ground.exec(relay, ["sh", "-c", "ls /etc/ssh/ssh_host_*_key"]).stdout == "/etc/ssh/ssh_host_ed25519_key\n"


@pytest.mark.hosts
def test_admin_has_sudo_and_root_may_not_log_in(ground: Ground, client: Host) -> None:
    assert client.user == "admin"
    assert ground.ssh(client, ["sudo", "--non-interactive", "id", "-un"]).stdout == "root\n"
    as_root = [part.replace("admin@", "root@") for part in client.ssh_command()]
    assert subprocess.run([*as_root, "true"], capture_output=True, check=False).returncode == 255


@pytest.mark.hosts
def test_systemd_is_up_without_failed_units(ground: Ground, relay: Host, client: Host) -> None:
    for host in (relay, client):
        assert ground.exec(host, ["systemctl", "is-system-running"], check=False).stdout == "running\n"
        assert ground.exec(host, ["ps", "-o", "comm=", "1"]).stdout == "systemd\n"


@pytest.mark.hosts
def test_names_and_aliases_resolve_by_plain_dns(ground: Ground, relay: Host, client: Host) -> None:
    assert resolve(ground, client, "smtp-relay.gmail.com") == relay.address
    assert resolve(ground, client, "relay1") == relay.address
    assert resolve(ground, client, "relay1.example.com") == relay.address
    assert "127.0.0.11" in ground.copy_out(client, "/etc/resolv.conf").decode()


@pytest.mark.hosts
def test_files_docker_mounts_can_be_replaced_as_on_a_server_and_stay_so(ground: Ground, relay: Host) -> None:
    script = 'cp "$1" "$1.new"; echo "# kept" >> "$1.new"; mv "$1.new" "$1"; stat -c %a:%U "$1"'  # atomic replacement
    for path in ("/etc/hosts", "/etc/resolv.conf"):
        assert ground.exec(relay, ["sh", "-ec", script, "sh", path]).stdout == "644:root\n"
    ground.exec(relay, ["hostnamectl", "set-hostname", "renamed.example.com"])
    ground.stop(relay)
    ground.start(relay)
    for path in ("/etc/hosts", "/etc/resolv.conf"):
        assert ground.copy_out(relay, path).decode().endswith("# kept\n")
    assert ground.ssh(relay, ["hostname"]).stdout == "renamed.example.com\n"
    ground.exec(relay, ["hostnamectl", "set-hostname", "relay1.example.com"])


@pytest.mark.hosts
def test_apt_get_installs_a_package_without_fetching_lists_first(ground: Ground, relay: Host) -> None:
    ground.exec(relay, ["apt-get", "install", "--yes", "--no-install-recommends", "tree"])
    assert ground.exec(relay, ["tree", "--version"]).stdout.startswith("tree v")


@pytest.mark.hosts
def test_a_downloaded_package_is_there_for_the_next_host(ground: Ground, relay: Host, client: Host) -> None:
    ground.exec(relay, ["apt-get", "install", "--yes", "--no-install-recommends", "tree"])
    kept = ground.exec(client, ["sh", "-c", "ls /var/cache/rehearsal-packages"]).stdout.split()
    assert any(name.startswith("tree_") for name in kept)
    third = ground.create_host("third")
    try:
        ground.exec(third, ["apt-get", "install", "--yes", "--no-install-recommends", "--no-download", "tree"])
    finally:
        ground.remove(third)
    assert "third" not in ground.hosts


@pytest.mark.hosts
def test_mail_ports_outside_the_ground_are_out_of_reach(ground: Ground, relay: Host, client: Host) -> None:
    listener = "import socket; s = socket.create_server(('', 2525)); s.accept()"
    ground.exec(relay, ["systemd-run", "--unit", "listener", "python3", "-c", listener])
    ground.exec(relay, ["sh", "-c", "until ss -ltn | grep -q :2525; do sleep 0.1; done"], timeout=30)
    attempt = (
        "import errno, socket, sys\n"
        "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5); print('connected')\n"
        "except OSError as error: print(errno.errorcode.get(error.errno, error))\n"
    )

    def connect(address: str, port: int) -> str:
        return ground.exec(client, ["python3", "-c", attempt, address, str(port)]).stdout.strip()

    assert connect(relay.address, 2525) == "connected"
    # 198.51.100.0/24 is documentation only (RFC 5737): no packet to it would be answered anyway.
    for port in (25, 465, 587, 2525):
        assert connect("198.51.100.7", port) in {"ENETUNREACH", "EHOSTUNREACH"}


@pytest.mark.hosts
def test_a_given_certificate_authority_is_trusted(ground: Ground, tmp_path: Path) -> None:
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "ca.pem")]
    subprocess.run([*openssl, "-subj", "/CN=Rehearsal CA", "-days", "2", *files], capture_output=True, check=True)
    authority = (tmp_path / "ca.pem").read_text()
    host = ground.create_host("trusting", ca_certificates=[authority])
    try:
        ground.copy_in(host, authority, "/root/leaf.pem")
        assert ground.exec(host, ["openssl", "verify", "/root/leaf.pem"]).stdout == "/root/leaf.pem: OK\n"
    finally:
        ground.remove(host)


@pytest.mark.hosts
def test_files_go_in_with_owner_and_mode_also_below_tmp(ground: Ground, relay: Host, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "data").write_bytes(b"\x00\xff")
    target = "/tmp/bundle"  # noqa: S108 - a mount of its own inside the host, which is the point
    ground.copy_in(relay, tmp_path / "bundle", target, mode=0o750, owner="daemon")
    ground.copy_in(relay, "secret\n", "/run/secret", mode=0o600)
    assert ground.copy_out(relay, f"{target}/data") == b"\x00\xff"
    assert ground.exec(relay, ["stat", "-c", "%a %U", target, "/run/secret"]).stdout == "750 daemon\n600 root\n"


@pytest.mark.hosts
def test_a_failing_command_says_what_it_said(ground: Ground, relay: Host) -> None:
    with pytest.raises(GroundError, match=r"relay1 failed with status 3.*went wrong"):
        ground.exec(relay, ["sh", "-c", "echo went wrong >&2; exit 3"])
    assert ground.ssh(relay, ["sh", "-c", "exit 4"], check=False).returncode == 4


@pytest.mark.hosts
def test_memory_limit_is_enforced_by_the_kernel(ground: Ground, relay: Host) -> None:
    greedy = ground.exec(relay, ["python3", "-c", "bytearray(700 * 2**20)"], check=False)
    assert greedy.returncode != 0
    assert ground.exec(relay, ["python3", "-c", "bytearray(100 * 2**20)"]).returncode == 0


@pytest.mark.hosts
def test_a_snapshot_has_the_software_but_not_the_identity_of_its_origin(ground: Ground, relay: Host) -> None:
    ground.copy_in(relay, "installed\n", "/opt/marker")
    twin = ground.create_host("twin", image=ground.snapshot(relay))
    try:
        assert ground.ssh(twin, ["cat", "/opt/marker", "/etc/hostname"]).stdout == "installed\ntwin\n"
        assert twin.host_key != relay.host_key
        assert twin.address in ground.copy_out(twin, "/etc/hosts").decode()
        ids = {ground.copy_out(host, "/etc/machine-id") for host in (relay, twin)}
        assert len(ids) == 2
    finally:
        ground.remove(twin)


@pytest.mark.hosts
def test_a_host_comes_back_after_a_power_cut_with_its_address_and_disk(ground: Ground, relay: Host) -> None:
    ground.exec(relay, ["sh", "-c", "echo survived > /var/lib/marker && sync"])
    ground.cut_power(relay)
    ground.start(relay)
    assert ground.ssh(relay, ["cat", "/var/lib/marker"]).stdout == "survived\n"
    assert ground.exec(relay, ["hostname", "--all-ip-addresses"]).stdout.split() == [relay.address]


@pytest.mark.hosts
def test_a_paused_host_answers_nothing_until_it_goes_on(ground: Ground, relay: Host) -> None:
    ground.pause(relay)
    try:
        with (
            socket.create_connection((relay.ssh_host, relay.ssh_port), timeout=1) as connection,
            pytest.raises(TimeoutError),
        ):
            connection.recv(4)
    finally:
        ground.unpause(relay)
    assert ground.ssh(relay, ["true"]).returncode == 0


@pytest.mark.hosts
def test_a_service_gets_its_files_environment_and_name(ground: Ground, client: Host, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.txt").write_text("copied\n")
    mounted = tmp_path / "mounted.txt"
    mounted.write_text("mounted\n")
    service = ground.create_service(
        "web",
        ["sh", "-c", 'echo "$MODE" > /www/mode.txt; exec python3 -m http.server 8080 --directory /www'],
        aliases=["api.cloudflare.test"],
        env={"MODE": "rehearsal"},
        copies={"/www": tmp_path / "www", "/www/bytes.txt": b"bytes\n"},
        mounts={"/www/mounted.txt": mounted},
        ready_port=8080,
    )
    try:
        for name, text in (("index", "copied"), ("bytes", "bytes"), ("mounted", "mounted"), ("mode", "rehearsal")):
            url = f"http://api.cloudflare.test:8080/{name}.txt"
            assert ground.exec(client, ["curl", "-sS", "--fail", url]).stdout == f"{text}\n"
        assert "GET /index.txt" in ground.logs(service)
    finally:
        ground.remove(service)


@pytest.mark.hosts
def test_a_service_that_fails_to_start_says_why_and_frees_its_name(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rehearsal.ground.hosts.SERVICE_TIMEOUT", 1.0)
    for _ in range(2):
        with pytest.raises(GroundError, match="no such stand-in"):
            ground.create_service("broken", ["sh", "-c", "echo no such stand-in; sleep 60"], ready_port=25)
    assert [piece for piece in pieces(ground.name) if "broken" in piece.describe()] == []


@pytest.mark.hosts
def test_ssh_can_be_published_on_a_loopback_port() -> None:
    with Ground("test-published") as made:
        host = made.create_host("relay1", publish_ssh=True)
        assert host.ssh_host == "127.0.0.1"
        assert made.ssh(host, ["hostname"]).stdout == "relay1\n"
        made.stop(host)
        made.start(host)
        assert made.ssh(host, ["hostname"]).stdout == "relay1\n"


@pytest.mark.hosts
def test_without_internet_hosts_reach_only_each_other() -> None:
    with Ground("test-isolated", internet=False) as made:
        one, two = made.create_host("one"), made.create_host("two")
        assert resolve(made, one, "two") == two.address
        # 198.51.100.0/24 is documentation only (RFC 5737).
        outside = made.exec(one, ["curl", "-sS", "--max-time", "5", "http://198.51.100.7/"], check=False)
        assert outside.returncode == 7, "curl(1): 7 is failed to connect, 28 would be a timeout"
        made.stop(one)
        made.start(one)
        assert made.exec(one, ["ip", "route", "show", "default"]).stdout == ""
        assert made.ssh(two, ["true"]).returncode == 0


@pytest.mark.hosts
def test_several_grounds_run_at_once_on_networks_of_their_own() -> None:
    with Ground("test-first") as first, Ground("test-second") as second:
        networks = [ipaddress.IPv4Network(made.subnet) for made in (first, second)]
        assert not networks[0].overlaps(networks[1])
        with pytest.raises(GroundError, match="exists already"):
            Ground("test-first").up()


@pytest.mark.hosts
def test_hosts_can_be_created_from_several_threads() -> None:
    with Ground("test-threads") as made:
        threads = [threading.Thread(target=made.create_host, args=(name,)) for name in ("one", "two", "three")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(made.hosts) == ["one", "three", "two"]
        assert len({host.address for host in made.hosts.values()}) == 3


@pytest.mark.hosts
def test_another_process_can_open_a_ground_that_is_up(ground: Ground, relay: Host) -> None:
    opened = Ground.open(ground.name)
    assert opened.hosts["relay1"] == relay
    assert opened.subnet == ground.subnet
    assert opened.ssh(opened.hosts["relay1"], ["true"]).returncode == 0


@pytest.mark.hosts
def test_keys_are_readable_by_their_owner_only(ground: Ground, relay: Host) -> None:
    assert ground.state.stat().st_mode & 0o777 == 0o700
    assert Path(relay.private_key_file).stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" not in (ground.state / "ground.json").read_text()
    assert "PRIVATE KEY" not in repr(relay)


@pytest.mark.hosts
def test_destroy_leaves_nothing_behind() -> None:
    made = Ground("test-destroyed")
    host = made.create_host("relay1")
    made.snapshot(host)
    made.create_service("idle", ["sleep", "600"])
    assert {piece.kind for piece in pieces(made.name)} == {"container", "network", "image"}
    made.destroy()
    assert pieces(made.name) == []
    assert not made.state.exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/docker/{host.container_id}"))


@pytest.fixture
def orphan() -> Iterator[str]:
    """Name of a ground whose maker died without cleaning up."""
    name = "test-orphan"
    made = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import os, signal; from rehearsal.ground import Ground; ground = Ground('test-orphan'); "
                "ground.create_service('idle', ['sleep', '600']); os.kill(os.getpid(), signal.SIGKILL)"
            ),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == -9, made.stderr
    yield name
    remove_ground(name)


def identities(found: list[Piece]) -> set[str]:
    return {piece.identity for piece in found}


@pytest.mark.hosts
def test_leftovers_of_a_dead_owner_go_and_those_of_a_living_one_stay(orphan: str, ground: Ground, relay: Host) -> None:
    state = ground.state.with_name(orphan)
    assert len(pieces(orphan)) == 2
    assert state.exists()
    before = identities(pieces(ground.name))
    assert orphan in clean_leftovers()
    assert pieces(orphan) == []
    assert not state.exists()
    assert identities(pieces(ground.name)) == before
    assert ground.ssh(relay, ["true"]).returncode == 0


@pytest.mark.hosts
def test_a_crashed_run_does_not_stand_in_the_way_of_the_next(orphan: str) -> None:
    with Ground(orphan) as made:
        assert [piece.kind for piece in pieces(orphan)] == ["network"]
        assert made.subnet


@pytest.mark.hosts
def test_a_kept_ground_outlives_its_maker_until_it_is_taken_down() -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rehearsal.ground", *arguments],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )

    try:
        up = command("up", "test-kept", "relay1", "--admin")
        assert up.returncode == 0, up.stderr
        assert command("clean").returncode == 0
        assert "test-kept: container relay1, running" in command("list").stdout
        # What `up` prints is a command that works.
        login = up.stdout.partition("relay1: ")[2].strip()
        assert subprocess.run([*login.split(), "id", "-un"], capture_output=True, check=True).stdout == b"admin\n"
    finally:
        down = command("down", "test-kept")
    assert down.returncode == 0, down.stderr
    assert pieces("test-kept") == []
    again = command("down", "test-kept")
    assert again.returncode == 1
    assert "no ground 'test-kept'" in again.stderr
