"""Who a container hands its queue to, and which ones keep it."""

import socket
from typing import Any

import pytest

from postfix_container.hand_over import HandOver, commands, hand_over_of, siblings

ASKED = {"host": "relay-pods.mail.svc.cluster.local", "port": 25, "keeps_below": 2}
OWN_NAME = "relay-3.relay.example.com"


def of(host_name: str, **changes: Any) -> HandOver | None:
    return hand_over_of({"hand_over": {**ASKED, **changes}}, host_name)


@pytest.mark.parametrize(
    ("host_name", "keeps"),
    [
        ("postfix-relay-0", True),
        ("postfix-relay-1", True),
        ("postfix-relay-2", False),
        ("postfix-relay-10", False),
        ("postfix-relay-5d9c7b-x2x4z", False),
        ("0a1b2c3d4e5f", False),
    ],
)
def test_who_comes_back_to_its_volume_keeps_its_queue(host_name: str, keeps: bool) -> None:
    found = of(host_name)
    assert found is not None
    assert found.keeps is keeps


def test_a_deployments_pod_keeps_nothing_whatever_its_name_ends_with() -> None:
    found = of("postfix-relay-5d9c7b-24567", keeps_below=0)
    assert found is not None
    assert not found.keeps


def test_nothing_is_handed_over_where_nobody_asks_for_it() -> None:
    assert hand_over_of({}, "relay-0") is None


@pytest.mark.parametrize(
    "broken",
    [
        {"host": "relay, other.example.com"}, {"host": "[relay]"}, {"host": ""}, {"port": 0}, {"port": 65536},
        {"port": "smtp"}, {"keeps_below": None},
    ],
)  # fmt: skip
def test_a_hand_over_that_could_mean_something_else_to_postfix_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="hand_over: "):
        of("relay-0", **broken)


def test_a_hand_over_without_its_parts_is_refused() -> None:
    for asked in ({"host": "relay"}, ["relay"], "relay"):
        with pytest.raises(ValueError, match="must have host, port and keeps_below"):
            hand_over_of({"hand_over": asked}, "relay-0")


def test_siblings_are_everybody_behind_the_name_but_oneself(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = of("relay-3")
    assert asked is not None
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 25)) for address in ("10.0.0.1", "10.0.0.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    assert set(siblings(asked, {"10.0.0.9"})) == {"[10.0.0.1]:25", "[10.0.0.2]:25"}
    assert siblings(asked, {"10.0.0.1"}) == ("[10.0.0.2]:25",)
    assert siblings(asked, {"10.0.0.1", "10.0.0.2"}) == ()


def test_nobody_is_found_where_no_name_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = of("relay-3")
    assert asked is not None

    def refuse(*_: object) -> None:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert siblings(asked, ()) == ()


def test_nothing_of_the_way_to_the_upstream_holds_for_a_sibling() -> None:
    service, options, parameters = commands(["[10.0.0.1]:25", "[10.0.0.2]:25"], OWN_NAME)
    assert service[-1] == "handover/unix=handover unix - - n - - smtp"
    said = dict(option.removeprefix("handover/unix/").split("=", 1) for option in options[2:])
    assert (said["smtp_tls_security_level"], said["smtp_sasl_auth_enable"], said["smtp_fallback_relay"]) == (
        "none", "no", "",
    )  # fmt: skip
    assert said["soft_bounce"] == "yes", "a sibling's refusal bounces nothing"
    assert said["myhostname"] == OWN_NAME, "all siblings greet with one name"
    told = dict(parameter.split("=", 1) for parameter in parameters[2:])
    assert told["relayhost"] == "[10.0.0.1]:25, [10.0.0.2]:25"
    assert told["default_transport"] == "handover"
    assert told["transport_maps"] == told["sender_dependent_default_transport_maps"] == ""


def test_without_a_sibling_nothing_goes_to_the_upstream() -> None:
    told = dict(parameter.split("=", 1) for parameter in commands([], OWN_NAME)[-1][2:])
    assert told["default_transport"].startswith("retry:4.")
    assert told["relayhost"] == ""
