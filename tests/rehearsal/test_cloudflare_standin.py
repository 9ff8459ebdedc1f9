"""The stand-in for the Cloudflare API has Cloudflare's quirks."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.cloudflare_standin import (
    CloudflareStandin,
    CloudflareStandinConfig,
    ConfigError,
    RequestRecord,
    ZoneConfig,
)
from rehearsal.cloudflare_standin.errors import ApiError
from rehearsal.cloudflare_standin.store import ZoneStore

TOKEN = "rehearsal-token-0123456789abcdefghijklmno"
ZONE = "example.com"
ZONE_ID = "0123456789abcdef0123456789abcdef"
KEY_TEXT = "v=DKIM1; k=rsa; p=" + "A" * 400


class Api:
    """A client that shows status, headers and envelope."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.headers: dict[str, str] = {}

    def call(
        self, method: str, path: str, body: object = None, *, authorization: str | None = f"Bearer {TOKEN}"
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": "application/json"}
        if authorization is not None:
            headers["Authorization"] = authorization
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
                self.headers = dict(answer.headers)
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                self.headers = dict(error.headers)
                return error.code, json.load(error)

    def create(self, **record: object) -> tuple[int, dict[str, Any]]:
        return self.call("POST", f"/zones/{ZONE_ID}/dns_records", record)

    def made(self, **record: object) -> dict[str, Any]:
        status, answer = self.create(**record)
        assert status == 200, answer
        result: dict[str, Any] = answer["result"]
        return result

    def refusal(self, **record: object) -> tuple[int, list[int]]:
        """Status and the codes of error and chain."""
        status, answer = self.create(**record)
        assert answer["success"] is False
        assert answer["result"] is None
        return status, codes(answer)


def codes(answer: dict[str, Any]) -> list[int]:
    (error,) = answer["errors"]
    return [error["code"], *(item["code"] for item in error.get("error_chain", []))]


@pytest.fixture(scope="module")
def running() -> Iterator[CloudflareStandin]:
    config = CloudflareStandinConfig(
        token=TOKEN, zones=(ZoneConfig(name=ZONE, id=ZONE_ID), ZoneConfig(name="example.net"))
    )
    with CloudflareStandin(config) as standin:
        yield standin


@pytest.fixture
def standin(running: CloudflareStandin) -> CloudflareStandin:
    running.store.reset()
    return running


@pytest.fixture
def api(standin: CloudflareStandin) -> Api:
    return Api(standin.api_url)


A = {"type": "A", "name": "mail.example.com", "content": "192.0.2.1", "ttl": 3600}


# -- authentication and routes ----------------------------------------------------------------------------


def test_valid_token_is_verified(api: Api) -> None:
    status, answer = api.call("GET", "/user/tokens/verify")
    assert status == 200
    assert answer["result"]["status"] == "active"
    assert answer["messages"][0]["message"] == "This API Token is valid and active"


@pytest.mark.parametrize(
    ("authorization", "path", "status", "expected"),
    [
        (None, "/zones", 403, [10000]),
        ("Bearer wrong-token-wrong-token", "/zones", 403, [10000]),
        (f"Bearer {TOKEN}x", f"/zones/{ZONE_ID}/dns_records", 403, [10000]),
        ("Bearer", "/zones", 400, [6003, 6111]),
        (TOKEN, "/zones", 400, [6003, 6111]),
        (f"Bearer {TOKEN} x", "/zones", 400, [6003, 6111]),
        ("Bearer wrong-token-wrong-token", "/user/tokens/verify", 401, [1000]),
    ],
)
def test_wrong_token_is_refused(
    api: Api, authorization: str | None, path: str, status: int, expected: list[int]
) -> None:
    got, answer = api.call("GET", path, authorization=authorization)
    assert (got, codes(answer)) == (status, expected)


def test_zone_is_found_by_name_and_by_id_with_what_a_preflight_needs(api: Api) -> None:
    _, listed = api.call("GET", "/zones?name=Example.com")
    (zone,) = listed["result"]
    assert (zone["id"], zone["name"], zone["status"]) == (ZONE_ID, ZONE, "active")
    assert len(zone["name_servers"]) == 2
    assert listed["result_info"]["total_count"] == 1
    assert api.call("GET", f"/zones/{ZONE_ID}")[1]["result"] == zone
    assert api.call("GET", "/zones?name=example.org")[1]["result"] == []
    assert len(api.call("GET", "/zones")[1]["result"]) == 2


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("GET", "/zones/" + "0" * 32, 403, [9109]),
        ("GET", f"/zones/{ZONE}", 404, [7003]),
        ("GET", f"/zones/{ZONE_ID}/dns_records/" + "0" * 32, 404, [81044]),
        ("DELETE", f"/zones/{ZONE_ID}/dns_records/" + "0" * 32, 404, [81044]),
        ("GET", f"/zones/{ZONE_ID}/dns_records/x", 404, [7003]),
        ("GET", f"/zones/{ZONE_ID}/settings", 404, [7000]),
        ("GET", "/accounts", 404, [7000]),
        ("DELETE", f"/zones/{ZONE_ID}", 405, [10405]),
        ("DELETE", "/zones", 405, [10405]),
        ("DELETE", f"/zones/{ZONE_ID}/dns_records", 405, [10405]),
    ],
)
def test_what_is_not_there_is_said_in_cloudflares_codes(
    api: Api, method: str, path: str, status: int, expected: list[int]
) -> None:
    got, answer = api.call(method, path)
    assert (got, codes(answer)) == (status, expected)
    assert answer["success"] is False
    assert answer["result"] is None


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"name": "", "type": "A"}'])
def test_unusable_body_is_refused(api: Api, body: bytes) -> None:
    status, answer = api.call("POST", f"/zones/{ZONE_ID}/dns_records", body)
    assert (status, codes(answer)) == (400, [9207])


