"""How DNS is asked: whom, how often, and what counts as an answer. Against name servers on loopback."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mailstack.verify.around import Around
from mailstack.verify.asking import Dns, Outcome
from mailstack.verify.context import Context
from mailstack.verify.labels import a_labels
from mailstack.verify.model import CHECKS, Finding, State, check, ok
from mailstack.verify.run import run_checks
from mailstack.verify.target import DomainTarget, HostTarget, Target
from tests.unit.name_server import NameServer

pytestmark = pytest.mark.slow

CHILD, OTHER, PARENT = "127.0.0.21", "127.0.0.22", "127.0.0.23"
TOP = f"""
@ 300 IN SOA ns.example. h.example. 1 7200 3600 1209600 300
@ 300 IN NS ns.example.
ns 300 IN A {PARENT}
corp 300 IN NS ns1.corp.example.
corp 300 IN NS ns2.corp.example.
ns1.corp 300 IN A {CHILD}
ns2.corp 300 IN A {OTHER}
"""
LONG = " ".join(f'"{"x" * 250}"' for _ in range(8))
ZONE = f"""
@ 300 IN SOA ns1 h 1 7200 3600 1209600 300
@ 300 IN NS ns1
@ 300 IN NS ns2
@ 300 IN TXT "v=spf1 " "-all"
@ 300 IN MX 10 Mail.Corp.Example.
ns1 300 IN A {CHILD}
ns2 300 IN A {OTHER}
www 60 IN CNAME web
web 300 IN A 93.184.216.7
long 300 IN TXT {LONG}
xn--bcher-kva 300 IN A 93.184.216.8
"""


class World:
    """Two servers of corp.example, one of example, and a resolver that knows both."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.resolver = self.serve({"example": TOP, "corp.example": ZONE}, recursive=True)
        self.ports: dict[str, int] = {}
        self.parent = self.serve({"example": TOP}, PARENT)
        self.first = self.serve({"corp.example": ZONE}, CHILD)

    def serve(self, zones: dict[str, str], address: str = "127.0.0.1", **behaviour: object) -> NameServer:
        server = self._stack.enter_context(NameServer(zones, address=address, **behaviour))  # type: ignore[arg-type]
        if address != "127.0.0.1":
            self.ports[address] = server.port
        return server

    def dns(self, **changes: object) -> Dns:
        place = f"127.0.0.1:{self.resolver.port}"
        settings = {"own_resolver": place, "resolvers": (place,), "authority_ports": self.ports, "seconds": 0.2}
        return Dns(Around(**{**settings, **changes}))  # type: ignore[arg-type]


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack)


def test_every_server_of_the_zone_is_asked_and_says_its_own(world: World) -> None:
    world.serve({"corp.example": ZONE.replace("-all", "~all")}, OTHER)
    found = world.dns().authoritative("corp.example", "TXT")
    assert {str(answer) for answer in found} == {
        f"ns1.corp.example ({CHILD}): v=spf1 -all",
        f"ns2.corp.example ({OTHER}): v=spf1 ~all",
    }


def test_the_zone_is_found_from_any_name_within_it_there_or_not(world: World) -> None:
    dns = world.dns()
    for name in ("corp.example", "a.b.corp.example", "www.corp.example", "_dmarc.corp.example", "Corp.Example."):
        assert dns.zone_of(name) == "corp.example", name
    assert dns.zone_of("other.example") == "example"
    assert dns.zone_of("corp.invalid") is None
    assert dns.servers("corp.invalid") == ()


def test_a_server_that_points_elsewhere_or_refuses_does_not_count_as_saying_no(world: World) -> None:
    world.serve({"example": TOP}, OTHER)
    found = {answer.server: answer for answer in world.dns().authoritative("corp.example", "TXT")}
    lame = found[f"ns2.corp.example ({OTHER})"]
    assert (lame.outcome, lame.referral) == (Outcome.NO_ANSWER, ("ns1.corp.example", "ns2.corp.example"))
    assert "not a server of this zone" in lame.why
    assert world.dns().look("corp.example", "TXT").values == ("v=spf1 -all",)


def test_one_answer_is_that_of_a_server_that_answers_and_else_that_of_the_resolver(world: World) -> None:
    world.first.silent = True
    world.serve({}, OTHER, lame=True)
    found = world.dns(tries=1).look("corp.example", "TXT")
    assert (found.values, found.server) == (("v=spf1 -all",), f"127.0.0.1:{world.resolver.port}")


