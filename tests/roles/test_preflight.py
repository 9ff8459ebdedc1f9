"""The preflight on a real host, over SSH as an ordinary user with sudo."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mailstack.reach.bundle import Action, command_line, payload
from rehearsal.ground import Ground, Host, Service
from tests.roles.support import Run, run_role

pytestmark = pytest.mark.hosts

RunPreflight = Callable[..., Run]

# Everything that a role could leave behind, without the logs and what sudo itself keeps in the user's home.
SNAPSHOT = (
    "find / -xdev -path /proc -prune -o -path /run -prune -o -path /tmp -prune -o -path /var/log -prune -o "
    "-path /home/admin -prune -o -type f -printf '%p %s %T@ %m %u\\n' | sort | md5sum"
)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("preflight-role") as made:
        yield made


@pytest.fixture(scope="module")
def host(ground: Ground) -> Host:
    return ground.create_host("plain", hostname="plain.example.com", admin_user=True, memory_mb=600)


@pytest.fixture(scope="module")
def upstream(ground: Ground) -> Service:
    return ground.create_service(
        "upstream", ["python3", "-m", "http.server", "2500"], aliases=["smtp-relay.gmail.com"], ready_port=2500
    )


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "minimum_memory_mb": 512,
        "minimum_disk_gb": 0.5,
        "ports": [{"address": "127.0.0.1", "port": 25, "holder": "postfix"}],
        "outbound": [{"host": "smtp-relay.gmail.com", "port": 2500, "ip_protocol": "ipv4"}],
        "expected_user": "admin",
        "wait_seconds": 60,
        **changes,
    }


@pytest.fixture(scope="module")
def preflight(ground: Ground, host: Host, upstream: Service) -> RunPreflight:
    def run(action: Action = "apply", **changes: Any) -> Run:
        return run_role(ground, host, "preflight", settings(**changes), action=action, over_ssh=True)

    return run


def test_a_sound_host_passes_with_facts_and_stays_as_it_was(
    preflight: RunPreflight, ground: Ground, host: Host, upstream: Service
) -> None:
    before = ground.exec(host, ["sh", "-c", SNAPSHOT]).stdout
    for action in ("apply", "apply", "check"):
        done = preflight(action)
        assert (done.code, done.status, done.summary["changed"]) == (0, "unchanged", []), done.progress
    assert ground.exec(host, ["sh", "-c", SNAPSHOT]).stdout == before
    facts = done.summary["facts"]
    assert facts["os"]["id"] == "debian"
    assert facts["user"] == "admin"
    assert facts["memory_mb"] == 600
    assert facts["disk_free_gb"] > 0
    assert facts["egress"] == {"smtp-relay.gmail.com:2500": {"ipv4": host.address}}
    assert "container" in facts["clock"]


def test_everything_that_is_missing_is_reported_in_one_failure(preflight: RunPreflight) -> None:
    done = preflight(
        minimum_memory_mb=8000,
        minimum_disk_gb=100000,
        ports=[
            {"address": "0.0.0.0", "port": 22, "holder": "postfix"},
            {"address": "192.0.2.25", "port": 25, "holder": "postfix"},
        ],
        outbound=[
            {"host": "smtp-relay.gmail.com", "port": 2501, "ip_protocol": "ipv4"},
            {"host": "no-such-host.invalid", "port": 587},
        ],
        expected_user="deploy",
    )
    assert (done.code, done.summary["error"]["step"]) == (1, "host")
    assert done.error.startswith("7 things are missing on plain.example.com:")
    for words in (
        "user: the connection came in as admin",
        "memory: 600 MB",
        "disk: ",
        "port 22/tcp on 0.0.0.0: held by sshd (unit ssh.service)",
        "192.0.2.25 is not an address of this host",
        "smtp-relay.gmail.com:2501: ipv4: ",
        "no-such-host.invalid:587: ipv4: no address",
    ):
        assert words in done.error, done.error
    assert done.error.count("  needed: ") == done.error.count("  fix: ") == 7


def test_a_port_held_by_the_service_it_is_for_passes(preflight: RunPreflight) -> None:
    done = preflight(ports=[{"address": "0.0.0.0", "port": 22, "holder": "ssh"}])
    assert done.code == 0, done.progress


@contextlib.contextmanager
def in_background(ground: Ground, host: Host, script: str) -> Iterator[None]:
    """Run a Python script on the host as a unit for as long as the block lasts."""
    ground.copy_in(host, script, "/root/background.py")
    ground.exec(host, ["systemd-run", "--quiet", "--collect", "--unit=background", "python3", "/root/background.py"])
    try:
        yield
    finally:
        ground.exec(host, ["systemctl", "stop", "background"], check=False)


HOLD_LOCK = """
import fcntl, time
with open("/var/lib/dpkg/lock-frontend", "a") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    open("/run/held", "w").close()
    time.sleep({seconds})
