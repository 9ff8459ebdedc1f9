"""The name server's pure part: serials, SOA answers, configuration, and the plan."""

import datetime as dt
import struct
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dns_server import plan, query, servers, zones
from mailstack.dns import Address, MailExchanger, Record, Text, render_zone
from rolelib.host import RoleError

TODAY = dt.date(2026, 11, 21)
DATED = 2026112100
serials = st.integers(min_value=0, max_value=2**32 - 1)


def zone(name: str = "example.com", serial: object = "0", extra: str = "") -> str:
    return (
        f"$ORIGIN {name}.\n$TTL 3600\n@ IN SOA ns1.{name}. hostmaster.{name}. {serial} 7200 3600 1209600 300\n"
        f"@ IN NS ns1.{name}.\nns1 IN A 192.0.2.53\n{extra}"
    )


# -- serials ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "soa",
    [
        "@ IN SOA ns1.x. h.x. 42 1 2 3 4",
        "@ 3600 IN SOA ns1.x. h.x. ( 42 1 2 3 4 )",
        "example.com. IN SOA ns1.x. h.x. (42 1 2 3 4)",
        "@ IN SOA ns1.x. h.x. (\n    42 ; serial\n    1 2 3 4 )",
        "@ IN SOA ns1.x. h.x. ( ; SOA 99 in a comment\n  42\n 1 2 3 4 )",
        "@\tIN\tSOA\tns1.x.\th.x.\t42\t1\t2\t3\t4",
        "@ in soa ns1.x. h.x. 42 1 2 3 4",
    ],
)
def test_the_serial_is_found_in_every_usual_layout(soa: str) -> None:
    text = f"; zone with SOA ns h 7\n$TTL 300\n{soa}\n@ IN NS ns1.x.\n"
    assert zones.serial_of(text) == 42
    changed = zones.with_serial(text, 43)
    assert zones.serial_of(changed) == 43
    assert changed.replace("43", "42") == text


@pytest.mark.parametrize("placeholder", ["SERIAL", "__SERIAL__", "{serial}", "99999999999"])
def test_a_placeholder_counts_as_no_serial_and_is_replaced(placeholder: str) -> None:
    assert zones.serial_of(zone(serial=placeholder)) is None
    assert zones.with_serial(zone(serial=placeholder), 7) == zone(serial="7")


def test_a_text_without_soa_is_refused() -> None:
    with pytest.raises(zones.ZoneError, match="no SOA record"):
        zones.without_serial("@ IN NS ns1.example.com.\n")


def test_zones_that_differ_in_the_serial_only_compare_equal() -> None:
    assert zones.without_serial(zone(serial="1")) == zones.without_serial(zone(serial="__SERIAL__"))
    assert zones.without_serial(zone()) != zones.without_serial(zone(extra="www IN A 192.0.2.1\n"))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([], DATED),
        ([1], DATED),
        ([2026112099], DATED),
        ([DATED], DATED + 1),
        ([DATED + 5, DATED + 2], DATED + 6),
        ([2027010100], 2027010101),
        ([2**32 - 1], DATED),
        ([DATED + 2**31 - 1], DATED + 2**31),
    ],
)
def test_the_next_serial_is_dated_or_one_more(known: list[int], expected: int) -> None:
    assert zones.next_serial(known, TODAY) == expected


def test_serials_are_compared_on_a_circle() -> None:
    assert zones.is_newer(1, 2**32 - 1)
    assert not zones.is_newer(2**32 - 1, 1)
    assert not zones.is_newer(5, 5)
    assert zones.next_serial([2**32 - 1], dt.date(4000, 1, 1)) == 1


@given(serials, st.dates(min_value=dt.date(2000, 1, 1), max_value=dt.date(4294, 12, 31)))
def test_a_secondary_always_takes_the_next_serial_for_newer(known: int, today: dt.date) -> None:
    new = zones.next_serial([known], today)
    assert 0 < new < zones.SERIAL_MODULUS
    assert zones.is_newer(new, known)
    assert not zones.is_newer(known, new)


