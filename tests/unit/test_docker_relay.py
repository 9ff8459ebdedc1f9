"""The relay in a container as data: sizes, access, what applications are told, the image's tag, and drift."""

import io
import json
import tarfile
from typing import Any, cast

import pytest
import yaml

from mailstack.plan import Plan, load_plan
from mailstack.plan.relay_container import CAPABILITIES, DockerRelay
from mailstack.plan.relay_image import code_files, image_code_digest, plan_image
from mailstack.postfix.relay import main_cf, master_cf
from mailstack.reach.docker_api import DockerApi
from mailstack.reach.docker_drift import docker_drift
from mailstack.settings.relay_image_model import RelayImage
from mailstack.settings.relay_tiers import tier_for
from tests.unit.docker_examples import PASSWORD, docker_example, local_example
from tests.unit.stack_examples import HOST_KEY, example


def container(plan: Plan) -> DockerRelay:
    assert plan.relay.docker is not None
    return plan.relay.docker


@pytest.mark.parametrize(("messages", "megabytes"), [(1, 128), (100, 128), (101, 256), (1000, 256), (1001, 512)])
def test_memory_follows_the_messages_of_a_day_and_postfix_stays_within_it(messages: int, megabytes: int) -> None:
    raw = docker_example()
    raw["relay"]["docker"]["messages_per_day"] = messages
    plan = load_plan(raw)
    assert container(plan).memory_mb == megabytes
    limit, definition = tier_for(messages).processes, plan.relay.definition
    served = {each.process_limit for each in master_cf(definition) if each.command in {"smtpd", "smtp"}}
    assert served == {str(limit)}
    assert definition.concurrency <= limit
    # It is also how many connections may wait to be served: one more is lost without a word.
    assert int(str(main_cf(definition)["default_process_limit"])) >= 100


def test_ssh_accepts_the_pinned_key_only_and_needs_no_file_of_it() -> None:
    access = container(load_plan(docker_example())).access
    assert access.endpoint == "ssh://admin@relay.example.com:22"
    assert "-oStrictHostKeyChecking=yes" in access.ssh_options
    assert f"-oKnownHostsCommand=/bin/echo %H {HOST_KEY}" in access.ssh_options
    assert not any("IdentityFile" in option for option in access.ssh_options), "the agent's keys"
    raw = docker_example()
    raw["relay"]["docker"]["ssh_key"] = "/home/me/.ssh/relay"
    assert "-oIdentityFile=/home/me/.ssh/relay" in container(load_plan(raw)).access.ssh_options


def test_secrets_are_files_of_their_own_and_the_settings_hold_none() -> None:
    relay = container(load_plan(local_example()))
    assert relay.files["secrets/sasl_password"] == PASSWORD
    assert PASSWORD not in relay.files["relay.json"]
    assert PASSWORD not in repr(relay)


def test_nothing_shown_of_a_password_but_that_it_is_another() -> None:
    shown = load_plan(docker_example()).relay.shown
    assert not any(PASSWORD in text for text in shown.values() if isinstance(text, str))
    assert "sasl_password" in shown


def test_a_changed_setting_is_one_changed_line() -> None:
    raw = docker_example()
    before = load_plan(raw).relay.shown
    raw["relay"]["queue_lifetime_hours"] = 72
    after = load_plan(raw).relay.shown
    assert [name for name in after if after[name] != before[name]] == ["main.cf/maximal_queue_lifetime"]


def test_every_placement_tells_applications_the_same_variables() -> None:
    names = {"SMTP_HOST", "SMTP_PORT", "SMTP_USE_TLS", "SMTP_FROM_EMAIL", "SMTP_FROM_NAME"}
    assert set(load_plan(example()).relay.smtp_environment) == names
    raw = docker_example()
    raw["relay"] |= {"from_email": "shop@example.org", "from_name": "Shop $1"}
    told = load_plan(raw).relay
    assert set(told.smtp_environment) == names
    assert (told.smtp_environment["SMTP_FROM_EMAIL"], told.smtp_environment["SMTP_FROM_NAME"]) == (
        "shop@example.org",
        "Shop $1",
    )
    snippet = yaml.safe_load(str(told.compose_snippet))
    assert snippet["services"]["app"]["environment"]["SMTP_FROM_NAME"] == "Shop $$1", "compose would look for $1"
    assert snippet["networks"]["mail"] == {"name": "mailstack-mail", "external": True}


