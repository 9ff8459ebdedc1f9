"""Role k3s on real hosts, with a stand-in for k3s that keeps its command line: see tests/roles/k3s_standin."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailstack.plan import Plan, load_plan
from mailstack.reach.bundle import Action
from rehearsal.ground import Ground, Host
from tests.roles.support import Run, run_role
from tests.unit.stack_examples import example

pytestmark = pytest.mark.hosts

STANDIN = Path(__file__).parent / "k3s_standin" / "k3s_standin.py"
OLD, NEW, NEXT = "v1.33.4+k3s1", "v1.33.5+k3s1", "v1.34.1+k3s1"
# The same bytes behind another name: what the release's server would be with a mistake.
LIAR = "v1.33.9+k3s1"
TOKEN = "planted" + "t" * 40
RELEASES = "/srv/releases"


def program(version: str) -> str:
    return "#!/usr/bin/python3\n" + STANDIN.read_text().replace("@VERSION@", version)


def sha256(version: str) -> str:
    return hashlib.sha256(program(version).encode()).hexdigest()


class Site:
    """Three hosts and a cluster on them, told by the plan of a stack, as the program would."""

    def __init__(self, ground: Ground, hosts: dict[str, Host]) -> None:
        self.ground, self.hosts = ground, hosts

    def plan(self, version: str = OLD, **changes: Any) -> Plan:
        agents = changes.pop("agents", ["node2"])
        both = {"amd64": sha256(version), "arm64": sha256(version)}
        raw = example(environment="staging")
        raw["hosts"] |= {
            name: {"address": host.address, "private_address": host.address} for name, host in self.hosts.items()
        }
        raw["cluster"] = {
            "servers": ["node1"], "agents": agents, "version": version, "sha256": both, "token": TOKEN,
            "binary_file": f"{RELEASES}/{version}/k3s", "api_address": "api.example.com", "ready_seconds": 120,
            "on_destroy": "remove", **changes,
        }  # fmt: skip
        return load_plan(raw)

    def run(self, name: str, action: Action = "apply", **changes: Any) -> Run:
        """Run ``name`` (a host, members or kubeconfig) of the cluster's plan."""
        declared = self.plan(**changes).cluster
        assert declared is not None
        run = next(each for each in declared.runs if each.name == f"cluster-{name}")
        return run_role(self.ground, self.hosts[run.host], run.role, run.settings, run.secrets, action=action)

    def sh(self, name: str, script: str, *, check: bool = True) -> str:
        return str(self.ground.exec(self.hosts[name], ["sh", "-ec", script], check=check).stdout)

    def nodes(self) -> dict[str, Any]:
        found = self.sh("node1", "k3s kubectl --kubeconfig /etc/rancher/k3s/k3s.yaml get nodes -o json")
        return {
            each["metadata"]["name"]: each["status"]["nodeInfo"]["kubeletVersion"]
            for each in json.loads(found)["items"]
        }

    def main_pid(self, name: str) -> str:
        return self.sh(name, "systemctl show -p MainPID --value 'k3s*.service'").strip()


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("k3s-role") as made:
        yield made


@pytest.fixture(scope="module")
def site(ground: Ground) -> Site:
    hosts = {name: ground.create_host(name, unsafe_dpkg=True) for name in ("node1", "node2", "node3")}
    made = Site(ground, hosts)
    for host in hosts.values():
        for version in (OLD, NEW, NEXT, LIAR):
            told = program(NEW if version == LIAR else version)
            path = f"{RELEASES}/{version}/k3s"
            ground.exec(
                host, ["sh", "-ec", f"mkdir -p {RELEASES}/{version}; cat >{path}; chmod 600 {path}"], input=told
            )
    return made


@pytest.fixture(scope="module")
def first(site: Site) -> Run:
    """The first run on the server; one that cannot work comes before it."""
    wrong = site.run("node1", sha256={"amd64": "0" * 64, "arm64": "0" * 64})
    assert wrong.code == 1
    assert "nothing was replaced" in wrong.error
    assert site.sh("node1", "ls -A /usr/local/bin; ls /etc/rancher /etc/systemd/system/k3s* 2>/dev/null || true") == ""
    return site.run("node1")


