"""Postal on a real node: jobs run once, mail goes in and out, workers come and go, and nobody else gets in."""

import json
from collections.abc import Iterator

import pytest

from mailstack.kubernetes.objects import Stage
from rehearsal.images import POSTAL_VERSION, POSTAL_VERSION_NEXT, ensure_images
from rehearsal.kubernetes import Cluster, missing
from rehearsal.waiting import wait_for
from tests.kubernetes.postal_site import (
    API_KEY,
    CONTROLLER,
    NAMESPACE,
    REPOSITORY,
    SMTP_KEY,
    STRANGERS,
    PostalOnNode,
)

pytestmark = pytest.mark.hosts

WEB = "http://postal-web.mail-postal.svc.cluster.local"
HOST = ("--header", "Host: postal.example.com")


@pytest.fixture(scope="module")
def site() -> Iterator[PostalOnNode]:
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with Cluster("postal-pods") as cluster:
        made = PostalOnNode(cluster, ensure_images(lambda _line: None))
        made.place()
        yield made


def test_mail_goes_in_by_smtp_with_its_senders_address_and_out_to_the_relay(site: PostalOnNode) -> None:
    site.send(["first"])
    site.eventually(lambda: "first" in site.arrived())
    message = next(one for one in site.kept() if one["recipients"] == ["first@recipient.test"])
    assert "DKIM-Signature:" in message["text"]
    # The load balancer hides nobody: Postal has seen this machine, not a node.
    received = [line for line in message["text"].splitlines() if line.startswith("Received:")]
    assert any(site.cluster.addresses.machine in line for line in received), received


def test_the_web_ui_and_the_api_answer_the_controller_and_nobody_else(site: PostalOnNode) -> None:
    login = site.page(CONTROLLER, *HOST, "--output", "/dev/null", "--write-out", "%{http_code}", f"{WEB}/login")
    assert login.stdout == "200", login.stderr
    question = ("--header", f"X-Server-API-Key: {API_KEY}", "--header", "Content-Type: application/json")
    asked = site.page(CONTROLLER, *HOST, *question, "--data", '{"id": 0}', f"{WEB}/api/v1/messages/message")
    assert json.loads(asked.stdout)["data"]["code"] == "MessageNotFound", asked
    refused = site.page(STRANGERS, *HOST, f"{WEB}/login")
    assert refused.returncode in {7, 28}, "curl: no connection, or none in time"


def test_strangers_reach_the_smtp_port_only(site: PostalOnNode) -> None:
    [worker], [smtp] = site.pods("worker"), site.pods("smtp")
    for pod, port, open_to_all in ((worker, 9090, False), (smtp, 9091, False), (smtp, 2525, True)):
        address = f"telnet://{pod['status']['podIP']}:{port}"
        connected = site.page(STRANGERS, "--verbose", address)
        assert ("Connected to" in connected.stderr) is open_to_all, (port, connected.stderr)


def test_pods_reach_their_database_and_nothing_else_of_the_network(site: PostalOnNode) -> None:
    database = site.cluster.get("pod", "mariadb", "--namespace=databases")["status"]["podIP"]
    relay = site.cluster.get("pod", "postfix-relay", "--namespace=mail-relay")["status"]["podIP"]

    def reaches(component: str, address: str, port: int) -> bool:
        [pod] = site.pods(component)
        name = pod["metadata"]["name"]
        ask = ("nc", "-z", "-w", "3", address, str(port))
        return site.cluster.try_kubectl("exec", name, "--namespace", NAMESPACE, "--", *ask).returncode == 0

    assert reaches("smtp", database, 3306)
    assert reaches("worker", relay, 25)
    assert not reaches("smtp", relay, 25), "the SMTP server only takes mail"
    assert not reaches("worker", database, 22)
    assert not reaches("web", site.cluster.addresses.machine, 6443)


def test_only_the_job_may_write_and_only_its_results(site: PostalOnNode) -> None:
    def may(account: str, *action: str) -> bool:
        who = f"--as=system:serviceaccount:{NAMESPACE}:{account}"
        return site.cluster.try_kubectl("auth", "can-i", *action, "--namespace", NAMESPACE, who).stdout.strip() == "yes"

    assert may("postal-provision", "patch", "configmap/postal-results")
    for account in ("postal", "postal-provision"):
        for action in (("get", "secrets"), ("list", "configmaps"), ("patch", "configmap/other"), ("create", "pods")):
            assert not may(account, *action), (account, action)


def test_what_postal_saw_in_dns_is_told_and_whose_record_is_whose_is_remembered(site: PostalOnNode) -> None:
    told = site.cluster.get("configmap", "postal-results", "--namespace", NAMESPACE)["data"]
    domains = json.loads(told["domains"])
    assert {path.rpartition("/")[2] for path in domains} == {"example.com", "example.org"}
    assert all(found["dkim_record_name"] == "postal-202611._domainkey" for found in domains.values())
    assert told["version"].startswith("postal-provision-")
    kept = json.loads(site.sql("SELECT document FROM postal.mailstack_state WHERE name = 'identities'"))
    assert "organizations/example/servers/apps/credentials/smtp-shop" in kept