# -- life of a record -------------------------------------------------------------------------------------


def test_record_goes_through_create_read_replace_change_and_delete(api: Api) -> None:
    made = api.made(**A, comment="relay")
    path = f"/zones/{ZONE_ID}/dns_records/{made['id']}"
    assert api.call("GET", path)[1]["result"] == made

    _, replaced = api.call("PUT", path, {**A, "content": "192.0.2.2"})
    assert (replaced["result"]["content"], replaced["result"]["comment"]) == ("192.0.2.2", None)
    assert "comment_modified_on" not in replaced["result"]
    assert replaced["result"]["created_on"] == made["created_on"]
    assert replaced["result"]["modified_on"] > made["modified_on"]

    _, changed = api.call("PATCH", path, {"ttl": 60})
    assert (changed["result"]["ttl"], changed["result"]["content"]) == (60, "192.0.2.2")

    status, deleted = api.call("DELETE", path)
    assert (status, deleted["result"]) == (200, {"id": made["id"]})
    assert api.call("GET", path)[0] == 404
    assert api.call("PUT", path, A)[0] == 404


def test_answer_has_the_fields_the_provider_reads(api: Api) -> None:
    plain = api.made(**A)
    assert set(plain) == {
        "id",
        "name",
        "type",
        "content",
        "proxiable",
        "proxied",
        "ttl",
        "settings",
        "meta",
        "comment",
        "tags",
        "created_on",
        "modified_on",
    }
    assert (plain["proxiable"], plain["proxied"], plain["comment"], plain["tags"]) == (True, False, None, [])
    assert plain["created_on"].endswith("Z")
    cname = api.made(type="CNAME", name="www", content="mail.example.com", comment="x")
    assert "settings" not in cname
    assert cname["comment_modified_on"] == cname["created_on"]


def test_list_filters_and_pages(api: Api) -> None:
    for number in range(1, 6):
        api.made(**{**A, "name": f"h{number}", "content": f"192.0.2.{number}"})
    api.made(type="TXT", name="h1", content='"text"', ttl=3600)

    def listed(query: str) -> list[str]:
        _, answer = api.call("GET", f"/zones/{ZONE_ID}/dns_records?{query}")
        return [f"{item['name'].split('.')[0]} {item['type']}" for item in answer["result"]]

    assert listed("type=TXT") == ["h1 TXT"]
    assert listed("name=H1.example.com") == ["h1 A", "h1 TXT"]
    assert listed("name.exact=h1.example.com&type=A") == ["h1 A"]
    assert listed("content=192.0.2.3") == ["h3 A"]
    assert listed("content=192.0.2.3&type=TXT&match=any") == ["h3 A", "h1 TXT"]
    assert listed("name=h1") == []
    assert listed("per_page=4&page=2") == ["h5 A", "h1 TXT"]
    _, answer = api.call("GET", f"/zones/{ZONE_ID}/dns_records?per_page=4&page=2")
    assert answer["result_info"] == {
        "page": 2,
        "per_page": 4,
        "count": 2,
        "total_count": 6,
        "total_pages": 2,
    }