# -- asking -----------------------------------------------------------------------------------------------


def answer_bytes(identity: int, flags: int = dns.flags.AA, serial: int | None = 7) -> bytes:
    request = dns.message.from_wire(query.soa_question("example.com", identity))
    response = dns.message.make_response(request)
    response.flags |= flags
    if serial is not None:
        response.answer.append(
            dns.rrset.from_text("example.com.", 300, "IN", "SOA", f"ns1.example.com. h.example.com. {serial} 1 2 3 4")
        )
    return response.to_wire()


def test_the_question_is_what_an_independent_library_reads() -> None:
    request = dns.message.from_wire(query.soa_question("mail.example.com", 4711))
    assert request.id == 4711
    assert request.question[0].to_text() == "mail.example.com. IN SOA"
    assert request.flags & dns.flags.RD


@given(serials)
def test_the_serial_is_read_from_compressed_answers(serial: int) -> None:
    answer = query.parse_answer(answer_bytes(9, serial=serial), 9)
    assert (answer.serial, answer.authoritative, answer.recursive, answer.rcode) == (serial, True, False, "NOERROR")


def test_flags_of_a_resolver_are_seen() -> None:
    answer = query.parse_answer(answer_bytes(9, flags=dns.flags.RA), 9)
    assert (answer.authoritative, answer.recursive) == (False, True)
    assert str(answer) == "serial 7, not authoritative"


def test_a_refusal_has_no_serial() -> None:
    data = bytearray(answer_bytes(9, flags=0, serial=None))
    data[3] |= 5
    answer = query.parse_answer(bytes(data), 9)
    assert (answer.serial, str(answer)) == (None, "REFUSED")


def test_an_answer_to_another_question_is_refused() -> None:
    with pytest.raises(ValueError, match="not the answer"):
        query.parse_answer(answer_bytes(9), 10)


@given(st.integers(min_value=0, max_value=60))
def test_a_cut_answer_is_an_error_and_no_crash(length: int) -> None:
    data = answer_bytes(9)
    with pytest.raises(ValueError, match=r"cut short|not the answer"):
        query.parse_answer(data[: min(length, len(data) - 1)], 9)


@given(st.binary(max_size=80))
def test_arbitrary_bytes_never_crash_the_reader(data: bytes) -> None:
    try:
        query.parse_answer(struct.pack("!HH", 9, 0x8400) + data, 9)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either outcome is right, a crash is not


def test_a_dead_server_is_an_answer_in_words() -> None:
    answer = query.ask("127.0.0.1", 1, "example.com", "tcp")
    assert answer.error == "no answer by TCP: [Errno 111] Connection refused"


# -- configuration ----------------------------------------------------------------------------------------


def config(**changes: Any) -> servers.Config:
    values = {
        "listen": ["192.0.2.53", "2001:db8::53"],
        "port": 53,
        "zones": ["example.net", "example.com"],
        "transfer_to": [],
        **changes,
    }
    return servers.Config(**values)


@pytest.mark.parametrize("name", ["knot", "nsd"])
def test_configuration_does_not_depend_on_the_order_of_settings(name: str) -> None:
    server = servers.SERVERS[name]
    shuffled = config(listen=["2001:db8::53", "192.0.2.53"], zones=["example.com", "example.net"])
    assert server.render(config(), "/z") == server.render(shuffled, "/z")


@pytest.mark.parametrize("name", ["knot", "nsd"])
def test_transfers_are_allowed_to_listed_addresses_only(name: str) -> None:
    server = servers.SERVERS[name]
    assert "transfer" not in server.render(config(), "/z")
    assert "xfr" not in server.render(config(), "/z")
    assert "198.51.100.2" in server.render(config(transfer_to=["198.51.100.2"]), "/z")


