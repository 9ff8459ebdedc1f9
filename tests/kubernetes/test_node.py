"""The rehearsal's cluster keeps the promises of a cluster that the relay's manifests build on."""

import ipaddress
import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rehearsal.ground import Ground
from rehearsal.ground.docker import docker, docker_try
from rehearsal.ground.state import CHECKOUT, process_start
from rehearsal.kubernetes import Cluster, KubernetesError, cgroups, clean_leftovers
from rehearsal.kubernetes.addresses import Addresses
from rehearsal.kubernetes.images import of_programs
from rehearsal.kubernetes.programs import PROGRAMS
from rehearsal.kubernetes.record import CLUSTERS, Record
from rehearsal.waiting import wait_for
from tests.kubernetes.toolbox import TOOLS, container, pod, serving, web_page

pytestmark = pytest.mark.hosts

Object = dict[str, Any]


def run_pods(cluster: Cluster, namespace: str, *pods: Object) -> None:
    cluster.apply(pods)
    cluster.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--namespace", namespace, "--timeout=60s")


def in_pod(cluster: Cluster, namespace: str, name: str, script: str) -> str:
    return cluster.kubectl("exec", "--namespace", namespace, name, "--", "/busybox", "sh", "-c", script).strip()


def service(name: str, namespace: str, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"name": name}, "ports": [{"port": 80, "targetPort": 8080}], **spec},
    }


def policy(name: str, namespace: str, of: str, **spec: Any) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {"matchLabels": {"name": of}}, **spec},
    }


def test_the_node_is_ready_and_has_figures(cluster: Cluster) -> None:
    cluster.wait_ready(metrics=True)
    node = cluster.get("node", cluster.node_name)
    pinned = next(
        line.split()[1]
        for line in (CHECKOUT / "tools/kubernetes/go.mod").read_text().splitlines()
        if line.strip().startswith("k8s.io/kubernetes ")
    )
    assert node["status"]["nodeInfo"]["kubeletVersion"] == pinned
    assert cluster.node_name in cluster.kubectl("top", "node")


def test_a_claim_outlives_its_pod_and_new_replicas_get_their_own(cluster: Cluster, namespace: str) -> None:
    def pods(count: int) -> list[Object]:
        cluster.kubectl("scale", "statefulset/queue", f"--replicas={count}", "--namespace", namespace)
        cluster.kubectl("rollout", "status", "statefulset/queue", "--namespace", namespace, "--timeout=60s")
        found: list[Object] = cluster.get("pods", "--namespace", namespace)["items"]
        return found

    cluster.apply(
        [
            service("queue", namespace, clusterIP="None"),
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": "queue", "namespace": namespace},
                "spec": {
                    "serviceName": "queue",
                    "replicas": 0,
                    "selector": {"matchLabels": {"name": "queue"}},
                    "template": {
                        "metadata": {"labels": {"name": "queue"}},
                        "spec": {
                            "terminationGracePeriodSeconds": 1,
                            "securityContext": {"runAsUser": 1000, "fsGroup": 2000},
                            "containers": [
                                container("/busybox sleep 3600", volumeMounts=[{"name": "data", "mountPath": "/data"}])
                            ],
                        },
                    },
                    "volumeClaimTemplates": [
                        {
                            "metadata": {"name": "data"},
                            "spec": {
                                "accessModes": ["ReadWriteOnce"],
                                "resources": {"requests": {"storage": "1Gi"}},
                            },
                        }
                    ],
                },
            },
        ]
    )
    first = pods(2)[0]["metadata"]["uid"]
    in_pod(cluster, namespace, "queue-0", "echo kept >/data/mail")
    cluster.kubectl("delete", "pod", "queue-0", "--namespace", namespace)
    assert len(pods(4)) == 4
    assert cluster.get("pod", "queue-0", "--namespace", namespace)["metadata"]["uid"] != first
    assert in_pod(cluster, namespace, "queue-0", "/busybox cat /data/mail") == "kept"
    assert in_pod(cluster, namespace, "queue-3", "/busybox ls /data") == ""
    assert in_pod(cluster, namespace, "queue-3", "/busybox stat -c %g /data") == "2000"
    claims = cluster.get("persistentvolumeclaims", "--namespace", namespace)["items"]
    volumes = {claim["spec"]["volumeName"] for claim in claims}
    assert len(volumes) == 4
    # And with a claim goes its data.
    cluster.kubectl("scale", "statefulset/queue", "--replicas=0", "--namespace", namespace)
    cluster.kubectl("delete", "persistentvolumeclaims", "--all", "--namespace", namespace, "--timeout=60s")
    assert wait_for(lambda: not any((cluster.folder / "volumes" / name).exists() for name in volumes), 20)


def test_service_names_lead_to_their_pods(cluster: Cluster, namespace: str) -> None:
    server = pod("web", namespace, serving(8080))
    server["spec"] |= {"hostname": "web", "subdomain": "all"}
    headless = service("all", namespace, clusterIP="None", selector={"name": "web"})
    cluster.apply([service("web", namespace), headless])
    run_pods(cluster, namespace, server, pod("client", namespace))
    for name in ("web", f"web.{namespace}.svc.cluster.local", f"web.all.{namespace}.svc:8080"):
        # A node learns of a service's pods a moment after these are ready.
        assert wait_for(partial(web_page, cluster, namespace, "client", f"http://{name}/"), 20) == "web", name
    assert web_page(cluster, namespace, "client", "http://nobody/") is None


