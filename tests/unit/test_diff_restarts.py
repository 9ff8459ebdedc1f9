"""What `mailstack diff` says of restarts: what a role, an engine or a cluster does, and nothing else."""

from pathlib import Path

import pytest

from mailstack.diff.restarts import RESTART_PARAMETERS
from postfix_relay.planning import RESTART_PARAMETERS as OF_THE_ROLE
from tests.unit.diff_bases import pop, server, with_clients, with_submission
from tests.unit.diff_examples import Change, compared
from tests.unit.docker_examples import docker_example
from tests.unit.kubernetes_examples import on_cluster
from tests.unit.stack_examples import example, postal_example
from tests.unit.test_diff_risks import Base

pytestmark = pytest.mark.slow

RESTARTS: list[tuple[Base, Change, set[tuple[str, str]]]] = [
    (example, lambda raw: raw["relay"].update(concurrency=20), {("Postfix", "reload")}),
    (with_clients, lambda raw: raw["relay"]["listen_addresses"].append("10.0.0.1"), {("Postfix", "restart")}),
    (example, lambda raw: raw["relay"].update(on_destroy="keep"), set()),
    (example, lambda raw: raw["hosts"]["relay1"].update(port=2222), set()),
    (
        with_submission,
        lambda raw: raw["relay"]["submission"]["users"].pop(),
        {("login service of submission", "restart")},
    ),
    (with_submission, lambda raw: pop(raw["relay"], "submission"), {("login service of submission", "stop")}),
    (
        example,
        lambda raw: raw["relay"].update(submission=with_submission()["relay"]["submission"], metrics={}),
        {("login service of submission", "start"), ("metrics service", "start")},
    ),
    (postal_example, lambda raw: raw["postal"].update(workers=2), {("Postal (worker)", "recreate")}),
    (
        postal_example,
        lambda raw: raw["postal"].update(image={"tag": "3.3.8"}),
        {("Postal (web, smtp, worker)", "recreate")},
    ),
    (postal_example, lambda raw: server(raw)["credentials"].pop(), {("Postal's provisioning", "run")}),
    (postal_example, lambda raw: raw["postal"]["database"].update(memory_mb=512), {("MariaDB", "recreate")}),
    (postal_example, lambda raw: raw["caddy"].update(extra_names=["w.example.com"]), {("Caddy", "reload")}),
    (docker_example, lambda raw: raw["relay"].update(concurrency=4), {("container postfix-relay", "recreate")}),
    (on_cluster, lambda raw: raw["relay"]["kubernetes"].update(replicas=5), set()),
]


@pytest.mark.parametrize("number", range(len(RESTARTS)))
def test_what_restarts_is_told_and_nothing_else(number: int, tmp_path: Path) -> None:
    base, change, expected = RESTARTS[number]
    found = {(one.what, one.how) for one in compared(tmp_path, base, change).restarts}
    assert expected <= found
    # Whoever asks Google, or looks at ports, does so beside.
    assert {one for one in found - expected if one[1] not in {"ask", "reload"}} == set()


def test_pods_roll_and_a_job_tries_the_configuration_first(tmp_path: Path) -> None:
    comparison = compared(tmp_path, on_cluster, lambda raw: raw["relay"].update(concurrency=4))
    assert [(one.what.partition(" ")[0], one.how) for one in comparison.restarts] == [
        ("Job", "run"),
        ("StatefulSet", "roll"),
    ]


def test_postfix_restarts_for_the_parameters_that_the_role_restarts_it_for() -> None:
    assert RESTART_PARAMETERS == OF_THE_ROLE
