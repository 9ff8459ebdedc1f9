"""The open-relay catalogue, attempt by attempt: each is found at a server that is open to it and to nothing else."""

from collections.abc import Callable

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from mailstack.verify.model import State
from mailstack.verify.open_relay import Attempt, attempts
from mailstack.verify.recipients import PER_SESSION
from tests.unit.verify_world import (
    DOMAIN,
    HOST,
    MX,
    SUBMISSION,
    Pki,
    SmtpStandin,
    around,
    context,
    free_port,
    host,
    look,
    only,
    target,
)

CATALOGUE = attempts(DOMAIN, HOST, "127.0.0.1")
REFUSED = "554 5.7.1 Relay access denied"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def open_to(attempt: Attempt) -> Callable[[str, str], str]:
    return lambda sender, recipient: "250 Ok" if (sender, recipient) == (attempt.sender, attempt.recipient) else REFUSED


@pytest.mark.parametrize("attempt", CATALOGUE, ids=lambda attempt: attempt.name.replace(" ", "-"))
def test_a_server_that_is_open_to_one_attempt_is_found(attempt: Attempt) -> None:
    with SmtpStandin(recipient=open_to(attempt)) as server:
        found = only("open-relay", context(target(host(MX)), {25: server.port}))
    assert (found.state, found.found) == (State.FAIL, f"it takes mail for strangers: {attempt.name}")
    assert server.messages == []
    assert "DATA" not in server.said


def test_no_two_attempts_are_the_same() -> None:
    assert len({(attempt.sender, attempt.recipient) for attempt in CATALOGUE}) == len(CATALOGUE)
    assert len({attempt.name for attempt in CATALOGUE}) == len(CATALOGUE)


def test_a_server_that_refuses_everything_is_right_and_few_sessions_suffice() -> None:
    with SmtpStandin() as server:
        found = only("open-relay", context(target(host(MX)), {25: server.port}))
        assert server.connections == 1 + (len(CATALOGUE) + PER_SESSION) // PER_SESSION
    assert (found.state, found.found) == (State.OK, f"{len(CATALOGUE)} attempts refused")
    assert len(found.details) == len(CATALOGUE)


def test_a_sender_that_is_refused_ends_its_attempt() -> None:
    with SmtpStandin(sender=lambda _sender: "530 5.7.0 Authentication required", recipient=lambda *_: "250") as server:
        found = only("open-relay", context(target(host(SUBMISSION)), {587: server.port}))
    assert found.state is State.OK


def test_a_server_that_takes_any_address_of_its_domain_is_not_blamed_for_it() -> None:
    def catch_all(_sender: str, recipient: str) -> str:
        return "250 Ok" if recipient.endswith((f"@{DOMAIN}", f"@{HOST}", "]")) else REFUSED

    def open_too(sender: str, recipient: str) -> str:
        return "250 Ok" if recipient.endswith("@example.net") and sender == "" else catch_all(sender, recipient)

    with SmtpStandin(recipient=catch_all) as server:
        found = only("open-relay", context(target(host(MX)), {25: server.port}))
    assert found.state is State.OK
    assert "taken as local parts, as any is there" in found.found
    with SmtpStandin(recipient=open_too) as server:
        found = only("open-relay", context(target(host(MX)), {25: server.port}))
    assert (found.state, found.found) == (State.FAIL, "it takes mail for strangers: null sender to stranger")


def test_a_refusal_for_now_counts_as_one_and_is_counted() -> None:
    with SmtpStandin(recipient=lambda *_: "451 4.7.1 try later") as server:
        found = only("open-relay", context(target(host(MX)), {25: server.port}))
    assert found.state is State.OK
    assert f"{len(CATALOGUE)} of them for now" in found.found


def test_what_was_not_tried_is_unknown_unless_something_went_through() -> None:
    last = CATALOGUE[-1]

    def gives_up(_sender: str, recipient: str) -> str:
        return "421 4.7.0 too many errors" if recipient == last.recipient else REFUSED

    with SmtpStandin(recipient=gives_up) as server:
        found = only("open-relay", context(target(host(MX)), {25: server.port}))
    assert found.state is State.UNKNOWN
    assert found.found.startswith(f"{len(CATALOGUE) - 1} of {len(CATALOGUE)} attempts")
    with SmtpStandin(recipient=lambda sender, to: "250 Ok" if sender == "" else gives_up(sender, to)) as server:
        assert only("open-relay", context(target(host(MX)), {25: server.port})).state is State.FAIL


def test_a_real_server_that_takes_everything_is_found_open() -> None:
    controller = Controller(Sink(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        found = only("open-relay", context(target(host(MX)), {25: controller.port}))
    finally:
        controller.stop()
    assert found.state is State.FAIL
    assert "stranger to stranger, null sender to stranger, sender of our domain" in found.found


def test_every_port_is_tried_within_tls_where_there_is_some(pki: Pki) -> None:
    with SmtpStandin(pki.context()) as mx, SmtpStandin(pki.context(), recipient=lambda *_: "250 Ok") as submission:
        world = context(target(host(MX, SUBMISSION)), {25: mx.port, 587: submission.port}, pki)
        first, second = look("open-relay", world)
        assert (first.state, second.state) == (State.OK, State.FAIL)
        assert mx.said.count("STARTTLS") == 1 + (len(CATALOGUE) + PER_SESSION) // PER_SESSION


def test_a_port_that_is_closed_is_unknown_and_nobodys_hosts_are_left_alone() -> None:
    assert only("open-relay", context(target(host(MX)), {25: free_port()})).state is State.UNKNOWN
    world = context(target(), around=around({25: free_port()}))
    assert only("open-relay", world).state is State.NOT_APPLICABLE