def test_a_cname_is_followed_by_the_resolver_and_told(world: World) -> None:
    world.serve({"corp.example": ZONE}, OTHER)
    found = world.dns().look("www.corp.example", "A")
    assert (found.values, found.chain, found.ttl) == (("93.184.216.7",), ("web.corp.example",), 60)
    [first, _] = world.dns().authoritative("www.corp.example", "A")
    assert (first.values, first.chain) == ((), ("web.corp.example",))


def test_no_such_name_and_no_such_record_are_two_things_and_both_are_known(world: World) -> None:
    world.serve({"corp.example": ZONE}, OTHER)
    dns = world.dns()
    assert dns.look("gone.corp.example", "A").outcome is Outcome.NO_NAME
    assert dns.look("web.corp.example", "AAAA").outcome is Outcome.EMPTY
    assert dns.look("corp.example", "MX").values == ("10 mail.corp.example",)


def test_a_long_answer_comes_over_tcp(world: World) -> None:
    world.serve({"corp.example": ZONE}, OTHER)
    [value] = world.dns().look("long.corp.example", "TXT").values
    assert value == "x" * 2000
    assert ("long.corp.example", "TXT", "tcp") in world.first.questions


def test_a_server_that_answers_only_over_tcp_is_heard(world: World) -> None:
    world.first.udp_silent = True
    dns = world.dns(seconds=0.1)
    [first, *_] = dns.authoritative("corp.example", "TXT")
    assert first.values == ("v=spf1 -all",)


def test_a_server_from_before_edns_is_asked_again_without(world: World) -> None:
    world.first.no_edns = True
    [first, *_] = world.dns().authoritative("corp.example", "TXT")
    assert first.values == ("v=spf1 -all",)


def test_a_silent_server_costs_time_for_two_questions_and_then_none(world: World) -> None:
    world.first.silent = True
    world.serve({"corp.example": ZONE}, OTHER)
    dns = world.dns(seconds=0.05)
    answers = [dns.authoritative("corp.example", kind)[0] for kind in ("TXT", "MX", "A", "AAAA", "NS", "SOA")]
    assert {answer.outcome for answer in answers} == {Outcome.NO_ANSWER}
    assert all("no answer in time" in answer.why for answer in answers)
    assert len(world.first.questions) <= 2 * dns.around.tries


def test_nothing_is_asked_twice_until_everything_is_forgotten(world: World) -> None:
    dns = world.dns()
    for _ in range(3):
        dns.follow("corp.example", "MX")
    asked = world.resolver.questions.count(("corp.example", "MX", "udp"))
    dns.forget()
    dns.follow("corp.example", "MX")
    assert (asked, world.resolver.questions.count(("corp.example", "MX", "udp"))) == (1, 2)


def test_no_question_outlives_the_deadline(world: World) -> None:
    world.resolver.silent = True
    began = time.monotonic()
    dns = Dns(world.dns(seconds=5.0).around, deadline=began + 0.1)
    answers = [dns.follow(f"{letter}.corp.example", "A") for letter in "abc"]
    assert {answer.outcome for answer in answers} == {Outcome.NO_ANSWER}
    assert time.monotonic() - began < 1


def test_where_nobody_is_to_be_asked_every_question_is_unknown_for_that_reason(world: World) -> None:
    dns = world.dns(asks_nobody=True)
    asked = [dns.follow("corp.example", "MX"), dns.look("corp.example", "TXT"), *dns.resolved("corp.example", "A")]
    asked += [*dns.authoritative("corp.example", "NS"), *dns.delegation("corp.example")]
    assert {answer.outcome for answer in asked} == {Outcome.NO_ANSWER}
    assert all("MAILSTACK_RESOLVERS is empty" in answer.why for answer in asked)
    assert (world.resolver.questions, world.first.questions) == ([], [])


def test_an_idn_is_asked_for_by_its_a_label(world: World) -> None:
    assert world.dns().follow("Bücher.corp.example", "A").values == ("93.184.216.8",)
    assert a_labels("BÜCHER.example.") == "xn--bcher-kva.example"
    assert a_labels(".") == ".", "the host of a null MX"
    assert Target(domains=(DomainTarget(name="bücher.example."),)).domains[0].name == "xn--bcher-kva.example"
    assert world.dns().follow("a..example", "A").outcome is Outcome.NO_ANSWER


