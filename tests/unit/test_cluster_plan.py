"""What the plan tells each node, the firewall and the preflight; and the role's pure parts."""

import json
from typing import Any

import pytest
import yaml

from k3s import node, paths, processes, rendering, versions
from k3s.desired import Desired
from k3s_kubeconfig.role import with_server
from mailstack.plan import ClusterPlan, Plan, load_plan
from mailstack.plan.shown import Secret
from rolelib.host import RoleError
from tests.unit.cluster_examples import SHA256, TOKEN, cluster_example, single
from tests.unit.mistakes import changed
from tests.unit.plan_parts import role_settings
from tests.unit.stack_examples import example


def cluster(**changes: Any) -> ClusterPlan:
    plan = planned(**changes)
    assert plan.cluster is not None
    return plan.cluster


def planned(**changes: Any) -> Plan:
    return load_plan(changed(cluster_example(), {f"cluster.{key}": value for key, value in changes.items()}))


def config(name: str, **changes: Any) -> dict[str, Any]:
    return dict(next(run for run in cluster(**changes).node_runs if run.host == name).settings["config"])


# -- the plan ---------------------------------------------------------------------------------------------


def test_servers_come_before_agents_and_the_whole_after_its_nodes() -> None:
    assert [run.name for run in cluster().runs] == [
        "cluster-node1",
        "cluster-node2",
        "cluster-node3",
        "cluster-node4",
        "cluster-members",
        "cluster-kubeconfig",
    ]
    names = [run.name for run in planned().runs()]
    assert names.index("node4-preflight") < names.index("cluster-node1")


def test_a_stack_without_a_cluster_has_none() -> None:
    assert load_plan(example()).cluster is None


def test_only_the_first_server_begins_a_cluster_and_the_others_join_it() -> None:
    assert config("node1")["cluster-init"] is True
    assert "server" not in config("node1")
    for name in ("node2", "node3", "node4"):
        assert "cluster-init" not in config(name)
        assert config(name)["server"] == "https://10.0.0.1:6443"
    assert "cluster-cidr" not in config("node4"), "an agent has no such option"


def test_the_apis_certificate_holds_the_declared_name_and_every_server() -> None:
    names = config("node2", tls_san=["other.example.com"])["tls-san"]
    assert names == ["kube.example.com", "10.0.0.1", "10.0.0.2", "10.0.0.3", "other.example.com"]


def test_labels_reach_their_node_only() -> None:
    labels = {"node4": {"zone": "a", "example.com/mail": "yes"}}
    assert config("node4", node_labels=labels)["node-label"] == ["example.com/mail=yes", "zone=a"]
    assert "node-label" not in config("node1", node_labels=labels)


def test_the_kubeconfig_names_the_declared_address_and_else_that_of_ssh() -> None:
    assert cluster().kubeconfig_run.settings == {"server": "https://kube.example.com:6443"}
    alone = load_plan(single()).cluster
    assert alone is not None
    assert alone.kubeconfig_run.settings == {"server": "https://relay.example.com:6443"}


def test_only_the_kubeconfig_is_told_as_a_secret() -> None:
    assert [run.name for run in planned().runs() if run.secret_output] == ["cluster-kubeconfig"]


def test_the_token_is_shown_as_a_secret_and_is_in_no_setting() -> None:
    plan = cluster(registries=[{"name": "docker.io", "endpoints": ["https://r.example.com"], "username": "me",
                                "password": "planted-password"}])  # fmt: skip
    for run in plan.runs:
        assert TOKEN not in json.dumps(run.settings) + repr(run)
        assert "planted-password" not in json.dumps(run.settings) + repr(run)
    assert plan.shown["token"] == Secret(TOKEN)
    assert plan.shown["registry_passwords/docker.io"] == Secret("planted-password")


def test_an_upgrade_is_seen_as_one_line() -> None:
    before, after = cluster().shown, cluster(version="v1.33.6+k3s1").shown
    assert {key for key in after if before.get(key) != after[key]} == {"version", "members/version"}


def test_nodes_that_join_unchecked_are_reported_until_the_ca_is_told() -> None:
    assert [line for line in planned().warnings if "cluster.ca_sha256" in line]
    assert not [line for line in planned(ca_sha256=SHA256).warnings if "cluster.ca_sha256" in line]
    assert not [line for line in load_plan(single()).warnings if "cluster.ca_sha256" in line], "nobody joins"


# -- firewall and preflight -------------------------------------------------------------------------------


def guarded(**changes: Any) -> Plan:
    walls = {f"hosts.node{number}.firewall": "ufw" for number in (1, 2, 3, 4)}
    return load_plan(
        changed(cluster_example(), {**walls, **{f"cluster.{key}": value for key, value in changes.items()}})
    )