def test_the_tag_changes_exactly_when_what_goes_into_the_image_does() -> None:
    name = plan_image(RelayImage()).name
    assert name == plan_image(RelayImage(name="mailstack-postfix-relay", build_network="host")).name
    others = (RelayImage(rebuild="2026-12"), RelayImage(base="debian:12.1"), RelayImage(platform="linux/arm64"))
    assert len({name, *(plan_image(other).name for other in others)}) == 4


def test_the_digest_covers_every_file_that_the_dockerfile_copies() -> None:
    names = {path.name for path in code_files()}
    assert {"Dockerfile", "postfix-relay", "render.py", "receive.py", "upstreams.py"} <= names
    assert len(image_code_digest()) == 16


class FakeApi:
    """An engine on which everything is as declared, but for what a test changes."""

    def __init__(self, relay: DockerRelay) -> None:
        networks: dict[str, Any] = {relay.network.name: {}, relay.egress.name: {}}
        self.answers: dict[str, Any] = {
            f"/networks/{each.name}": {"Internal": each.internal, "IPAM": {"Config": [{"Subnet": each.subnet}]}}
            for each in (relay.network, relay.egress)
        }
        self.container: dict[str, Any] = {
            "State": {"Running": True, "Status": "running", "ExitCode": 0, "Health": {"Status": "healthy"}},
            "Image": "sha256:1",
            "HostConfig": {
                "Memory": relay.memory_mb * 1024 * 1024,
                "RestartPolicy": {"Name": relay.restart},
                "ReadonlyRootfs": True,
                "Privileged": False,
                "CapAdd": list(CAPABILITIES),
                "PortBindings": {},
            },
            "NetworkSettings": {"Networks": networks},
        }
        self.answers |= {
            f"/volumes/{relay.queue_volume}": {},
            f"/containers/{relay.name}/json": self.container,
            f"/images/{relay.image.name}/json": {"Id": "sha256:1"},
        }
        self.files = {
            "/etc/mailstack/relay.json": relay.files["relay.json"],
            "/run/secrets/mailstack/sasl_password": PASSWORD,
        }

    def call(self, _method: str, place: str, **options: Any) -> Any:
        if place.endswith("/archive"):
            return _tar(self.files[options["path"]])
        return self.answers.get(place)


def _tar(text: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo("file")
        entry.size = len(text.encode())
        archive.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


def drift(relay: DockerRelay, api: FakeApi) -> list[str]:
    return list(docker_drift(relay, cast("DockerApi", api)))


def test_no_drift_where_all_is_as_declared() -> None:
    relay = container(load_plan(local_example()))
    assert drift(relay, FakeApi(relay)) == []


def test_drift_names_what_differs_and_no_secret() -> None:
    relay = container(load_plan(local_example()))
    api = FakeApi(relay)
    api.container["State"] |= {"Health": {"Status": "unhealthy"}}
    api.container["HostConfig"] |= {"Memory": 0, "PortBindings": {"25/tcp": [{"HostIp": "", "HostPort": "25"}]}}
    api.answers["/networks/mailstack-mail"]["Internal"] = False
    api.files["/run/secrets/mailstack/sasl_password"] = "typed by hand"
    found = drift(relay, api)
    for word in (
        "unhealthy",
        "memory is 0",
        "published ports",
        "mailstack-mail is not internal",
        "sasl_password is not",
    ):
        assert any(word in line for line in found), (word, found)
    assert not any(PASSWORD in line or "typed by hand" in line for line in found)
    del api.answers[f"/containers/{relay.name}/json"]
    assert f"container {relay.name} is not there" in drift(relay, api)


def test_the_settings_are_those_of_every_other_placement() -> None:
    told = json.loads(container(load_plan(docker_example())).files["relay.json"])
    assert told["main_cf"]
    assert told["listen"] == [["0.0.0.0", 25]]