def test_knot_listens_on_the_given_addresses_and_reads_the_given_directory() -> None:
    text = servers.SERVERS["knot"].render(config(port=5353), "/zones/here")
    assert "listen: [ 192.0.2.53@5353, 2001:db8::53@5353 ]" in text
    assert 'storage: "/zones/here"' in text
    assert text.index("example.com") < text.index("example.net")


def test_nsd_listens_on_the_given_addresses_and_reads_the_given_directory() -> None:
    text = servers.SERVERS["nsd"].render(config(transfer_to=["198.51.100.2"]), "/zones/here")
    assert "    ip-address: 192.0.2.53@53\n    ip-address: 2001:db8::53@53\n" in text
    assert 'zonesdir: "/zones/here"' in text
    assert text.count("provide-xfr: 198.51.100.2 NOKEY") == 2


@pytest.mark.parametrize(
    ("name", "changes", "restart"),
    [
        ("knot", {}, False),
        ("knot", {"zones": ["example.com"]}, False),
        ("knot", {"transfer_to": ["198.51.100.2"]}, False),
        ("knot", {"listen": ["192.0.2.54"]}, True),
        ("knot", {"port": 5353}, True),
        ("nsd", {}, False),
        ("nsd", {"zones": ["example.com"]}, True),
    ],
)
def test_a_restart_is_made_only_where_a_reload_would_not_do(name: str, changes: dict[str, Any], restart: bool) -> None:
    server = servers.SERVERS[name]
    old, new = server.render(config(), "/z"), server.render(config(**changes), "/z")
    assert servers.needs_restart(server, old, new) is restart


@pytest.mark.parametrize("old", [None, "server:\n    listen: []\n"])
def test_a_configuration_of_someone_else_is_replaced_with_a_restart(old: str | None) -> None:
    server = servers.SERVERS["knot"]
    assert servers.needs_restart(server, old, server.render(config(), "/z"))


# -- plan -------------------------------------------------------------------------------------------------

KNOT = servers.SERVERS["knot"]
TEXTS = {"example.com": zone()}
CONFIG = config(listen=["192.0.2.53"], zones=["example.com"])


def answers(
    serial: int = DATED, zone_name: str = "example.com", authoritative: bool = True, recursive: bool = False
) -> dict[tuple[str, str, str], query.Answer]:
    return {
        ("192.0.2.53", protocol, zone_name): query.Answer(serial, authoritative, recursive, "NOERROR")
        for protocol in ("udp", "tcp")
    }


def facts(**changes: Any) -> plan.Facts:
    values = {
        "installed": True,
        "active": True,
        "enabled": True,
        "config": KNOT.render(CONFIG, KNOT.zone_directory),
        "zone_files": {"example.com.zone": zone(serial=DATED)},
        "answers": answers(),
        "today": TODAY + dt.timedelta(days=30),
        **changes,
    }
    return plan.Facts(**values)


def planned(found: plan.Facts) -> list[tuple[str, str]]:
    return plan.differences(KNOT, plan.desired(KNOT, CONFIG, TEXTS, found), found)


def test_a_host_as_declared_needs_nothing_even_on_a_later_day() -> None:
    assert planned(facts()) == []


def test_a_bare_host_needs_everything() -> None:
    bare = facts(installed=False, active=False, enabled=False, config=None, zone_files={}, answers={})
    assert [step for step, _ in planned(bare)] == ["packages", "config", "zones"]


