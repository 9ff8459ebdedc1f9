"""What the program registers for Postal on a cluster: types, order, secrets, stability, and the same outputs."""

import asyncio
import json
from typing import Any

import pulumi
import pytest
from pulumi.runtime import settings as runtime_settings
from pulumi.runtime.mocks import MockResourceArgs

from components.kubernetes import KubernetesObject
from components.postal_host import PostalHost, PostalHostArgs
from tests.graph.recording import Recorder, is_secret, plain, run_graph
from tests.unit.mistakes import changed
from tests.unit.postal_cluster_examples import ADMIN_PASSWORD, POSTAL, VARIANTS, plan_of, postal_on_cluster
from tests.unit.stack_examples import dkim_key, postal_example

pytestmark = pytest.mark.slow

SECRETS = (
    "smtpsmtpsmtpsmtpsmtpsmtp", "apiapiapiapiapiapiapiapi", "database-password", ADMIN_PASSWORD, "admin-password-1",
    "s" * 64, dkim_key().splitlines()[1],
)  # fmt: skip


def everything() -> dict[str, Any]:
    return changed(postal_on_cluster(), VARIANTS["everything"])


def of_postal(recorder: Recorder) -> dict[str, MockResourceArgs]:
    return {
        name: args
        for name, args in recorder.resources.items()
        if name.startswith("postal-") and args.typ.startswith("kubernetes:")
    }


@pytest.mark.slow
def test_workloads_and_jobs_are_resources_of_their_own_and_no_host_is_asked_for_anything() -> None:
    recorder, _ = run_graph(postal_on_cluster())
    types = {name: args.typ for name, args in of_postal(recorder).items()}
    assert types["postal-web"] == types["postal-smtp"] == "kubernetes:apps/v1:Deployment"
    assert types["postal-worker"] == "kubernetes:apps/v1:StatefulSet"
    assert {name for name, kind in types.items() if kind == "kubernetes:batch/v1:Job"} == {
        "postal-database", "postal-migrate", "postal-provision"
    }  # fmt: skip
    assert types["postal-smtp-service"] == "kubernetes:core/v1:Service"
    assert types["postal-ingress"] == "kubernetes:networking.k8s.io/v1:Ingress"
    assert types["postal-smtp-certificate"] == "kubernetes:cert-manager.io/v1:Certificate"
    assert recorder.of_type("command:remote:Command") == {}


@pytest.mark.slow
def test_the_outputs_are_those_of_a_host() -> None:
    _, here = run_graph(postal_on_cluster())
    _, there = run_graph(postal_example())
    names = {"mail_servers", "postal_url", "postal_health", "postal_domains"}
    assert names <= here.keys() & there.keys()
    assert here["mail_servers"]["example/apps"].keys() == there["mail_servers"]["example/apps"].keys()
    assert here["postal_health"] == dict.fromkeys(("web", "smtp", "worker"), "healthy")
    _, stopped = run_graph(changed(postal_on_cluster(), {f"{POSTAL}.stopped": True}))
    assert set(stopped["postal_health"].values()) == {"stopped"}


@pytest.mark.slow
def test_what_the_job_found_in_dns_is_read_after_it_and_told() -> None:
    found = {"organizations/example/servers/apps/domains/example.com": {"dkim": "OK"}}

    class Answering(Recorder):
        def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
            identity, state = super().new_resource(args)
            if args.name == "postal-found":
                assert args.resource_id == "postal-results-id"
                state["data"] = {"domains": json.dumps(found)}
            return identity, state

    recorder = Answering()
    plan = plan_of({})
    assert plan.postal is not None
    postal = plan.postal
    pulumi.runtime.set_mocks(recorder, project="mailstack", stack="test")
    seen: list[Any] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator] # the SDK has no types for it
    def register() -> pulumi.Output[Any]:
        made = PostalHost("postal", PostalHostArgs(plan=postal, hosts={}))
        return made.domains.apply(seen.append)

    register()
    assert seen == [found]


def test_secrets_and_the_kubeconfig_are_secret_wherever_they_are() -> None:
    for raw in (postal_on_cluster(), everything()):
        recorder, _ = run_graph(raw)
        for name, args in recorder.resources.items():
            visible = json.dumps({key: plain(value) for key, value in args.inputs.items() if not is_secret(value)})
            assert not [secret for secret in (*SECRETS, "planted-token") if secret in visible], name
    assert is_secret(recorder.resources["postal-secret-web"].inputs["stringData"])


