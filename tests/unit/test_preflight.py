"""The preflight's judgement of facts: systems, memory, ports, clock, cloud-init, reachability."""

import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from preflight import checks, ready
from preflight.__main__ import Preflight, _report


@pytest.mark.parametrize(
    ("identity", "version", "good"),
    [
        ("debian", "11", True),
        ("debian", "12", True),
        ("debian", "13", True),
        ("debian", "10", False),
        ("debian", "", False),
        ("ubuntu", "20.04", True),
        ("ubuntu", "22.04", True),
        ("ubuntu", "24.04", True),
        ("ubuntu", "18.04", False),
        ("rocky", "8.10", True),
        ("rocky", "9.4", True),
        ("rocky", "10.0", True),
        ("rocky", "11.0", False),
        ("almalinux", "8.9", True),
        ("almalinux", "9.5", True),
        ("rhel", "8.1", True),
        ("rhel", "10.1", True),
        ("rhel", "7.9", False),
        ("centos", "8", False),
        ("fedora", "41", False),
        ("alpine", "3.20.1", False),
        ("arch", "", False),
        ("", "", False),
    ],
)
def test_supported_systems_are_those_promised(identity: str, version: str, good: bool) -> None:
    assert checks.supported({"ID": identity, "VERSION_ID": version}) is good


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([], 2000),
        ([None, "max\n"], 2000),
        (["max\n", "1073741824\n"], 1024),
        (["536870912\n", "1073741824\n"], 512),
        (["9223372036854771712\n"], 2000),
        ([""], 2000),
    ],
)
def test_memory_is_the_smaller_of_machine_and_container(limits: list[str | None], expected: int) -> None:
    assert checks.memory_mb("MemTotal:        2048000 kB\nMemFree: 1 kB\n", limits) == expected


@pytest.mark.parametrize(
    ("cgroup", "files"),
    [
        ("0::/\n", ["/sys/fs/cgroup/memory.max"]),
        (
            "0::/a.slice/b.service\n",
            [f"/sys/fs/cgroup{path}/memory.max" for path in ("", "/a.slice", "/a.slice/b.service")],
        ),
        (
            "9:cpu,cpuacct:/x\n4:memory:/docker/1\n1:name=systemd:/docker/1/init.scope\n",
            [f"/sys/fs/cgroup/memory{path}/memory.limit_in_bytes" for path in ("", "/docker", "/docker/1")],
        ),
        ("", []),
    ],
)
def test_memory_limits_are_looked_up_in_both_kinds_of_control_groups(cgroup: str, files: list[str]) -> None:
    assert checks.limit_files(cgroup) == files


def test_memory_of_a_nominal_gigabyte_is_enough_for_a_gigabyte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "read", lambda path: "MemTotal: 983040 kB\n" if "meminfo" in path else None)
    assert checks.memory({}, 1024) == []
    missing = checks.memory({}, 2048)
    assert [(item.found, item.needed) for item in missing] == [("960 MB", "2048 MB")]


def test_disk_says_what_is_free_and_what_is_needed(tmp_path: Path) -> None:
    facts: dict[str, Any] = {}
    assert checks.disk(facts, 0, str(tmp_path)) == []
    missing = checks.disk(facts, 10**9, str(tmp_path))
    assert missing[0].needed == "1e+09 GB"
    assert f"{facts['disk_free_gb']:.1f} GB free" in missing[0].found


@pytest.mark.parametrize(
    ("listener", "holder", "held"),
    [
        (("master", "postfix@-.service", "root"), "postfix", True),
        (("master", "postfix.service", "root"), "postfix", True),
        (("master", "postfix.service", "root"), "postfix.service", True),
        (("master", "postfix@-.service", "root"), "postfix@-.service", True),
        (("nginx", "nginx.service", "root"), "nginx", True),
        (("knotd", "", "knot"), "knotd", True),
        (("exim4", "exim4.service", "root"), "postfix", False),
        (("master", "postfix-old.service", "root"), "postfix", False),
        (("", "", "knot"), "knot", True),
        (("", "", "root"), "knot", False),
    ],
)
def test_a_port_may_be_held_by_the_service_it_is_meant_for(
    listener: tuple[str, str, str], holder: str, held: bool
) -> None:
    assert checks.holds(checks.Listener(*listener), holder) is held


