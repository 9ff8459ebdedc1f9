"""The compose file: what runs, what it may do, and what it must never contain."""

from typing import Any

import pytest
import yaml

from mailstack.postal.compose import CONFIG_LABEL, image_reference, render_compose
from mailstack.postal.definition import Backup, Database, PostalDefinition, PostalDefinitionError, role_settings
from mailstack.postal.relays import Relay

IMAGE = "ghcr.io/postalserver/postal:3.3.7"
DIGESTS = {"web": "d1", "smtp": "d2", "worker": "d3"}


def definition(**changed: Any) -> PostalDefinition:
    fields: dict[str, Any] = {
        "web_hostname": "postal.example.com",
        "smtp_hostname": "mx.example.com",
        "mx_records": ("mx.example.com",),
        "spf_include": "spf.example.com",
        "return_path_domain": "rp.example.com",
        "route_domain": "routes.example.com",
        "track_domain": "track.example.com",
        **changed,
    }
    return PostalDefinition(**fields)


def compose(**changed: Any) -> dict[str, Any]:
    settings = role_settings(definition(**changed))
    found: dict[str, Any] = yaml.safe_load(render_compose(settings["compose"], IMAGE, settings["config"], DIGESTS))
    return found


def test_only_smtp_is_reachable_from_outside() -> None:
    services = compose()["services"]
    assert {name: service.get("ports") for name, service in services.items()} == {
        "web": ["127.0.0.1:5000:5000"],
        "smtp": ["25:25"],
        "worker": None,
        "runner": None,
    }
    assert compose(smtp_publish=("203.0.113.5", "2001:db8::5"))["services"]["smtp"]["ports"] == [
        "203.0.113.5:25:25",
        "[2001:db8::5]:25:25",
    ]


def test_every_service_has_the_one_capability_its_ruby_needs_and_no_other() -> None:
    for service in compose()["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["cap_add"] == ["NET_BIND_SERVICE"]
        # no-new-privileges would take the file capability away again.
        assert "security_opt" not in service
        assert "privileged" not in service


def test_configuration_is_read_only_and_shared_between_the_labels_of_four_containers() -> None:
    for service in compose()["services"].values():
        assert service["volumes"] == ["./config:/config:ro,z"]


def test_processes_are_started_so_that_a_stop_reaches_them() -> None:
    services = compose()["services"]
    # bin/postal is a shell that stays process 1 and passes no signal on; the worker would always be killed.
    assert services["worker"]["command"] == ["bundle", "exec", "ruby", "script/worker.rb"]
    assert services["smtp"]["command"] == ["bundle", "exec", "ruby", "script/smtp_server.rb"]
    assert services["web"]["command"][:3] == ["bundle", "exec", "puma"]
    assert int(services["worker"]["stop_grace_period"].rstrip("s")) >= 120


def test_each_process_is_asked_for_its_own_health() -> None:
    services = compose()["services"]
    web = services["web"]["healthcheck"]["test"]
    assert web[:2] == ["CMD", "curl"]
    assert "Host: postal.example.com" in web
    assert web[-1] == "http://127.0.0.1:5000/login"
    assert services["smtp"]["healthcheck"]["test"][-1] == "http://127.0.0.1:9091/health"
    assert services["worker"]["healthcheck"]["test"][-1] == "http://127.0.0.1:9090/health"


def test_memory_logs_and_restarts_are_limited() -> None:
    for name, service in compose(log_max_mb=7, log_files=3)["services"].items():
        assert service["logging"]["options"] == {"max-size": "7m", "max-file": "3"}
        if name != "runner":
            assert service["mem_limit"].endswith("m")
            assert service["restart"] == "unless-stopped"


def test_no_environment_variable_fights_the_configuration_file() -> None:
    for service in compose()["services"].values():
        assert set(service["environment"]) <= {
            "SILENCE_POSTAL_CONFIG_MESSAGES",
            "WAIT_FOR_TARGETS",
            "WAIT_FOR_TIMEOUT",
        }


def test_containers_are_made_anew_when_their_configuration_changes() -> None:
    services = compose()["services"]
    assert {name: services[name]["labels"][CONFIG_LABEL] for name in DIGESTS} == DIGESTS


def test_the_bridge_is_used_unless_ip_pools_need_the_hosts_addresses() -> None:
    bridge = compose()
    assert bridge["networks"] == {"mailstack": {"external": True, "name": "mailstack"}}
    assert all("network_mode" not in service for service in bridge["services"].values())
    host = compose(ip_pools=True)
    assert "networks" not in host
    assert all(service["network_mode"] == "host" for service in host["services"].values())
    assert all("ports" not in service for service in host["services"].values())


def test_with_host_networking_the_web_server_still_listens_on_loopback_only() -> None:
    assert role_settings(definition(ip_pools=True))["config"]["web_server"]["default_bind_address"] == "127.0.0.1"


def test_the_runner_is_not_started_with_the_others() -> None:
    assert compose()["services"]["runner"]["profiles"] == ["tools"]


def test_a_dollar_in_a_name_is_not_replaced_by_compose() -> None:
    settings = role_settings(definition())
    text = render_compose(settings["compose"], "registry/$HOME:1", settings["config"], DIGESTS)
    assert "registry/$$HOME:1" in text


def test_a_digest_pins_the_very_image() -> None:
    image = {"repository": "r/p", "tag": "3.3.7", "digest": None}
    assert image_reference(image) == "r/p:3.3.7"
    assert image_reference({**image, "digest": "sha256:" + "a" * 64}) == "r/p@sha256:" + "a" * 64


def test_relays_become_postals_entries_and_no_relay_is_no_key() -> None:
    relay = Relay(name="relay.example.com", port=2525, tls="none")
    config = role_settings(definition(relays=(relay,)))["config"]
    assert config["postal"]["smtp_relays"] == ["smtp://relay.example.com:2525?ssl_mode=None"]
    assert "smtp_relays" not in role_settings(definition())["config"]["postal"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"image_tag": "stable"}, "pin a release"),
        ({"image_tag": "3.3.4"}, "known holes"),
        ({"image_digest": "sha256:12"}, "64 hexadecimal"),
        ({"stop_grace_seconds": 10}, "loses mail"),
        ({"web_publish": "0.0.0.0"}, "without TLS"),
        ({"web_publish": "8.8.8.8"}, "without TLS"),
        ({"ip_pools": True, "worker_replicas": 2}, "health port"),
        ({"worker_replicas": 0}, "no mail is sent"),
        ({"mx_records": ()}, "at least one name"),
        ({"web_hostname": "postal"}, "full host name"),
        ({"database": Database(host="localhost")}, "socket file"),
        ({"database": Database(main="postal-server-1")}, "named like a message database"),
        ({"backup": Backup(directory="relative")}, "absolute path"),
        ({"backup": Backup(keep_count=0)}, "at least 1"),
        ({"backup": Backup(hook=("copy",))}, "full path"),
        ({"relays": (Relay(name="mx.example.com", port=25, tls="none"),)}, "circles"),
        ({"extra_config": {"postal": {"nonsense": 1}}}, "ignore this key"),
        ({"memory_mb": {"web": 64, "smtp": 64, "worker": 64}}, "memory_mb"),
    ],
)
def test_a_definition_that_cannot_work_is_refused_with_the_reason(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(PostalDefinitionError, match=words):
        definition(**changed)
