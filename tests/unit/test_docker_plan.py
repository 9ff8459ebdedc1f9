"""The Docker role's pure part: settings, packages, the daemon's configuration, the network, the signing key."""

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from docker import daemon_json, install, network, paths, planning, repository
from docker.facts import Facts
from rolelib.host import RoleError

SETTINGS: dict[str, Any] = {
    "source": "distribution",
    "network": {
        "name": "mailstack",
        "bridge": "br-mailstack",
        "subnet": "172.29.25.0/24",
        "gateway": "172.29.25.1",
    },
    "registry_mirrors": [],
}
DEBIAN = {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm", "PRETTY_NAME": "Debian 12"}
UBUNTU = {"ID": "ubuntu", "VERSION_ID": "24.04", "VERSION_CODENAME": "noble"}
ROCKY = {"ID": "rocky", "VERSION_ID": "9.4", "PRETTY_NAME": "Rocky Linux 9.4"}
INSPECTED: dict[str, Any] = {
    "Name": "mailstack",
    "Id": "7e8011a205f6388825c54de84b9e35fd",
    "Driver": "bridge",
    "IPAM": {"Config": [{"Subnet": "172.29.25.0/24", "Gateway": "172.29.25.1"}]},
    "Options": {network.BRIDGE_OPTION: "br-mailstack", network.MTU_OPTION: "1500"},
}
ROUTES = [
    {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"},
    {"dst": "192.0.2.0/24", "dev": "eth0"},
    {"type": "local", "dst": "192.0.2.10", "dev": "eth0", "table": "local"},
    {"type": "broadcast", "dst": "172.29.25.255", "dev": "eth0", "table": "local"},
    {"dst": "172.29.25.0/24", "dev": "br-mailstack"},
    {"type": "local", "dst": "172.29.25.1", "dev": "br-mailstack", "table": "local"},
    {"dst": "172.17.0.0/16", "dev": "docker0"},
]


def settings(**changes: Any) -> dict[str, Any]:
    made = copy.deepcopy(SETTINGS)
    made["network"].update(changes.pop("network", {}))
    return {**made, **changes}


def wanted(**changes: Any) -> planning.Desired:
    return planning.desired(settings(**changes))


def fresh(release: dict[str, str] | None = None) -> Facts:
    """A host without Docker."""
    release = DEBIAN if release is None else release
    facts = Facts("dnf" if release is ROCKY else "apt", release, {})
    facts.routes = ROUTES[:4]
    return facts


def done(**changes: Any) -> Facts:
    """A host on which the role has run."""
    facts = Facts("apt", DEBIAN, {"docker.io": "20.10.24", "docker-compose": "1.29.2"})
    facts.command = facts.unit = facts.active = facts.enabled = facts.network_unit_ready = True
    facts.engine = "20.10.24"
    facts.compose = ["docker-compose"]
    facts.daemon_json = daemon_json.render(daemon_json.merged({}, [], False, False))
    facts.network = copy.deepcopy(INSPECTED)
    facts.routes = ROUTES
    facts.interfaces = ["br-mailstack", "docker0", "eth0", "lo"]
    facts.network_unit = network.unit(wanted().network)
    for name, value in changes.items():
        setattr(facts, name, value)
    return facts


def steps(facts: Facts, desired: planning.Desired | None = None, warnings: list[str] | None = None) -> list[str]:
    return [step for step, _ in planning.plan(facts, desired or wanted(), [] if warnings is None else warnings)]


# -- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "snap"}, "source 'snap' is none of"),
        ({"registry_mirrors": ["mirror.example.com"]}, "no URL"),
        ({"network": {"name": "host"}}, "network name 'host' is not free"),
        ({"network": {"bridge": "br-a-name-too-long"}}, "no interface name"),
        ({"network": {"subnet": "172.29.25.1/24"}}, "has host bits set"),
        ({"network": {"gateway": "172.29.26.1"}}, "gateway 172.29.26.1 is not an address for a host"),
        ({"network": {"gateway": "172.29.25.0"}}, "gateway 172.29.25.0 is not an address for a host"),
        ({"network": {"gateway": "172.29.25.255"}}, "gateway 172.29.25.255 is not an address for a host"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RoleError, match=message):
        wanted(**changes)


# -- plan -------------------------------------------------------------------------------------------------


def test_a_host_as_declared_has_nothing_to_do() -> None:
    warnings: list[str] = []
    assert steps(done(), warnings=warnings) == []
    assert warnings == []


def test_a_fresh_host_gets_everything_in_order() -> None:
    assert steps(fresh()) == ["packages", "daemon", "service", "service", "network", "unit"]


@pytest.mark.parametrize("source", ["distribution", "docker"])
def test_rhel_and_its_kin_have_no_docker_so_it_comes_from_dockers_repository(source: str) -> None:
    rocky, asked = fresh(ROCKY), wanted(source=source)
    assert planning.source_of(rocky, asked) == "docker"
    assert planning.plan(rocky, asked, [])[0] == (
        "packages",
        "Docker Engine and Compose are not installed (source: docker)",
    )
    warnings: list[str] = []
    assert steps(done(release=ROCKY, family="dnf", packages={"docker-ce": "28.1"}), asked, warnings) == []
    assert warnings == []
    assert planning.source_of(fresh(), wanted()) == "distribution"


@pytest.mark.parametrize(
    ("packages", "source"),
    [({"docker-ce": "28.1"}, "distribution"), ({"docker.io": "20.10"}, "docker"), ({}, "docker")],
)
def test_a_working_docker_from_elsewhere_is_used_with_a_warning(packages: dict[str, str], source: str) -> None:
    warnings: list[str] = []
    assert steps(done(packages=packages), wanted(source=source), warnings) == []
    assert "used as it is" in warnings[0]


def test_only_compose_is_installed_where_only_compose_is_missing() -> None:
    found = planning.plan(done(compose=[]), wanted(), [])
    assert found == [("packages", "Compose is not installed beside docker.io")]


def test_a_binary_docker_without_compose_is_not_touched() -> None:
    with pytest.raises(RoleError, match="without a package"):
        steps(done(compose=[], packages={}))


def test_a_docker_without_its_unit_is_refused_and_a_lone_client_does_not_count() -> None:
    with pytest.raises(RoleError, match=r"not as docker\.service"):
        steps(done(unit=False, packages={}))
    client = fresh()
    client.command = True
    assert steps(client) == steps(fresh())


def test_podman_in_dockers_clothes_is_refused() -> None:
    with pytest.raises(RoleError, match="podman-docker"):
        steps(done(packages={"podman-docker": "4"}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"active": False, "engine": None, "network": None}, ["service", "network"]),
        ({"engine": None, "network": None}, ["service", "network"]),
        ({"enabled": False}, ["service"]),
        ({"daemon_json": None}, ["daemon"]),
        ({"network": None, "interfaces": ["eth0"]}, ["network"]),
        ({"network_unit": "old"}, ["unit"]),
        ({"network_unit_ready": False}, ["unit"]),
        ({"interrupted": True}, ["resume"]),
        ({"mtu": 1400}, ["network"]),
    ],
)
def test_every_difference_is_one_step(changes: dict[str, Any], expected: list[str]) -> None:
    assert steps(done(**changes)) == expected


