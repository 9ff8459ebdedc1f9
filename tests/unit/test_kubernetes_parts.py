"""What the rehearsal's cluster is made of, without one: ranges, names, volumes, control groups, leftovers."""

import ipaddress
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rehearsal.ground.state import process_start
from rehearsal.kubernetes import KubernetesError, cgroups, clean_leftovers
from rehearsal.kubernetes.addresses import POOL, free_addresses
from rehearsal.kubernetes.images import canonical
from rehearsal.kubernetes.record import Record
from rehearsal.kubernetes.volumes import CLASS, volume_for


def test_a_cluster_takes_a_range_that_is_free_and_its_parts_do_not_overlap() -> None:
    first = free_addresses([])
    second = free_addresses([ipaddress.IPv4Network(first.pods)])
    assert not first.whole.overlaps(second.whole)
    parts = [ipaddress.IPv4Network(part) for part in (second.pods, second.services, second.load_balancers)]
    parts.append(ipaddress.IPv4Network(f"{second.node}/24", strict=False))
    assert all(part.subnet_of(second.whole) for part in parts)
    assert not any(one.overlaps(other) for one in parts for other in parts if one is not other)
    with pytest.raises(KubernetesError, match="routed already"):
        free_addresses([POOL])


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("relay", "docker.io/library/relay:latest"),
        ("relay:1", "docker.io/library/relay:1"),
        ("mailstack/relay:1", "docker.io/mailstack/relay:1"),
        ("registry.test/relay:1", "registry.test/relay:1"),
        ("localhost:5000/relay", "localhost:5000/relay:latest"),
    ],
)
def test_an_image_is_looked_for_under_its_full_name(tag: str, name: str) -> None:
    assert canonical(tag) == name


def claim(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "data-relay-0",
            "namespace": "mail",
            "uid": "0-1",
            "annotations": {"volume.kubernetes.io/selected-node": "node1"},
        },
        "spec": {
            "storageClassName": CLASS,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            **spec,
        },
    }


def test_a_claim_gets_a_volume_once_its_pod_has_a_node() -> None:
    volume = volume_for(claim(), "/volumes", "node1")
    assert volume is not None
    assert volume["spec"]["local"]["path"] == "/volumes/pvc-0-1"
    assert volume["spec"]["claimRef"]["name"] == "data-relay-0"
    waiting = claim()
    waiting["metadata"]["annotations"] = {}
    assert volume_for(waiting, "/volumes", "node1") is None
    assert volume_for(claim(storageClassName="fast"), "/volumes", "node1") is None
    assert volume_for(claim(volumeName="pvc-0-1"), "/volumes", "node1") is None


MOUNTS_1 = """\
30 24 0:26 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/memory rw,relatime shared:10 - cgroup cgroup rw,memory
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_control_groups_of_both_versions_are_found(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS_1)
    found = cgroups.hierarchies(tmp_path / "none", mounts)
    assert [path.name for path in found] == ["memory", "cpu,cpuacct", "unified"]
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    assert cgroups.hierarchies(tmp_path, mounts) == [tmp_path]


def test_only_the_clusters_of_the_dead_are_leftovers(tmp_path: Path) -> None:
    Record.claim("alive", keep=False, root=tmp_path)
    with pytest.raises(KubernetesError, match="exists already"):
        Record.claim("alive", keep=False, root=tmp_path)
    with subprocess.Popen(["sleep", "60"]) as child:
        started = process_start(child.pid) or ""
        for name, keep in (("dead", False), ("kept", True)):
            record = Record.claim(name, keep=keep, root=tmp_path)
            record.owner, record.owner_start = 2**22 + 1, "1"  # above the largest process id there can be
            record.processes = [(child.pid, started)] if name == "dead" else []
            record.write(tmp_path)
        assert clean_leftovers(lambda _line: None, tmp_path) == ("dead",)
        assert child.wait(timeout=5) == -9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alive", "kept"]
