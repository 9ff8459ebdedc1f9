"""Secrets that the stack declares for applications on its cluster: the same variables as `mailstack env`."""

from typing import Any

import pytest

from mailstack.kubernetes.objects import Placed, Stage
from mailstack.outputs.application import application
from mailstack.plan import Secret
from mailstack.plan.postal import mail_servers
from tests.unit import kubernetes_examples as relays
from tests.unit import postal_cluster_examples as postals
from tests.unit.kubernetes_versions import VERSIONS, hold_against
from tests.unit.mistakes import Mistake, told_and_mended
from tests.unit.stack_examples import REMOVE

RELAY, POSTAL = "relay.kubernetes.application_secrets", "postal.kubernetes.application_secrets"
SHOP = {"namespace": "shop", "server": "example/apps", "credential": "shop"}
NEWS = {"namespace": "news", "name": "smtp", "server": "example/apps", "credential": "shop"}
SMTP_KEY, API_KEY = "smtpsmtpsmtpsmtpsmtpsmtp", "apiapiapiapiapiapiapiapi"


def secrets(objects: tuple[Placed, ...]) -> dict[str, Placed]:
    return {one.name: one for one in objects if one.name.startswith("application-")}


def opened(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.value
    return {key: opened(item) for key, item in value.items()} if isinstance(value, dict) else value


def test_an_application_of_the_relay_finds_its_address_and_sender_in_its_namespace() -> None:
    plan = relays.plan_of({RELAY: [{"namespace": "shop"}]})
    [one] = secrets(relays.placed(plan).objects(plan.relay.shown)).values()
    metadata = one.manifest["metadata"]
    assert (metadata["namespace"], metadata["name"], one.stage) == ("shop", "mail", Stage.ACCESS)
    assert one.manifest["stringData"] == dict(plan.relay.smtp_environment)


def test_an_application_of_postal_finds_what_env_would_write() -> None:
    plan = postals.plan_of({POSTAL: [SHOP, NEWS]})
    assert plan.postal is not None
    found = secrets(postals.placed(plan).objects(plan.postal.shown))
    assert list(found) == ["application-shop.mail", "application-news.smtp"]
    told = {name: opened(one) for name, one in mail_servers(plan.settings).items()}
    outputs = {"contract_version": 1, "smtp_environment": plan.relay.smtp_environment, "mail_servers": told}
    expected = application(outputs, server="example/apps", credential="shop").variables
    assert [one.manifest["stringData"] for one in found.values()] == [expected, expected]
    assert (expected["SMTP_PASSWORD"], expected["MAIL_API_KEY"]) == (SMTP_KEY, API_KEY)


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_every_supported_kubernetes_takes_them(version: str) -> None:
    for one in secrets(postals.objects({POSTAL: [SHOP]})).values():
        hold_against(version, one.manifest)


def test_a_reviewer_sees_everything_but_the_keys() -> None:
    plan = postals.plan_of({POSTAL: [SHOP]})
    assert plan.postal is not None
    shown = plan.postal.shown
    told = {name.removeprefix("application-shop.mail/"): text for name, text in shown.items() if "application-" in name}
    assert {name for name, text in told.items() if isinstance(text, Secret)} == {"SMTP_PASSWORD", "MAIL_API_KEY"}
    assert told["SMTP_HOST"] == "mx.example.com"
    in_clear = [text for text in shown.values() if isinstance(text, str)]
    assert not [text for text in in_clear if SMTP_KEY in text or API_KEY in text]


def test_no_two_secrets_share_a_resource() -> None:
    asked = [{"namespace": "a-b", "name": "c"}, {"namespace": "a", "name": "b-c"}]
    plan = relays.plan_of({RELAY: asked})
    assert len(secrets(relays.placed(plan).objects(plan.relay.shown))) == 2


def test_without_the_setting_nothing_is_added() -> None:
    assert secrets(relays.objects({})) == secrets(postals.objects({})) == {}


def of_postal(**changes: Any) -> list[dict[str, Any]]:
    return [{**SHOP, **changes}]


MISTAKES = [
    Mistake("one Secret twice for the relay", relays.on_cluster, {RELAY: [{"namespace": "shop"}] * 2},
            RELAY, "is listed twice", "another name",
            ({RELAY: [{"namespace": "shop"}]}, {RELAY: [{"namespace": "shop"}, {"namespace": "shop", "name": "b"}]})),
    Mistake("one Secret twice for Postal", postals.postal_on_cluster, {POSTAL: [SHOP, SHOP]},
            POSTAL, "is listed twice", "another name", ({POSTAL: [SHOP]}, {POSTAL: [SHOP, NEWS]})),
    Mistake("a mail server that is not there", postals.postal_on_cluster, {POSTAL: of_postal(server="example/app")},
            f"{POSTAL}[0].server", "must name one of Postal's mail servers", "did you mean example/apps?",
            ({POSTAL: [SHOP]},)),
    Mistake("a credential that is not there", postals.postal_on_cluster, {POSTAL: of_postal(credential="shopp")},
            f"{POSTAL}[0].credential", "must name one of the credentials of example/apps", "did you mean shop?",
            ({POSTAL: [SHOP]},)),
    Mistake("one Secret for relay and Postal", postals.postal_on_cluster,
            {POSTAL: [SHOP], RELAY: [{"namespace": "shop"}]},
            f"{POSTAL}[0].name", "is a Secret of relay.kubernetes.application_secrets already", "another name",
            ({RELAY: REMOVE}, {POSTAL: of_postal(name="postal")})),
    Mistake("a namespace that is none", relays.on_cluster, {RELAY: [{"namespace": "My_Shop"}]},
            f"{RELAY}[0].namespace", "must be a name of Kubernetes", "write the name only",
            ({RELAY: [{"namespace": "my-shop"}]},)),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_is_told_at_its_field_and_its_fix_can_be_followed(mistake: Mistake) -> None:
    told_and_mended(mistake)