def test_enforcing_selinux_labels_containers_and_says_when_docker_does_not() -> None:
    warnings: list[str] = []
    facts = done(selinux_enforcing=True, info={"SecurityOptions": ["name=seccomp,profile=default"]})
    found = planning.plan(facts, wanted(), warnings)
    assert found == [("daemon", f"{paths.DAEMON_JSON} needs selinux-enabled")]
    assert "SELinux is enforcing" in warnings[0]


# -- network ----------------------------------------------------------------------------------------------


def test_a_subnet_the_host_already_reaches_is_refused_before_anything_is_made() -> None:
    facts = fresh()
    facts.routes = [*ROUTES[:4], {"dst": "172.29.0.0/16", "dev": "tun0"}]
    with pytest.raises(RoleError, match=r"overlaps what this host already reaches: 172\.29\.0\.0/16 on tun0"):
        steps(facts)


def test_the_networks_own_bridge_is_no_overlap_even_under_another_name() -> None:
    inspected = copy.deepcopy(INSPECTED)
    inspected["Options"] = {}
    own = "br-" + INSPECTED["Id"][:12]
    facts = done(network=inspected, routes=[*ROUTES[:4], {"dst": "172.29.25.0/24", "dev": own}], interfaces=[own])
    assert steps(facts) == ["network"]