@pytest.fixture
def cluster(site: Site, first: Run) -> Site:
    """Server and agent as declared."""
    if site.run("members", "check").code != 0:
        for name in ("node1", "node2", "members"):
            done = site.run(name)
            assert done.code == 0, done.progress
    return site


def test_the_first_server_is_ready_and_its_token_is_in_a_file_of_root_only(first: Run, site: Site) -> None:
    assert (first.code, first.status) == (0, "changed"), first.progress
    assert first.summary["facts"]["ready"] is True
    assert site.nodes() == {"node1": OLD}
    assert site.sh("node1", "stat -c %a:%U /etc/rancher/k3s/cluster-token /etc/rancher/k3s/config.yaml").split() == [
        "600:root",
        "600:root",
    ]
    everywhere = "for f in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do tr '\\0' '\\n' <$f; done 2>/dev/null || true"
    assert TOKEN not in site.sh("node1", everywhere)
    assert TOKEN not in site.sh("node1", "journalctl -u k3s; cat /etc/rancher/k3s/config.yaml")
    assert TOKEN not in json.dumps(first.summary) + first.progress


def test_a_second_run_reports_no_change_and_restarts_nothing(cluster: Site) -> None:
    before = {name: cluster.main_pid(name) for name in ("node1", "node2")}
    for name in before:
        second = cluster.run(name)
        assert (second.code, second.status, second.summary["changed"]) == (0, "unchanged", []), second.progress
        assert cluster.run(name, "check").code == 0
    assert cluster.run("members").status == "unchanged"
    assert {name: cluster.main_pid(name) for name in before} == before


def test_a_further_node_joins_by_token_and_a_wrong_one_is_refused(cluster: Site) -> None:
    assert cluster.nodes() == {"node1": OLD, "node2": OLD}
    refused = cluster.run("node3", agents=["node2", "node3"], token="another" + "t" * 40)
    assert refused.code == 1
    assert "the server refuses the token" in refused.error
    assert "k3s did not run before and does not run now" in refused.error
    assert cluster.sh("node3", "ls /usr/local/bin /etc/rancher/k3s").split() == ["/etc/rancher/k3s:", "/usr/local/bin:"]
    assert "node3" not in cluster.nodes()


def test_a_node_that_is_told_the_ca_joins_that_cluster_only(cluster: Site) -> None:
    ca = cluster.sh("node1", "sed 's/^K10//; s/::.*//' /var/lib/rancher/k3s/server/token").strip()
    wrong = cluster.run("node3", agents=["node2", "node3"], ca_sha256="0" * 64)
    assert "the CA of the server is another one" in wrong.error
    joined = cluster.run("node3", agents=["node2", "node3"], ca_sha256=ca)
    assert joined.code == 0, joined.progress
    assert "node3" in cluster.nodes()


def test_a_node_no_longer_declared_is_drained_deleted_and_then_removed(cluster: Site) -> None:
    both: dict[str, Any] = {"agents": ["node2", "node3"]}
    assert cluster.run("node3", **both).code == 0
    assert cluster.run("members", **both).code == 0
    kept = cluster.run("members", on_destroy="keep")
    assert "on_destroy keep leaves it" in kept.summary["warnings"][0]
    assert "node3" in cluster.nodes()
    done = cluster.run("members")
    assert "node3 is no longer declared" in done.summary["changed"]
    assert "node3" not in cluster.nodes()
    assert cluster.sh("node1", "tail -1 /var/lib/rancher/k3s/server/db/drained").strip() == "node3"
    assert cluster.run("node3", "remove", **both).status == "removed"


