"""The firewall role on real hosts, with ufw and with firewalld, seen from a neighbour; real Docker publishes ports."""

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.reach.bundle import Action
from rehearsal.ground import Ground, GroundError, Host
from tests.roles.support import Run, run_role

pytestmark = pytest.mark.hosts

SSH, OPEN, CLOSED, FROM_NEAR, FROM_OTHER = 22, 9001, 9002, 9003, 9004
SECOND_SSH = 2222
PUBLISHED, HIDDEN, PUBLISHED_FOR_OTHER = 8025, 8026, 8027
LISTENING = (SSH, SECOND_SSH, OPEN, CLOSED, FROM_NEAR, FROM_OTHER, PUBLISHED, HIDDEN, PUBLISHED_FOR_OTHER)
DECLARED = [SSH, SECOND_SSH, PUBLISHED, OPEN, FROM_NEAR]
OTHER = "192.0.2.7/32"
# Connects to every port at once; prints those that answer.
SCANNER = """
import concurrent.futures, json, socket, sys
def answers(port):
    try:
        with socket.create_connection((sys.argv[1], port), timeout=1.5):
            return True
    except OSError:
        return False
ports = json.loads(sys.argv[2])
with concurrent.futures.ThreadPoolExecutor(len(ports)) as pool:
    print(json.dumps([port for port, open in zip(ports, pool.map(answers, ports)) if open]))
"""
LISTENER = """
import socket, sys, time
keep = []
for port in sys.argv[1:]:
    keep.append(socket.create_server(("", int(port))))
time.sleep(1e6)
"""
UNIT = """[Unit]
Description=Ports of the host that answer
[Service]
ExecStart=/usr/bin/python3 /opt/listen.py {ports}
[Install]
WantedBy=multi-user.target
"""