def test_a_foreign_interface_of_that_name_is_refused() -> None:
    facts = fresh()
    facts.interfaces = ["br-mailstack", "eth0"]
    with pytest.raises(RoleError, match="belongs to something else"):
        steps(facts)


def test_another_subnet_is_an_error_while_containers_use_the_network_and_else_mended() -> None:
    other = wanted(network={"subnet": "172.29.30.0/24", "gateway": "172.29.30.1"})
    facts = done(network_unit=network.unit(other.network), users=["postal-web"])
    with pytest.raises(RoleError, match=r"subnet 172\.29\.25\.0/24, not 172\.29\.30\.0/24.*postal-web"):
        steps(facts, other)
    facts.users = []
    assert steps(facts, other) == ["network"]


def test_another_mtu_is_only_a_warning_while_containers_use_the_network() -> None:
    warnings: list[str] = []
    assert steps(done(mtu=1400, users=["postal-web"]), warnings=warnings) == []
    assert "MTU 1500, not 1400" in warnings[0]


def test_an_ipv6_subnet_somebody_added_does_not_matter() -> None:
    inspected = copy.deepcopy(INSPECTED)
    inspected["IPAM"]["Config"].insert(0, {"Subnet": "fd00::/64"})
    assert network.differences(wanted().network, 1500, inspected) == ([], [])


def test_the_unit_waits_for_the_gateway_on_the_bridge() -> None:
    text = network.unit(wanted().network)
    assert "After=docker.service" in text
    assert 'ip -4 -o address show dev br-mailstack | grep -qF " 172.29.25.1/"' in text


# -- daemon.json ------------------------------------------------------------------------------------------


def test_foreign_keys_stay_and_ours_are_added() -> None:
    found = daemon_json.merged(
        {"data-root": "/srv/docker", "debug": True}, ["https://mirror.example.com"], False, False
    )
    assert found == {
        "data-root": "/srv/docker",
        "debug": True,
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "5"},
        "registry-mirrors": ["https://mirror.example.com"],
    }
    assert daemon_json.merged(found, ["https://mirror.example.com"], False, False) == found


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ({"log-driver": "journald"}, None),
        ({"log-opts": {"max-size": "1g"}}, {"max-size": "1g", "max-file": "5"}),
        ({"log-driver": "json-file", "log-opts": {"labels": "x"}}, {"labels": "x", "max-size": "10m", "max-file": "5"}),
    ],
)
def test_log_settings_somebody_chose_are_respected(current: dict[str, Any], expected: dict[str, str] | None) -> None:
    assert daemon_json.merged(current, [], False, False).get("log-opts") == expected


def test_mirrors_nobody_declares_are_left_as_they_are() -> None:
    assert daemon_json.merged({"registry-mirrors": ["https://m"]}, [], False, False)["registry-mirrors"] == [
        "https://m"
    ]


def test_a_swarm_keeps_live_restore_off_because_docker_would_not_start() -> None:
    warnings: list[str] = []
    facts = done(daemon_json="{}", info={"Swarm": {"LocalNodeState": "active"}})
    assert "live-restore" not in planning.daemon_configuration(facts, wanted())
    planning.plan(facts, wanted(), warnings)
    assert "swarm" in warnings[0]


@pytest.mark.parametrize(
    ("change", "restart"),
    [
        ({"live-restore": True}, False),
        ({"registry-mirrors": ["https://m"]}, False),
        ({"log-driver": "json-file"}, True),
        ({"selinux-enabled": True}, True),
    ],
)
def test_the_daemon_is_restarted_only_for_what_a_reload_does_not_read(change: dict[str, Any], *, restart: bool) -> None:
    assert daemon_json.needs_restart({}, change) is restart


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[1]", "not an object")])
def test_a_broken_daemon_json_is_named_and_left_alone(text: str, message: str) -> None:
    with pytest.raises(RoleError, match=message):
        steps(done(daemon_json=text))


