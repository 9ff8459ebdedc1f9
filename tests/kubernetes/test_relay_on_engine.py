"""The relay's pods with the real engine, and the real plugin where it is: what a change does, what it leaves alone."""

import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.plan import load_plan
from mailstack.settings.initialise import rehearsal_config
from rehearsal.cluster_place import APPLICATIONS, STRANGERS, ClusterPlace
from rehearsal.engine import find_cli
from rehearsal.kubernetes import missing
from rehearsal.rehearse import ROOT, Rehearsal
from rehearsal.waiting import wait_for
from tests.behaviour.place import CLIENT
from tests.engine.placed_stack import PASSWORD, PlacedStack, with_login
from tests.engine.stage import PLANNED

pytestmark = [pytest.mark.engine, pytest.mark.hosts, pytest.mark.xdist_group("kubernetes-relay")]

NEXT_PASSWORD = "planted-second-5b77"
MONITORING = "monitoring"
# Metrics are read every ten seconds, and asked for every five.
SCALING_SECONDS = 150
# Arguments: address and port. Prints "open", or why not.
KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 4).close()
    print("open")
except OSError as error:
    print(repr(error))
"""


class Stack(PlacedStack):
    """The kubernetes stack."""

    @property
    def place(self) -> ClusterPlace:
        assert isinstance(self.rehearsal.place, ClusterPlace)
        return self.rehearsal.place

    def pods(self) -> dict[str, str]:
        """Return the pods, name to identity."""
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self.place.pods()}

    def up_and_rolled(self, raw: dict[str, Any]) -> None:
        self.up(raw)
        self.place.wait_rolled()
        self.raw, self.rehearsal.plan = raw, load_plan(raw)

    def knock(self, namespace: str, address: str, port: int) -> bool:
        done = self.place.ask_from(namespace, ["python3", "-c", KNOCK, address, str(port)])
        assert done.stdout, done.stderr
        return done.stdout.strip() == "open"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    if find_cli() is None:
        pytest.skip("no Pulumi CLI: `make engine` builds one")
    raw = with_login(rehearsal_config(ROOT / "Pulumi.kubernetes.yaml"))
    with Rehearsal("kubernetes-tests", raw, print) as rehearsal:
        made = Stack(rehearsal, tmp_path_factory.mktemp("engine"))
        made.up(made.raw)
        made.join(PASSWORD)
        yield made


@pytest.fixture(autouse=True)
def as_declared(stack: Stack) -> Iterator[None]:
    stack.rehearsal.google.clear_faults()
    yield
    stack.rehearsal.google.clear_faults()


def test_a_second_up_changes_nothing_and_mail_is_delivered(stack: Stack) -> None:
    before = stack.pods()
    assert len(before) == 2
    assert stack.up(stack.raw) == {}
    assert stack.pods() == before
    token = stack.submit()
    assert stack.arrives(token), stack.place.log()
    assert stack.rehearsal.drift() == []


def test_who_may_reach_what_is_so_on_the_wire(stack: Stack) -> None:
    relay = stack.place.placed.relay
    address = stack.place.pods()[0]["status"]["podIP"]
    assert stack.knock(APPLICATIONS, relay.host, 25)
    assert {
        (namespace, port): stack.knock(namespace, address, port)
        for namespace in (APPLICATIONS, STRANGERS, MONITORING)
        for port in (25, 9154)
    } == {
        (APPLICATIONS, 25): True,
        (APPLICATIONS, 9154): False,
        (STRANGERS, 25): False,
        (STRANGERS, 9154): False,
        (MONITORING, 25): False,
        (MONITORING, 9154): True,
    }


def test_a_pod_reaches_the_upstreams_port_and_nothing_else_of_it(stack: Stack) -> None:
    upstream = stack.rehearsal.ground.services["upstream"].address
    pod = next(iter(stack.pods()))

    def reaches(address: str, port: int) -> bool:
        return stack.place.run_in(pod, ["python3", "-c", KNOCK, address, str(port)]).strip() == "open"

    assert reaches(upstream, 587)
    assert not reaches(upstream, 465)
    # The control port of the stand-in, which a stranger's pod does reach: it is the policy that forbids it.
    assert not reaches(upstream, 8025)
    assert stack.knock(STRANGERS, upstream, 8025)
    # The API server, as every pod has it in its environment.
    assert not reaches(stack.place.cluster.addresses.api_service, 443)


def test_a_pod_has_no_token_and_secrets_are_in_no_environment_argument_log_or_state(stack: Stack) -> None:
    pod = next(iter(stack.pods()))
    looked = [
        stack.place.log(),
        stack.place.run_in(pod, ["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true"]),
        stack.place.cluster.kubectl("get", "pods,statefulsets,configmaps", stack.place.namespace, "--output=yaml"),
    ]
    kept = (path for path in stack.engine.folder.rglob("*") if path.is_file() and "plugins" not in path.parts)
    looked += [path.read_bytes().decode(errors="replace") for path in kept]
    assert not any(PASSWORD in text for text in looked)
    assert "No such file" in stack.place.run_in(
        pod, ["sh", "-c", "ls /var/run/secrets/kubernetes.io/serviceaccount 2>&1; true"]
    )


def test_a_preview_of_another_concurrency_shows_it_and_replaces_the_settings_only(stack: Stack) -> None:
    code, text = stack.run("preview", stack.changed(concurrency=3), "--diff")
    assert code == 0, text
    shown = re.findall(r'~ main\.cf/(\S+)\s*: "(\d+)" => "(\d+)"', text)
    limits = ("smtp_destination_concurrency_limit", "smtp_initial_destination_concurrency")
    assert sorted(shown) == [(limit, "30", "3") for limit in limits], text
    planned = {name: what for _, name, what in PLANNED.findall(stack.run("preview", stack.changed(concurrency=3))[1])}
    changed = {name: what for name, what in planned.items() if name.startswith("relay-")}
    # The last line of a replacement that is made first tells of what goes.
    assert changed == {"relay-settings": "delete", "relay-check": "delete", "relay-workload": "update"}, text


def test_a_changed_password_is_shown_as_a_secret_rolls_the_pods_once_and_is_used(stack: Stack) -> None:
    raw = stack.changed(upstream={**stack.raw["relay"]["upstream"], "password": NEXT_PASSWORD})
    _, text = stack.run("preview", raw, "--diff")
    assert "[secret]" in text
    assert PASSWORD not in text
    assert NEXT_PASSWORD not in text
    before = stack.pods()
    revisions = stack.place.cluster.kubectl("get", "controllerrevisions", stack.place.namespace, "--output=name")
    stack.up_and_rolled(raw)
    after = stack.pods()
    assert not set(before.values()) & set(after.values())
    more = stack.place.cluster.kubectl("get", "controllerrevisions", stack.place.namespace, "--output=name")
    assert len(more.split()) == len(revisions.split()) + 1
    stack.join(NEXT_PASSWORD)
    assert stack.arrives(stack.submit()), stack.place.log()


def test_a_configuration_that_postfix_refuses_touches_no_pod(stack: Stack) -> None:
    before = stack.pods()
    code, text = stack.run("up", stack.changed(extra_parameters={"no_such_parameter": "x"}), "--yes", "--skip-preview")
    assert code == 1
    assert "relay-check" in text
    failed = stack.place.cluster.get("pods", stack.place.namespace, "--selector=app.kubernetes.io/component=check")
    [ended] = [
        status["state"]["terminated"]
        for pod in failed["items"]
        for status in pod["status"]["containerStatuses"]
        if pod["status"]["phase"] == "Failed"
    ]
    assert "no_such_parameter" in ended["message"]
    assert stack.pods() == before
    assert stack.arrives(stack.submit())
    # Put back: what the pods name is there, and stays there when the update has cleaned up.
    stack.up_and_rolled(stack.raw)
    assert stack.rehearsal.drift() == []
    assert stack.arrives(stack.submit())


def test_an_autoscaler_adds_pods_under_load_and_updates_leave_their_number_alone(stack: Stack) -> None:
    fixed = stack.raw
    scaling = {"min": 2, "max": 4, "cpu_percent": 10, "scale_in_stabilization_minutes": 10}
    scaled = {**fixed["relay"]["kubernetes"], "autoscaling": scaling}
    stack.up_and_rolled(stack.changed(kubernetes=scaled))
    asked = {
        "addresses": [stack.place.placed.relay.host], "port": 25, "sender": "app@mailstack.test", "seconds": 60,
        "from": "app@mailstack.test", "recipient": "someone@recipient.test", "threads": 4,
        "subjects": [f"scaled {number}" for number in range(4000)],
    }  # fmt: skip
    argv = ["python3", "-c", CLIENT]
    load = threading.Thread(target=lambda: stack.place.ask(argv, stdin=json.dumps(asked)), daemon=True)
    load.start()

    def replicas() -> int:
        return int(stack.place.cluster.get(*stack.place.workload.split("/"), stack.place.namespace)["spec"]["replicas"])

    assert wait_for(lambda: replicas() == 4, SCALING_SECONDS, pause=1.0), stack.place.cluster.kubectl(
        "describe", "horizontalpodautoscaler", stack.place.namespace
    )
    load.join()
    assert stack.up(stack.raw) == {}
    assert replicas() == 4
    stack.up_and_rolled(stack.changed(queue_lifetime_hours=36))
    assert replicas() > 2
    # And their number can be the stack's again. Nothing else changes with it: pods that start are busy, and the
    # autoscaler, which goes last, would add one more.
    stack.up_and_rolled(stack.changed(kubernetes=fixed["relay"]["kubernetes"]))
    stack.place.wait_ready(2)


def test_drift_names_what_was_changed_by_hand_and_an_up_puts_it_back(stack: Stack) -> None:
    cluster, where = stack.place.cluster, stack.place.namespace
    cluster.kubectl("delete", "networkpolicy", "postfix-relay-deny", where)
    patch = '{"spec": {"maxUnavailable": 2}}'
    cluster.kubectl("patch", "poddisruptionbudget", "postfix-relay", where, "--type=merge", f"--patch={patch}")
    assert stack.rehearsal.drift() == [
        "NetworkPolicy postfix-relay-deny is not there",
        "PodDisruptionBudget postfix-relay: spec/maxUnavailable is not as declared",
    ]
    code, text = stack.run("up", stack.raw, "--yes", "--skip-preview", "--refresh")
    assert code == 0, text
    assert stack.rehearsal.drift() == []


def test_destroying_leaves_the_volumes_with_their_mail_and_no_pod(stack: Stack) -> None:
    stack.rehearsal.google.take_down()
    tokens = [stack.submit() for _ in range(4)]
    cluster, where = stack.place.cluster, stack.place.namespace
    code, text = stack.run("destroy", stack.raw, "--yes", "--skip-preview")
    assert code == 0, text
    assert stack.place.pods() == []
    claims = {claim["metadata"]["name"] for claim in cluster.get("persistentvolumeclaims", where)["items"]}
    # Those of pods that an autoscaler took away stay too.
    assert claims >= {f"queue-postfix-relay-{number}" for number in range(2)}
    assert cluster.kubectl("get", "services,secrets,networkpolicies", where, "--output=name") == ""
    # What waits goes out when the stack is there again: its namespace is, so it is not made.
    again = stack.changed(kubernetes={**stack.raw["relay"]["kubernetes"], "create_namespace": False})
    stack.rehearsal.google.clear_faults()
    stack.up_and_rolled(again)
    stack.place.run(["postqueue", "-f"])
    assert all(stack.arrives(token) for token in tokens), stack.place.log()
