"""The relay in a container with the real engine: what a change does, what it leaves alone, what stays at the end."""

import ipaddress
import re
import smtplib
import socket
from collections.abc import Iterator

import pytest
import yaml

from mailstack.settings.initialise import rehearsal_config
from rehearsal.container_place import ContainerPlace
from rehearsal.ground.docker import docker, docker_try
from rehearsal.ground.ports import free_port
from rehearsal.images import ensure_docker_host_image
from rehearsal.rehearse import Rehearsal
from tests.engine.conftest import ROOT
from tests.engine.placed_stack import PASSWORD, PlacedStack, with_login
from tests.engine.stage import PLANNED

pytestmark = [pytest.mark.engine, pytest.mark.hosts, pytest.mark.xdist_group("docker-placement")]

NEXT_PASSWORD = "planted-second-93d4"
ARRIVAL_SECONDS = 120


class Stack(PlacedStack):
    """The docker stack."""

    @property
    def place(self) -> ContainerPlace:
        assert isinstance(self.rehearsal.place, ContainerPlace)
        return self.rehearsal.place

    def identity(self) -> str:
        return str(self.place.inspect()["Id"])


@pytest.fixture(scope="module")
def stack(cli: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    raw = with_login(rehearsal_config(ROOT / "Pulumi.docker.yaml"))
    with Rehearsal("docker-tests", raw, lambda _line: None) as rehearsal:
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
    before = stack.identity()
    assert stack.up(stack.raw) == {}
    assert stack.identity() == before
    token = stack.submit()
    arrived = stack.rehearsal.google.wait_for_subject(token, timeout_seconds=ARRIVAL_SECONDS)
    assert arrived is not None, stack.place.log()
    assert arrived.auth_user == stack.user
    assert stack.rehearsal.drift() == []


def test_an_operators_commands_find_the_relay_by_the_stacks_outputs(stack: Stack) -> None:
    code, [tried] = stack.command("relay", "test", "--to", "someone@recipient.test")
    assert (code, tried["state"], tried["place"]) == (0, "sent", stack.place.container), tried
    code, [shown] = stack.command("relay", "show-config")
    assert (code, shown["differences"]) == (0, [])
    assert PASSWORD not in str(shown)
    code, logged = stack.command("relay", "logs", "--id", tried["queue_id"])
    assert any("status=sent" in line for line in logged["places"][stack.place.container]), logged
    sent = ("--from", "app@mailstack.test", "--to", "someone@recipient.test", "--subject", "by send")
    code, [told] = stack.command("send", "--via", "relay", *sent)
    assert (code, told["outcome"]) == (0, "sent")
    assert stack.rehearsal.google.wait_for_subject("by send", timeout_seconds=ARRIVAL_SECONDS) is not None


def test_secrets_are_in_no_environment_argument_image_log_or_state(stack: Stack) -> None:
    looked = [
        stack.place.log(),
        docker(["inspect", stack.place.container]),
        docker(["history", "--no-trunc", stack.raw["relay"]["image"]["reference"]]),
    ]
    looked.append(stack.place.run(["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true"]))
    kept = (path for path in stack.engine.folder.rglob("*") if path.is_file() and "plugins" not in path.parts)
    looked += [path.read_bytes().decode(errors="replace") for path in kept]
    assert not any(PASSWORD in text for text in looked)
    modes = stack.place.run(["sh", "-c", "stat -c %a /etc/mailstack/relay.json /run/secrets/mailstack/*"])
    assert set(modes.split()) == {"400"}


def test_a_preview_of_another_concurrency_shows_one_line_and_replaces_the_containers_only(stack: Stack) -> None:
    code, text = stack.run("preview", stack.changed(concurrency=3), "--diff")
    assert code == 0, text
    planned = {name: what for _, name, what in PLANNED.findall(stack.run("preview", stack.changed(concurrency=3))[1])}
    assert {name for name in planned if name.startswith("relay-")} == {"relay-settings", "relay-container"}, text
    shown = re.findall(r'~ main\.cf/(\S+)\s*: "(\d+)" => "(\d+)"', text)
    limits = ("smtp_destination_concurrency_limit", "smtp_initial_destination_concurrency")
    assert sorted(shown) == [(limit, "10", "3") for limit in limits], text


def test_a_changed_password_is_shown_as_a_secret_and_used_at_once(stack: Stack) -> None:
    raw = stack.changed(upstream={**stack.raw["relay"]["upstream"], "password": NEXT_PASSWORD})
    _, text = stack.run("preview", raw, "--diff")
    assert "sasl_password" in text
    assert "[secret]" in text
    assert PASSWORD not in text
    assert NEXT_PASSWORD not in text
    before = stack.identity()
    stack.up(raw)
    assert stack.identity() != before
    stack.join(NEXT_PASSWORD)
    assert stack.rehearsal.google.wait_for_subject(stack.submit(), timeout_seconds=ARRIVAL_SECONDS) is not None
    stack.raw = raw


def test_a_configuration_that_postfix_refuses_leaves_the_relay_as_it_is(stack: Stack) -> None:
    before = stack.identity()
    code, text = stack.run("up", stack.changed(extra_parameters={"no_such_parameter": "x"}), "--yes", "--skip-preview")
    assert code == 1
    assert "the relay stays as it is" in text
    assert "no_such_parameter" in text
    assert stack.identity() == before
    assert stack.place.inspect()["State"]["Running"]
    stack.up(stack.raw)


def test_the_queue_outlives_a_replacement(stack: Stack) -> None:
    fault = stack.rehearsal.google.take_down()
    token = stack.submit()
    assert stack.command("relay", "queue", "list")[1]["total"]["messages"] == 1
    before = stack.identity()
    raw = stack.changed(concurrency=5)
    stack.up(raw)
    stack.raw = raw
    assert stack.identity() != before
    assert "stay in the queue" not in stack.place.log(), "a new container, a new log"
    stack.join(NEXT_PASSWORD)
    stack.rehearsal.google.remove_fault(fault.id)
    assert stack.command("relay", "queue", "flush", "--all")[1]["done"] == 1
    assert stack.rehearsal.google.wait_for_subject(token, timeout_seconds=ARRIVAL_SECONDS) is not None


def test_more_messages_a_day_bring_memory_and_processes(stack: Stack) -> None:
    raw = stack.changed(docker={**stack.raw["relay"]["docker"], "messages_per_day": 500})
    stack.up(raw)
    stack.raw = raw
    assert stack.place.inspect()["HostConfig"]["Memory"] == 256 * 1024 * 1024
    assert re.search(r"25 +inet .* 30 +smtpd", stack.place.run(["postconf", "-M"]))


def test_a_published_port_leads_to_the_relay_which_still_asks_who_it_is(stack: Stack) -> None:
    """The machine itself is no client: what it says comes from the address that Docker gives it."""
    address = str(next(ipaddress.ip_network(stack.rehearsal.ground.subnet).hosts()))
    port = free_port()
    declared = {**stack.raw["relay"]["docker"], "publish": {"address": address, "port": port}}
    stack.up(stack.changed(docker=declared, client_networks=["192.168.77.0/24"]))
    with smtplib.SMTP(address, port, local_hostname="app.mailstack.test", timeout=20) as smtp:
        assert b"relay.mailstack.test" in smtp.ehlo()[1]
        smtp.mail("app@mailstack.test")
        assert smtp.rcpt("someone@recipient.test")[0] == 554
    with pytest.raises(OSError, match=r"refused|timed out"):
        socket.create_connection(("127.0.0.1", port), 3)
    stack.up(stack.raw)


def test_compose_takes_the_snippet(stack: Stack) -> None:
    snippet = yaml.safe_load(stack.engine.outputs()["compose_snippet"])
    snippet["services"]["app"]["image"] = "app:1"
    image = ensure_docker_host_image(lambda _line: None)
    argv = ["run", "--rm", "--interactive", "--network", "none", "--entrypoint", "docker-compose", image]
    printed = docker([*argv, "-f", "-", "config"], stdin=yaml.safe_dump(snippet).encode())
    assert f"SMTP_HOST: {stack.place.container}" in printed


def test_destroying_leaves_the_queue_and_nothing_else(stack: Stack) -> None:
    relay = stack.rehearsal.plan.relay.docker
    assert relay is not None
    stack.place.leave(stack.rehearsal.plan)
    code, text = stack.run("destroy", stack.raw, "--yes", "--skip-preview")
    assert code == 0, text
    assert docker_try(["container", "inspect", relay.name]).returncode != 0
    assert docker_try(["network", "inspect", relay.network.name]).returncode != 0
    assert docker_try(["network", "inspect", relay.egress.name]).returncode != 0
    assert docker_try(["volume", "inspect", relay.queue_volume]).returncode == 0