def test_check_tells_what_was_changed_by_hand_and_changes_nothing(cluster: Site) -> None:
    cluster.sh(
        "node2", "echo '# by hand' >>/etc/rancher/k3s/config.yaml; systemctl stop k3s-agent; rm /usr/local/bin/k3s"
    )
    drift = cluster.run("node2", "check")
    assert (drift.code, drift.status) == (2, "drift")
    told = "; ".join(drift.summary["changed"])
    assert "config.yaml has other content" in told
    assert "k3s-agent.service does not run" in told
    assert "it is not here" in told
    assert cluster.sh("node2", "ls /usr/local/bin") == ""
    assert cluster.run("node2").code == 0
    assert cluster.run("node2", "check").code == 0


def test_a_download_is_compared_with_its_sum_before_it_is_made_a_program(cluster: Site) -> None:
    cluster.sh("node1", f"systemd-run -q --unit releases python3 -m http.server -b 127.0.0.1 -d {RELEASES} 8000")
    answers = 'import socket; socket.create_connection(("127.0.0.1", 8000))'
    cluster.sh("node1", f"for i in $(seq 50); do python3 -c '{answers}' 2>/dev/null && break; sleep 0.1; done")
    try:
        away: dict[str, Any] = {"binary_file": None, "download_url": "http://127.0.0.1:8000"}
        before = cluster.main_pid("node1")
        wrong = cluster.run("node1", version=NEW, sha256={"amd64": "1" * 64, "arm64": "1" * 64}, **away)
        assert "has the SHA-256" in wrong.error
        lies = cluster.run("node1", version=LIAR, sha256={"amd64": sha256(NEW), "arm64": sha256(NEW)}, **away)
        assert f"the program says it is {NEW}, not {LIAR}" in lies.error
        same = cluster.run("node1", version=LIAR, sha256={"amd64": sha256(OLD), "arm64": sha256(OLD)}, **away)
        assert f"is that of {OLD}, which is here" in same.error
        missing = cluster.run("node1", version="v1.33.8+k3s1", **away)
        assert "404" in missing.error
        assert cluster.main_pid("node1") == before
        assert cluster.sh("node1", "ls -A /usr/local/bin").split() == ["k3s"]
        cluster.sh("node1", "systemctl stop k3s; rm /usr/local/bin/k3s")
        assert cluster.run("node1", **away).code == 0
    finally:
        cluster.sh("node1", "systemctl stop releases")


def test_an_upgrade_saves_etcd_first_and_leaves_pods_running(cluster: Site) -> None:
    pod = cluster.sh("node1", "cat /run/k3s/pod")
    upgraded = cluster.run("node1", version=NEW)
    assert (upgraded.code, upgraded.status) == (0, "changed"), upgraded.progress
    assert cluster.nodes() == {"node1": NEW, "node2": OLD}
    assert "mailstack-upgrade-node1-" in cluster.sh("node1", "ls /var/lib/rancher/k3s/server/db/snapshots")
    assert cluster.sh("node1", f"cat /run/k3s/pod; cat /proc/{pod}/comm").startswith(pod)
    assert cluster.run("node2", version=NEW).code == 0
    assert cluster.run("members", version=NEW).summary["facts"]["version"] == NEW
    for name in ("node1", "node2"):
        assert cluster.run(name).code == 0, "back within a minor version"


@pytest.mark.parametrize(("name", "how"), [("node1", "exits"), ("node2", "never_ready")])
def test_an_upgrade_whose_node_does_not_get_ready_is_taken_back(cluster: Site, name: str, how: str) -> None:
    cluster.sh(name, f"echo '{json.dumps({how: [NEW]})}' >/etc/k3s-standin.json")
    try:
        failed = cluster.run(name, version=NEW, ready_seconds=120 if how == "exits" else 30)
    finally:
        cluster.sh(name, "rm /etc/k3s-standin.json")
    assert failed.code == 1
    assert "the node is ready with them" in failed.error
    assert cluster.nodes() == {"node1": OLD, "node2": OLD}
    assert cluster.run(name).status == "unchanged"
    assert "rollback" not in cluster.sh(name, "ls /var/lib/mailstack/k3s")