def test_the_ports_of_a_cluster_are_open_between_its_hosts_only() -> None:
    plan = guarded()
    others = {"node1": ["10.0.0.2/32", "10.0.0.3/32", "10.0.0.4/32"], "node4": [f"10.0.0.{n}/32" for n in (1, 2, 3)]}
    server = {entry["port"]: entry for entry in role_settings(plan, "firewall", "node1")["allow"]}
    assert {port: entry["sources"] for port, entry in server.items()} == {
        6443: others["node1"],
        2379: others["node1"][:2],
        2380: others["node1"][:2],
        10250: others["node1"],
        8472: others["node1"],
    }
    assert server[8472]["protocol"] == "udp"
    agent = role_settings(plan, "firewall", "node4")
    assert {entry["port"]: entry["sources"] for entry in agent["allow"]} == {
        10250: others["node4"],
        8472: others["node4"],
    }
    assert agent["trusted_networks"] == ["10.42.0.0/16", "10.43.0.0/16"]


def test_users_of_the_api_are_let_in_where_they_are_declared() -> None:
    plan = guarded(api_networks=["198.51.100.0/24"])
    allowed = {entry["port"]: entry["sources"] for entry in role_settings(plan, "firewall", "node2")["allow"]}
    assert "198.51.100.0/24" in allowed[6443]
    assert "198.51.100.0/24" not in allowed[10250]


def test_a_node_is_asked_for_memory_kernel_ports_and_the_way_to_the_release() -> None:
    plan = planned()
    server, agent = (role_settings(plan, "preflight", name) for name in ("node1", "node4"))
    assert (server["minimum_memory_mb"], agent["minimum_memory_mb"]) == (2048, 512)
    assert server["kernel_modules"] == agent["kernel_modules"] == ["br_netfilter", "overlay"]
    assert {(entry["port"], entry["holder"]) for entry in server["ports"]} == {
        (6443, "k3s"),
        (2379, "k3s"),
        (2380, "k3s"),
        (10250, "k3s"),
    }
    assert [(entry["port"], entry["holder"]) for entry in agent["ports"]] == [(10250, "k3s-agent")]
    assert server["outbound"] == [{"host": "github.com", "port": 443}]
    assert role_settings(planned(binary_file="/srv/k3s"), "preflight", "node1")["outbound"] == []
    assert "kernel_modules" not in role_settings(plan, "preflight", "relay1")


# -- the role's pure parts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("v1.33.4+k3s1", "v1.33.5+k3s1", None),
        ("v1.33.5+k3s1", "v1.33.4+k3s1", None),
        ("v1.33.5+k3s1", "v1.33.5+k3s2", None),
        ("v1.9.5+k3s1", "v1.10.0+k3s1", None),
        ("v1.33.5+k3s1", "v1.34.0+k3s1", None),
        ("v1.33.5+k3s1", "v1.32.9+k3s1", "does not go down"),
        ("v1.33.5+k3s1", "v1.35.0+k3s1", "one minor version at a time"),
    ],
)
def test_a_node_goes_one_minor_version_up_and_none_down(old: str, new: str, problem: str | None) -> None:
    found = versions.step_problem(old, new)
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_the_version_is_read_from_what_k3s_prints() -> None:
    assert versions.of_output("k3s version v1.33.5+k3s1 (fab4a5c3)\ngo version go1.24.6\n") == "v1.33.5+k3s1"
    assert versions.of_output("Usage: k3s\n") is None


def desired(machine: str = "x86_64", host: str = "node2", **changes: Any) -> Desired:
    run = next(each for each in cluster(**changes).node_runs if each.host == host)
    return Desired(dict(run.settings), dict(run.secrets), machine, selinux=False)


def test_each_architecture_gets_its_own_program_and_images() -> None:
    sums = {"amd64": SHA256, "arm64": "b" * 64}
    images = [{"file": f"/srv/{kind}.tar.zst", "sha256": SHA256, "architecture": kind} for kind in sums]
    amd, arm = (desired(machine, sha256=sums, airgap_images=images) for machine in ("x86_64", "aarch64"))
    base = "https://github.com/k3s-io/k3s/releases/download/v1.33.5%2Bk3s1"
    assert (amd.url, amd.sha256) == (f"{base}/k3s", SHA256)
    assert (arm.url, arm.sha256) == (f"{base}/k3s-arm64", "b" * 64)
    assert [image.source for image in arm.images] == ["/srv/arm64.tar.zst"]
    assert amd.images[0].path == f"{paths.IMAGES}/mailstack-{'a' * 12}-amd64.tar.zst"
    with pytest.raises(RoleError, match="no sum for arm64"):
        desired("aarch64")