@pytest.mark.slow
def test_keys_are_secret_outputs_and_addresses_are_not() -> None:
    run_graph(postal_on_cluster())
    root: Any = runtime_settings.get_root_resource()
    told = root.outputs["mail_servers"]["example/apps"]
    loop = asyncio.new_event_loop()
    hidden = {key for key, value in told.items() if loop.run_until_complete(value.is_secret())}
    loop.close()
    assert hidden == {"smtp_keys", "api_keys"}


@pytest.mark.slow
def test_nothing_registers_differently_on_a_second_run() -> None:
    first, second = (run_graph(everything())[0] for _ in range(2))
    assert {name: args.inputs for name, args in first.resources.items()} == {
        name: args.inputs for name, args in second.resources.items()
    }


@pytest.mark.slow
def test_a_preview_with_unknown_outputs_does_not_crash() -> None:
    recorder, _ = run_graph(everything(), preview=True)
    assert "postal-worker" in recorder.resources


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, pulumi.ResourceOptions]:
    """What the component asks of each object."""
    found: dict[str, pulumi.ResourceOptions] = {}
    original = KubernetesObject.__init__

    def spy(self: KubernetesObject, name: str, manifest: Any, opts: pulumi.ResourceOptions, **rest: Any) -> None:
        found[name] = opts
        original(self, name, manifest, opts, **rest)

    monkeypatch.setattr(KubernetesObject, "__init__", spy)
    return found


def waits_for(options: dict[str, pulumi.ResourceOptions], name: str) -> set[str]:
    before = options[name].depends_on
    assert isinstance(before, list)
    return {one._name for one in before if isinstance(one, pulumi.Resource)}


@pytest.mark.slow
def test_each_job_waits_for_the_one_before_and_every_pod_for_all_jobs(
    options: dict[str, pulumi.ResourceOptions],
) -> None:
    run_graph(postal_on_cluster())
    assert {"postal-policy-deny", "postal-secret-database"} <= waits_for(options, "postal-database")
    assert "postal-database" in waits_for(options, "postal-migrate")
    assert "postal-migrate" in waits_for(options, "postal-provision")
    for process in ("web", "smtp", "worker"):
        assert {"postal-database", "postal-migrate", "postal-provision"} <= waits_for(options, f"postal-{process}")
    assert "postal-smtp" in waits_for(options, "postal-smtp-service")


@pytest.mark.slow
def test_jobs_wait_for_dns_and_the_relay_and_what_they_mount_does_not(
    options: dict[str, pulumi.ResourceOptions],
) -> None:
    run_graph(postal_on_cluster())
    first = waits_for(options, "postal-database")
    assert any(name.startswith("dns-rp.example.com") for name in first)
    assert "relay-workload" in first
    assert not any(name.startswith(("dns-", "relay-")) for name in waits_for(options, "postal-secret-web"))


@pytest.mark.slow
def test_live_mail_waits_for_postal() -> None:
    recorder, _ = run_graph(postal_on_cluster())
    order = list(recorder.resources)
    live = [order.index(name) for name in order if name.startswith("dns-_dmarc.example.com")]
    assert live
    assert order.index("postal-smtp-service") < min(live)


@pytest.mark.slow
def test_everything_goes_with_the_stack_unless_it_is_to_stay(options: dict[str, pulumi.ResourceOptions]) -> None:
    run_graph(postal_on_cluster())
    own = {name: one.retain_on_delete for name, one in options.items() if name.startswith("postal-")}
    assert not any(own.values()), "its mail is in the database"
    options.clear()
    run_graph(changed(postal_on_cluster(), {"postal.on_destroy": "keep"}))
    assert all(one.retain_on_delete for name, one in options.items() if name.startswith("postal-"))


@pytest.mark.slow
def test_a_cluster_of_the_stack_itself_hands_its_kubeconfig_over() -> None:
    plan = plan_of({})
    assert plan.postal is not None
    postal = plan.postal
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="mailstack", stack="test")

    @pulumi.runtime.test  # type: ignore[untyped-decorator] # the SDK has no types for it
    def register() -> None:
        made = pulumi.Output.from_input("made-by-the-stack")
        PostalHost("postal", PostalHostArgs(plan=postal, hosts={}, kubeconfig=made))

    register()
    given = recorder.resources["postal-cluster"].inputs["kubeconfig"]
    assert is_secret(given)
    assert plain(given) == "made-by-the-stack"