# -- normal forms -----------------------------------------------------------------------------------------


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


# -- refusals ---------------------------------------------------------------------------------------------


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


# -- inspection, configuration, program -------------------------------------------------------------------


def test_state_is_readable_outside_the_api_without_a_token(standin: CloudflareStandin, api: Api) -> None:
    made = api.made(**A)
    api.call("GET", "/zones", authorization=None)
    root = Api(standin.url)
    status, state = root.call("GET", "/state", authorization=None)
    assert status == 200
    (zone,) = [item for item in state["zones"] if item["id"] == ZONE_ID]
    assert zone["records"] == [made] == standin.records(ZONE)
    assert state["requests"] == [
        {"method": "POST", "path": f"/client/v4/zones/{ZONE_ID}/dns_records", "status": 200},
        {"method": "GET", "path": "/client/v4/zones", "status": 403},
    ]
    assert standin.requests()[1] == RequestRecord(method="GET", path="/client/v4/zones", status=403)
    assert root.call("POST", "/state/reset", authorization=None)[0] == 200
    assert standin.records(ZONE) == []
    assert standin.requests() == []
    assert root.call("GET", "/health", authorization=None)[1] == {"status": "ok"}
    assert root.call("GET", "/zones")[0] == 404
    assert TOKEN not in json.dumps(state)


def test_zones_do_not_mix(standin: CloudflareStandin, api: Api) -> None:
    made = api.made(**A)
    other = standin.zone_id("example.net")
    assert standin.records("example.net") == []
    assert api.call("GET", f"/zones/{other}/dns_records/{made['id']}")[0] == 404
    assert standin.zone_id(ZONE) == ZONE_ID
    with pytest.raises(KeyError):
        standin.zone_id("example.org")


def test_all_configuration_problems_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        CloudflareStandinConfig.from_json(
            {
                "colour": 1,
                "port": "80",
                "zones": [{"name": "nodot"}, {"id": "x"}, {"name": "a.example", "id": "x", "extra": 1}],
            }
        )
    for place in (
        "colour: unknown key",
        "port: expected int",
        "token: is needed",
        "zones[0].name: 'nodot'",
        "zones[1]: expected an object with a name",
        "zones[2].id: 'x'",
        "zones[2].extra: unknown key",
    ):
        assert any(problem.startswith(place) for problem in caught.value.problems), place


def test_token_is_not_in_the_repr() -> None:
    config = CloudflareStandinConfig.from_json({"token": TOKEN, "zones": [{"name": ZONE}]})
    assert TOKEN not in repr(config)


def test_program_serves_until_sigterm_and_never_logs_the_token(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"token": TOKEN, "zones": [{"name": ZONE, "id": ZONE_ID}]}))
    process = subprocess.Popen(
        [sys.executable, "-m", "rehearsal.cloudflare_standin", "--config", str(config)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        url = line.strip().rpartition(" ")[2]
        deadline = time.monotonic() + 5
        assert Api(url).call("GET", "/user/tokens/verify")[0] == 200
        assert Api(url).call("GET", "/zones", authorization=f"Bearer {TOKEN}x")[0] == 403
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=deadline - time.monotonic())
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "403" in rest
    assert TOKEN not in line + rest


def test_program_names_every_problem_of_its_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"zones": [], "colour": 1}')
    finished = subprocess.run(
        [sys.executable, "-m", "rehearsal.cloudflare_standin", "--config", str(config)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert finished.returncode == 1
    for problem in ("colour: unknown key", "token: is needed", "zones: at least one"):
        assert problem in finished.stderr
