"""The stand-in for the Cloudflare API answers requests as Cloudflare does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rehearsal.cloudflare_standin import (
    CloudflareStandin,
    CloudflareStandinConfig,
    ConfigError,
    RequestRecord,
    ZoneConfig,
)
from tests.rehearsal.cloudflare_standin.asking import TOKEN, ZONE, ZONE_ID, A, Api, codes

# -- authentication and routes ---------------------------------------------------------------------------


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


# -- life of a record ------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("asked", "per_page", "pages"), [("", 20, 3), ("?per_page=50", 50, 2), ("?per_page=500", 50, 2)]
)
def test_zones_are_listed_by_pages_of_20_and_at_most_50(asked: str, per_page: int, pages: int) -> None:
    zones = tuple(ZoneConfig(name=f"z{number}.example") for number in range(60))
    with CloudflareStandin(CloudflareStandinConfig(token=TOKEN, zones=zones)) as standin:
        _, answer = Api(standin.api_url).call("GET", f"/zones{asked}")
    assert len(answer["result"]) == per_page
    assert answer["result_info"]["total_pages"] == pages


@pytest.mark.parametrize(
    ("allowed", "method", "path", "status", "expected"),
    [
        (["#dns_records:read"], "GET", f"/zones/{ZONE_ID}", 403, [9109]),
        (["#dns_records:read"], "GET", f"/zones/{ZONE_ID}/dns_records", 200, []),
        (["#dns_records:read"], "POST", f"/zones/{ZONE_ID}/dns_records", 403, [10000]),
        (["#zone:read"], "GET", f"/zones/{ZONE_ID}", 200, []),
        (["#zone:read"], "GET", f"/zones/{ZONE_ID}/dns_records", 403, [10000]),
        (["#zone:read", "#dns_records:edit"], "POST", f"/zones/{ZONE_ID}/dns_records", 200, []),
    ],
)
def test_a_token_may_do_in_a_zone_what_its_permissions_say(
    allowed: list[str], method: str, path: str, status: int, expected: list[int]
) -> None:
    zone = {"name": ZONE, "id": ZONE_ID, "permissions": allowed}
    with CloudflareStandin(CloudflareStandinConfig.from_json({"token": TOKEN, "zones": [zone]})) as standin:
        api = Api(standin.api_url)
        got, answer = api.call(method, path, A if method == "POST" else None)
        _, listed = api.call("GET", "/zones")
    assert got == status
    assert (codes(answer) if answer["errors"] else []) == expected
    assert bool(listed["result"]) is ("#zone:read" in allowed)


# -- inspection, configuration, program ------------------------------------------------------------------


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
                "zones": [
                    {"name": "nodot"},
                    {"id": "x"},
                    {"name": "a.example", "id": "x", "extra": 1, "permissions": ["#all"]},
                ],
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
        "zones[2].permissions: expected a list of some of",
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
        cwd=Path(__file__).parents[3],
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
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert finished.returncode == 1
    for problem in ("colour: unknown key", "token: is needed", "zones: at least one"):
        assert problem in finished.stderr
