"""The stand-in for the Cloudflare API has Cloudflare's quirks about records."""

import pytest

from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from rehearsal.cloudflare_standin.errors import ApiError
from rehearsal.cloudflare_standin.store import ZoneStore
from tests.rehearsal.cloudflare_standin.asking import KEY_TEXT, TOKEN, ZONE, ZONE_ID, A, Api, codes

# -- normal forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("@", "example.com"),
        ("example.com", "example.com"),
        ("EXAMPLE.com.", "example.com"),
        ("mail", "mail.example.com"),
        ("a.b", "a.b.example.com"),
        ("Mail.Example.COM", "mail.example.com"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("*", "*.example.com"),
        ("notexample.com", "notexample.com.example.com"),
    ],
)
def test_name_comes_back_as_lower_case_fqdn_without_final_dot(api: Api, given: str, kept: str) -> None:
    assert api.made(type="TXT", name=given, content='"x"')["name"] == kept


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        ("MX", "Mail.Example.COM.", "mail.example.com"),
        ("MX", ".", "."),
        ("CNAME", "Target.Example.NET.", "target.example.net"),
        ("NS", "NS1.Example.net.", "ns1.example.net"),
        ("AAAA", "2001:0DB8:0:0::0001", "2001:db8::1"),
        ("A", "192.0.2.1", "192.0.2.1"),
    ],
)
def test_content_comes_back_in_cloudflares_form(api: Api, kind: str, given: str, kept: str) -> None:
    assert api.made(type=kind, name="x", content=given, priority=10)["content"] == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("v=spf1 -all", "v=spf1 -all"),
        ('"v=spf1 -all"', '"v=spf1 -all"'),
        (KEY_TEXT, KEY_TEXT),
        (f'"{KEY_TEXT}"', f'"{KEY_TEXT[:255]}" "{KEY_TEXT[255:]}"'),
        (f'"{KEY_TEXT[:255]}" "{KEY_TEXT[255:]}"', f'"{KEY_TEXT[:255]}" "{KEY_TEXT[255:]}"'),
        (f'"{KEY_TEXT[:100]}" "{KEY_TEXT[100:]}"', None),
        ('"' + "ä" * 200 + '"', '"' + "ä" * 127 + '�" "�' + "ä" * 72 + '"'),
        ('"' + '\\"' * 256 + '"', '"' + '\\"' * 255 + '" "\\""'),
        ('"a\\\\b" "c"', '"a\\\\b" "c"'),
        ('half "quoted', 'half "quoted'),
    ],
    ids=[
        "unquoted-stays-raw",
        "quoted-stays",
        "long-unquoted-stays-raw",
        "long-quoted-is-split",
        "well-chunked-stays",
        "short-then-long",
        "bytes-not-characters",
        "escapes-count-once",
        "backslash",
        "stray-quote",
    ],
)
def test_txt_is_kept_unless_a_quoted_string_is_longer_than_255_bytes(api: Api, given: str, kept: str | None) -> None:
    content = api.made(type="TXT", name="t", content=given)["content"]
    if kept is None:
        kept = f'"{KEY_TEXT[:100]}" "{KEY_TEXT[100:355]}" "{KEY_TEXT[355:]}"'
    assert content == kept


@pytest.mark.parametrize(("ttl", "kept"), [(None, 1), (1, 1), (60, 60), (86400, 86400), (3600.0, 3600)])
def test_ttl_is_automatic_or_between_a_minute_and_a_day(api: Api, ttl: object, kept: int) -> None:
    assert api.made(**{**A, "ttl": ttl})["ttl"] == kept


@pytest.mark.parametrize("ttl", [0, 2, 59, 86401, 30, "3600", True, 60.5])
def test_other_ttl_is_refused(api: Api, ttl: object) -> None:
    assert api.refusal(**{**A, "ttl": ttl}) == (400, [1004, 9021])


def test_proxied_record_has_the_automatic_ttl(api: Api) -> None:
    made = api.made(**A, proxied=True)
    assert (made["proxied"], made["ttl"]) == (True, 1)