def test_pod_security_is_enforced(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    privileged = pod("privileged", namespace)
    privileged["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    with pytest.raises(KubernetesError, match=r"violates PodSecurity .*privileged"):
        cluster.apply([privileged])
    strict = pod("strict", namespace)
    strict["spec"] |= {
        "hostUsers": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    strict["spec"]["containers"][0]["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    run_pods(cluster, namespace, strict)
    # A filter of system calls (proc_pid_status(5)), and users that are others outside (user_namespaces(7)).
    assert in_pod(cluster, namespace, "strict", "/busybox grep Seccomp: /proc/self/status").split()[1] == "2"
    assert in_pod(cluster, namespace, "strict", "/busybox head -n 1 /proc/self/uid_map").split()[1] != "0"


def test_policies_are_enforced_in_both_directions(cluster: Cluster, namespace: str) -> None:
    run_pods(
        cluster,
        namespace,
        pod("server", namespace, serving(8080, 9090)),
        pod("friend", namespace, access="yes"),
        pod("stranger", namespace),
    )
    address = cluster.get("pod", "server", "--namespace", namespace)["status"]["podIP"]

    def reached() -> dict[str, bool]:
        return {
            f"{client}:{port}": web_page(cluster, namespace, client, f"http://{address}:{port}/") == "server"
            for client in ("friend", "stranger")
            for port in (8080, 9090)
        }

    def becomes(expected: dict[str, bool]) -> None:
        assert wait_for(lambda: reached() == expected, 20), reached()

    becomes(dict.fromkeys(("friend:8080", "friend:9090", "stranger:8080", "stranger:9090"), True))
    only_friends = {"podSelector": {"matchLabels": {"access": "yes"}}}
    ingress = {"from": [only_friends], "ports": [{"port": 8080}]}
    cluster.apply([policy("in", namespace, "server", policyTypes=["Ingress"], ingress=[ingress])])
    becomes({"friend:8080": True, "friend:9090": False, "stranger:8080": False, "stranger:9090": False})
    cluster.kubectl("delete", "networkpolicy", "in", "--namespace", namespace)
    egress = {"to": [{"ipBlock": {"cidr": f"{address}/32"}}], "ports": [{"port": 9090}]}
    cluster.apply([policy("out", namespace, "stranger", policyTypes=["Egress"], egress=[egress])])
    becomes({"friend:8080": True, "friend:9090": True, "stranger:8080": False, "stranger:9090": True})


def test_pods_and_hosts_of_a_ground_reach_each_other(cluster: Cluster, namespace: str) -> None:
    with Ground("kubernetes-tests") as ground:
        docker(["load"], stdin=of_programs("mailstack-busybox:tests", *TOOLS))
        try:
            cluster.import_image("mailstack-busybox:tests")
            stand_in = ground.create_service(
                "standin", ["sh", "-c", serving(80)], image="mailstack-busybox:tests", ready_port=80
            )
            node = cluster.join(ground.network)
            here = pod("here", namespace, serving(8080))
            here["spec"]["containers"][0]["image"] = "mailstack-busybox:tests"
            nodeport = service("here", namespace, type="NodePort", externalTrafficPolicy="Local")
            cluster.apply([nodeport])
            run_pods(cluster, namespace, here)
            assert (
                wait_for(partial(web_page, cluster, namespace, "here", f"http://{stand_in.address}/"), 20) == "standin"
            )
            port = cluster.get("service", "here", "--namespace", namespace)["spec"]["ports"][0]["nodePort"]
            # Not by ``Ground.exec``: the image has no users.
            fetch = ["exec", stand_in.container_id, "/fetch", f"http://{node}:{port}/"]
            assert wait_for(lambda: docker_try(fetch).stdout.decode().strip(), 20) == "here"
        finally:
            docker(["image", "rm", "--force", "mailstack-busybox:tests"])


def test_a_load_balancer_gets_an_address_that_answers(cluster: Cluster, namespace: str) -> None:
    cluster.apply([service("web", namespace, type="LoadBalancer")])
    run_pods(cluster, namespace, pod("web", namespace, serving(8080)))

    def given() -> str | None:
        status = cluster.get("service", "web", "--namespace", namespace)["status"]["loadBalancer"]
        return next((entry["ip"] for entry in status.get("ingress", [])), None)

    address = wait_for(given, 20)

    def answer() -> str:
        return subprocess.run(
            [PROGRAMS / "fetch", f"http://{address}/"], capture_output=True, text=True, check=False
        ).stdout.strip()

    assert wait_for(lambda: answer() == "web", 20), answer()


# A second cluster beside the first, and its owner is killed without a chance to clean up.
DYING = """
import os, sys
from rehearsal.kubernetes import Cluster
cluster = Cluster("node-tests-dying")
cluster.start()
print(cluster.addresses.whole, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_killed_run_leaves_nothing_after_the_next_start(cluster: Cluster) -> None:
    died = subprocess.run([sys.executable, "-c", DYING], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    whole = died.stdout.strip()
    assert whole != str(cluster.addresses.whole)
    record = Record.read(CLUSTERS / "node-tests-dying")
    assert record is not None
    assert all(process_start(pid) == started for pid, started in record.processes)

    assert clean_leftovers(lambda _line: None) == ("node-tests-dying",)

    assert not any(process_start(pid) == started for pid, started in record.processes)
    assert not (CLUSTERS / "node-tests-dying").exists()
    routes = json.loads(subprocess.run(["ip", "-json", "route"], capture_output=True, check=True).stdout)
    assert whole not in {route["dst"] for route in routes}
    group = cgroups.group(Addresses(whole=ipaddress.IPv4Network(whole)).link)
    assert not any((top / group.lstrip("/")).exists() for top in cgroups.hierarchies())
    assert str(CLUSTERS) not in Path("/proc/mounts").read_text()
    # The living one is left alone.
    cluster.wait_ready()
