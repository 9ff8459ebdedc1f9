"""Commands as documents show them, from the command line to what does the work."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import dmarc, dns, files, spf
from cli.main import main
from mailstack.reach import drift
from tests.unit.stack_examples import example

pytestmark = pytest.mark.slow


def test_dns_list_hands_over_the_stack_the_exports_and_what_the_state_made(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def list_zones(plan: Any, _say: object, **given: Any) -> int:
        seen.update(given, zones=set(plan.dns.zones))
        return 1

    monkeypatch.setattr(drift, "decrypted_config", lambda _stack, _folder: example())
    monkeypatch.setattr(drift, "made_records", lambda stack, _folder: {f"record of {stack}"})
    monkeypatch.setattr(dns, "list_zones", list_zones)
    arguments = ["dns", "list", "--stack", "prod", "--zone-file", "example.com=export.txt", "--entries"]
    assert main(arguments) == 1
    assert seen["zone_files"] == {"example.com": Path("export.txt")}
    assert seen["ours"] == {"record of prod"}
    assert seen["only_entries"]
    assert "example.com" in seen["zones"]


@pytest.mark.parametrize("given", ["example.com", "elsewhere.example=export.txt"])
def test_dns_list_refuses_an_export_that_is_of_no_zone_of_the_stack(
    given: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drift, "decrypted_config", lambda _stack, _folder: example())
    with pytest.raises(SystemExit) as ended:
        main(["dns", "list", "--stack", "prod", "--zone-file", given])
    assert ended.value.code == 2
    assert given.partition("=")[0] in capsys.readouterr().err


def test_dns_flatten_works_on_the_stack_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spf, "flatten", lambda stack, **_given: {"prod": 2}[stack])
    assert main(["dns", "flatten", "--stack", "prod"]) == 2


def test_dmarc_report_reads_all_files_as_the_stack_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def judged(given: list[Path], **options: Any) -> int:
        seen.update(options, files=[path.name for path in given])
        return 0

    monkeypatch.setattr(dmarc, "report", judged)
    assert main(["dmarc", "report", "a.xml", "b.zip", "--stack", "prod", "--domain", "example.com"]) == 0
    assert (seen["files"], seen["stack"], seen["domain"]) == (["a.xml", "b.zip"], "prod", "example.com")


@pytest.mark.parametrize(("flags", "job"), [([], "postfix-relay"), (["--job", "mail"], "mail")])
def test_monitoring_prints_what_prometheus_and_grafana_read(
    flags: list[str], job: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["monitoring", "rules", *flags]) == 0
    rules = capsys.readouterr().out
    assert yaml.safe_load(rules)["groups"]
    assert f'job="{job}"' in rules
    assert main(["monitoring", "dashboard", *flags]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["panels"]
    assert job in printed


def test_schema_writes_every_file_made_of_the_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "docs/reference").mkdir(parents=True)
    monkeypatch.setattr(files, "SOURCE", tmp_path)
    assert main(["schema", "--write"]) == 0
    for name in ("stack.schema.json", "settings.md", "verify.schema.json"):
        assert (tmp_path / "docs/reference" / name).read_text() == Path("docs/reference", name).read_text()