def test_a_changed_zone_gets_a_new_serial_and_nothing_else_does() -> None:
    found = facts(today=TODAY)
    wanted = plan.desired(KNOT, CONFIG, {"example.com": zone(extra="www IN A 192.0.2.1\n")}, found)
    assert wanted.serial("example.com") == DATED + 1
    assert plan.differences(KNOT, wanted, found) == [
        ("zones", f"zone example.com differs, its serial becomes {DATED + 1}")
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": "hand edit\n"}, "/etc/knot/knot.conf has other content"),
        ({"config": None}, "/etc/knot/knot.conf is missing"),
        ({"enabled": False}, "knot does not start at boot"),
        ({"active": False, "answers": {}}, "knot is not running"),
        ({"zone_files": {}, "answers": {}}, "zone example.com is missing"),
        (
            {"zone_files": {"example.com.zone": zone(serial=DATED), "old.example.zone": zone("old.example")}},
            "zone old.example is not wanted any more",
        ),
        ({"answers": answers(serial=DATED - 1)}, "by UDP: serial 2026112099 instead of serial 2026112100"),
        ({"answers": answers(authoritative=False)}, "not authoritative instead of"),
        ({"answers": answers(recursive=True)}, "offers recursion"),
        (
            {"answers": {("192.0.2.53", "tcp", "example.com"): query.Answer(error="no answer by TCP")}},
            "no answer by TCP instead of serial",
        ),
        ({"answers": {**answers(), **answers(5, "old.example")}}, "zone old.example is still served"),
    ],
)
def test_every_kind_of_drift_is_seen(changes: dict[str, Any], words: str) -> None:
    found = planned(facts(**changes))
    assert any(words in what for _, what in found), found


def test_a_zone_edited_by_hand_is_put_back_with_a_newer_serial() -> None:
    edited = facts(
        zone_files={"example.com.zone": zone(serial="2027010105", extra="evil IN A 192.0.2.66\n")},
        answers=answers(serial=2027010105),
        today=TODAY,
    )
    assert plan.desired(KNOT, CONFIG, TEXTS, edited).serial("example.com") == 2027010106


def test_a_serial_never_goes_behind_the_one_that_is_served() -> None:
    behind = facts(answers=answers(serial=DATED + 40), today=TODAY)
    assert plan.desired(KNOT, CONFIG, TEXTS, behind).serial("example.com") == DATED + 41


def test_a_zone_file_that_is_rubbish_is_replaced() -> None:
    rubbish = facts(zone_files={"example.com.zone": "rubbish\n"}, answers={}, today=TODAY)
    assert plan.desired(KNOT, CONFIG, TEXTS, rubbish).serial("example.com") == DATED


@pytest.mark.parametrize(
    ("given_zones", "words"),
    [
        ([], "no zones are given"),
        ([{"name": "../etc/passwd", "text": zone()}], "is not a domain name"),
        ([{"name": "a..b", "text": zone()}], "is not a domain name"),
        ([{"name": "-a.example", "text": zone()}], "is not a domain name"),
        ([{"name": "x" * 64 + ".example", "text": zone()}], "is not a domain name"),
        ([{"name": "example.com", "text": zone()}, {"name": "Example.COM.", "text": zone()}], "given twice"),
        ([{"name": "example.com", "text": "@ IN NS ns1\n"}], "no SOA record"),
    ],
)
def test_zones_that_cannot_be_served_are_refused(given_zones: list[dict[str, str]], words: str) -> None:
    with pytest.raises(RoleError, match=words):
        plan.zone_texts({"zones": given_zones})


def test_zone_names_are_taken_without_final_dot_and_in_lower_case() -> None:
    texts = plan.zone_texts({"zones": [{"name": "Mail.Example.COM.", "text": zone() + "\n\n"}]})
    assert texts == {"mail.example.com": zone()}


IP_OUTPUT = """\
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
2: eth0    inet 192.0.2.10/24 brd 192.0.2.255 scope global dynamic eth0\\       valid_lft 1sec preferred_lft 1sec
2: eth0    inet6 2001:db8::10/64 scope global dynamic mngtmpaddr \\       valid_lft 1sec preferred_lft 1sec
2: eth0    inet6 2001:db8::abcd/64 scope global temporary dynamic \\       valid_lft 1sec preferred_lft 1sec
2: eth0    inet6 2001:db8::dead/64 scope global deprecated \\       valid_lft 1sec preferred_lft 0sec
2: eth0    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever
3: docker0    inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0\\       valid_lft forever
4: br-0a1b2c    inet 172.18.0.1/16 scope global br-0a1b2c\\       valid_lft forever
5: wg0    inet 10.7.0.1/24 scope global wg0\\       valid_lft forever
"""