def test_a_joining_node_checks_the_ca_where_it_is_told_and_the_first_cannot() -> None:
    def token(host: str) -> str:
        return next(file.content for file in desired(host=host, ca_sha256="c" * 64).files if file.path == paths.TOKEN)

    assert token("node2") == f"K10{'c' * 64}::server:{TOKEN}\n"
    assert token("node1") == f"{TOKEN}\n"


def test_the_configuration_is_yaml_with_the_texts_as_they_were_meant() -> None:
    wanted = {"node-name": "on", "tls-san": ["kube.example.com", "10.0.0.1"], "secrets-encryption": True, "disable": []}
    assert yaml.safe_load(rendering.config_yaml(wanted)) == wanted
    for name in ("node1", "node4"):
        assert yaml.safe_load(rendering.config_yaml(config(name))) == config(name)


def test_a_mirror_with_a_login_is_written_as_containerd_reads_it() -> None:
    registries = {
        "mirrors": {"docker.io": ["https://registry.example.com:5000"], "*": ["http://10.0.0.9"]},
        "logins": {"docker.io": {"username": "me", "ca_file": "/etc/ssl/ca.pem"}},
    }
    assert yaml.safe_load(rendering.registries_yaml(registries, {"docker.io": 'p"w'})) == {
        "mirrors": {
            "docker.io": {"endpoint": ["https://registry.example.com:5000"]},
            "*": {"endpoint": ["http://10.0.0.9"]},
        },
        "configs": {
            "registry.example.com:5000": {
                "auth": {"username": "me", "password": 'p"w'},
                "tls": {"ca_file": "/etc/ssl/ca.pem"},
            }
        },
    }
    assert rendering.registries_yaml({"mirrors": {}, "logins": {}}, {}) == ""


def test_the_unit_keeps_to_the_contract_of_k3s_and_shows_no_token() -> None:
    text = rendering.unit("agent")
    for line in (
        "Type=notify", "KillMode=process", "Delegate=yes", "TimeoutStartSec=0", "Restart=always", "RestartSec=5s",
        "LimitNOFILE=1048576", "LimitNPROC=infinity", "TasksMax=infinity", "ExecStart=/usr/local/bin/k3s agent",
    ):  # fmt: skip
        assert line in text.splitlines()
    assert "token" not in text.lower()


READY = {"type": "Ready", "status": "True", "message": "", "lastHeartbeatTime": "2026-11-29T00:00:10Z"}
HEARD = 1795910410.0


def shown(version: str = "v1.33.5+k3s1", **condition: str) -> dict[str, Any]:
    return {"status": {"nodeInfo": {"kubeletVersion": version}, "conditions": [{**READY, **condition}]}}


@pytest.mark.parametrize(
    ("found", "since", "trouble"),
    [
        (shown(), 0.0, None),
        (shown(), HEARD + 0.9, None),
        (shown(), HEARD + 1, "has not reported since the start"),
        (shown("v1.33.4+k3s1"), 0.0, "runs v1.33.4+k3s1"),
        (shown(status="False", message="cni plugin not initialized"), 0.0, "cni plugin not initialized"),
        (shown(status="Unknown"), 0.0, "not Ready"),
        (None, 0.0, "does not show the node"),
    ],
)
def test_a_node_is_ready_when_it_says_so_itself_with_the_new_version(
    found: dict[str, Any] | None, since: float, trouble: str | None
) -> None:
    said = node.trouble(found, "v1.33.5+k3s1", since)
    assert (said is None) if trouble is None else (said is not None and trouble in said)


def test_processes_are_told_by_their_unit_not_by_a_name_like_it() -> None:
    assert processes.in_unit("0::/system.slice/k3s.service\n", "k3s.service")
    assert processes.in_unit("1:name=systemd:/system.slice/k3s.service/pod\n", "k3s.service")
    assert not processes.in_unit("0::/system.slice/my-k3s.service\n", "k3s.service")
    assert not processes.in_unit("0::/user.slice/k3s.service.d\n", "k3s.service")


KUBECONFIG = """apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: c2VydmVyOiBodHRwczovLzEyNy4wLjAuMTo2NDQz
    server: https://127.0.0.1:6443
  name: default
"""


def test_only_the_address_of_a_kubeconfig_is_replaced() -> None:
    told = with_server(KUBECONFIG, "https://[2001:db8::1]:6443")
    assert yaml.safe_load(told)["clusters"][0]["cluster"]["server"] == "https://[2001:db8::1]:6443"
    assert told.replace("https://[2001:db8::1]:6443", "https://127.0.0.1:6443") == KUBECONFIG
    with pytest.raises(RoleError, match="names 2 clusters"):
        with_server(KUBECONFIG * 2, "https://kube.example.com:6443")
