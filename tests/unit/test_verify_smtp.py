"""What is told about SMTP sessions: names, STARTTLS, AUTH before TLS, recipients; against stand-ins on loopback."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from mailstack.verify.listeners import endpoints
from mailstack.verify.model import State
from mailstack.verify.target import DomainTarget, HostTarget, Listener, Target
from tests.unit.name_server import LOOPBACK
from tests.unit.verify_world import (
    DOMAIN,
    HOST,
    MX,
    SUBMISSION,
    TLS_SUBMISSION,
    ZONE,
    Pki,
    SmtpStandin,
    around,
    context,
    free_port,
    host,
    look,
    named,
    only,
    target,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def resolver() -> Iterator[dict[str, Any]]:
    zone = ZONE + "rp 300 IN MX 10 mx.example.com.\nnull 300 IN MX 0 .\nnomx 300 IN A 127.0.0.1\n"
    zone += "elsewhere 300 IN MX 10 mx.example.org.\n"
    with named({DOMAIN: zone}) as fields:
        yield fields


# --- 11 ---


@pytest.mark.parametrize(
    ("name", "greeting", "state"),
    [
        (HOST, None, State.OK),
        (HOST.upper(), None, State.OK),
        ("localhost", None, State.WARN),
        (HOST, "220 localhost.localdomain ESMTP Postfix", State.WARN),
    ],
)
def test_a_greeting_is_to_be_the_hosts_name(pki: Pki, name: str, greeting: str | None, state: State) -> None:
    with SmtpStandin(pki.context(), name=name, greeting=greeting) as server:
        found = only("smtp-greeting", context(target(host(MX)), {25: server.port}, pki))
    assert found.state is state
    assert found.subject == f"{HOST} 127.0.0.1:25"


# --- 25 ---


def test_we_greet_with_the_name_we_are_given_and_else_with_our_address(pki: Pki) -> None:
    with SmtpStandin(pki.context()) as server:
        only("smtp-greeting", context(target(host(MX)), {25: server.port}, pki))
        named = around({25: server.port}, pki, helo="probe.example.com")
        only("smtp-greeting", context(target(host(MX)), around=named))
    hellos = dict.fromkeys(word for word in server.said if word.lower().startswith("ehlo"))
    assert [word.partition(" ")[2] for word in hellos] == [f"[{LOOPBACK}]", "probe.example.com"]


def test_a_session_is_held_with_a_real_server_too(pki: Pki) -> None:
    controller = Controller(Sink(), hostname="127.0.0.1", port=free_port(), tls_context=pki.context())
    controller.start()
    try:
        found = only("starttls", context(target(host(MX)), {25: controller.port}, pki))
    finally:
        controller.stop()
    assert found.state is State.OK
    assert found.found.startswith("TLSv1.3")


def test_implicit_tls_counts_on_its_port(pki: Pki) -> None:
    with SmtpStandin(pki.context(), implicit=True) as server:
        found = only("starttls", context(target(host(TLS_SUBMISSION)), {465: server.port}, pki))
    assert found.state is State.OK


def test_a_mail_port_without_starttls_fails() -> None:
    with SmtpStandin() as server:
        found = only("starttls", context(target(host(MX)), {25: server.port}))
    assert (found.state, found.found) == (State.FAIL, "STARTTLS is not offered")


def test_a_handshake_that_fails_is_told_in_words(pki: Pki) -> None:
    with SmtpStandin(pki.context(), hello=lambda _version, _ciphers: b"\x15\x03\x03\x00\x02\x02\x28") as server:
        found = only("starttls", context(target(host(MX)), {25: server.port}, pki))
    assert found.state is State.FAIL
    assert "handshake failure" in found.found


def test_a_declared_port_that_refuses_fails_and_one_that_says_nothing_is_unknown(pki: Pki) -> None:
    closed = only("starttls", context(target(host(MX)), {25: free_port()}, pki))
    assert (closed.state, closed.found) == (State.FAIL, "connection refused")
    with SmtpStandin(silent=True) as server:
        silent = only("starttls", context(target(host(MX)), {25: server.port}, pki, seconds=0.2))
    assert silent.state is State.UNKNOWN
    assert "in time" in silent.found


def test_an_address_without_a_way_to_it_is_unknown(pki: Pki) -> None:
    found = look("starttls", context(target(host(MX, address="2001:db8::1")), {}, pki))
    assert [(one.state, one.found) for one in found] == [(State.UNKNOWN, "this machine has no IPv6")]


def test_what_declines_to_serve_is_no_session(pki: Pki) -> None:
    with SmtpStandin(pki.context(), greeting="554 no service for you") as server:
        found = only("starttls", context(target(host(MX)), {25: server.port}, pki))
    assert (found.state, found.found) == (State.UNKNOWN, "no SMTP: 554 no service for you")


def test_checks_share_one_session(pki: Pki) -> None:
    with SmtpStandin(pki.context()) as server:
        world = context(target(host(MX)), {25: server.port}, pki)
        for name in ("smtp-greeting", "starttls", "auth-after-tls", "certificate"):
            look(name, world)
        assert server.connections == 1
        assert server.said[-1].upper() == "QUIT"


@pytest.mark.parametrize(("mx", "state"), [(((10, "mx.elsewhere.example"),), State.WARN), (((10, HOST),), State.FAIL)])
def test_a_relay_for_ones_own_networks_that_answers_from_outside_in_clear_is_a_warning(
    pki: Pki, mx: tuple[tuple[int, str], ...], state: State
) -> None:
    open_to_all = HostTarget(name=HOST, addresses=(LOOPBACK,), ports=None)
    with SmtpStandin(None) as server:
        found = look("starttls", context(target(open_to_all, mx=mx), {25: server.port}, pki))
    ours = [one.state for one in found if one.subject.startswith(HOST) and ":25" in one.subject]
    assert ours == [state]


def test_of_a_host_with_nothing_declared_usual_ports_count_where_they_are_open(pki: Pki) -> None:
    with SmtpStandin(pki.context()) as server:
        looked_at = target(HostTarget(name=HOST, addresses=("127.0.0.1",)))
        places = {25: server.port, 465: free_port(), 587: free_port()}
        world = context(looked_at, places, pki)
        found = look("starttls", world)
    assert [(one.subject, one.state) for one in found] == [(f"{HOST} 127.0.0.1:25", State.OK)]
    assert [(one.port, one.declared) for one in endpoints(world)] == [(25, True), (465, False), (587, False)]


def test_many_names_of_one_machine_are_looked_at_once(pki: Pki, resolver: dict[str, Any]) -> None:
    listener = MX.model_copy(update={"name": HOST})
    names = ("web.example.com", HOST, "other.example.com")
    looked_at = target(*(host(listener, name=name) for name in names), mx=((10, "other.example.com"),))
    with SmtpStandin(pki.context(), recipient=lambda *_: "250 Ok") as server:
        world = context(looked_at, around=around({25: server.port}, pki, **resolver))
        assert only("smtp-greeting", world).subject == f"{HOST} 127.0.0.1:25"
        assert {one.state for one in look("postmaster", world)} == {State.OK}, "any of its names may be the MX"
    assert [place.names for place in endpoints(world)] == [(HOST, "web.example.com", "other.example.com")]


def test_mail_hosts_of_others_are_looked_at_and_never_blamed(resolver: dict[str, Any]) -> None:
    with SmtpStandin() as server:
        world = context(target(mx=None), around=around({25: server.port}, **resolver))
        found = only("starttls", world)
        assert (found.state, found.subject) == (State.WARN, f"{HOST} 127.0.0.1:25")
        for name in ("open-relay", "postmaster", "auth-after-tls", "smtp-greeting"):
            assert only(name, world).state is State.NOT_APPLICABLE
        assert not any(line.startswith(("AUTH", "MAIL", "RCPT")) for line in server.said)


@pytest.mark.parametrize("name", ["starttls", "certificate", "open-relay", "dane", "smtp-greeting", "auth-after-tls"])
def test_a_host_whose_address_nobody_knows_leaves_its_listeners_unknown(name: str) -> None:
    found = only(name, context(Target(hosts=(HostTarget(name=HOST, ports=(MX,)),))))
    assert (found.state, found.found) == (State.UNKNOWN, f"no address was found for {HOST}")


def test_without_any_listener_nothing_is_claimed() -> None:
    found = only("starttls", context(Target(), {}))
    assert found.state is State.NOT_APPLICABLE


# --- 30 ---


def test_auth_within_tls_only_is_right(pki: Pki) -> None:
    with SmtpStandin(pki.context(), secure_offers=("AUTH PLAIN LOGIN",)) as server:
        found = only("auth-after-tls", context(target(host(SUBMISSION)), {587: server.port}, pki))
    assert (found.state, found.found) == (State.OK, "within TLS: AUTH PLAIN LOGIN")
    assert "AUTH PLAIN" in server.said, "it was tried in clear"


@pytest.mark.parametrize(
    ("offers", "reply"),
    [(("AUTH PLAIN",), "530 not now"), ((), "334 "), ((), "235 2.7.0 you are in")],
)
def test_auth_in_clear_fails_where_it_is_offered_and_where_it_is_only_taken(
    pki: Pki, offers: tuple[str, ...], reply: str
) -> None:
    with SmtpStandin(pki.context(), offers=offers, secure_offers=("AUTH PLAIN",), auth=reply) as server:
        found = only("auth-after-tls", context(target(host(SUBMISSION)), {587: server.port}, pki))
    assert found.state is State.FAIL
    assert not any(line.startswith("AUTH PLAIN ") for line in server.said), "no credentials are sent"


def test_postals_auth_in_clear_is_a_warning_since_nobody_can_switch_it_off(pki: Pki) -> None:
    with SmtpStandin(pki.context(), offers=("AUTH PLAIN",), greeting="220 mx.example.com ESMTP Postal/X1") as server:
        found = only("auth-after-tls", context(target(host(MX)), {25: server.port}, pki))
    assert found.state is State.WARN
    assert "relay.submission" in found.fix


def test_submission_without_auth_fails_and_an_mx_without_it_is_right(pki: Pki) -> None:
    with SmtpStandin(pki.context()) as server:
        world = context(target(host(MX, SUBMISSION)), {25: server.port, 587: server.port}, pki)
        mx, submission = look("auth-after-tls", world)
    assert (mx.state, submission.state) == (State.OK, State.FAIL)


# --- 22 and 23 ---


def test_postmaster_and_abuse_are_asked_for_and_nothing_is_sent(pki: Pki, resolver: dict[str, Any]) -> None:
    def recipient(_sender: str, address: str) -> str:
        return "250 Ok" if address.startswith("postmaster@") else "550 5.1.1 no such user"

    with SmtpStandin(pki.context(), recipient=recipient) as server:
        world = context(target(host(MX)), around=around({25: server.port}, pki, **resolver))
        found = look("postmaster", world)
    assert {one.subject: one.state for one in found} == {
        "postmaster@example.com": State.OK,
        "abuse@example.com": State.FAIL,
    }
    assert "DATA" not in server.said
    assert server.messages == []


def test_many_addresses_are_asked_for_in_few_sessions(pki: Pki) -> None:
    paths = tuple(f"rp{number}.{DOMAIN}" for number in range(20))
    zone = ZONE + "".join(f"rp{number} 300 IN MX 10 {HOST}.\n" for number in range(20))
    with named({DOMAIN: zone}) as fields, SmtpStandin(pki.context(), recipient=lambda *_: "250 Ok") as server:
        looked_at = target(host(MX), return_paths=paths)
        found = look("bounces", context(looked_at, around=around({25: server.port}, pki, **fields)))
        assert server.connections == 1 + 3, "one to see what is there"
    assert [(one.subject, one.state) for one in found] == [(name, State.OK) for name in paths]


def test_what_is_only_a_return_path_of_another_domain_needs_no_role_addresses(
    pki: Pki, resolver: dict[str, Any]
) -> None:
    bounces = f"rp.{DOMAIN}"

    def asked(*return_paths: str) -> set[str]:
        domains = (
            DomainTarget(name=DOMAIN, receives=True, mx=((10, HOST),), return_paths=return_paths),
            DomainTarget(name=bounces, receives=True, mx=((10, HOST),)),
        )
        looked_at = Target(domains=domains, hosts=(host(MX),))
        with SmtpStandin(pki.context(), recipient=lambda *_: "250 Ok") as server:
            where = around({25: server.port}, pki, **resolver)
            return {finding.subject for finding in look("postmaster", context(looked_at, around=where))}

    both = {f"{local}@{name}" for local in ("postmaster", "abuse") for name in (DOMAIN, bounces)}
    assert asked() == both
    assert asked(bounces) == {f"postmaster@{DOMAIN}", f"abuse@{DOMAIN}"}
    assert asked(DOMAIN) == both, "its own return path"


def test_a_domain_that_takes_no_mail_has_no_role_addresses(resolver: dict[str, Any]) -> None:
    nothing = Target(domains=(DomainTarget(name=f"nomx.{DOMAIN}"),), hosts=(host(MX),))
    assert only("postmaster", context(nothing, around=around(**resolver))).state is State.NOT_APPLICABLE
    parked = Target(domains=(DomainTarget(name=DOMAIN, parked=True),), hosts=(host(MX),))
    assert only("postmaster", context(parked)).state is State.NOT_APPLICABLE


def test_a_role_address_that_is_put_off_is_unknown(pki: Pki, resolver: dict[str, Any]) -> None:
    with SmtpStandin(pki.context(), recipient=lambda *_: "451 4.7.1 greylisted") as server:
        world = context(target(host(MX)), around=around({25: server.port}, pki, **resolver))
        assert {one.state for one in look("postmaster", world)} == {State.UNKNOWN}


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        ("250 Ok", State.OK),
        ("550 Invalid server token", State.OK),
        ("550 5.1.1 User unknown in local recipient table", State.OK),
        ("554 5.7.1 Relay access denied", State.FAIL),
        ("530 Authentication required", State.FAIL),
        ("451 later", State.UNKNOWN),
    ],
)
def test_a_return_path_is_to_be_known_where_its_mx_leads(
    pki: Pki, resolver: dict[str, Any], reply: str, state: State
) -> None:
    with SmtpStandin(pki.context(), recipient=lambda *_: reply) as server:
        looked_at = target(host(MX), return_paths=(f"rp.{DOMAIN}",))
        found = only("bounces", context(looked_at, around=around({25: server.port}, pki, **resolver)))
    assert (found.state, found.subject) == (state, f"rp.{DOMAIN}")
    assert "MAIL FROM:<>" in server.said


def test_a_server_that_refuses_the_null_sender_fails(pki: Pki, resolver: dict[str, Any]) -> None:
    with SmtpStandin(
        pki.context(),
        sender=lambda sender: "250 Ok" if sender else "550 5.7.1 no null sender",
        recipient=lambda *_: "250",
    ) as server:
        looked_at = target(host(MX), return_paths=(f"rp.{DOMAIN}",))
        found = only("bounces", context(looked_at, around=around({25: server.port}, pki, **resolver)))
    assert found.state is State.FAIL
    assert "no null sender" in found.found


@pytest.mark.parametrize(
    ("name", "state"),
    [("null", State.NOT_APPLICABLE), ("nomx", State.FAIL), ("elsewhere", State.NOT_APPLICABLE)],
)
def test_a_return_path_without_a_mail_host_of_ours(resolver: dict[str, Any], name: str, state: State) -> None:
    looked_at = target(host(Listener(port=25)), return_paths=(f"{name}.{DOMAIN}",))
    assert only("bounces", context(looked_at, around=around({25: free_port()}, **resolver))).state is state


def test_a_mail_host_of_ours_without_an_address_is_not_taken_for_somebody_elses() -> None:
    zone = ZONE.replace("mx 300 IN A 127.0.0.1\n", "")
    looked_at = Target(domains=(DomainTarget(name=DOMAIN),), hosts=(HostTarget(name=HOST),))
    with named({DOMAIN: zone}) as fields:
        assert only("postmaster", context(looked_at, around=around(**fields))).state is State.UNKNOWN


def test_a_mail_host_that_does_not_answer_says_nothing_about_addresses(resolver: dict[str, Any]) -> None:
    world = context(target(host(MX)), around=around({25: free_port()}, **resolver))
    assert {one.state for one in look("postmaster", world)} == {State.UNKNOWN}
