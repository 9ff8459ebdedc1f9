"""What the program declares, through the stand-ins of plugin and API: made, read back, and nothing left to change.

The same with the engine is in tests/engine; here every record of a stack with all types goes through.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from rehearsal.plugins.cloudflare import KIND, CloudflareProvider
from rehearsal.plugins.provider import PluginError
from tests.graph.recording import run_graph
from tests.unit.mistakes import changed
from tests.unit.stack_examples import ZONE_ID, postal_example

pytestmark = pytest.mark.slow

TOKEN = "t" * 40
OTHER_ZONE_ID = ZONE_ID.replace("0", "f")
SES = {"region": "eu-west-1", "dkim_tokens": ["a" * 32, "b" * 32, "c" * 32], "mail_from": "bounce.example.org"}
LOG: Any = lambda *_: None  # noqa: E731 - what a plugin tells the engine


def stack() -> dict[str, Any]:
    """Return a stack with a record of every type and every kind."""
    records = [
        {"name": "_sip._tcp.example.org", "type": "SRV", "priority": 5, "values": ["1 5060 Sip.example.net."]},
        {"name": "_443._tcp.www.example.org", "type": "TLSA", "values": [f"3 1 1 {'0A' * 32}", f"3 1 1 {'0b' * 32}"]},
        {"name": "lab.example.org", "type": "NS", "values": ["ns1.example.net"]},
        {"name": "*.apps.example.org", "type": "AAAA", "values": ["2606:2800:0220:1::9"]},
        {"name": "long.example.org", "type": "TXT", "values": ['with "quotes" and \\ and ; ' + "x" * 600]},
    ]
    return changed(
        postal_example(),
        {
            "domains.0.caa": {"iodef": ["security@example.com"], "issuewild": []},
            "domains.0.tls_rpt": {"rua": ["tls@example.com"]},
            "domains.0.bimi": {"logo": "https://example.com/logo.svg"},
            "domains.1.ses": SES,
            "domains.2": {"name": "parked.example.com", "profile": "parked"},
            "dns.records": records,
            "dns.signed_zones": ["example.org"],
        },
    )


@pytest.fixture(scope="module")
def declared() -> dict[str, dict[str, Any]]:
    recorder, _ = run_graph(stack())
    return {name: dict(args.inputs) for name, args in recorder.resources.items() if args.typ == KIND}


@pytest.fixture
def api() -> Iterator[CloudflareStandin]:
    zones = (ZoneConfig(name="example.com", id=ZONE_ID), ZoneConfig(name="example.org", id=OTHER_ZONE_ID))
    with CloudflareStandin(CloudflareStandinConfig(token=TOKEN, zones=zones)) as running:
        yield running


@pytest.fixture
def provider(api: CloudflareStandin) -> CloudflareProvider:
    found = CloudflareProvider()
    found.configure({"apiToken": TOKEN, "baseUrl": api.api_url})
    return found


def test_every_record_is_read_back_as_it_was_declared(
    declared: dict[str, dict[str, Any]], provider: CloudflareProvider, api: CloudflareStandin
) -> None:
    assert {inputs["type"] for inputs in declared.values()} == {
        "A", "AAAA", "CNAME", "MX", "TXT", "NS", "SRV", "TLSA", "CAA"
    }  # fmt: skip
    for name, inputs in declared.items():
        checked = provider.check(KIND, inputs, old={}, name=name)
        identity, outputs = provider.create(KIND, checked, preview=False, log=LOG)
        read = provider.read(KIND, identity, checked, outputs)
        assert read is not None
        _, found, _ = read
        assert provider.diff(KIND, found, checked).changes == {}, name
        assert provider.diff(KIND, outputs, checked).changes == {}, name
    zones = [*api.records("example.com"), *api.records("example.org")]
    assert len(zones) == len(declared)


def test_a_record_that_is_there_already_is_refused_and_can_be_taken_over(
    declared: dict[str, dict[str, Any]], provider: CloudflareProvider
) -> None:
    with_data = {name: inputs for name, inputs in declared.items() if "data" in inputs}
    assert with_data
    for name, inputs in with_data.items():
        checked = provider.check(KIND, inputs, old={}, name=name)
        identity, _ = provider.create(KIND, checked, preview=False, log=LOG)
        with pytest.raises(PluginError, match="81058"):
            provider.create(KIND, checked, preview=False, log=LOG)
        imported = provider.read(KIND, f"{inputs['zoneId']}/{identity}", {}, {})
        assert imported is not None
        assert provider.diff(KIND, imported[1], checked).changes == {}, name
