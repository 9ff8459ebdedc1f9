"""What a zone holds already: told where it would clash, and seen through name servers within a bounded time."""

import time
from dataclasses import asdict
from typing import Any

import pytest

from mailstack.dns import Address, Alias, Caa, MailExchanger, Record, Srv, Text, decode_shown, to_cloudflare
from mailstack.dns.existing import (
    Decision,
    Existing,
    content_of,
    decide,
    declared_content,
    find_clashes,
    take_overs,
)
from mailstack.reach.look import Look, look_by_dns
from tests.unit.name_server import NameServer

ZONE = "example.com"
SPF = "v=spf1 include:_spf.google.com ~all"
DECLARED = [
    Record.of(ZONE, 300, MailExchanger(preference=1, exchange="smtp.google.com")),
    Record.of(ZONE, 300, Text(value=SPF)),
    Record.of("_dmarc.example.com", 300, Text(value="v=DMARC1; p=reject")),
    Record.of("mail._domainkey.example.com", 300, Text(value="v=DKIM1; p=AAAA")),
    Record.of("relay.example.com", 300, Address(ip="192.0.2.1")),
    Record.of("click.example.com", 300, Alias(target="track.example.com")),
    Record.of(ZONE, 300, Caa(flags=0, tag="issue", value="letsencrypt.org")),
    Record.of("_submissions._tcp.example.com", 300, Srv(priority=0, weight=1, port=465, target="relay.example.com")),
    Record.of("*._domainkey.parked.example.com", 300, Text(value="v=DKIM1; p=")),
]


def caa(tag: str, value: str, flags: object = 0) -> dict[str, Any]:
    """Return a CAA record as the API shows it: its content is written with tabs here and blanks there."""
    return {"content": f'{flags}\t{tag}\t"{value}"', "data": {"flags": flags, "tag": tag, "value": value}}


def srv(priority: int, port: int, target: str) -> dict[str, Any]:
    data = {"priority": priority, "weight": 1, "port": port, "target": target}
    return {"content": f"1 {port} {target}", "priority": priority, "data": data}


def there(name: str, kind: str, content: str = "", **more: Any) -> Existing:
    shown = {"id": "r1", "name": name, "type": kind, "content": content, "ttl": 300, **more}
    return Existing.at_cloudflare(ZONE, "z1", shown)


@pytest.mark.parametrize(
    ("existing", "part", "may_stay"),
    [
        (there(ZONE, "TXT", '"v=spf1 -all"'), "two SPF records", False),
        (there(ZONE, "TXT", "v=SPF1 mx"), "two SPF records", False),
        (there("_dmarc.example.com", "TXT", '"v=DMARC1; p=none"'), "two DMARC records", False),
        (there("mail._domainkey.example.com", "TXT", '"k=rsa; p=BBBB"'), "two keys at one selector", False),
        (there(ZONE, "MX", "mx.former.example", priority=10), "mail would go to both", True),
        (there("relay.example.com", "A", "192.0.2.9"), "both addresses", True),
        (there("relay.example.com", "A", "192.0.2.1"), "81058", False),
        (there("relay.example.com", "CNAME", "elsewhere.example"), "alone at its name", False),
        (there("click.example.com", "A", "192.0.2.9"), "alone at its name", False),
        (there("relay.example.com", "A", "192.0.2.9", proxied=True), "takes no SMTP", False),
        (there(ZONE, "CAA", **caa("issue", "former-ca.example")), "stays permitted", True),
        (there(ZONE, "CAA", **caa("issue", "letsencrypt.org", flags="0")), "81058", False),
        (there("_submissions._tcp.example.com", "SRV", **srv(5, 465, "mail.former.example")), "use both", True),
        (there("_submissions._tcp.example.com", "SRV", **srv(0, 465, "Relay.Example.com.")), "81058", False),
        (there("*._domainkey.parked.example.com", "TXT", '"v=DKIM1; k=rsa; p="'), "two keys at one selector", False),
        (there("*.example.com", "A", "192.0.2.9"), "answers for these names today", True),
        (there("*.example.com", "CNAME", "park.example"), "answers for these names today", True),
    ],
)
def test_a_record_that_clashes_is_told_with_why(existing: Existing, part: str, may_stay: bool) -> None:
    [clash] = find_clashes(DECLARED, DECLARED, [existing])
    assert part in clash.why
    assert clash.may_stay is may_stay
    assert clash.declared, "the declared one is named too"


