"""Aggregate reports: every reporter's file is read, a bad one refused, and the next stage judged by what they say."""

import gzip
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import cli.dmarc
from cli.dmarc import EXIT_NOT_SAFE, report
from cli.main import main
from mailstack.dmarc import reading
from mailstack.dmarc.reading import NotInstalledError, read_reports
from mailstack.dmarc.verdict import Own, judge
from mailstack.plan import load_plan
from tests.unit.dmarc_files import TODAY, Sent, google, mailed, microsoft, two_weeks, zipped
from tests.unit.stack_examples import example

DAY = TODAY - timedelta(days=3)
OWN = Own(networks=("93.184.216.0/24",), selectors=frozenset({"mail202611"}))


def written(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_form_a_report_comes_in_is_read(tmp_path: Path) -> None:
    days = [DAY - timedelta(days=number) for number in range(5)]
    files = {
        "plain.xml": google(days[0], [Sent(count=1)]),
        "google.xml.gz": gzip.compress(google(days[1], [Sent(count=2)])),
        "outlook.zip": zipped(("outlook.xml", microsoft(days[2], [Sent(count=4)]))),
        "mail.eml": mailed("r.xml.gz", gzip.compress(google(days[3], [Sent(count=8)]))),
        "mail-zip.eml": mailed("r.zip", zipped(("r.xml", microsoft(days[4], [Sent(count=16)])))),
    }
    found = read_reports(written(tmp_path, files))
    assert found.refused == {}
    assert (found.reports, sum(row.count for row in found.rows)) == (5, 31)
    assert {row.reporter for row in found.rows} == {"google.com", "outlook.com"}
    assert {row.begin for row in found.rows} == set(days)


def test_a_report_that_is_in_two_files_counts_once(tmp_path: Path) -> None:
    one = google(DAY, [Sent(count=5)])
    found = read_reports(written(tmp_path, {"a.xml": one, "b.xml.gz": gzip.compress(one)}))
    assert (found.reports, sum(row.count for row in found.rows)) == (1, 5)


# The limits are lowered for these.
REPORT_BYTES, FILE_BYTES = 1_000_000, 50_000
BOMB = b"<feedback>" + b" " * 1_100_000


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("text.xml", b"hello", "neither XML, gzip nor zip"),
        ("broken.xml", google(DAY, [Sent()]).partition(b"<policy_published>")[0], "is no aggregate report"),
        ("other.xml", b"<?xml version='1.0'?><html/>", "is no aggregate report"),
        (
            "entities.xml",
            b'<?xml version="1.0"?><!DOCTYPE f [<!ENTITY a "b">]><feedback>&a;</feedback>',
            "no aggregate",
        ),
        ("short.gz", gzip.compress(google(DAY, [Sent()]))[:-20], "cut off"),
        ("bomb.xml.gz", gzip.compress(BOMB), "unpacks to more than"),
        ("bomb.zip", zipped(("a.xml", BOMB)), "unpacks to more than"),
        ("two.zip", zipped(("a.xml", BOMB[:600_000]), ("b.xml", BOMB[:600_000])), "unpacks to more than"),
        ("bomb.eml", mailed("bomb.gz", gzip.compress(BOMB)), "unpacks to more than"),
        ("many.zip", zipped(*((f"{n}.xml", b"<feedback/>") for n in range(21))), "21 members"),
        ("none.zip", zipped(("a.txt", b"hello")), "0 of them XML"),
        ("broken.zip", zipped(("a.xml", b"<feedback/>" * 50))[:60], "cannot be opened"),
        ("large.xml", b"<" * 50_001, "more than 50,000 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_a_file_that_is_no_report_or_too_large_is_refused_and_the_others_are_read(
    tmp_path: Path, name: str, content: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_REPORT_BYTES", REPORT_BYTES)
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", FILE_BYTES)
    found = read_reports(written(tmp_path, {name: content, "good.xml": google(DAY, [Sent(count=3)])}))
    assert why in found.refused[name]
    assert list(found.refused) == [name]
    assert sum(row.count for row in found.rows) == 3


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file" in read_reports([tmp_path / "gone.xml"]).refused["gone.xml"]


def test_without_parsedmarc_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(NotInstalledError, match=r"pip install -r requirements-dev\.txt"):
        read_reports([])
    told: list[str] = []
    assert run(tmp_path, {}, told) == 1
    assert "parsedmarc" in told[0]


# --- judging --------------------------------------------------------------------------------------------------------


def judged(folder: Path, files: Mapping[str, bytes], **changes: Any) -> Any:
    rows = read_reports(written(folder, files)).rows
    return judge(rows, "example.com", "quarantine", OWN, **{"today": TODAY, **changes})


def test_two_weeks_of_aligned_mail_are_safe(tmp_path: Path) -> None:
    verdict = judged(tmp_path, two_weeks(Sent(), Sent(source="209.85.220.41", count=1, spf=False)))
    assert verdict.safe
    assert (verdict.messages, verdict.failed, verdict.breaking) == (420, 0, ())
    assert {one.address: one.kind for one in verdict.sources} == {
        "93.184.216.34": "ours",
        "209.85.220.41": "signed by us",
    }
    assert "Google" in {one.address: one.organisation for one in verdict.sources}["209.85.220.41"]


@pytest.mark.parametrize(
    ("records", "days", "why"),
    [
        ([Sent()], 9, "reports cover 9 days"),
        ([Sent(count=1)], 20, "20 messages were reported"),
        ([Sent(), Sent(source="93.184.216.35", count=2, spf=False, dkim=False)], 20, "93.184.216.35 (ours): 40 of 40"),
        ([Sent(), Sent(source="198.18.0.9", count=1, spf=False, dkim=False)], 20, "198.18.0.9 (signed by us)"),
        (
            [Sent(), Sent(source="198.18.0.9", count=2, spf=False, dkim=False, signer="")],
            20,
            "40 of 440 messages fail from sources that nobody declared",
        ),
        (
            [Sent(), Sent(source="198.18.0.9", count=2, spf=False, dkim=False, selector="forged")],
            20,
            "40 of 440 messages fail from sources that nobody declared",
        ),
    ],
    ids=["too short", "too few", "an own host", "our signature breaks", "unknown", "our d= with a selector of nobody"],
)
def test_what_would_break_or_is_not_known_yet_is_not_safe(
    tmp_path: Path, records: list[Sent], days: int, why: str
) -> None:
    verdict = judged(tmp_path, two_weeks(*records, days=days))
    assert not verdict.safe
    assert [reason for reason in verdict.reasons if why in reason] == list(verdict.reasons)


def test_few_forged_messages_do_not_stop_a_stricter_policy_they_are_what_it_is_for(tmp_path: Path) -> None:
    forged = Sent(source="198.18.0.9", count=1, spf=False, dkim=False, signer="", envelope="spam.example")
    verdict = judged(tmp_path, two_weeks(Sent(count=40), forged))
    assert verdict.safe
    assert [(one.address, one.kind) for one in verdict.breaking] == [("198.18.0.9", "unknown")]


def test_reports_of_the_stage_before_do_not_count_and_the_stage_lasts_its_time(tmp_path: Path) -> None:
    files = two_weeks(Sent(), days=40)
    since = TODAY - timedelta(days=5)
    assert judged(tmp_path, files, since=since).messages == 5 * 20
    early = judged(tmp_path, files, earliest=TODAY + timedelta(days=1))
    assert early.reasons == (f"the present stage lasts until {TODAY + timedelta(days=1)} at least",)


# --- the command ----------------------------------------------------------------------------------------------------


def run(folder: Path, files: Mapping[str, bytes], told: list[str], **changes: Any) -> int:
    options = {"domain": None, "stack": None, "as_json": False, "root": folder, "today": TODAY, "say": told.append}
    return report(written(folder, files), **{**options, **changes})


def test_the_command_says_safe_with_the_period_the_sources_and_the_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, two_weeks(Sent()), []) == 0
    text = capsys.readouterr().out
    for part in ("p=none, 400 messages in 20 reports", "93.184.216.34", "safe: quarantine may be entered", "14 days"):
        assert part in text
    assert str(TODAY - timedelta(days=20)) in text


def test_the_command_exits_with_2_and_says_who_would_break(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = two_weeks(Sent(), Sent(source="198.18.0.9", count=9, spf=False, dkim=False, signer=""))
    assert run(tmp_path, files, []) == EXIT_NOT_SAFE
    assert "would break: 198.18.0.9, 180 of 180: unknown" in capsys.readouterr().out


def test_the_command_line_hands_files_and_options_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = written(tmp_path, {"r.xml": google(DAY, [Sent(count=3)])})
    assert main(["dmarc", "report", str(path), "--domain", "example.com", "--json"]) == EXIT_NOT_SAFE
    (verdict,) = json.loads(capsys.readouterr().out)
    assert (verdict["domain"], verdict["messages"], verdict["safe"]) == ("example.com", 3, False)


def test_the_command_writes_json_that_holds_all_of_it(tmp_path: Path) -> None:
    told: list[str] = []
    assert run(tmp_path, two_weeks(Sent()), told, as_json=True) == 0
    (verdict,) = json.loads(told[0])
    assert verdict["safe"] is True
    assert verdict["sources"][0]["messages"] == 400
    assert verdict["thresholds"]["own_failures"] == 0.01


def test_a_file_that_is_refused_leaves_one_document_for_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = written(tmp_path, {"r.xml": google(DAY, [Sent(count=3)]), "text.xml": b"hello"})
    assert main(["dmarc", "report", str(bad), str(good), "--json"]) == EXIT_NOT_SAFE
    printed = capsys.readouterr()
    assert [one["domain"] for one in json.loads(printed.out)] == ["example.com"]
    assert printed.err.startswith("refused: text.xml ")
    assert main(["dmarc", "report", str(bad), "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"error": "no report was read"}
    assert "no report was read" in printed.err


def test_the_command_without_a_readable_file_exits_with_1(tmp_path: Path) -> None:
    told: list[str] = []
    assert run(tmp_path, {"text.xml": b"hello"}, told) == 1
    assert told[0].startswith("refused: text.xml ")


def test_the_stack_says_what_is_ours_and_which_stage_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = example()
    ramp = [
        {"policy": "none", "since": str(TODAY - timedelta(days=60))},
        {"policy": "quarantine", "since": str(TODAY - timedelta(days=20))},
    ]
    raw["domains"][0]["dmarc"] = {"ramp": ramp, "aggregate_reports": ["dmarc@example.com"]}
    raw["domains"][0]["spf"]["mechanisms"] = ["ip4:93.184.217.0/24"]
    monkeypatch.setattr(cli.dmarc, "rehearsal_config", lambda _path: raw)
    files = two_weeks(Sent(source="93.184.217.7"), Sent(source="198.18.0.9", selector="google"), policy="quarantine")
    told: list[str] = []
    assert run(tmp_path, files, told, stack="prod", as_json=True) == 0
    (verdict,) = json.loads(told[0])
    assert verdict["following"] == "reject"
    assert {one["address"]: one["kind"] for one in verdict["sources"]} == {
        "93.184.217.7": "ours",
        "198.18.0.9": "signed by us",
    }
    assert load_plan(raw).dns.shown["dmarc/example.com"] == (
        f"quarantine since {TODAY - timedelta(days=20)}; reject may follow from {TODAY - timedelta(days=6)} on"
    )