"""


def wait_for_file(ground: Ground, host: Host, path: str) -> None:
    ground.exec(host, ["sh", "-c", f"while [ ! -e {path} ]; do sleep 0.1; done; rm {path}"], timeout=30)


def test_it_waits_for_another_package_run_to_end(preflight: RunPreflight, ground: Ground, host: Host) -> None:
    with in_background(ground, host, HOLD_LOCK.format(seconds=4)):
        wait_for_file(ground, host, "/run/held")
        started = time.monotonic()
        done = preflight()
    assert done.code == 0, done.progress
    assert time.monotonic() - started > 2


def test_a_package_run_that_does_not_end_is_reported(preflight: RunPreflight, ground: Ground, host: Host) -> None:
    with in_background(ground, host, HOLD_LOCK.format(seconds=60)):
        wait_for_file(ground, host, "/run/held")
        done = preflight(wait_seconds=2)
    assert done.code == 1
    assert "package manager: another package run has held the lock" in done.error


CLOUD_INIT = """#!/bin/sh
# Says what the real one says: running at first, then {last}.
echo look >> /root/looks
if [ "$(wc -l < /root/looks)" -lt 3 ]; then echo "status: running"; exit 0; fi
echo "status: {last}"
echo "detail: {detail}"
exit {code}
"""


@pytest.mark.parametrize(
    ("last", "detail", "code", "warnings"),
    [("done", "DataSourceNone", 0, 0), ("error", "('scripts-user', RuntimeError('broken'))", 1, 1)],
)
def test_it_waits_for_cloud_init_and_passes_its_errors_on(
    preflight: RunPreflight, ground: Ground, host: Host, last: str, detail: str, code: int, warnings: int
) -> None:
    script = CLOUD_INIT.format(last=last, detail=detail, code=code)
    ground.copy_in(host, script, "/usr/local/bin/cloud-init", mode=0o755)
    try:
        done = preflight()
    finally:
        ground.exec(host, ["rm", "-f", "/usr/local/bin/cloud-init", "/root/looks"])
    assert done.code == 0, done.progress
    assert "waiting for cloud-init to finish" in done.progress
    assert done.summary["facts"]["cloud_init"] == last
    assert len(done.summary["warnings"]) == warnings
    assert all("scripts-user" in warning for warning in done.summary["warnings"])


def test_cloud_init_that_never_ends_is_reported(preflight: RunPreflight, ground: Ground, host: Host) -> None:
    ground.copy_in(host, "#!/bin/sh\necho 'status: running'\n", "/usr/local/bin/cloud-init", mode=0o755)
    try:
        done = preflight(wait_seconds=3)
    finally:
        ground.exec(host, ["rm", "-f", "/usr/local/bin/cloud-init"])
    assert done.code == 1
    assert "cloud-init: still 'running' after the waiting time" in done.error


def test_a_user_without_sudo_is_told_so_before_anything_else(ground: Ground, host: Host) -> None:
    ground.exec(host, ["useradd", "--create-home", "nosudo"])
    document = payload("preflight", settings(), {})
    with pytest.raises(Exception, match="nosudo needs sudo without a password on plain"):
        ground.exec(host, ["bash", "-c", command_line("apply")], input=document, user="nosudo")


def test_no_trace_of_the_bundle_is_left(preflight: RunPreflight, ground: Ground, host: Host) -> None:
    preflight()
    assert ground.exec(host, ["sh", "-c", "ls -d /run/mailstack.* 2>/dev/null || true"]).stdout == ""
    listing: subprocess.CompletedProcess[str] = ground.exec(host, ["ps", "-eo", "args"])
    assert "preflight" not in listing.stdout