@pytest.mark.parametrize(
    ("meta", "keeper"),
    [({"email_routing": True, "read_only": True}, "Email Routing"), ({"read_only": True}, "another product")],
)
def test_a_record_that_cloudflare_keeps_for_itself_can_neither_stay_nor_be_taken(meta: Any, keeper: str) -> None:
    former = there(ZONE, "MX", "route1.mx.cloudflare.net", priority=10, meta=meta)
    [clash] = find_clashes(DECLARED, DECLARED, [former])
    assert keeper in clash.why
    take_over = Decision(name=ZONE, type="MX", content=None, action="take-over")
    keep = Decision(name=ZONE, type="MX", content=None, action="keep")
    assert decide([clash], [take_over]) == decide([clash], [keep]) == ([clash], [])
    beside = there("www.example.com", "A", "192.0.2.80", meta=meta)
    assert find_clashes(DECLARED, DECLARED, [beside]) == []


@pytest.mark.parametrize(
    "existing",
    [
        there(ZONE, "TXT", '"google-site-verification=abc"'),
        there(ZONE, "A", "192.0.2.80"),
        there(ZONE, "NS", "ns1.example.net"),
        there("www.example.com", "CNAME", "web.example.net"),
        there("other._domainkey.example.com", "TXT", '"v=DKIM1; p=CCCC"'),
        there("lists.example.com", "MX", "mx.lists.example", priority=5),
        there("relay.example.com", "TXT", '"hello"'),
        there("*.dev.example.com", "A", "192.0.2.9"),
        there("*.example.com", "TXT", '"v=spf1 -all"'),
    ],
)
def test_a_foreign_record_that_harms_nothing_is_not_spoken_of(existing: Existing) -> None:
    assert find_clashes(DECLARED, DECLARED, [existing]) == []


def test_a_declared_exchanger_beside_ours_is_no_clash() -> None:
    second = Record.of(ZONE, 300, MailExchanger(preference=10, exchange="mx.former.example"))
    existing = there(ZONE, "MX", "mx.former.example", priority=10)
    assert find_clashes(DECLARED, [*DECLARED, second], [existing]) == []


def test_what_is_decided_is_done_and_what_cannot_be_decided_stays_open() -> None:
    spf, mx = there(ZONE, "TXT", '"v=spf1 -all"'), there(ZONE, "MX", "mx.former.example", priority=10)
    clashes = find_clashes(DECLARED, DECLARED, [spf, mx])
    keep_both = [Decision(name=ZONE, type=kind, content=None, action="keep") for kind in ("TXT", "MX")]
    undecided, taken = decide(clashes, keep_both)
    assert [clash.existing for clash in undecided] == [spf], "a second SPF record cannot stay"
    assert taken == []
    over = [Decision(name=ZONE, type="TXT", content="v=spf1 -all", action="take-over")]
    over += [Decision(name=ZONE, type="MX", content="mx.former.example", action="take-over")]
    undecided, taken = decide(clashes, over)
    assert undecided == []
    assert take_overs(taken) == {"example.com-txt-spf": spf, "example.com-mx-smtp.google.com": mx}


def test_a_decision_names_a_record_with_data_as_a_zone_file_has_it() -> None:
    clashes = find_clashes(DECLARED, DECLARED, [there(ZONE, "CAA", **caa("issue", "former-ca.example"))])
    content = '0 issue "former-ca.example"'
    assert clashes[0].existing.content == content
    undecided, _ = decide(clashes, [Decision(name=ZONE, type="CAA", content=content, action="keep")])
    assert undecided == []