def test_data_types_get_their_content_computed(api: Api) -> None:
    caa = api.made(type="CAA", name="@", data={"flags": 0, "tag": "issue", "value": "letsencrypt.org"}, ttl=3600)
    assert caa["content"] == '0 issue "letsencrypt.org"'
    assert caa["data"] == {"flags": 0, "tag": "issue", "value": "letsencrypt.org"}
    assert "priority" not in caa
    text_flags = api.made(type="CAA", name="@", data={"flags": "128", "tag": "iodef", "value": "mailto:a@b"})
    assert text_flags["data"]["flags"] == 128
    digest = "ab" * 32
    tlsa = api.made(
        type="TLSA",
        name="_25._tcp.mail",
        data={"usage": 3, "selector": 1, "matching_type": 1, "certificate": digest},
    )
    assert (tlsa["content"], tlsa["name"]) == (f"3 1 1 {digest}", "_25._tcp.mail.example.com")
    srv = api.made(
        type="SRV",
        name="_submission._tcp",
        data={"priority": 0, "weight": 5, "port": 587, "target": "Mail.example.com."},
    )
    assert (srv["content"], srv["priority"]) == ("5 587 mail.example.com", 0)


# -- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"type": "MX", "name": "@", "content": "192.0.2.1", "priority": 10}, [1004, 9009]),
        ({"type": "MX", "name": "@", "content": "2001:db8::1", "priority": 10}, [1004, 9009]),
        ({"type": "MX", "name": "@", "content": "mail.example.com"}, [1004, 9100]),
        ({"type": "MX", "name": "@", "content": "mail.example.com", "priority": 65536}, [1004, 9008]),
        ({"type": "MX", "name": "@", "content": "mail.example.com", "priority": "10"}, [1004, 9008]),
        (
            {"type": "MX", "name": "@", "data": {"content": "mail.example.com", "priority": 10}},
            [1004, 9100, 9009],
        ),
        ({"type": "TXT", "name": "@", "content": '"x"', "proxied": True}, [1004, 9004]),
        (
            {"type": "MX", "name": "@", "content": "m.example.com", "priority": 1, "proxied": True},
            [1004, 9004],
        ),
        ({"type": "A", "name": "@", "content": "192.0.2.256"}, [1004, 9005]),
        ({"type": "A", "name": "@", "content": "2001:db8::1"}, [1004, 9005]),
        ({"type": "AAAA", "name": "@", "content": "192.0.2.1"}, [1004, 9006]),
        ({"type": "CNAME", "name": "x", "content": "192.0.2.1"}, [1004, 9007]),
        ({"type": "CNAME", "name": "x", "content": "bad name"}, [1004, 9007]),
        ({"type": "TXT", "name": "@", "content": ""}, [1004, 9207]),
        ({"type": "TXT", "name": "bad name", "content": "x"}, [1004, 9000]),
        ({"type": "CAA", "name": "@", "content": '0 issue "ca.example"'}, [1004, 9101, 9101, 9101]),
        (
            {"type": "CAA", "name": "@", "data": {"flags": 256, "tag": "issue", "value": "x"}},
            [1004, 9101],
        ),
        (
            {"type": "SRV", "name": "_a._tcp", "data": {"priority": 1, "port": 1, "target": "a.b"}},
            [1004, 9101],
        ),
        (
            {
                "type": "TLSA",
                "name": "_25._tcp",
                "data": {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "xyz"},
            },
            [1004, 9101],
        ),
        ({"type": "A", "name": "@", "content": "192.0.2.1", "tags": ["x"]}, [1004, 9300]),
        ({"type": "A", "name": "@", "content": "192.0.2.1", "comment": "x" * 101}, [1004, 9999]),
        ({"type": "LOC", "name": "@", "content": "x"}, [1004, 9000]),
        ({"type": "A", "name": "@", "content": "x", "ttl": 5, "tags": ["x"]}, [1004, 9021, 9005, 9300]),
    ],
)
def test_wrong_record_is_refused_with_every_reason(api: Api, record: dict[str, object], expected: list[int]) -> None:
    assert api.refusal(**record) == (400, expected)


def test_zero_is_a_priority(api: Api) -> None:
    assert api.made(type="MX", name="@", content="m.example.com", priority=0)["priority"] == 0
    assert api.made(type="MX", name="@", content="n.example.com", priority=10.0)["priority"] == 10