def test_addresses_are_kept_in_one_form_and_nothing_else_is_taken_for_one() -> None:
    host = HostTarget(name="Mail.Corp.Example.", addresses=("2001:DB8::0:1", "192.0.2.1"))
    assert (host.name, host.addresses) == ("mail.corp.example", ("2001:db8::1", "192.0.2.1"))
    with pytest.raises(ValueError, match=r"192\.0\.2\.256"):
        HostTarget(name="mail.corp.example", addresses=("192.0.2.256",))


def test_what_the_parent_says_is_its_referral_with_glue(world: World) -> None:
    [found] = world.dns().delegation("corp.example")
    assert found.referral == ("ns1.corp.example", "ns2.corp.example")
    assert found.glue == (("ns1.corp.example", CHILD), ("ns2.corp.example", OTHER))


def test_a_validating_resolver_tells_good_from_bogus(world: World) -> None:
    from_text = world.resolver.zones
    world.resolver.validated = {name for name in from_text if name.to_text() == "example."}
    world.resolver.bogus = {name for name in from_text if name.to_text() == "corp.example."}
    dns = world.dns()
    assert dns.follow("example", "SOA").authenticated
    broken = dns.follow("corp.example", "SOA")
    assert (broken.known, broken.code) == (False, "SERVFAIL")
    assert dns.ask(dns.own, "corp.example", "SOA", unchecked=True).known
    assert dns.zone_of("corp.example") == "corp.example", "its servers are found all the same"


def test_without_ipv6_a_v6_server_is_not_known_and_not_dead(world: World) -> None:
    zone = ZONE.replace(f"ns1 300 IN A {CHILD}", "ns1 300 IN AAAA 2001:db8::1")
    world.resolver.zones.update(NameServer({"corp.example": zone}).zones)
    answers = world.dns(ipv6=False).authoritative("corp.example", "TXT")
    assert [answer.why for answer in answers if ":1)" in answer.server] == ["this machine has no IPv6"]


def test_a_server_is_asked_over_ipv6(world: World) -> None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    zone = ZONE.replace(f"ns1 300 IN A {CHILD}", "ns1 300 IN AAAA ::1")
    world.resolver.zones.update(NameServer({"corp.example": zone}).zones)
    world.serve({"corp.example": zone}, "::1")
    [first, *_] = world.dns(ipv6=True).authoritative("corp.example", "MX")
    assert (first.server, first.values) == ("ns1.corp.example (::1)", ("10 mail.corp.example",))


def test_looking_at_many_subjects_keeps_their_order_and_never_waits_for_itself(world: World) -> None:
    context = Context(target=Target(), dns=world.dns(), around=world.dns().around)

    def outer(number: int) -> Iterator[Finding]:
        time.sleep(0.001 * (number % 3))
        yield from context.each(range(3), lambda inner: [ok(f"{number}.{inner}", "")])

    found = [finding.subject for finding in context.each(range(100), outer)]
    assert found == [f"{number}.{inner}" for number in range(100) for inner in range(3)]


def test_a_check_that_breaks_keeps_what_it_found_and_hides_nothing_of_the_others() -> None:
    @check(number=1, name="test-breaks", group="A", title="breaks", source="none")
    def breaks(_context: Context) -> Iterator[Finding]:
        yield ok("first", "")
        raise KeyError("mistake")

    @check(number=1, name="test-late", group="A", title="is late", source="none")
    def late(context: Context) -> Iterator[Finding]:
        yield ok("works", f"{context.left(1.0)}")
        raise TimeoutError("the time is over")

    try:
        report = run_checks(Target(), Around(own_resolver="127.0.0.1:1"), names=["test-breaks", "test-late"])
    finally:
        del CHECKS["test-breaks"], CHECKS["test-late"]
    assert [(finding.check, finding.state) for finding in report.findings] == [
        ("test-breaks", State.OK),
        ("test-breaks", State.UNKNOWN),
        ("test-late", State.OK),
        ("test-late", State.UNKNOWN),
    ]
    assert "KeyError" in report.findings[1].found
