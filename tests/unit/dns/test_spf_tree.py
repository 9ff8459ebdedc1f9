"""SPF records followed through everybody's names: what they cost, as other implementations count it too."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import dns.resolver
import pytest
import spf as pyspf
from checkdmarc.spf import parse_spf_record
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstack.dns import MailExchanger, SpfInclude, SpfPolicy, declare
from mailstack.dns import Text as DnsText
from mailstack.dns.spf_cure import cheapest_cure
from mailstack.dns.spf_tree import MAX_LOOKUPS, MAX_VOIDS, NOT_ASKED, Ask, Kind, Reply, SpfTree, expand
from tests.unit.dns.dns_examples import declaration, domain, errors_of
from tests.unit.dns.dns_spf_mistakes import answers, google

Zone = Mapping[tuple[str, Kind], tuple[str, ...]]


def asking(zone: Zone) -> Ask:
    """Return what answers from ``zone``, and says of every other name that it has nothing."""
    return lambda name, kind: Reply(values=zone.get((name, kind), ()))


def tree(text: str, zone: Zone) -> SpfTree:
    return expand("example.com", text, asking(zone))


def record(text: str) -> tuple[str, ...]:
    return ("site-verification=1", text)


def test_every_term_counts_where_it_is_evaluated_and_free_ones_do_not() -> None:
    found = tree(
        "v=spf1 ip4:93.184.216.34 a mx include:a.example ptr exists:%{i}.x.example -all",
        {
            ("example.com", "A"): ("93.184.216.34",),
            ("example.com", "MX"): ("10 mx.example.com",),
            ("mx.example.com", "A"): ("93.184.216.35",),
            ("a.example", "TXT"): record("v=spf1 include:b.example include:b.example ~all"),
            ("b.example", "TXT"): record("v=spf1 ip6:2600::/32 a:h.example ~all"),
            ("h.example", "A"): ("93.184.216.36", "2600::1"),
        },
    )
    assert found.lookups == 1 + 1 + (1 + 2 * (1 + 1)) + 1 + 1
    assert (found.voids, found.faults, found.sure) == (0, (), True)
    assert "include:a.example 5 (include:b.example 2; include:b.example 2)" in found.listing()


def test_what_stands_after_all_and_a_redirect_beside_it_are_never_asked() -> None:
    asked: list[str] = []

    def ask(name: str, kind: Kind) -> Reply:
        asked.append(name)
        return Reply(values=("v=spf1 -all",) if kind == "TXT" else ())

    assert expand("example.com", "v=spf1 include:a.example -all a:b.example redirect=c.example", ask).lookups == 1
    assert asked == ["a.example"]
    assert expand("example.com", "v=spf1 redirect=c.example a:b.example", ask).lookups == 2


def test_one_term_is_void_once_however_many_addresses_it_asks_for() -> None:
    found = tree("v=spf1 mx a:gone.example exists:gone.example -all", {("example.com", "MX"): ("1 a.gone", "2 b.gone")})
    assert (found.lookups, found.voids) == (3, 3)
    assert found.voids > MAX_VOIDS


def test_more_than_ten_exchangers_behind_one_mx_are_a_fault() -> None:
    ten = tuple(f"{n} mx{n}.example.com" for n in range(10))
    zone: dict[tuple[str, Kind], tuple[str, ...]] = {(f"mx{n}.example.com", "A"): ("93.184.216.34",) for n in range(11)}
    assert tree("v=spf1 mx -all", {**zone, ("example.com", "MX"): ten}).faults == ()
    over = tree("v=spf1 mx -all", {**zone, ("example.com", "MX"): (*ten, "10 mx10.example.com")})
    assert [fault.kind for fault in over.faults] == ["mx-hosts"]


def test_unanswered_is_unknown_and_counted_as_it_is_stated() -> None:
    found = expand("example.com", "v=spf1 include:a.example a:b.example -all", lambda *_: NOT_ASKED, {"a.example": 4})
    assert (found.lookups, found.voids, found.sure) == (5, 0, False)
    assert {fault.kind for fault in found.faults} == {"unknown"}
    assert "include:a.example" in str(found.faults[0])


def test_a_record_that_includes_itself_in_a_thousand_ways_ends() -> None:
    wide = " ".join(f"include:n{n}.example" for n in range(20))
    found = expand("example.com", f"v=spf1 {wide} -all", lambda name, _: Reply(values=(f"v=spf1 {wide} -all",)))
    assert found.lookups > 10


@pytest.mark.parametrize(
    ("text", "zone", "addresses"),
    [
        (
            "v=spf1 a:h.example/24//64 -all",
            {("h.example", "A"): ("93.184.216.34", "2600::1")},
            ("93.184.216.34/24", "2600::1/64"),
        ),
        ("v=spf1 ip4:93.184.216.34 -ip4:93.184.216.35 -all", {}, ("93.184.216.34",)),
        ("v=spf1 -a:h.example ip4:93.184.216.0/24 -all", {("h.example", "A"): ("93.184.216.34",)}, None),
        ("v=spf1 exists:%{i}.x.example -all", {}, None),
        ("v=spf1 ptr -all", {}, None),
    ],
)
def test_addresses_are_told_only_where_they_say_all_of_it(
    text: str, zone: Zone, addresses: tuple[str, ...] | None
) -> None:
    assert tree(text, zone).addresses == addresses


# --- the cheapest way out -----------------------------------------------------------------------------------------


def cured(text: str, zone: Zone) -> str:
    return cheapest_cure(tree(text, zone).nodes)


def include_of(cost: int, name: str, *, flat: bool) -> dict[tuple[str, Kind], tuple[str, ...]]:
    """Return a record of ``name`` whose include costs ``cost``; ``flat``: it can be written as addresses."""
    inner = "a:h.example" if flat else "exists:%{i}.x.example"
    return {("h.example", "A"): ("93.184.216.34",), (name, "TXT"): (f"v=spf1 {' '.join([inner] * (cost - 1))} -all",)}


def test_an_include_that_another_one_holds_goes_first() -> None:
    zone = {**include_of(6, "a.example", flat=False), ("b.example", "TXT"): ("v=spf1 include:a.example -all",)}
    fix = cured("v=spf1 include:b.example include:a.example -all", zone)
    assert fix == "remove include:a.example, which another include holds already (saves 6)"


def test_own_hosts_are_written_as_addresses_before_a_sender_has_to_go() -> None:
    zone = include_of(9, "a.example", flat=False)
    assert cured("v=spf1 a:h.example a:h.example a:h.example include:a.example -all", zone) == (
        "write a:h.example, a:h.example as ip4: and ip6: (saves 2)"
    )


def test_the_sender_that_can_be_flattened_is_named_before_the_one_that_would_have_to_move() -> None:
    zone = {**include_of(5, "a.example", flat=False), **include_of(6, "b.example", flat=True)}
    fix = cured("v=spf1 include:a.example include:b.example -all", zone)
    assert fix.startswith("name b.example in `spf.flatten`")
    assert "(saves 6)" in fix
    assert "a.example" not in fix


def test_several_steps_are_named_where_one_is_not_enough() -> None:
    zone = {name: value for n in range(4) for name, value in include_of(5, f"i{n}.example", flat=False).items()}
    fix = cured(f"v=spf1 {' '.join(f'include:i{n}.example' for n in range(4))} -all", zone)
    assert fix.count("(saves 5)") == 2, "20 lookups: two of the four have to go"


# --- in a declaration ---------------------------------------------------------------------------------------------


def test_the_real_cost_of_an_include_takes_the_place_of_the_assumed_one() -> None:
    many = SpfPolicy(includes=tuple(SpfInclude(domain=f"i{n}.example", lookups=6) for n in range(2)))
    assert [problem.rule for problem in errors_of(declaration(domain(spf=many)))] == ["spf-lookups"]
    cheap = answers({"i0.example": "v=spf1 ip4:93.184.216.34 -all", "i1.example": "v=spf1 -all"})
    assert errors_of(declaration(domain(spf=many), spf_answers=cheap)) == ()


def test_a_stated_cost_that_is_right_is_not_mentioned() -> None:
    found = declare(google("v=spf1 exists:%{i}.a exists:%{i}.b exists:%{i}.c ~all"))
    assert found.warnings == ()


def test_a_name_that_does_not_answer_never_refuses_a_plan() -> None:
    unknown = {("_spf.google.com", "TXT"): Reply(why="no answer in time")}
    warnings = declare(declaration(spf_answers=unknown)).warnings
    assert [warning.rule for warning in warnings] == ["spf-unknown"]
    assert "no answer in time" in warnings[0].found


# --- agreement with other implementations -------------------------------------------------------------------------

# checkdmarc keeps answers by name for as long as the process lives: no name is used twice.
TAGS = itertools.count()
HOSTS = ("h1.example", "h2.example")


@st.composite
def zones(draw: st.DrawFn) -> tuple[str, str, dict[tuple[str, Kind], tuple[str, ...]]]:
    """Return a name, its record and all it may lead to: includes point to later names, and every target exists."""
    tag = next(TAGS)
    names = [f"n{number}.t{tag}.example" for number in range(4)]
    zone: dict[tuple[str, Kind], tuple[str, ...]] = {(host, "A"): ("93.184.216.34",) for host in HOSTS}
    zone |= {(host, "MX"): (f"10 {host}",) for host in HOSTS}
    plain = st.sampled_from(
        ["ip4:93.184.216.0/24", "ip6:2600::/32", *(f"{kind}:{host}" for kind in ("a", "mx") for host in HOSTS)]
    )
    texts = []
    for number in range(len(names)):
        later = [f"include:{name}" for name in names[number + 1 :]]
        terms = draw(st.lists(st.one_of(plain, st.sampled_from(later)) if later else plain, max_size=4, unique=True))
        last = draw(st.sampled_from(["-all", "~all", *(f"redirect={name}" for name in names[number + 1 :])]))
        texts.append(" ".join(["v=spf1", *terms, last]))
        zone[names[number], "TXT"] = (texts[-1],)
    return names[0], texts[0], zone


NO_ANSWER: Any = dns.resolver.NoAnswer  # dnspython leaves its constructor without types


def held(zone: Zone, name: str, kind: str) -> tuple[str, ...]:
    return next((values for (owner, type_), values in zone.items() if (owner, type_) == (name, kind)), ())


class StandIn(dns.resolver.Resolver):
    """A resolver for checkdmarc that answers from a zone of ours."""

    def __init__(self, zone: Zone) -> None:
        super().__init__(configure=False)
        self.zone = zone

    def resolve(self, qname: Any, rdtype: Any = "A", *_: Any, **__: Any) -> Any:
        name, kind = str(qname).rstrip(".").lower(), str(rdtype)
        values = held(self.zone, name, kind)
        if not values:
            raise NO_ANSWER(response=dns.message.make_query(name, kind))
        shown = [f'"{value}"' if kind == "TXT" else f"{value}." if kind == "MX" else value for value in values]
        return dns.rrset.from_text(f"{name}.", 60, "IN", kind, *shown)


def pyspf_lookups(name: str, zone: Zone, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """Return the lookups pyspf spends on a message that nothing matches; None for permerror."""

    def lookup(asked: str, kind: str, *_: Any, **__: Any) -> list[Any]:
        values = held(zone, asked.rstrip(".").lower(), kind)
        shaped: dict[str, Callable[[str], Any]] = {
            "TXT": lambda text: (text.encode(),),
            "MX": lambda text: (int(text.split()[0]), text.split()[1]),
            "A": lambda text: text,
        }
        return [((asked, kind), shaped[kind](value)) for value in values] if kind in shaped else []

    monkeypatch.setattr(pyspf, "DNSLookup", lookup)
    query = pyspf.query(i="203.0.113.9", s=f"a@{name}", h="mail.example", strict=True)
    result = query.check()
    return None if result[0] in {"permerror", "temperror"} else int(query.lookups)


TERMS = st.one_of(
    st.sampled_from(
        ["a", "mx", "ip4:93.184.216.0/24", "ip6:2600::/32", "-ip4:93.184.217.1", "~a:h1.example", "mx/24//64"]
    ),
    st.sampled_from(["a:h1.example/28", "mx:h2.example", "exists:%{i}.x.example", "?include:n3.example", "+a"]),
)
POLICIES = st.builds(
    SpfPolicy,
    includes=st.lists(
        st.sampled_from([SpfInclude(domain=f"n{n}.example", lookups=3) for n in range(4)]), max_size=4
    ).map(tuple),
    mechanisms=st.lists(TERMS, max_size=5).map(lambda terms: ("ip4:93.184.216.34", *terms)),
    all=st.sampled_from([None, "-all", "~all", "?all"]),
)


@settings(max_examples=40, deadline=None)
@given(policy=POLICIES)
def test_any_valid_policy_makes_a_record_that_both_accept_with_the_same_count(policy: SpfPolicy) -> None:
    name = f"p{next(TAGS)}.example"
    zone: dict[tuple[str, Kind], tuple[str, ...]] = {
        **{(f"n{n}.example", "TXT"): ("v=spf1 a:h1.example mx:h2.example ~all",) for n in range(4)},
        **{(host, "A"): ("93.184.216.34",) for host in (*HOSTS, name)},
        **{(host, "MX"): (f"10 {host}",) for host in (*HOSTS, name)},
    }
    sender = domain(name=name, spf=policy, mx=(MailExchanger(preference=10, exchange="h1.example"),))
    answered = {(owner, kind): Reply(values=values) for (owner, kind), values in zone.items()}
    broken = [problem.rule for problem in errors_of(declaration(sender, spf_answers=answered))]
    assert set(broken) <= {"spf-lookups", "spf-conflict"}
    if broken:
        return
    (text,) = (
        record.data.value
        for record in declare(declaration(sender, spf_answers=answered)).records.at(name, "TXT")
        if isinstance(record.data, DnsText)
    )
    zone[name, "TXT"] = (text,)
    ours = expand(name, text, asking(zone))
    with pytest.MonkeyPatch.context() as patch:
        assert pyspf_lookups(name, zone, patch) == ours.lookups
    assert parse_spf_record(text, name, resolver=StandIn(zone))["dns_lookups"] == ours.lookups


@settings(max_examples=40, deadline=None)
@given(case=zones())
def test_checkdmarc_and_pyspf_count_the_same(case: tuple[str, str, dict[tuple[str, Kind], tuple[str, ...]]]) -> None:
    name, text, zone = case
    ours = expand(name, text, asking(zone))
    with pytest.MonkeyPatch.context() as patch:
        theirs = pyspf_lookups(name, zone, patch)
    parsed = parse_spf_record(text, name, ignore_too_many_lookups=True, resolver=StandIn(zone))
    if ours.lookups > MAX_LOOKUPS:  # checkdmarc does not count on to the end then
        assert theirs is None
    else:
        assert theirs == ours.lookups
        assert parsed["dns_lookups"] == ours.lookups