def test_identical_record_is_refused_until_something_differs(api: Api) -> None:
    api.made(**A)
    assert api.refusal(**A) == (400, [81058])
    assert api.refusal(**{**A, "name": "MAIL", "ttl": 60}) == (400, [81058])
    api.made(**{**A, "content": "192.0.2.2"})


def test_record_may_be_replaced_by_itself_but_not_by_another_one(api: Api) -> None:
    first = api.made(**A)
    api.made(**{**A, "content": "192.0.2.2"})
    path = f"/zones/{ZONE_ID}/dns_records/{first['id']}"
    assert api.call("PUT", path, A)[0] == 200
    assert api.call("PUT", path, A)[1]["result"]["modified_on"] == first["modified_on"]
    status, answer = api.call("PUT", path, {**A, "content": "192.0.2.2"})
    assert (status, codes(answer)) == (400, [81058])
    assert api.call("GET", path)[1]["result"]["content"] == "192.0.2.1"


def test_cname_stands_alone_beside_addresses(api: Api) -> None:
    api.made(**A)
    api.made(type="CNAME", name="www", content="mail.example.com")
    cname = {"type": "CNAME", "content": "mail.example.com"}
    assert api.refusal(**cname, name="mail") == (400, [81053])
    assert api.refusal(type="CNAME", name="www", content="other.example.com") == (400, [81053])
    assert api.refusal(type="A", name="www", content="192.0.2.1") == (400, [81054])
    assert api.refusal(type="AAAA", name="www", content="2001:db8::1") == (400, [81054])
    api.made(type="AAAA", name="mail", content="2001:db8::1")


def test_too_large_records_are_refused(api: Api) -> None:
    assert api.refusal(type="TXT", name="big", content="x" * 4090) == (400, [1004, 9999])
    api.made(type="TXT", name="big", content="x" * 4079)
    api.made(type="TXT", name="big", content="y" * 4079)
    assert api.refusal(type="TXT", name="big", content="z" * 100) == (400, [1004, 9999])
    api.made(type="TXT", name="other", content="z" * 100)


def test_full_zone_is_refused_with_the_quota_code() -> None:
    config = CloudflareStandinConfig(token=TOKEN, zones=(ZoneConfig(name=ZONE, id=ZONE_ID),), record_quota=2)
    with CloudflareStandin(config) as standin:
        api = Api(standin.api_url)
        first = api.made(**A)
        api.made(**{**A, "name": "b"})
        assert api.refusal(**{**A, "name": "c"}) == (400, [81045])
        api.call("DELETE", f"/zones/{ZONE_ID}/dns_records/{first['id']}")
        api.made(**{**A, "name": "c"})


def test_too_many_requests_are_answered_429_with_retry_after() -> None:
    config = CloudflareStandinConfig(
        token=TOKEN,
        zones=(ZoneConfig(name=ZONE, id=ZONE_ID),),
        rate_limit_requests=2,
        rate_limit_block_seconds=7,
    )
    with CloudflareStandin(config) as standin:
        api = Api(standin.api_url)
        assert [api.call("GET", "/zones")[0] for _ in range(3)] == [200, 200, 429]
        status, answer = api.call("GET", "/zones")
        assert (status, codes(answer)) == (429, [971])
        headers = {name.lower(): text for name, text in api.headers.items()}
        assert 1 <= int(headers["retry-after"]) <= 7
        assert headers["ratelimit-policy"] == '"default";q=2;w=300'
        assert headers["ratelimit"].startswith('"default";r=0;t=')


def test_block_ends_after_its_time_and_the_window_slides() -> None:
    now = [0.0]
    config = CloudflareStandinConfig(
        token=TOKEN,
        zones=(ZoneConfig(name=ZONE),),
        rate_limit_requests=1,
        rate_limit_window_seconds=10,
        rate_limit_block_seconds=20,
    )
    store = ZoneStore(config, clock=lambda: now[0])
    store.admit()
    now[0] = 5.0
    with pytest.raises(ApiError) as caught:
        store.admit()
    assert caught.value.headers["retry-after"] == "20"
    now[0] = 6.0
    with pytest.raises(ApiError) as caught:
        store.admit()
    assert caught.value.headers["retry-after"] == "19"
    now[0] = 24.5
    with pytest.raises(ApiError) as caught:
        store.admit()
    assert caught.value.headers["retry-after"] == "1"
    now[0] = 25.0
    store.admit()
