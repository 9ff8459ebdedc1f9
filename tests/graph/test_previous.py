"""The question to the state is asked again while the engine is writing it, and not for ever."""

from types import SimpleNamespace
from typing import Any

import pulumi
import pytest

from components import previous

EOF = "invocation of pulumi:pulumi:readStackResourceOutputs returned an error: failed to load checkpoint: EOF"
URN = "urn:pulumi:test::mailstack::cloudflare:index/dnsRecord:DnsRecord::dns-example.com-txt-spf"
ANSWER = {
    "outputs": {
        URN: {
            "type": "cloudflare:index/dnsRecord:DnsRecord",
            "outputs": {"id": "r1", "zoneId": "z1", "name": "example.com", "type": "TXT", "content": "c", "ttl": 60.0},
        }
    }
}


def engine(monkeypatch: pytest.MonkeyPatch, failures: int) -> list[str]:
    asked: list[str] = []

    def invoke(token: str, _arguments: dict[str, Any]) -> Any:
        asked.append(token)
        if len(asked) <= failures:
            raise Exception(EOF)  # noqa: TRY002 - as the SDK does
        return SimpleNamespace(value=ANSWER)

    monkeypatch.setattr(pulumi.runtime, "invoke", invoke)
    monkeypatch.setattr(previous, "PAUSE_SECONDS", 0.0)
    for name in ("get_organization", "get_project", "get_stack"):
        monkeypatch.setattr(pulumi, name, lambda: "test")
    return asked


def test_a_state_that_is_being_written_is_read_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = engine(monkeypatch, failures=3)
    ours = previous.read_previous().ours(["example.com"])
    assert len(asked) == 4
    assert ours.record_ids == {"r1"}
    assert ours.contents == {("z1", "example.com", "c"): 60}


def test_records_with_data_are_known_by_what_the_api_will_show_of_them() -> None:
    kind, name = "cloudflare:index/dnsRecord:DnsRecord", "a.example.com"
    common = {"zoneId": "z1", "name": name, "ttl": 60.0, "content": "whatever"}
    shown: list[dict[str, Any]] = [
        {"type": "TLSA", "data": {"usage": 3.0, "selector": 1, "matchingType": 1, "certificate": "0A0B"}},
        {"type": "CAA", "data": {"flags": 0, "tag": "issue", "value": "letsencrypt.org"}},
        {"type": "SRV", "priority": 5.0, "data": {"priority": 5.0, "weight": 1, "port": 465, "target": "b.example"}},
        {"type": "MX", "content": "mx.example.net", "priority": 10.0},
    ]
    resources = {f"u::{n}": {"type": kind, "outputs": {**common, **one}} for n, one in enumerate(shown)}
    assert {content for _, _, content in previous.Previous(resources).ours(["example.com"]).contents} == {
        "3 1 1 0a0b",
        '0 issue "letsencrypt.org"',
        "5 1 465 b.example.",
        "10 mx.example.net",
    }


def test_a_state_that_cannot_be_read_at_all_is_said_as_the_engine_said_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = engine(monkeypatch, failures=1000)
    with pytest.raises(Exception, match="failed to load checkpoint: EOF"):
        previous.read_previous()
    assert len(asked) == previous.TRIES
