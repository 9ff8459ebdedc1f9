"""What SPF records of others cost is asked while planning, within one time, and never in the way of a plan."""

import time
from datetime import date
from typing import Any

import pytest

from mailstack.dns.spf_tree import NOT_ASKED, Reply, answered_by
from mailstack.plan import Plan, load_plan
from mailstack.plan.outside import Outside, spf_look
from mailstack.reach.spf_look import look_at_spf
from mailstack.settings.problems import SettingsError
from tests.unit.name_server import NameServer
from tests.unit.stack_examples import example

TODAY = date(2026, 11, 29)
SOA = "@ 60 IN SOA ns.example. admin.example. 1 60 60 60 60\n"
GOOGLE = SOA + '_spf 60 IN TXT "v=spf1 ip4:93.184.216.0/24 " "~all"\n'


# A resolver that knows these knows the Internet.
TOPS = {top: f"{SOA}@ 60 IN NS a.nic.{top}.\n" for top in ("com", "net")}


def server(third: str, **changes: Any) -> NameServer:
    """Return a resolver that knows Google's record and that of the newsletter sender, spf.example.net."""
    inner = "".join(f'n{n} 60 IN TXT "v=spf1 ip4:93.184.217.{n} -all"\n' for n in range(10))
    zones = {"google.com": GOOGLE, "example.net": f"{SOA}{third}\n{inner}mx 60 IN A 93.184.216.9\n", **TOPS}
    return NameServer(zones, recursive=True, **changes)


def planned(running: NameServer, raw: dict[str, Any] | None = None) -> Plan:
    look = spf_look([f"127.0.0.1:{running.port}"])
    return load_plan(raw or example(), outside=Outside(today=TODAY, look=look))


def including(count: int) -> str:
    return f'spf 60 IN TXT "v=spf1 {" ".join(f"include:n{n}.example.net" for n in range(count))} -all"'


def test_what_an_include_costs_today_is_counted() -> None:
    with server(including(8)) as running:
        warnings = planned(running).dns.warnings
        assert not any("is assumed" in sentence for sentence in warnings)
        with pytest.raises(SettingsError, match=r"12 DNS lookups") as refused, server(including(10)) as dear:
            planned(dear)
    told = str(refused.value)
    assert "include:spf.example.net 11 (include:n0.example.net 1; " in told
    assert "name spf.example.net in `spf.flatten`" in told


def test_a_preset_that_is_out_of_date_is_told() -> None:
    with server(including(1)) as running:
        warnings = planned(running).dns.warnings
    assert any("include:_spf.google.com stated to cost 4; it costs 1 now" in sentence for sentence in warnings)


def test_a_sender_whose_record_is_gone_refuses_the_plan() -> None:
    with server("other 60 IN A 93.184.216.9") as running, pytest.raises(SettingsError, match="has no SPF record"):
        planned(running)


def test_domains_that_share_an_include_ask_for_it_once() -> None:
    raw = example()
    raw["domains"] += [{"name": f"d{n}.example", "spf": {"include": ["spf.example.net"]}} for n in range(30)]
    raw["dns"]["cloudflare"]["zones"] |= {f"d{n}.example": None for n in range(30)}
    with server(including(2)) as running:
        planned(running, raw)
        asked = [name for name, kind, _ in running.questions if kind == "TXT"]
    assert sorted(asked) == ["_spf.google.com", "n0.example.net", "n1.example.net", "spf.example.net"]


@pytest.mark.slow
def test_a_resolver_that_does_not_answer_gives_warnings_within_the_time() -> None:
    raw = example()
    raw["dns"]["look_seconds"] = 1
    with server(including(2), silent=True) as running:
        began = time.monotonic()
        warnings = planned(running, raw).dns.warnings
        assert time.monotonic() - began < 4
    told = [sentence for sentence in warnings if "spf-unknown" in sentence]
    assert any("include:spf.example.net" in sentence for sentence in told)


def test_a_name_server_that_fails_is_unknown_and_no_fault() -> None:
    with server(including(2), lame=True) as running:
        warnings = planned(running).dns.warnings
    assert any("its name servers fail" in sentence for sentence in warnings)


def test_the_resolver_of_a_closed_network_denies_everything_and_refuses_nothing() -> None:
    with NameServer({".": SOA}, recursive=True) as running:
        warnings = planned(running).dns.warnings
    told = [sentence for sentence in warnings if "spf-unknown" in sentence]
    assert any("spf.example.net TXT: the resolver does not know the Internet's names: not even net" in s for s in told)


@pytest.mark.parametrize("change", [{"environment": "local"}, {"dns": {"provider": "none", "look_seconds": 0}}])
def test_a_local_stack_and_one_that_does_not_look_ask_nobody(change: dict[str, Any]) -> None:
    raw = example(**change)
    with server(including(2)) as running:
        planned(running, raw)
        assert running.questions == []


def test_without_resolvers_nobody_is_asked() -> None:
    assert look_at_spf({"example.com": "v=spf1 mx -all"}, lambda *_: NOT_ASKED, seconds=1, resolvers=[]) == {}


def test_names_of_the_stack_are_answered_by_the_declaration() -> None:
    with server(including(1)) as running:
        found = look_at_spf(
            {"example.com": "v=spf1 mx a:mx.example.net -all"},
            answered_by({("example.com", "MX"): Reply(values=("10 mx.example.net",))}),
            seconds=2,
            resolvers=[f"127.0.0.1:{running.port}"],
        )
    assert found == {("mx.example.net", "A"): Reply(values=("93.184.216.9",))}


def test_a_mistake_in_the_settings_is_told_without_asking() -> None:
    raw = example()
    raw["domains"][0]["upstream"] = "nobody"
    with server(including(1)) as running:
        with pytest.raises(SettingsError):
            planned(running, raw)
        assert running.questions == []