@pytest.mark.parametrize("record", DECLARED, ids=lambda record: f"{record.name} {record.type}")
def test_a_declared_record_reads_the_same_once_it_is_there(record: Record) -> None:
    shown = {key: value for key, value in asdict(to_cloudflare(record)).items() if value is not None}
    assert content_of(shown, decode_shown(shown)) == declared_content(record)


def test_a_decision_about_another_content_decides_nothing() -> None:
    clashes = find_clashes(DECLARED, DECLARED, [there(ZONE, "TXT", '"v=spf1 -all"')])
    undecided, _ = decide(clashes, [Decision(name=ZONE, type="TXT", content="v=spf1 mx", action="take-over")])
    assert len(undecided) == 1


# -- name servers -----------------------------------------------------------------------------------------------------

TEXT = """
@ 300 IN SOA ns1 h 1 2 3 4 5
@ 300 IN NS ns1
ns1 300 IN A 127.0.0.1
@ 300 IN MX 10 mx.former.example.
@ 300 IN TXT "v=spf1 include:old.example ~all"
@ 300 IN TXT "verification=1"
click 300 IN CNAME elsewhere.example.net.
"""


def looked(server: NameServer, *, seconds: float = 5, ours: tuple[str, ...] = ()) -> Look:
    return look_by_dns({ZONE: DECLARED}, seconds=seconds, ours=ours, resolvers=[f"127.0.0.1:{server.port}"])


@pytest.mark.parametrize("udp_limit", [1232, 60])
def test_the_zones_own_servers_are_asked_over_udp_and_where_cut_off_tcp(udp_limit: int) -> None:
    with NameServer({ZONE: TEXT}, recursive=True, udp_limit=udp_limit) as server:
        seen = looked(server)
    assert seen.not_seen == {}
    told = {(record.name, record.type, record.content) for record in seen.existing}
    assert (ZONE, "MX", "10 mx.former.example.") in told
    assert ("click.example.com", "CNAME", "elsewhere.example.net.") in told
    clashes = find_clashes(DECLARED, DECLARED, seen.existing)
    assert {clash.existing.type for clash in clashes} == {"MX", "TXT", "CNAME"}
    assert len(clashes) == 3, "the verification is nobody's business"


def test_a_wildcard_is_seen_as_one_and_not_as_records_of_every_name() -> None:
    with NameServer({ZONE: f"{TEXT}* 300 IN A 198.51.100.9\n"}, recursive=True) as server:
        seen = looked(server)
    addresses = [record.name for record in seen.existing if record.type == "A"]
    assert addresses == ["*.example.com"]


def test_a_zone_that_is_delegated_to_our_own_servers_holds_what_we_put_there() -> None:
    with NameServer({ZONE: TEXT}, recursive=True) as server:
        assert looked(server, ours=("ns1.example.com",)) == Look()


def test_a_zone_nobody_has_yet_holds_nothing() -> None:
    with NameServer({"com": "@ 300 IN SOA a b 1 2 3 4 5\n@ 300 IN NS a\n"}, recursive=True) as server:
        seen = looked(server)
    assert seen == Look()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [{"silent": True}, {"delay": 3.0}, {"lame": True}])
def test_servers_that_do_not_answer_are_told_within_the_budget(fault: dict[str, Any]) -> None:
    started = time.monotonic()
    with NameServer({ZONE: TEXT}, recursive=True, **fault) as server:
        seen = looked(server, seconds=1)
    assert time.monotonic() - started < 4
    assert seen.existing == ()
    assert "did not answer" in seen.not_seen[ZONE]


def test_offline_nobody_is_asked() -> None:
    seen = look_by_dns({ZONE: DECLARED}, seconds=5, ours=(), resolvers=[])
    assert list(seen.not_seen) == [ZONE]