def test_a_minor_version_down_or_two_up_are_refused(cluster: Site) -> None:
    before = cluster.main_pid("node1")
    assert "does not go down" in cluster.run("node1", version="v1.32.9+k3s1").error
    assert "one minor version at a time" in cluster.run("node1", version="v1.35.0+k3s1").error
    assert cluster.main_pid("node1") == before


def test_another_token_or_network_is_refused_on_a_cluster_that_is_there(cluster: Site) -> None:
    assert "has another token" in cluster.run("node1", token="another" + "t" * 40).error
    assert "cluster-cidr" in cluster.run("node1", pod_network="10.52.0.0/16").error
    assert cluster.run("node1", "check").code == 0


def test_a_run_killed_in_the_middle_of_an_upgrade_is_mended_by_the_next(cluster: Site) -> None:
    # What kills the role is the restart it asks for, with new program and old process.
    killer = '#!/bin/sh\\ncase "$*" in *restart*k3s.service*) kill -9 $PPID;; esac\\nexec /usr/bin/systemctl "$@"\\n'
    cluster.sh("node1", f"printf '{killer}' >/usr/local/sbin/systemctl; chmod +x /usr/local/sbin/systemctl")
    try:
        assert cluster.run("node1", version=NEW).summary == {}
    finally:
        cluster.sh("node1", "rm /usr/local/sbin/systemctl")
    assert cluster.run("node1", "check").code == 2
    again = cluster.run("node1", version=NEW)
    assert (again.code, again.status) == (0, "changed"), again.progress
    assert cluster.nodes()["node1"] == NEW
    assert cluster.run("node1", version=NEW).status == "unchanged"
    assert cluster.run("node1").code == 0


def test_images_are_compared_and_put_where_k3s_looks_for_them(cluster: Site) -> None:
    cluster.sh("node2", "echo images >/srv/images.tar.zst")
    good = hashlib.sha256(b"images\n").hexdigest()
    kind = {"x86_64": "amd64", "aarch64": "arm64"}[cluster.sh("node2", "uname -m").strip()]
    images = [{"file": "/srv/images.tar.zst", "sha256": good, "architecture": kind}]
    wrong = cluster.run("node2", airgap_images=[{**images[0], "sha256": "2" * 64}])
    assert "has the SHA-256" in wrong.error
    assert cluster.run("node2", airgap_images=images).code == 0
    place = f"/var/lib/rancher/k3s/agent/images/mailstack-{good[:12]}-images.tar.zst"
    assert cluster.sh("node2", f"cat {place}") == "images\n"
    assert cluster.run("node2", airgap_images=images).status == "unchanged"
    assert cluster.run("node2").code == 0
    assert cluster.sh("node2", "ls /var/lib/rancher/k3s/agent/images") == ""


def test_registries_of_ours_come_and_go_and_a_file_of_somebody_else_stays(cluster: Site) -> None:
    place = "/etc/rancher/k3s/registries.yaml"
    mirror = {"name": "docker.io", "endpoints": ["https://registry.example.com"], "username": "me",
              "password": "planted-password"}  # fmt: skip
    told = cluster.run("node2", registries=[mirror])
    assert told.code == 0, told.progress
    assert "planted-password" not in told.progress + json.dumps(told.summary)
    assert "planted-password" in cluster.sh("node2", f"cat {place}")
    assert cluster.sh("node2", f"stat -c %a {place}").strip() == "600"
    assert cluster.run("node2").code == 0
    cluster.sh("node2", f"! test -e {place}; echo 'mirrors: {{}}' >{place}")
    assert cluster.run("node2").status == "unchanged"
    assert cluster.sh("node2", f"cat {place}; rm {place}") == "mirrors: {}\n"


