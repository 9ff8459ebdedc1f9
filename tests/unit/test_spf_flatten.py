"""SPF includes written as addresses: by a command, into a file that plans read without asking anybody."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.spf import flatten
from mailstack.dns import rdata_text
from mailstack.dns.spf_lock import SPF_LOCK, Flattened, read_lock, write_lock
from mailstack.plan import Plan, load_plan
from mailstack.plan.outside import Outside, spf_look
from mailstack.settings.problems import SettingsError
from tests.unit.name_server import NameServer
from tests.unit.stack_examples import example, postal_example
from tests.unit.test_spf_look import TOPS

TODAY = date(2026, 11, 29)
SOA = "@ 60 IN SOA ns.example. admin.example. 1 60 60 60 60\n"
GOOGLE = f'{SOA}_spf 60 IN TXT "v=spf1 ip4:93.184.216.0/24 ~all"\n'


def flat(*names: str) -> dict[str, Any]:
    raw = example()
    raw["domains"][0]["spf"]["flatten"] = list(names or ["spf.example.net"])
    return raw


def keep(folder: Path, *networks: str, seen: date = TODAY) -> None:
    (folder / SPF_LOCK).write_text(write_lock({"spf.example.net": Flattened(seen=seen, networks=networks)}))


def records(plan: Plan) -> dict[str, str]:
    return {
        record.name: rdata_text(record).replace('" "', "").strip('"')
        for record in plan.dns.records
        if record.type == "TXT" and "v=spf1" in rdata_text(record)
    }


def refused(raw: dict[str, Any], folder: Path, outside: Outside) -> str:
    with pytest.raises(SettingsError) as error:
        load_plan(raw, folder, outside=outside)
    return str(error.value)


def test_the_addresses_stand_where_the_include_stood(tmp_path: Path) -> None:
    keep(tmp_path, "93.184.217.0/24", "2600::/32")
    plan = load_plan(flat(), tmp_path, outside=Outside(today=TODAY))
    assert records(plan)["example.com"] == "v=spf1 ip4:93.184.217.0/24 ip6:2600::/32 include:_spf.google.com -all"
    assert not any("is assumed" in warning for warning in plan.dns.warnings)


def test_what_does_not_fit_into_one_record_is_split_over_names_below_the_domain(tmp_path: Path) -> None:
    keep(tmp_path, *(f"93.{number}.0.0/24" for number in range(60)))
    found = records(load_plan(flat(), tmp_path))
    own = found["example.com"]
    parts = [word.removeprefix("include:") for word in own.split() if word.endswith(".example.com")]
    assert parts == [f"_spf{number}.example.com" for number in range(1, len(parts) + 1)]
    assert len(parts) > 1
    assert all(len(found[name]) <= 450 for name in (*parts, "example.com"))
    terms = [term for name in parts for term in found[name].split() if term.startswith("ip4:")]
    assert len(terms) == len(set(terms)) == 60


def test_without_the_file_or_the_entry_the_plan_is_refused_with_the_command(tmp_path: Path) -> None:
    assert "Fix: run `mailstack dns flatten`" in refused(flat(), tmp_path, Outside())
    (tmp_path / SPF_LOCK).write_text("{}")
    assert "has no addresses in spf.lock.json" in refused(flat(), tmp_path, Outside())
    (tmp_path / SPF_LOCK).write_text("no JSON")
    assert "is not a file that `mailstack dns flatten` wrote" in refused(flat(), tmp_path, Outside())


def test_a_stack_that_flattens_nothing_does_not_read_the_file(tmp_path: Path) -> None:
    (tmp_path / SPF_LOCK).write_text("no JSON")
    load_plan(example(), tmp_path)


@pytest.mark.parametrize(("days", "warned"), [(14, False), (15, True)])
def test_addresses_that_are_older_than_two_weeks_are_warned_of(tmp_path: Path, days: int, warned: bool) -> None:
    keep(tmp_path, "93.184.217.0/24", seen=TODAY - timedelta(days=days))
    warnings = load_plan(flat(), tmp_path, outside=Outside(today=TODAY)).warnings
    assert any("Run `mailstack dns flatten`" in sentence for sentence in warnings) == warned


def test_a_name_that_is_no_include_of_the_domain_or_that_postal_looks_for_is_refused(tmp_path: Path) -> None:
    keep(tmp_path, "93.184.217.0/24")
    assert "must be one of the domain's includes" in refused(flat("spf.example.nett"), tmp_path, Outside())
    raw = postal_example()
    raw["domains"][0]["spf"]["flatten"] = ["_spf.google.com"]
    assert "is what Postal looks for" in refused(raw, tmp_path, Outside())


def server(record: str) -> NameServer:
    zones = {"google.com": GOOGLE, "example.net": f"{SOA}{record}\nh 60 IN A 93.184.218.9\n", **TOPS}
    return NameServer(zones, recursive=True)


def live(running: NameServer) -> Outside:
    return Outside(today=TODAY, look=spf_look([f"127.0.0.1:{running.port}"]))


@pytest.mark.slow
def test_a_sender_that_the_file_lacks_refuses_the_plan_and_one_too_many_does_not(tmp_path: Path) -> None:
    keep(tmp_path, "93.184.217.0/24")
    with server('spf 60 IN TXT "v=spf1 ip4:93.184.217.0/25 -all"') as running:
        load_plan(flat(), tmp_path, outside=live(running))
    with server('spf 60 IN TXT "v=spf1 ip4:93.184.217.0/25 a:h.example.net -all"') as running:
        assert "sends from 93.184.218.9/32 by now; spf.lock.json of 2026-11-29 lacks it" in refused(
            flat(), tmp_path, live(running)
        )
    with NameServer({"example.net": SOA}, recursive=True, silent=True) as running:
        raw = flat()
        raw["dns"]["look_seconds"] = 1
        load_plan(raw, tmp_path, outside=live(running))


# --- the command ----------------------------------------------------------------------------------------------------


def run(folder: Path, raw: dict[str, Any], record: str) -> tuple[int, list[str]]:
    path = folder / "Pulumi.prod.yaml"
    path.write_text(yaml.safe_dump({"config": {f"mailstack:{key}": value for key, value in raw.items()}}))
    said: list[str] = []
    with server(record) as running:
        code = flatten("prod", root=folder, today=TODAY, say=said.append, resolvers=[f"127.0.0.1:{running.port}"])
    return code, said


def test_the_command_writes_what_it_finds_and_says_what_changed(tmp_path: Path) -> None:
    keep(tmp_path, "93.184.219.0/24", seen=TODAY - timedelta(days=30))
    code, said = run(
        tmp_path, flat(), 'spf 60 IN TXT "v=spf1 ip4:93.184.217.0/25 ip4:93.184.217.128/25 a:h.example.net -all"'
    )
    assert code == 0
    entry = read_lock((tmp_path / SPF_LOCK).read_text())["spf.example.net"]
    assert entry == Flattened(seen=TODAY, networks=("93.184.217.0/24", "93.184.218.9/32"))
    assert "spf.example.net: + 93.184.217.0/24" in said
    assert "spf.example.net: - 93.184.219.0/24" in said
    load_plan(flat(), tmp_path, outside=Outside(today=TODAY))


@pytest.mark.parametrize(
    "record", ['spf 60 IN TXT "v=spf1 exists:%{i}.example.net -all"', "other 60 IN A 93.184.216.9"]
)
def test_what_cannot_be_written_as_addresses_keeps_its_entry(tmp_path: Path, record: str) -> None:
    keep(tmp_path, "93.184.219.0/24", seen=TODAY - timedelta(days=3))
    code, said = run(tmp_path, flat(), record)
    assert code == 1
    assert "cannot be flattened now" in said[0]
    assert read_lock((tmp_path / SPF_LOCK).read_text())["spf.example.net"].networks == ("93.184.219.0/24",)


def test_a_stack_without_flattened_includes_has_nothing_to_look_up(tmp_path: Path) -> None:
    code, said = run(tmp_path, example(), "other 60 IN A 93.184.216.9")
    assert (code, len(said)) == (0, 1)
    assert not (tmp_path / SPF_LOCK).exists()
