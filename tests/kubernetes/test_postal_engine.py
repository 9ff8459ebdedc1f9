"""The whole program on the real engine with the real plugin: Postal on a real node, twice, and gone again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailstack.operate.postal import Postal
from mailstack.plan.make import load_plan
from mailstack.reach.drift import find_drift
from mailstack.reach.entry import Entry
from mailstack.reach.operations import Operations
from rehearsal.engine import Engine, find_cli
from rehearsal.images import ensure_images
from rehearsal.kubernetes import Cluster, missing
from rehearsal.plugins import real_plugin
from rehearsal.plugins.kubernetes import find_kubectl
from tests.kubernetes.postal_site import NAMESPACE, SETTINGS, PostalOnNode
from tests.unit.mistakes import changed
from tests.unit.postal_cluster_examples import POSTAL, postal_on_cluster
from tests.unit.stack_examples import REMOVE

pytestmark = [pytest.mark.hosts, pytest.mark.engine]


@pytest.fixture
def site() -> Iterator[PostalOnNode]:
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    if find_cli() is None:
        pytest.skip("no Pulumi CLI: `make engine` builds one")
    if real_plugin("kubernetes") is None:
        pytest.skip("no kubernetes plugin: `make kubernetes-plugin` builds one")
    with Cluster("postal-engine") as cluster:
        yield PostalOnNode(cluster, ensure_images(lambda _line: None))


def stack(kubeconfig: str) -> dict[str, Any]:
    """Return the stack: without a relay of its own, since the stand-in takes the mail, and with records nowhere."""
    changes = {
        **SETTINGS,
        "environment": "local",
        "dns": REMOVE,
        "relay_rule": REMOVE,
        "relay": {
            "placement": "none", "hostname": "relay.example.com", "egress_addresses": ["93.184.216.34"],
            "upstream": {"preset": "custom", "host": "postfix-relay.mail-relay.svc.cluster.local", "port": 25,
                         "auth": "none", "tls": "may"},
        },
        "postal.sending": {"path": "direct"},
        "postal.max_message_mb": 5,
        f"{POSTAL}.context": REMOVE,
        f"{POSTAL}.kubeconfig": kubeconfig,
        # Nobody serves an Ingress here, and the plugin would wait for its address.
        f"{POSTAL}.web.annotations": {"pulumi.com/skipAwait": "true"},
    }  # fmt: skip
    return changed(postal_on_cluster(), changes)


def test_a_stack_comes_up_takes_mail_stays_as_it_is_and_goes(site: PostalOnNode, tmp_path: Path) -> None:
    engine = Engine("postal", tmp_path, lambda _line: None)
    declared = stack(site.cluster.kubeconfig)
    engine.configure(declared)
    engine.select()
    assert "postal-worker" in engine.preview()
    engine.up()
    outputs = engine.outputs()
    assert outputs["postal_health"] == dict.fromkeys(("web", "smtp", "worker"), "healthy")
    assert {path.rpartition("/")[2] for path in outputs["postal_domains"]} == {"example.com", "example.org"}
    site.send(["by-the-engine"])
    site.eventually(lambda: "by-the-engine" in site.arrived())
    plan = load_plan(declared)
    entry = Entry(
        operations=Operations.model_validate_json(outputs["operations"]), stack="postal", folder=tmp_path,
        open_plan=lambda: plan, kubectl=find_kubectl(),
    )  # fmt: skip
    seen = Postal(entry=entry)
    status = seen.status()
    assert {one["service"]: one["health"] for one in status["processes"]} == outputs["postal_health"]
    assert {(one["server"], one["waiting"], one["held"]) for one in status["servers"]} == {("example/apps", 0, 0)}
    assert all(one["declared"] for one in (*seen.users(), *seen.credentials()))
    told, unseen = seen.logs("worker", since=None, limit=20)
    assert any(told.values())
    assert not unseen
    before = site.versions()
    again = engine.up()
    assert "updated" not in again
    assert "created" not in again
    assert "replaced" not in again
    assert site.versions() == before

    def drift(**changes: Any) -> list[str]:
        plan = load_plan(changed(declared, changes))
        return find_drift(plan, lambda _line: None, kubectl=find_kubectl())

    assert drift() == []
    # Of a job that was told other things, and of a secret, the contents are compared: no name is known without a state.
    other = drift(**{"postal.database.password": "another-password-of-32-characters"})
    assert {line.split()[0] for line in other if line.endswith("has other contents")} == {"Secret"}, other
    where, patch = f"--namespace={NAMESPACE}", '{"spec": {"revisionHistoryLimit": 9}}'
    site.cluster.kubectl("patch", "deployment", "postal-web", where, "--type=merge", f"--patch={patch}")
    site.cluster.kubectl("delete", "networkpolicy", "postal-deny", where)
    assert drift() == [
        "NetworkPolicy postal-deny is not there",
        "Deployment postal-web: spec/revisionHistoryLimit is not as declared",
    ]
    engine.destroy()
    assert not site.cluster.get(
        "deployments,statefulsets,jobs,secrets", "--namespace", NAMESPACE, "--selector=app.kubernetes.io/name=postal"
    )["items"]