def test_the_kubeconfig_is_told_once_as_a_secret_with_the_declared_address(cluster: Site, ground: Ground) -> None:
    declared = cluster.plan().cluster
    assert declared is not None
    from mailstack.reach.bundle import command_line, payload  # noqa: PLC0415 - this test alone reads standard output

    run = declared.kubeconfig_run
    document = payload(run.role, run.settings, run.secrets)

    def lines(action: Action) -> tuple[list[str], str]:
        done = ground.exec(cluster.hosts["node1"], ["bash", "-c", command_line(action)], input=document, check=False)
        return done.stdout.splitlines(), done.stderr

    told, progress = lines("apply")
    assert len(told) == 2
    secret = json.loads(told[0])["secret"]
    assert "server: https://api.example.com:6443" in secret
    assert "127.0.0.1" not in secret
    assert TOKEN in secret  # the stand-in's credential
    assert TOKEN not in told[1] + progress
    checked, progress = lines("check")
    assert len(checked) == 1
    assert TOKEN not in checked[0] + progress
    cluster.sh("node1", "sed -i 's/c3RhbmQtaW4=/cmVuZXdlZA==/' /etc/rancher/k3s/k3s.yaml")
    assert "is not the one k3s has now" in cluster.run("kubeconfig", "check").summary["changed"][0]
    cluster.sh("node1", "systemctl restart k3s")


def test_a_first_server_without_data_beside_one_that_runs_begins_no_second_cluster(cluster: Site) -> None:
    three: dict[str, Any] = {"servers": ["node3", "node1", "node2"], "agents": []}
    refused = cluster.run("node3", **three)
    assert "it would begin a second one" in refused.error


def test_a_k3s_of_somebody_else_is_left_alone(cluster: Site) -> None:
    cluster.sh("node3", "echo '[Service]' >/etc/systemd/system/k3s.service")
    try:
        assert "did not come from mailstack" in cluster.run("node3", agents=["node2", "node3"]).error
    finally:
        cluster.sh("node3", "rm /etc/systemd/system/k3s.service; mkdir -p /var/lib/rancher/k3s/server/db")
    try:
        assert "/var/lib/rancher/k3s/server/db" in cluster.run("node3", agents=["node2", "node3"]).error
    finally:
        cluster.sh("node3", "rm -r /var/lib/rancher")


def test_a_server_leaves_the_cluster_before_it_is_removed(cluster: Site) -> None:
    three: dict[str, Any] = {"servers": ["node1", "node3", "node2"], "agents": []}
    assert cluster.run("node3", **three).code == 0
    assert "node3" in cluster.nodes()
    removed = cluster.run("node3", "remove", **three)
    assert "node3 is out of the cluster" in removed.summary["changed"]
    assert "node3" not in cluster.nodes()


def test_removal_keeps_data_of_pods_unless_told_otherwise_and_leaves_the_host_as_it_was(cluster: Site) -> None:
    cluster.sh("node2", "mkdir -p /var/lib/rancher/k3s/storage/pvc-1; setsid sleep 1000001 >/dev/null 2>&1 &")
    refused = cluster.run("node2", "remove")
    assert refused.code == 1
    assert "pods have kept data in 1 volumes" in refused.error
    assert cluster.run("node2", "check").code == 0
    removed = cluster.run("node2", "remove", remove_volumes=True)
    assert (removed.code, removed.status) == (0, "removed"), removed.progress
    left = cluster.sh(
        "node2",
        "ls -d /etc/rancher/k3s /var/lib/rancher/k3s /run/k3s /usr/local/bin/k3s /etc/systemd/system/k3s* "
        "/var/lib/mailstack 2>/dev/null || true; pgrep -f '[c]ontainerd-shim' || true",
    )
    assert left == ""
    assert cluster.sh("node2", "pgrep -c sleep").strip() == "1", "only the pod's processes were ended, by parent"
    assert cluster.run("node2", "remove", remove_volumes=True).summary["changed"] == []
    for name in ("kubeconfig", "members", "node1"):
        assert cluster.run(name, "remove").status == "removed"
    assert cluster.sh("node1", "ls -A /usr/local/bin /var/lib/mailstack 2>/dev/null || true").split() == [
        "/usr/local/bin:"
    ]
