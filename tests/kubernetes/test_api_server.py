"""The API server alone accepts what a cluster accepts, and refuses the rest with its reason."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from rehearsal.ground.state import CHECKOUT, process_start
from rehearsal.kubernetes import ApiServer, KubernetesError, clean_leftovers, missing
from rehearsal.kubernetes.record import CLUSTERS, Record

Object = dict[str, Any]


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    reason = missing(api_server=True)
    if reason is not None:
        pytest.skip(reason)
    with ApiServer("api-server-tests") as running:
        yield running


def deployment(**container: Any) -> Object:
    main = {"name": "main", "image": "example.invalid/main:1", **container}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "relay", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "relay"}},
            "template": {"metadata": {"labels": {"app": "relay"}}, "spec": {"containers": [main]}},
        },
    }


def test_a_valid_object_is_accepted_and_kept(api: ApiServer) -> None:
    assert "created" in api.apply([deployment()])
    assert "unchanged" in api.apply([deployment()])
    assert api.get("deployment", "relay")["spec"]["replicas"] == 1


def test_an_unknown_field_is_refused_by_the_server(api: ApiServer) -> None:
    with pytest.raises(KubernetesError, match=r'unknown field "spec.template.spec.containers\[0\].memory"'):
        api.apply([deployment(memory="1Gi")], "--dry-run=server")


def test_a_wrong_value_is_refused(api: ApiServer) -> None:
    with pytest.raises(KubernetesError, match="must be less than or equal to memory limit"):
        api.apply(
            [deployment(resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}})], "--dry-run=server"
        )


def test_pod_security_warns_and_refuses(api: ApiServer) -> None:
    api.kubectl("create", "namespace", "strict")
    api.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "loose", "namespace": "strict"},
        "spec": {"containers": [{"name": "main", "image": "example.invalid/main:1"}]},
    }
    with pytest.raises(KubernetesError, match='violates PodSecurity "restricted:latest"'):
        api.apply([pod])


def test_a_deletion_in_the_foreground_ends(api: ApiServer) -> None:
    api.kubectl("create", "namespace", "gone")
    api.kubectl("create", "configmap", "paint", "--namespace=gone")
    api.kubectl("delete", "configmap", "paint", "--namespace=gone", "--cascade=foreground", "--timeout=30s")
    api.kubectl("delete", "namespace", "gone", "--timeout=30s")
    assert api.try_kubectl("get", "namespace", "gone").returncode != 0


DYING = """
import os
from rehearsal.kubernetes import ApiServer
ApiServer("api-server-tests-dying").__enter__()
os.kill(os.getpid(), 9)
"""


def test_a_killed_run_leaves_nothing_after_the_next_start(api: ApiServer) -> None:
    subprocess.run([sys.executable, "-c", DYING], cwd=CHECKOUT, check=False)
    record = Record.read(CLUSTERS / "api-server-tests-dying")
    assert record is not None
    assert len(record.processes) == 3
    assert clean_leftovers(lambda _line: None) == ("api-server-tests-dying",)
    assert not any(process_start(pid) == started for pid, started in record.processes)
    assert not (CLUSTERS / "api-server-tests-dying").exists()
    assert api.get("namespace", "default")["status"]["phase"] == "Active"
