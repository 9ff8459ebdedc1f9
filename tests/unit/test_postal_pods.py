"""`mailstack postal` where Postal is on a cluster."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from mailstack.plan import load_plan
from mailstack.plan.operations import operations_text
from mailstack.reach import operations
from mailstack.reach.kubectl import Kubectl, KubectlError
from mailstack.settings import initialise
from tests.unit.postal_cluster_examples import postal_on_cluster

pytestmark = pytest.mark.slow


class PostalPods:
    """kubectl for a namespace with Postal's pods; ``pods`` by component, the database answers or not."""

    def __init__(self, *components: str, database: str | None = None) -> None:
        self.components, self.database = components, database

    def run(self, *arguments: str, **_: object) -> str:
        if arguments[0] == "exec":
            raise KubectlError(self.database or "no such pod")
        if arguments[0] == "logs":
            return f"a line of {arguments[2]}\n"
        selector = next(one for one in arguments if one.startswith("--selector="))
        wanted = [one for one in self.components if f"component={one}" in selector or "component=" not in selector]
        return json.dumps({"items": [self._pod(one) for one in wanted]})

    def _pod(self, component: str) -> dict[str, Any]:
        return {
            "metadata": {"name": f"postal-{component}-0", "labels": {"app.kubernetes.io/component": component}},
            "spec": {"containers": [{"image": "postal:3.3.7"}]},
            "status": {"phase": "Running", "containerStatuses": [{"ready": True, "restartCount": 0}]},
        }


@pytest.fixture
def in_pods(monkeypatch: pytest.MonkeyPatch) -> Callable[[PostalPods], None]:
    raw = postal_on_cluster()
    text = operations_text(load_plan(raw))
    monkeypatch.setattr(operations, "stack_output", lambda *_: text)
    monkeypatch.setattr("mailstack.reach.entry.decrypted_config", lambda *_: raw)
    return lambda pods: monkeypatch.setattr("mailstack.reach.kubectl.Kubectl.run", pods.run)


def cluster_call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["postal", *arguments, "--stack", "prod"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def test_on_a_cluster_a_worker_that_is_gone_and_a_database_that_is_away_are_told_and_hide_nothing(
    in_pods: Callable[[PostalPods], None],
) -> None:
    in_pods(PostalPods("web", "smtp", database="Can't connect to MySQL server on 'db'"))
    code, text = cluster_call("status", "--json")
    told = json.loads(text)
    assert (code, [one["service"] for one in told["processes"]]) == (1, ["web", "smtp"])
    assert [one.partition(":")[0] for one in told["problems"]] == [
        "process worker is not there", "the database does not answer",
    ]  # fmt: skip
    assert "Can't connect" in told["database"]["error"], "it was asked from another pod"
    in_pods(PostalPods())
    code, text = cluster_call("status", "--json")
    assert (code, json.loads(text)["processes"]) == (1, [])


def test_on_a_cluster_the_log_is_that_of_the_pods_there_are_and_a_process_without_one_is_named(
    in_pods: Callable[[PostalPods], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pods = PostalPods("web", "smtp")
    in_pods(pods)
    code, text = cluster_call("logs", "--json")
    told = json.loads(text)
    assert (code, [*told["places"]], [*told["unseen"]]) == (1, ["postal-web-0", "postal-smtp-0"], ["worker"])
    assert "no pod of" in told["unseen"]["worker"]
    monkeypatch.setattr(Kubectl, "lines", lambda *_: iter(["a line"]))
    result = CliRunner().invoke(app, ["postal", "logs", "--follow", "--stack", "prod"])
    assert (result.exit_code, result.stdout.count("a line"), "worker: no pod of" in result.stderr) == (1, 2, True)

    def starting(*arguments: str, **options: object) -> str:
        if arguments[0] == "logs" and "postal-web-0" in arguments:
            raise KubectlError("container is waiting to start")
        return pods.run(*arguments, **options)

    monkeypatch.setattr("mailstack.reach.kubectl.Kubectl.run", lambda _self, *of, **options: starting(*of, **options))
    told = json.loads(cluster_call("logs", "--json")[1])
    assert ([*told["places"]], sorted(told["unseen"])) == (["postal-smtp-0"], ["postal-web-0", "worker"])
    result = CliRunner().invoke(app, ["postal", "logs", "worker", "--stack", "prod"])
    assert (result.exit_code, "no pod of" in str(result.exception)) == (1, True)


def test_on_a_cluster_the_logs_of_all_pods_are_followed_and_one_that_fails_hides_no_other(
    in_pods: Callable[[PostalPods], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def lines(_self: Kubectl, *arguments: str) -> Iterator[str]:
        asked.append(arguments)
        yield f"a line of {arguments[3]}"
        if "postal-smtp-0" in arguments:
            raise KubectlError("kubectl logs --follow ended with 1")

    in_pods(PostalPods("web", "smtp", "worker"))
    monkeypatch.setattr(Kubectl, "lines", lines)
    result = CliRunner().invoke(app, ["postal", "logs", "--follow", "--lines", "7", "--stack", "prod"])
    assert result.exit_code == 1
    pods = [f"postal-{name}-0" for name in ("smtp", "web", "worker")]
    assert sorted(result.stdout.splitlines()) == [f"{pod}  a line of {pod}" for pod in pods]
    assert "postal-smtp-0: kubectl logs" in result.stderr
    assert all("--tail=7" in arguments for arguments in asked), "first what is there, as without --follow"
    result = CliRunner().invoke(app, ["postal", "logs", "web", "--follow", "--stack", "prod"])
    assert (result.exit_code, result.stdout) == (0, "a line of postal-web-0\n")


def test_on_a_cluster_backups_are_the_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    text = operations_text(load_plan(postal_on_cluster()))
    monkeypatch.setattr(operations, "stack_output", lambda *_: text)
    result = CliRunner().invoke(app, ["postal", "backup", "--stack", "prod"])
    assert result.exit_code == 1
    assert "its operator or provider" in str(result.exception)


def test_on_a_cluster_an_upgrade_promises_no_backup_that_nobody_makes(
    in_pods: Callable[[PostalPods], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_pods(PostalPods("web", "smtp", "worker", database="away"))
    changed: list[list[str]] = []
    monkeypatch.setattr(initialise, "run_pulumi", lambda arguments, *_: changed.append(arguments))
    for flags, answered in (([], 2), (["--yes"], 0)):
        result = CliRunner().invoke(app, ["postal", "upgrade", "--to", "3.3.8", "--stack", "prod", *flags])
        assert result.exit_code == answered
        assert "WITHOUT a backup" in result.stderr
        assert "a backup is made" not in result.stderr
    assert len(changed) == 1