class Walled:
    """A host behind the firewall, and a neighbour that tries its ports."""

    def __init__(self, ground: Ground, host: Host, near: Host, kind: str) -> None:
        self.ground, self.host, self.near, self.kind = ground, host, near, kind
        allow = [
            {"port": OPEN, "protocol": "tcp", "sources": [], "container": False},
            {"port": FROM_NEAR, "protocol": "tcp", "sources": [f"{near.address}/32"], "container": False},
            {"port": FROM_OTHER, "protocol": "tcp", "sources": [OTHER], "container": False},
            {"port": PUBLISHED, "protocol": "tcp", "sources": [], "container": True},
            {"port": PUBLISHED_FOR_OTHER, "protocol": "tcp", "sources": [OTHER], "container": True},
        ]
        self.settings: dict[str, Any] = {
            "kind": kind,
            "ssh_ports": [SSH],
            "allow": allow,
            "trusted_networks": ["172.29.25.0/24"],
            "undo_seconds": 60,
        }
        self.first: Run | None = None

    def run(self, action: Action = "apply", *, over_ssh: bool = False, **changes: Any) -> Run:
        return run_role(
            self.ground, self.host, "firewall", {**self.settings, **changes}, action=action, over_ssh=over_ssh
        )

    def confirmed(self, **changes: Any) -> Run:
        done = self.run(**changes)
        assert done.code == 0, done.progress
        confirmation = self.run(over_ssh=True, confirm=True, **changes)
        assert confirmation.code == 0, confirmation.progress
        return done

    def with_extra(self, port: int) -> dict[str, Any]:
        extra = {"port": port, "protocol": "tcp", "sources": [], "container": False}
        return {"allow": [*self.settings["allow"], extra]}

    def sh(self, script: str, *, check: bool = True) -> str:
        return str(self.ground.exec(self.host, ["sh", "-ec", script], check=check).stdout)

    def open_ports(self) -> list[int]:
        argv = ["python3", "-c", SCANNER, self.host.address, json.dumps(LISTENING)]
        return sorted(json.loads(self.ground.exec(self.near, argv).stdout))

    def ssh_works(self) -> bool:
        command = [*self.host.ssh_command(), "-o", "ConnectTimeout=2", "true"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def start_containers(self) -> None:
        self.sh(
            "docker info >/dev/null\n"
            "tar -C / -ch bin/busybox $(ldd /bin/busybox | grep -o '/lib[^ ]*') | docker import - tiny >/dev/null\n"
            # The first process of a container does not hear SIGTERM: waiting for it would take ten seconds.
            + "\n".join(
                f"docker run -d --stop-timeout 1 --restart always --name web{port} -p {port}:80 "
                "tiny /bin/busybox httpd -f -p 80 -h /bin"
                for port in (PUBLISHED, HIDDEN, PUBLISHED_FOR_OTHER)
            )
        )

    def wait_for_containers(self) -> None:
        deadline = time.monotonic() + 40
        while self.sh("docker ps -q 2>/dev/null | wc -l", check=False).strip() != "3":
            assert time.monotonic() < deadline, self.sh("systemctl status docker; docker ps -a", check=False)
            time.sleep(0.5)

    def wait_until_undone(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while "undone" not in self.sh("ls /var/lib/mailstack/firewall"):
            assert time.monotonic() < deadline, self.sh("systemctl list-timers; journalctl -u mailstack-firewall-undo")
            time.sleep(0.5)

    def reboot(self) -> None:
        self.ground.stop(self.host)
        self.ground.start(self.host)
        self.wait_for_containers()


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("firewall-role") as made:
        yield made


@pytest.fixture(scope="module")
def near(ground: Ground) -> Host:
    return ground.create_host("near")


@pytest.fixture(scope="module")
def image(ground: Ground) -> str:
    """A host with sshd on a second port, ports that answer, Docker, and both firewalls installed but idle."""
    seed = ground.create_host("seed", unsafe_dpkg=True, docker=True)
    script = (
        "systemctl mask firewalld\n"
        "apt-get install -qq --no-install-recommends ufw firewalld nftables docker.io busybox conntrack >&2\n"
        "systemctl unmask firewalld; systemctl disable firewalld; systemctl disable --now docker docker.socket\n"
        f"printf 'Port {SSH}\\nPort {SECOND_SSH}\\n' >/etc/ssh/sshd_config.d/ports.conf"
    )
    ground.exec(seed, ["env", "DEBIAN_FRONTEND=noninteractive", "sh", "-ec", script])
    ground.copy_in(seed, LISTENER, "/opt/listen.py")
    ports = " ".join(str(port) for port in (OPEN, CLOSED, FROM_NEAR, FROM_OTHER))
    ground.copy_in(seed, UNIT.format(ports=ports), "/etc/systemd/system/listen.service")
    ground.exec(seed, ["systemctl", "enable", "listen"])
    saved = ground.snapshot(seed)
    ground.remove(seed)
    return saved


@pytest.fixture(scope="module", params=["ufw", "firewalld"])
def installed(request: pytest.FixtureRequest, ground: Ground, near: Host, image: str) -> Walled:
    """A host on which the role ran before Docker started, and was confirmed."""
    host = ground.create_host(f"wall-{request.param}", image=image, docker=True)
    walled = Walled(ground, host, near, request.param)
    assert walled.open_ports() == sorted([SSH, SECOND_SSH, OPEN, CLOSED, FROM_NEAR, FROM_OTHER])
    walled.first = walled.confirmed()
    walled.sh("systemctl enable --now docker")
    walled.start_containers()
    return walled


@pytest.fixture
def wall(installed: Walled) -> Walled:
    """The same host, brought back to the declared firewall, confirmed, where the last test left something else."""
    found = installed.run("check")
    if found.code != 0 or found.summary["facts"]["undo"]["armed"]:
        installed.confirmed()
    return installed


def test_only_declared_ports_answer_a_neighbour(wall: Walled) -> None:
    assert wall.open_ports() == sorted(DECLARED)
    assert wall.first is not None
    assert wall.first.summary["facts"]["ssh_ports"] == [SSH, SECOND_SSH]
    assert wall.first.summary["facts"]["undo"]["armed"] is True


def test_containers_reach_the_outside_and_the_host_reaches_containers(wall: Walled) -> None:
    wall.ground.exec(wall.near, ["sh", "-c", "python3 -m http.server 8080 >/dev/null 2>&1 & echo"])
    try:
        fetch = f"/bin/busybox wget -q -O - http://{wall.near.address}:8080/etc/hostname"
        assert wall.sh(f"docker run --rm tiny {fetch}").strip() == "near"
    finally:
        wall.ground.exec(wall.near, ["sh", "-c", "kill $(pgrep -f 'http.server 808[0]')"], check=False)
    assert wall.sh(f"busybox wget -q -O - http://127.0.0.1:{HIDDEN}/busybox | wc -c").strip() != "0"


def test_a_container_cannot_be_reached_by_its_own_address(wall: Walled) -> None:
    address = wall.sh("docker inspect -f '{{.NetworkSettings.IPAddress}}' web" + str(PUBLISHED)).strip()
    wall.ground.exec(wall.near, ["ip", "route", "replace", f"{address}/32", "via", wall.host.address])
    argv = ["python3", "-c", SCANNER, address, "[80]"]
    assert json.loads(wall.ground.exec(wall.near, argv).stdout) == []


def test_second_run_reports_no_change_and_arms_no_undo(wall: Walled) -> None:
    before = wall.sh(
        "cat /etc/ufw/user.rules /etc/firewalld/zones/*.xml 2>/dev/null | md5sum; nft -s list ruleset | md5sum"
    )
    second = wall.run(over_ssh=True)
    assert (second.code, second.status, second.summary["changed"]) == (0, "unchanged", [])
    assert second.summary["facts"]["undo"]["armed"] is False
    assert before == wall.sh(
        "cat /etc/ufw/user.rules /etc/firewalld/zones/*.xml 2>/dev/null | md5sum; nft -s list ruleset | md5sum"
    )
    confirmation = wall.run(confirm=True)
    assert (confirmation.code, confirmation.summary["facts"]["confirmed"]) == (0, False)


def test_rules_outlive_restarts_of_docker_and_reloads_of_the_firewall(wall: Walled) -> None:
    reload = "ufw reload" if wall.kind == "ufw" else "firewall-cmd --reload"
    for command in ("systemctl restart docker", reload, f"systemctl restart {wall.kind}; systemctl restart docker"):
        wall.sh(command)
        wall.wait_for_containers()
        time.sleep(1)  # Docker makes its own rules anew in the background
        assert wall.open_ports() == sorted(DECLARED), command
    assert wall.run("check").code == 0


def test_rules_outlive_a_reboot(wall: Walled) -> None:
    wall.reboot()
    assert wall.open_ports() == sorted(DECLARED)
    assert wall.run("check").code == 0
    assert wall.ssh_works()


def test_a_change_nobody_confirms_is_taken_back(wall: Walled) -> None:
    done = wall.run(undo_seconds=25, **wall.with_extra(CLOSED))
    assert (done.code, done.status) == (0, "changed"), done.progress
    assert wall.open_ports() == sorted([*DECLARED, CLOSED])
    wall.wait_until_undone(60)
    assert wall.open_ports() == sorted(DECLARED)
    assert wall.run("check").code == 0


def test_a_confirmation_that_comes_too_late_fails_and_the_next_one_succeeds(wall: Walled) -> None:
    assert wall.run(undo_seconds=1, **wall.with_extra(CLOSED)).code == 0
    wall.wait_until_undone(30)
    too_late = wall.run(confirm=True, over_ssh=True, **wall.with_extra(CLOSED))
    assert too_late.code == 1
    assert "was taken back at" in too_late.error
    assert too_late.summary["facts"]["undo"]["armed"] is True
    confirmed = wall.run(confirm=True, over_ssh=True, **wall.with_extra(CLOSED))
    assert (confirmed.code, confirmed.summary["facts"]["confirmed"]) == (0, True), confirmed.progress
    assert wall.open_ports() == sorted([*DECLARED, CLOSED])


def test_a_confirmed_change_stays(wall: Walled) -> None:
    # Long enough to confirm in time on a busy machine.
    wall.confirmed(undo_seconds=15, **wall.with_extra(CLOSED))
    time.sleep(17)
    assert wall.open_ports() == sorted([*DECLARED, CLOSED])
    assert wall.sh("ls /etc/systemd/system /var/lib/mailstack/firewall | grep undo", check=False) == ""


def test_a_firewall_that_locks_ssh_out_is_taken_back(wall: Walled) -> None:
    done = wall.run(undo_seconds=25, **wall.with_extra(CLOSED))
    assert done.code == 0
    if wall.kind == "ufw":
        wall.sh(
            "ufw delete allow 22/tcp; ufw delete allow 2222/tcp; ufw insert 1 deny 22/tcp; ufw insert 1 deny 2222/tcp"
        )
    else:
        wall.sh(
            "sed -i '/port=\"22/d' /etc/firewalld/zones/mailstack.xml; firewall-cmd --reload\n"
            "conntrack -D -p tcp >&2 || true"
        )
    assert not wall.ssh_works()
    wall.wait_until_undone(60)
    assert wall.ssh_works()
    assert wall.open_ports() == sorted(DECLARED)


def test_a_reboot_before_the_confirmation_takes_the_change_back(wall: Walled) -> None:
    assert wall.run(undo_seconds=3000, **wall.with_extra(CLOSED)).code == 0
    assert CLOSED in wall.open_ports()
    wall.reboot()
    wall.wait_until_undone(30)
    assert wall.open_ports() == sorted(DECLARED)
    assert wall.run("check").code == 0


def test_a_run_killed_half_way_leaves_an_armed_undo(wall: Walled) -> None:
    # systemctl restarts the filter in front of containers last: the host's own rules are changed by then.
    wall.sh(
        'printf \'#!/bin/sh\\ncase "$*" in *restart*docker-firewall*) kill -9 $PPID;; esac\\n'
        'exec /usr/bin/systemctl "$@"\\n\' >/usr/local/bin/systemctl; chmod +x /usr/local/bin/systemctl'
    )
    extra = {"port": HIDDEN, "protocol": "tcp", "sources": [], "container": True}
    changed: dict[str, Any] = {"allow": [*wall.settings["allow"], extra]}
    try:
        assert wall.run(**changed).summary == {}
    finally:
        wall.sh("rm /usr/local/bin/systemctl")
    assert "mailstack-firewall-undo.timer" in wall.sh("systemctl list-timers")
    wall.sh("systemctl start mailstack-firewall-undo.service")
    assert wall.open_ports() == sorted(DECLARED)
    again = wall.confirmed(**changed)
    assert again.status == "changed"
    assert wall.open_ports() == sorted([*DECLARED, HIDDEN])


def test_check_reports_what_was_changed_by_hand(wall: Walled) -> None:
    by_hand = {
        "ufw": ["ufw delete allow 9001/tcp", "iptables -I ufw-user-input -p tcp --dport 9002 -j ACCEPT", "ufw disable"],
        "firewalld": [
            "firewall-cmd --zone=mailstack --remove-port=9001/tcp",
            "firewall-cmd --set-default-zone=public",
            "systemctl stop firewalld",
        ],
    }
    everywhere = ["nft flush chain inet mailstack_containers outside", "systemctl disable mailstack-docker-firewall"]
    known: list[str] = []
    for command in [*everywhere, *by_hand[wall.kind]]:
        wall.sh(command)
        found = wall.run("check")
        assert (found.code, found.status) == (2, "drift"), command
        assert set(found.summary["changed"]) - set(known), command
        known = found.summary["changed"]
    wall.confirmed()
    assert wall.open_ports() == sorted(DECLARED)


def test_a_change_that_fails_is_taken_back_at_once(wall: Walled) -> None:
    wall.sh(
        'printf \'#!/bin/sh\\ncase "$*" in *restart*docker-firewall*) rm $0; exit 1;; esac\\n'
        'exec /usr/bin/systemctl "$@"\\n\' >/usr/local/bin/systemctl; chmod +x /usr/local/bin/systemctl'
    )
    extra = {"port": HIDDEN, "protocol": "tcp", "sources": [], "container": True}
    try:
        failed = wall.run(allow=[*wall.settings["allow"], extra])
    finally:
        wall.sh("rm -f /usr/local/bin/systemctl")
    assert failed.code == 1
    assert "the previous firewall is back" in failed.error
    assert wall.open_ports() == sorted(DECLARED)
    assert wall.sh("ls /etc/systemd/system /var/lib/mailstack/firewall | grep undo", check=False) == ""


def test_rules_of_others_are_kept_and_named(wall: Walled) -> None:
    if wall.kind == "ufw":
        wall.sh(f"ufw allow {CLOSED}/tcp comment 'somebody else'; ufw insert 1 deny 2222; ufw deny 22/tcp")
        assert not wall.ssh_works()
        done = wall.confirmed()
        assert any(f"port {CLOSED}" in warning for warning in done.summary["warnings"])
        assert wall.ssh_works()
        assert wall.open_ports() == sorted([*DECLARED, CLOSED])
        wall.sh(f"ufw delete allow {CLOSED}/tcp; ufw delete deny 2222")
        return
    wall.sh(f"firewall-cmd --permanent --zone=trusted --add-source={wall.near.address}; firewall-cmd --reload")
    done = wall.run("check")
    assert any(f"{wall.near.address} in zone trusted" in warning for warning in done.summary["warnings"])
    wall.sh(f"firewall-cmd --permanent --zone=trusted --remove-source={wall.near.address}; firewall-cmd --reload")


def test_two_firewalls_are_refused(wall: Walled) -> None:
    other = "firewalld" if wall.kind == "ufw" else "ufw"
    if wall.kind == "ufw":
        wall.sh("systemctl start firewalld")
    else:
        wall.sh("ufw --force enable")
    try:
        refused = wall.run(**wall.with_extra(CLOSED))
        assert refused.code == 1
        assert f"{other} is at work" in refused.error
    finally:
        wall.sh("systemctl stop firewalld" if wall.kind == "ufw" else "ufw disable")
        if wall.kind == "ufw":
            wall.sh("ufw reload; systemctl restart docker")


def test_the_other_kind_takes_over(wall: Walled) -> None:
    other = "firewalld" if wall.kind == "ufw" else "ufw"
    wall.confirmed(kind=other)
    assert wall.open_ports() == sorted(DECLARED)
    running = wall.sh("ufw status | head -1; systemctl is-active firewalld || true")
    assert running.split("\n")[:2] == (
        ["Status: inactive", "active"] if wall.kind == "ufw" else ["Status: active", "inactive"]
    )
    wall.confirmed()
    assert wall.open_ports() == sorted(DECLARED)


def test_none_takes_only_our_rules_away(wall: Walled) -> None:
    wall.confirmed(kind="none")
    assert wall.open_ports() == sorted(LISTENING)
    again = wall.run(kind="none")
    assert (again.code, again.status) == (0, "unchanged")


def test_removal_leaves_the_host_as_it_was(wall: Walled) -> None:
    removed = wall.run("remove")
    assert (removed.code, removed.status) == (0, "removed"), removed.progress
    assert wall.open_ports() == sorted(LISTENING)
    left = wall.sh(
        "ls /etc/systemd/system /var/lib/mailstack /etc/mailstack /etc/firewalld/zones | grep mailstack || true"
    )
    assert left.strip() in ("", "/var/lib/mailstack:"), left
    assert "mailstack" not in wall.sh("nft list ruleset; cat /etc/ufw/user.rules")
    with pytest.raises(GroundError):
        wall.sh("systemctl is-enabled firewalld")
    assert wall.run("remove").summary["changed"] == []


def test_the_connection_is_known_behind_sudo(ground: Ground, near: Host, image: str) -> None:
    host = ground.create_host("admin-host", image=image, admin_user=True)
    walled = Walled(ground, host, near, "ufw")
    changed = walled.run(over_ssh=True)
    assert (changed.code, changed.status) == (0, "changed"), changed.progress
    client, _, _, port = walled.sh("cat /var/lib/mailstack/firewall/undo/connection").split()
    assert (client, port) == (ground.gateway, "22")
    confirmed = walled.run(over_ssh=True, confirm=True)
    assert (confirmed.code, confirmed.summary["facts"]["confirmed"]) == (0, True), confirmed.progress
