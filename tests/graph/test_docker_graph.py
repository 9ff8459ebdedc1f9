"""What is registered for a relay in a container: parents, names, secrets, and that no other stack pays for it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import settings as runtime_settings
from pulumi.runtime.mocks import MockMonitor

from tests.graph.recording import Recorder, is_secret, plain, run_graph
from tests.unit.docker_examples import PASSWORD, docker_example, local_example

Graph = tuple[Recorder, dict[str, Any], list[str]]
CONTAINER = "docker:index/container:Container"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def graph() -> Graph:
    raw = docker_example()
    raw["relay"]["image"] = {"registry": {"server": "registry.example.com", "username": "ci", "password": PASSWORD}}
    recorder, outputs = run_graph(raw)
    monitor = runtime_settings.get_monitor()
    assert isinstance(monitor, MockMonitor)
    return recorder, outputs, list(monitor.get_registered_resources())


def test_two_networks_a_volume_an_image_and_two_containers_below_the_relay(
    graph: Graph,
) -> None:
    recorder, urns = graph[0], graph[2]
    found = {name: args.typ for name, args in recorder.resources.items() if args.typ.startswith("docker:")}
    assert found == {
        "relay-network": "docker:index/network:Network",
        "relay-egress": "docker:index/network:Network",
        "relay-queue": "docker:index/volume:Volume",
        "relay-image": "docker:index/image:Image",
        "relay-settings": CONTAINER,
        "relay-container": CONTAINER,
    }
    types = {urn.split("::")[3]: urn.split("::")[2] for urn in urns}
    for name, kind in found.items():
        assert types[name] == f"mailstack:index:PostfixRelay${kind}"
        assert recorder.resources[name].provider, "an explicit one: no DOCKER_HOST changes where it goes"


def test_secrets_reach_the_engine_by_upload_only(graph: Graph) -> None:
    recorder = graph[0]
    for name, args in recorder.resources.items():
        for key, value in args.inputs.items():
            if PASSWORD in json.dumps(plain(value), default=str):
                assert is_secret(value) or (name, key) in {
                    ("relay-image", "registry"),
                    ("relay-docker", "registryAuth"),
                }, (name, key)
    uploads = recorder.resources["relay-settings"].inputs["uploads"]
    assert is_secret(uploads)
    assert {(each["file"], each["permissions"]) for each in plain(uploads)} == {
        ("/given/relay.json", "0400"),
        ("/given/secrets/sasl_password", "0400"),
    }
    container = plain(recorder.resources["relay-container"].inputs)
    assert "uploads" not in container
    assert container["envs"] == ["GRACE_SECONDS=25", "LOG_FORMAT=plain"]


def test_the_container_is_confined_and_reachable_by_its_network_only(graph: Graph) -> None:
    recorder = graph[0]
    container = plain(recorder.resources["relay-container"].inputs)
    assert container["readOnly"] is True
    assert container["capabilities"]["drops"] == ["ALL"]
    assert "no-new-privileges" in container["securityOpts"]
    assert (container["memory"], container["memorySwap"]) == (256, 256)
    assert container["destroyGraceSeconds"] == container["stopTimeout"] == 30
    assert "ports" not in container
    assert plain(recorder.resources["relay-network"].inputs)["internal"] is True
    assert plain(recorder.resources["relay-egress"].inputs)["internal"] is False


def test_applications_are_told_variables_and_a_piece_of_a_compose_file(graph: Graph) -> None:
    outputs = graph[1]
    assert outputs["smtp_host"] == "postfix-relay"
    assert outputs["smtp_environment"] == {
        "SMTP_HOST": "postfix-relay",
        "SMTP_PORT": "25",
        "SMTP_USE_TLS": "false",
        "SMTP_FROM_EMAIL": "noreply@example.com",
        "SMTP_FROM_NAME": "example.com",
    }
    assert "name: mailstack-mail" in outputs["compose_snippet"]


@pytest.mark.slow
def test_a_stack_without_such_a_relay_does_not_import_the_sdk() -> None:
    code = (
        "import sys; from tests.graph.recording import run_graph; from tests.unit.stack_examples import example;"
        "run_graph(example()); sys.exit('pulumi_docker' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_an_engine_that_is_no_host_needs_none_and_nothing_probes_from_it() -> None:
    recorder, outputs = run_graph(local_example())
    assert not recorder.of_type("command:remote:Command")
    assert "relay_rule_console_steps" in outputs
    assert "relay_rule_probe" not in outputs
