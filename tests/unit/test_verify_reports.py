"""What people and machines read of a run: the same facts in every form, whatever strangers publish."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, RenderableType
from syrupy.assertion import SnapshotAssertion

from mailstack.verify.history import changes, past_of
from mailstack.verify.model import State, fail, ok
from mailstack.verify.report.document import document, json_report, report_schema
from mailstack.verify.report.junit import junit_report
from mailstack.verify.report.markdown import markdown_report
from mailstack.verify.report.prometheus import prometheus_report
from mailstack.verify.report.rows import counts, rows, shown
from mailstack.verify.report.summary import SHOWN_SENTENCES, sentences, summary_line
from mailstack.verify.report.table import changes_table, report_table
from mailstack.verify.run import Report
from mailstack.verify.verdict import FailOn, exit_code
from tests.unit.markdown_pages import HOSTILE, Page, assert_harmless
from tests.unit.verify_examples import TARGET, a_finding, example_report, made_up_checks, only_these

pytestmark = pytest.mark.slow

PUBLISHED_SCHEMA = Path("docs/reference/verify.schema.json")
# Surrogates and controls too: no resolver promises text.
anything = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)


@pytest.fixture(autouse=True)
def _checks() -> Iterator[None]:
    with only_these(*made_up_checks()):
        yield


def printed(renderable: RenderableType, width: int = 80) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=False, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def read_xml(text: str) -> ET.Element:
    return ET.fromstring(text.encode())  # noqa: S314 - it is our own


def with_evidence(*texts: str) -> Report:
    """Return a run whose one failure holds ``texts``: subject, found, expected, fix, a detail."""
    subject, found, expected, fix, detail = texts
    finding = fail(subject, found, detail, expected=expected, fix=fix)
    return replace(example_report(), findings=(a_finding("example-spf", finding),))


# --- as they look --------------------------------------------------------------------------------------------------


def test_the_table(snapshot: SnapshotAssertion) -> None:
    assert printed(report_table(example_report())) == snapshot


def test_the_table_with_everything(snapshot: SnapshotAssertion) -> None:
    assert printed(report_table(example_report(), verbose=True)) == snapshot


def test_the_json(snapshot: SnapshotAssertion) -> None:
    assert json_report(example_report()) == snapshot


def test_the_markdown(snapshot: SnapshotAssertion) -> None:
    assert markdown_report(example_report()) == snapshot


def test_the_metrics(snapshot: SnapshotAssertion) -> None:
    assert prometheus_report(example_report()) == snapshot


# --- the table -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [False, True])
def test_a_table_fits_a_terminal_of_80_columns(verbose: bool) -> None:
    lines = printed(report_table(example_report(), verbose=verbose)).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) > 20


def test_states_are_words_and_what_needs_a_person_is_in_capitals() -> None:
    text = printed(report_table(example_report()))
    for word in ("FAIL", "WARN", "unknown", "ok", "n/a"):
        assert word in text
    assert "fix: run pulumi up; remove the record of the previous provider" in " ".join(text.split())


def test_what_is_well_for_many_is_one_line() -> None:
    many = tuple(a_finding("example-mx", ok(f"d{number}.example.com", "1 smtp.google.com")) for number in range(300))
    text = printed(report_table(replace(example_report(), findings=many)))
    assert "300 times: d0.example.com" in text
    assert len(text.splitlines()) < 12


def test_changes_say_what_was_and_what_is() -> None:
    before, after = past_of(example_report()), example_report()
    mended = replace(
        after,
        findings=tuple(replace(one, state=State.OK) if one.state is State.WARN else one for one in after.findings[:-1]),
    )
    text = printed(changes_table(changes(before, mended)))
    assert "warn → ok" in text
    assert "example-dnssec" in text
    assert "example-reverse" not in text, "it did not change"


# --- for machines --------------------------------------------------------------------------------------------------


def test_the_published_schema_is_the_one_of_the_report() -> None:
    assert PUBLISHED_SCHEMA.read_text() == report_schema(), "run: mailstack schema --write"


def test_the_json_is_as_the_schema_says() -> None:
    schema = json.loads(PUBLISHED_SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(json.loads(json_report(example_report())))
    wrong = document(example_report())
    wrong["findings"][0]["state"] = "perhaps"
    assert not validator.is_valid(wrong), "the schema says something"


def test_the_schema_explains_every_key() -> None:
    schema = json.loads(PUBLISHED_SCHEMA.read_text())
    for part in (schema, schema["$defs"]["Finding"]):
        assert [
            name for name, field in part["properties"].items() if "$ref" not in field and not field.get("description")
        ] == []


@pytest.mark.parametrize(
    ("fail_on", "failures", "errors", "skipped"),
    [(FailOn.FAIL, 2, 0, 2), (FailOn.WARN, 3, 0, 2), (FailOn.UNKNOWN, 3, 1, 1)],
)
def test_junit_counts_what_counts(fail_on: FailOn, failures: int, errors: int, skipped: int) -> None:
    root = read_xml(junit_report(example_report(), fail_on))
    numbers = {"failures": failures, "errors": errors, "skipped": skipped, "tests": len(example_report().findings)}
    assert {name: int(root.attrib[name]) for name in numbers} == numbers
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"), ("tests", "testcase")):
        assert len(root.findall(f".//{tag}")) == numbers[name]
        assert sum(int(suite.attrib[name]) for suite in root) == numbers[name]


def test_junit_says_why_and_what_to_do() -> None:
    root = read_xml(junit_report(example_report()))
    [case] = [one for one in root.iter("testcase") if one.attrib["classname"] == "example-reverse"]
    failure = case.find("failure")
    assert failure is not None
    assert "fix: set the reverse name" in str(failure.text)
    assert failure.attrib["message"] == "the address has the name host-25.isp.example"


def test_prometheus_reads_the_metrics_and_every_state_has_a_series() -> None:
    families = {one.name: one for one in text_string_to_metric_families(prometheus_report(example_report()))}
    samples = families["mailstack_verify_findings"].samples
    spf = {one.labels["state"]: one.value for one in samples if one.labels["check"] == "example-spf"}
    assert spf == {"ok": 1, "fail": 1, "warn": 0, "unknown": 0, "not_applicable": 0}
    assert sum(one.value for one in samples) == len(example_report().findings)
    [started] = families["mailstack_verify_last_run_timestamp_seconds"].samples
    assert (started.labels, started.value) == ({"stack": "prod"}, example_report().started.timestamp())


# --- whatever strangers publish --------------------------------------------------------------------------------------


@given(anything)
def test_what_is_shown_prints_and_is_never_a_line_end(text: str) -> None:
    safe = shown(text)
    assert safe.isprintable()
    safe.encode()
    assert safe == text or not text.isprintable(), "what prints stays as it is"


@given(st.tuples(*[anything] * 5))
def test_any_evidence_makes_valid_json(texts: tuple[str, ...]) -> None:
    read = json.loads(json_report(with_evidence(*texts)).encode())
    jsonschema.Draft202012Validator(json.loads(report_schema())).validate(read)
    assert read["findings"][0]["found"] == shown(texts[1])


@given(st.tuples(*[anything] * 5))
def test_any_evidence_makes_valid_xml(texts: tuple[str, ...]) -> None:
    root = read_xml(junit_report(with_evidence(*texts)))
    [failure] = root.iter("failure")
    assert failure.attrib["message"] == shown(texts[1])
    assert len(list(root.iter())) == 4


@given(st.tuples(*[anything] * 5))
def test_any_evidence_makes_metrics_that_prometheus_reads(texts: tuple[str, ...]) -> None:
    report = with_evidence(*texts)
    told = replace(report, target=TARGET.model_copy(update={"stack": texts[0]}))
    [family, *_] = text_string_to_metric_families(prometheus_report(told))
    assert family.samples[0].labels["stack"] == shown(texts[0])


@given(st.tuples(*[anything] * 5))
def test_no_evidence_adds_a_line_or_a_cell_to_markdown(texts: tuple[str, ...]) -> None:
    plain = markdown_report(with_evidence(*("x" if text else "" for text in texts)))
    assert len(markdown_report(with_evidence(*texts)).splitlines()) == len(plain.splitlines())


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "[x](javascript:1)", "@team #1", HOSTILE])
def test_markdown_of_strangers_is_text(text: str) -> None:
    strange = fail(text, text, text, expected=text, fix=text)
    report = replace(
        example_report(), findings=(a_finding("example-mx", ok(text, text)), a_finding("example-spf", strange))
    )
    shown_report = markdown_report(report)
    assert_harmless(shown_report)
    assert set(Page(shown_report).cells) == {4}


@given(st.tuples(*[anything] * 5))
def test_any_evidence_is_printed_and_moves_no_cursor(texts: tuple[str, ...]) -> None:
    text = printed(report_table(with_evidence(*texts), verbose=True))
    assert text.replace("\n", "").isprintable()
    assert "example-spf" in text


# --- what they share -------------------------------------------------------------------------------------------------


def test_rows_are_in_the_order_of_the_list_and_failures_come_first() -> None:
    found = rows(example_report())
    assert [row.check.number for row in found] == sorted(row.check.number for row in found)
    assert [row.finding.state for row in found if row.check.name == "example-spf"] == [State.FAIL, State.OK]
    assert [row.place for row in found] == list(range(len(found)))


def test_counts_add_up() -> None:
    assert counts(example_report()) == {
        State.FAIL: 2, State.WARN: 1, State.UNKNOWN: 1, State.OK: 6, State.NOT_APPLICABLE: 1,
    }  # fmt: skip
    assert summary_line(example_report()) == "2 fail, 1 warn, 1 unknown, 6 ok, 1 n/a (1.2 s)"


def test_a_log_is_not_flooded() -> None:
    one = fail("example.com", "wrong", expected="right", fix="mend it")
    many = replace(example_report(), findings=tuple(a_finding("example-mx", one) for _ in range(100)))
    assert len(sentences(many)) == SHOWN_SENTENCES + 1
    assert sentences(many)[-1] == "and 80 more"
    assert sentences(many)[0] == "fail: example-mx, example.com: wrong. Fix: mend it"


@pytest.mark.parametrize(
    ("states", "codes"),
    [
        ((), (0, 0, 0)),
        ((State.OK, State.NOT_APPLICABLE), (0, 0, 0)),
        ((State.UNKNOWN,), (0, 0, 3)),
        ((State.WARN, State.UNKNOWN), (0, 1, 1)),
        ((State.WARN,), (0, 1, 1)),
        ((State.FAIL, State.OK, State.UNKNOWN), (1, 1, 1)),
    ],
)
def test_the_exit_code_follows_from_the_states_and_the_threshold(
    states: tuple[State, ...], codes: tuple[int, ...]
) -> None:
    findings = tuple(a_finding("example-mx", replace(ok("example.com", "x"), state=state)) for state in states)
    report = replace(example_report(), findings=findings)
    assert tuple(exit_code(report, fail_on) for fail_on in (FailOn.FAIL, FailOn.WARN, FailOn.UNKNOWN)) == codes