def test_the_same_again_changes_nothing_and_runs_no_job(site: PostalOnNode) -> None:
    before = site.versions()
    site.place()
    assert site.versions() == before


def test_a_renamed_server_is_the_same_record_and_only_the_last_job_runs_again(site: PostalOnNode) -> None:
    before = {name for name in site.versions() if name.startswith("Job ")}
    old = site.sql("SELECT id, uuid FROM postal.servers")
    site.place({"postal.organizations.0.mail_servers.0.name": "Renamed"})
    assert site.sql("SELECT id, uuid FROM postal.servers") == old
    assert site.sql("SELECT name FROM postal.servers") == "Renamed"
    new = {name for name in site.versions() if name.startswith("Job ")} - before
    assert [name.split()[1].rpartition("-")[0] for name in new] == ["postal-provision"]


def test_what_the_runner_refuses_fails_its_job_at_once_and_leaves_the_pods_alone(site: PostalOnNode) -> None:
    pods = {pod["metadata"]["uid"] for process in ("web", "smtp", "worker") for pod in site.pods(process)}
    credentials = "postal.organizations.0.mail_servers.0.credentials"
    found = site.objects({credentials: [{"name": "shop", "type": "SMTP", "key": SMTP_KEY}]})
    these = [one for one in found if one.stage in {Stage.BASIS, Stage.CONTENT}]
    site.cluster.apply([dict(one.manifest) for one in these], "--server-side", "--field-manager=mailstack")
    job = next(one.manifest["metadata"]["name"] for one in these if one.name == "provision")
    assert site.eventually(lambda: site.ended(job)) == "Failed"
    status = site.cluster.get("job", job, "--namespace", NAMESPACE)["status"]
    assert status["failed"] == 1, "not tried again: it would be refused again"
    assert "no longer declared, but still in Postal" in site.log(f"job/{job}")
    assert API_KEY not in site.log(f"job/{job}")
    assert {pod["metadata"]["uid"] for process in ("web", "smtp", "worker") for pod in site.pods(process)} == pods
    site.cluster.kubectl("delete", "job", job, "--namespace", NAMESPACE)


def test_a_worker_that_is_drained_under_load_finishes_and_nothing_is_sent_twice(site: PostalOnNode) -> None:
    names = [f"slow-drained-{number}" for number in range(20)]
    site.send(names)
    site.eventually(lambda: any(name in names for name in site.arrived()))
    before = site.pods("worker")[0]["metadata"]["uid"]
    site.cluster.kubectl("delete", "pod", "postal-worker-0", "--namespace", NAMESPACE, timeout=200)
    site.eventually(lambda: set(names) <= set(site.arrived()))
    arrived = [name for name in site.arrived() if name in names]
    assert sorted(arrived) == sorted(names)
    site._wait("statefulset", "postal-worker")
    assert site.pods("worker")[0]["metadata"]["uid"] != before


def test_what_a_killed_worker_held_is_sent_by_the_next_of_its_name(site: PostalOnNode) -> None:
    names = [f"slow-killed-{number}" for number in range(20)]
    site.send(names)
    site.eventually(lambda: any(name in names for name in site.arrived()))
    site.cluster.kubectl("delete", "pod", "postal-worker-0", "--namespace", NAMESPACE, "--grace-period=0", "--force")
    held = int(site.sql("SELECT COUNT(*) FROM postal.queued_messages WHERE locked_by IS NOT NULL"))
    assert held > 0, "it was killed while it held messages"
    site.eventually(lambda: set(names) <= set(site.arrived()))
    site._wait("statefulset", "postal-worker")
    assert "given back" in site.log("pod/postal-worker-0")


def test_a_renewed_certificate_is_noticed(site: PostalOnNode) -> None:
    [pod] = site.pods("smtp")
    probe = pod["spec"]["containers"][0]["livenessProbe"]["exec"]["command"]
    question = ("exec", pod["metadata"]["name"], "--namespace", NAMESPACE, "--", *probe)
    assert site.cluster.try_kubectl(*question).returncode == 0
    site.renew_certificate()
    told = wait_for(lambda: "another certificate" in site.cluster.try_kubectl(*question).stderr, 120)
    assert told, site.cluster.try_kubectl(*question)


def test_a_new_version_is_migrated_by_a_job_of_its_own_before_its_pods_start(site: PostalOnNode) -> None:
    found = site.place({"postal.image": {"repository": REPOSITORY, "tag": POSTAL_VERSION_NEXT}})
    migrated = next(one.manifest["metadata"]["name"] for one in found if one.name == "migrate")
    ended = site.cluster.get("job", migrated, "--namespace", NAMESPACE)["status"]["completionTime"]
    for component in ("web", "smtp", "worker"):
        pods = [pod for pod in site.pods(component) if "deletionTimestamp" not in pod["metadata"]]
        images = {pod["spec"]["containers"][0]["image"] for pod in pods}
        assert images == {f"{REPOSITORY}:{POSTAL_VERSION_NEXT}"}
        assert all(pod["metadata"]["creationTimestamp"] >= ended for pod in pods)
    site.send(["after-upgrade"])
    site.eventually(lambda: "after-upgrade" in site.arrived())
    assert POSTAL_VERSION != POSTAL_VERSION_NEXT