def test_an_empty_daemon_json_counts_as_none() -> None:
    assert daemon_json.parse(" \n", "x") == {}
    assert json.loads(daemon_json.render({"b": 1, "a": 2})) == {"a": 2, "b": 1}


# -- packages ---------------------------------------------------------------------------------------------

POLICY = """\
docker.io:
  Installed: (none)
  Candidate: 20.10.24+dfsg1-1+b6
  Version table:
     20.10.24+dfsg1-1+b6 500
docker-compose-v2:
  Installed: (none)
  Candidate: (none)
docker-compose:
  Installed: 1.29.2-3
  Candidate: 1.29.2-3
"""


def test_candidates_are_read_from_apt_cache() -> None:
    assert install.candidates(POLICY) == {"docker.io", "docker-compose"}
    assert install.candidates("") == set()


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        ({"docker.io", "docker-compose"}, ["docker.io", "docker-compose"]),  # Debian 12
        ({"docker.io", "docker-compose", "docker-compose-v2"}, ["docker.io", "docker-compose-v2"]),  # Ubuntu
        ({"docker.io", "docker-cli", "docker-compose"}, ["docker.io", "docker-cli", "docker-compose"]),  # Debian 13
    ],
)
def test_every_distribution_gets_its_packages(available: set[str], expected: list[str]) -> None:
    assert install.distribution_packages(available, False) == expected
    assert install.distribution_packages(available, True) == expected[-1:]


def test_a_distribution_without_compose_is_an_error_that_names_the_way_out() -> None:
    with pytest.raises(RoleError, match="set postal\\.docker\\.source to docker"):
        install.distribution_packages({"docker.io"}, False)


# -- Docker's repository ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "folder", "place"),
    [
        (DEBIAN, "debian", "URIs: https://download.docker.com/linux/debian\nSuites: bookworm\n"),
        (UBUNTU, "ubuntu", "URIs: https://download.docker.com/linux/ubuntu\nSuites: noble\n"),
        (ROCKY, "centos", "baseurl=https://download.docker.com/linux/centos/9/$basearch/stable\n"),
        ({"ID": "rhel", "VERSION_ID": "8.10"}, "rhel", "baseurl=https://download.docker.com/linux/rhel/8/$basearch/"),
    ],
)
def test_every_system_has_its_repository(release: dict[str, str], folder: str, place: str) -> None:
    assert repository.repository_folder(release) == folder
    key, source = repository.files(release, "amd64", "KEY")
    assert key.content == "KEY"
    assert place in source.content
    assert key.path in source.content


def test_a_system_docker_does_not_serve_is_refused() -> None:
    with pytest.raises(RoleError, match="nothing for 'arch'"):
        repository.repository_folder({"ID": "arch"})


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg")
def test_fingerprints_are_those_gpg_says(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    gpg = ["gpg", "--batch", "--homedir", str(tmp_path), "--quiet"]
    for name, kind in (("one", "rsa2048"), ("two", "ed25519")):
        make = [*gpg, "--passphrase", "", "--quick-generate-key", f"{name}@example.com", kind]
        subprocess.run(make, check=True, capture_output=True)
    listing = subprocess.run([*gpg, "--with-colons", "--list-keys"], check=True, capture_output=True, text=True).stdout
    lines = [line.split(":") for line in listing.splitlines()]
    expected = [lines[number + 1][9] for number, line in enumerate(lines) if line[0] == "pub"]
    armoured = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True, text=True).stdout
    assert repository.fingerprints(armoured) == expected
    subprocess.run(["gpgconf", "--homedir", str(tmp_path), "--kill", "all"], check=False)


@pytest.mark.parametrize("text", ["", "not a key", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP"])
def test_what_is_no_key_has_no_fingerprint(text: str) -> None:
    assert repository.fingerprints(text) == []