def test_default_addresses_are_the_host_s_own_global_ones() -> None:
    assert plan.global_addresses(IP_OUTPUT) == ["192.0.2.10", "2001:db8::10", "10.7.0.1"]


def test_zones_rendered_by_the_program_are_understood() -> None:
    text = render_zone(
        "example.com",
        [Record.of("ns1.example.com", 3600, Address(ip="192.0.2.53"))],
        nameservers=["ns1.example.com"],
        hostmaster="dns.admin@example.com",
    )
    assert zones.serial_of(text) == 0
    assert zones.with_serial(text, DATED).count(str(DATED)) == 1
    assert plan.zone_texts({"zones": [{"name": "example.com", "text": text}]}) == {"example.com": text}


# -- held RRsets ------------------------------------------------------------------------------------------------------

HOLD = [("example.com", "MX"), ("_dmarc.example.com", "TXT")]


def mail_zone(*, exchange: str | None, policy: str, spf: str) -> str:
    records = [
        Record.of("mx.example.com", 300, Address(ip="192.0.2.1")),
        Record.of("example.com", 300, Text(value=spf)),
        Record.of("_dmarc.example.com", 300, Text(value=policy)),
    ]
    if exchange is not None:
        records.append(Record.of("example.com", 300, MailExchanger(preference=10, exchange=exchange)))
    return render_zone(
        "example.com", records, nameservers=["ns1.example.net"], hostmaster="hostmaster@example.net", ttl=300
    )


def test_held_records_stay_as_they_are_served_and_the_rest_is_new() -> None:
    old = mail_zone(exchange="mx.former.example", policy="v=DMARC1; p=none", spf="v=spf1 -all")
    new = mail_zone(exchange="mx.example.com", policy="v=DMARC1; p=reject", spf="v=spf1 mx -all")
    text = zones.with_held(new, old, HOLD)
    assert "mx.former.example." in text
    assert '"v=DMARC1; p=none"' in text
    assert '"v=spf1 mx -all"' in text
    assert "p=reject" not in text
    assert "IN MX 10 mx.example.com." not in text
    assert zones.with_held(new, text, ()) == new, "without a hold everything is new"


@pytest.mark.parametrize("current", [None, ""])
def test_on_a_fresh_server_held_records_are_absent(current: str | None) -> None:
    new = mail_zone(exchange="mx.example.com", policy="v=DMARC1; p=reject", spf="v=spf1 mx -all")
    text = zones.with_held(new, current, HOLD)
    assert "IN MX" not in text
    assert "DMARC1" not in text
    assert '"v=spf1 mx -all"' in text


def test_a_record_that_is_not_declared_any_more_is_held_too() -> None:
    old = mail_zone(exchange="mx.former.example", policy="v=DMARC1; p=none", spf="v=spf1 -all")
    text = zones.with_held(mail_zone(exchange=None, policy="v=DMARC1; p=none", spf="v=spf1 -all"), old, HOLD)
    assert "mx.former.example." in text


def test_once_all_is_as_declared_a_hold_changes_nothing() -> None:
    text = mail_zone(exchange="mx.example.com", policy="v=DMARC1; p=reject", spf="v=spf1 mx -all")
    assert zones.with_held(text, zones.with_serial(text, 7), HOLD) == text


def test_a_hold_that_is_no_pair_is_refused() -> None:
    with pytest.raises(RoleError, match="not a name and a type"):
        plan.held({}, {"hold": [["example.com"]]}, facts())