def test_a_free_port_passes_and_nothing_listens_afterwards() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert checks.ports([{"address": "127.0.0.1", "port": port}]) == []
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("wanted", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_names_its_holder(protocol: str, wanted: str) -> None:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind(("127.0.0.1", 0))
        if protocol == "tcp":
            server.listen()
        port = server.getsockname()[1]
        missing = checks.ports([{"address": wanted, "port": port, "protocol": protocol, "holder": "postfix"}])
        with open(f"/proc/{os.getpid()}/comm") as comm:  # noqa: PTH123 - a file of the kernel
            name = comm.read().strip()
        allowed = checks.ports([{"address": wanted, "port": port, "protocol": protocol, "holder": name}])
    assert allowed == []
    assert [item.what for item in missing] == [f"port {port}/{protocol} on {wanted}"]
    assert name in missing[0].found
    assert missing[0].needed == "free, or held by postfix"


def test_an_address_of_another_host_is_told_from_a_taken_port() -> None:
    missing = checks.ports([{"address": "192.0.2.77", "port": 2525}])
    assert "not an address of this host" in missing[0].found


TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0100007F:0019 0100007F:C000 01 00000000:00000000 00:00000000 00000000   104        0 222 1 0 100 0 0 10 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx rx tr tm uid timeout inode
   0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 0A 0:0 00:0 0   104  0 333 1 0
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the samples are from a little-endian machine")
def test_kernel_tables_are_read_for_both_families() -> None:
    assert checks.listening(TCP, "tcp") == [(("127.0.0.1", 25), 0, "111")]
    assert checks.listening(TCP6, "tcp") == [(("::1", 53), 104, "333")]


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/postfix@-.service\n", "postfix@-.service"),
        ("1:name=systemd:/system.slice/ssh.service\n0::/\n", "ssh.service"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", "session-1.scope"),
        ("0::/init.scope\n", "init.scope"),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_a_process_is_traced_to_its_unit(cgroup: str, unit: str) -> None:
    assert checks.unit_of(cgroup) == unit


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("status: done\n", "done"),
        ("status: running\ntime: now\n", "running"),
        ("status: not run\n", "not run"),
        ("status: error\ndetail:\nbroken\n", "error"),
        ("status: degraded done\nextended_status: x\n", "degraded done"),
        ("status: disabled\n", "disabled"),
        ("", ""),
    ],
)
def test_cloud_init_states_of_old_and_new_releases_are_read(text: str, status: str) -> None:
    assert ready.cloud_init_status(text) == status


CHRONY = "Reference ID    : A29FC87B\nStratum         : 4\nLeap status     : {}\n"


@pytest.mark.parametrize(
    ("timedatectl", "chrony", "ntp", "answer"),
    [
        ("NTPSynchronized=yes\n", "", "", True),
        ("NTPSynchronized=no\n", "", "", False),
        ("NTPSynchronized=no\n", CHRONY.format("Normal"), "", True),
        ("", CHRONY.format("Normal"), "", True),
        ("", CHRONY.format("Not synchronised"), "", False),
        ("", "", "associd=0 status=0615 leap_none, sync_ntp", True),
        ("", "", "associd=0 status=c016 leap_alarm, sync_unspec", False),
        ("", "", "", None),
    ],
)
def test_clock_is_judged_by_whichever_time_service_there_is(
    timedatectl: str, chrony: str, ntp: str, answer: bool | None
) -> None:
    assert ready.clock_answer(timedatectl, chrony, ntp) is answer


def test_an_upstream_that_answers_gives_the_source_address() -> None:
    facts: dict[str, Any] = {}
    warnings: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        wanted = [{"host": "127.0.0.1", "port": port, "ip_protocol": "ipv4"}]
        assert checks.outbound(facts, warnings, wanted) == []
    assert facts["egress"] == {f"127.0.0.1:{port}": {"ipv4": "127.0.0.1"}}
    assert warnings == []


def test_every_unreachable_upstream_is_reported_with_its_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        wanted = [
            {"host": "127.0.0.1", "port": port, "ip_protocol": "ipv4"},
            {"host": "no-such-host.invalid", "port": 587, "ip_protocol": "ipv4"},
        ]
        missing = checks.outbound({}, [], wanted)
    assert [item.what for item in missing] == [f"127.0.0.1:{port}", "no-such-host.invalid:587"]
    assert "Connection refused" in missing[0].found
    assert "firewall" in missing[0].fix
    assert "no address" in missing[1].found
    assert "resolver" in missing[1].fix


def test_a_slow_upstream_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Barrier(3, timeout=5)

    def reach(host: str, _port: int, _ip_protocol: str) -> tuple[list[checks.Missing], dict[str, str], list[str]]:
        gate.wait()  # breaks unless all three are under way together
        return [], {"ipv4": host}, []

    monkeypatch.setattr(checks, "_reach", reach)
    facts: dict[str, Any] = {}
    checks.outbound(facts, [], [{"host": name, "port": 1} for name in ("a", "b", "c")])
    assert facts["egress"] == {"a:1": {"ipv4": "a"}, "b:1": {"ipv4": "b"}, "c:1": {"ipv4": "c"}}


@pytest.mark.parametrize(
    ("sudo_user", "expected", "count"),
    [(None, None, 0), ("admin", "admin", 0), (None, "root", 0), ("admin", "deploy", 1), (None, "admin", 1)],
)
def test_the_login_user_is_compared_with_the_expected_one(
    monkeypatch: pytest.MonkeyPatch, sudo_user: str | None, expected: str | None, count: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert len(checks.access({}, sudo_user, expected)) == count


def test_without_root_the_sudo_rule_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    missing = checks.access({}, "admin", None)
    assert "admin ALL=(ALL) NOPASSWD:ALL" in missing[0].fix


def test_the_report_lists_each_missing_thing_with_need_and_fix() -> None:
    text = _report([checks.Missing("memory", "512 MB", "1024 MB", "use a larger machine")] * 2)
    assert text.startswith("2 things are missing on ")
    assert text.count("- memory: 512 MB\n  needed: 1024 MB\n  fix: use a larger machine") == 2


def test_removing_it_undoes_nothing_because_nothing_was_done() -> None:
    assert Preflight({}, {}).remove() == []
