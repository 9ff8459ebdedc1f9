"""The page of a run: one file that loads nothing, in which strangers' words are only words."""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstack.verify.history import past_of
from mailstack.verify.model import State, fail, ok
from mailstack.verify.report.chart import MOST_RUNS
from mailstack.verify.report.page import MOST_LISTED, SHOWN_URGENT, html_report
from mailstack.verify.report.rows import shown
from mailstack.verify.run import Report
from tests.unit.verify_examples import STARTED, TARGET, a_finding, example_report, made_up_checks, only_these

pytestmark = pytest.mark.slow

VOID = {"meta", "input", "br", "hr", "img", "link"}
anything = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)


@pytest.fixture(autouse=True)
def _checks() -> Iterator[None]:
    with only_these(*made_up_checks()):
        yield


class Page(HTMLParser):
    """Reads a page: its tags in their order, their attributes, its text; complains where tags are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "a tag is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), "an attribute is there twice"
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for place in self._open[-1:]:
            self.text[place] = self.text.get(place, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.attributes if name == tag]


def with_evidence(*texts: str) -> Report:
    subject, found, expected, fix, detail = texts
    finding = a_finding("example-spf", fail(subject, found, detail, expected=expected, fix=fix))
    target = TARGET.model_copy(update={"stack": subject})
    return replace(example_report(), findings=(finding,), target=target)


def test_the_page_loads_nothing() -> None:
    page = Page(html_report(example_report(), [past_of(example_report())]))
    assert not {"link", "img", "iframe", "object", "embed", "base", "audio", "video"} & set(page.tags)
    for tag, attributes in page.attributes:
        assert "src" not in attributes, tag
        assert "style" not in attributes, "the policy would refuse it"
        assert not [name for name in attributes if name.startswith("on")], tag
        if "href" in attributes:
            assert str(attributes["href"]).startswith("#"), "links stay on the page"
    for name in ("page.css", "page.js"):
        text = Path("mailstack/verify/report", name).read_text()
        assert not re.search(r"url\(|@import|https?:|fetch|XMLHttp|import\(", text), name


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else() -> None:
    text = html_report(example_report())
    [policy] = [one["content"] for one in Page(text).all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in str(policy).split(";"))
    assert rules["default-src"] == "'none'"
    for name, tag in (("style-src", "style"), ("script-src", "script")):
        [inline] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    assert "unsafe" not in str(policy)


@given(st.tuples(*[anything] * 5))
def test_no_evidence_changes_the_page_around_it(texts: tuple[str, ...]) -> None:
    plain = Page(html_report(with_evidence(*("x" if text else "" for text in texts))))
    page = Page(html_report(with_evidence(*texts)))
    assert page.tags == plain.tags
    assert page.text["p"].count(shown(texts[1])) >= 1
    html_report(with_evidence(*texts)).encode()


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><b onload=x>', "</style><h1>", "&lt;", "--><x>", "]]>"]
)
def test_markup_of_strangers_is_shown_as_it_is_written(text: str) -> None:
    page = Page(html_report(with_evidence(*[text] * 5)))
    assert page.tags.count("script") == 1
    assert text in page.text["dd"]
    assert page.text["h1"] == f"stack {text}"


def test_headings_go_down_one_level_at_a_time() -> None:
    many = tuple(
        replace(finding, subject=f"d{number}.example.com")
        for finding in example_report().findings
        for number in range(5)
    )
    for report in (example_report(), replace(example_report(), findings=many)):
        levels = [int(tag[1]) for tag in Page(html_report(report)).tags if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))


def test_ids_are_there_once_and_every_link_leads_to_one() -> None:
    page = Page(html_report(example_report()))
    ids = [attributes["id"] for _, attributes in page.attributes if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(one["href"])[1:] for one in page.all("a")} <= set(ids)
    for _, attributes in page.attributes:
        assert attributes.get("aria-labelledby", ids[0]) in ids


def test_what_is_to_be_filled_in_has_a_label_and_drawings_have_words() -> None:
    page = Page(html_report(example_report(), [past_of(example_report())]))
    boxes = [one for one in page.all("input") if one["type"] == "checkbox"]
    assert len(boxes) == page.tags.count("label")
    assert all(one.get("aria-label") for one in page.all("input") if one["type"] != "checkbox")
    assert all(one.get("aria-hidden") or one.get("aria-label") for one in page.all("svg"))


def test_every_finding_is_on_the_page_with_its_state_as_a_word() -> None:
    page = Page(html_report(example_report()))
    states = [one["data-state"] for one in page.all("article")]
    assert len(states) == len(example_report().findings)
    for word in ("fail", "warn", "unknown", "ok", "n/a"):
        assert word in page.text["span"]


def test_many_subjects_are_sections_of_their_own() -> None:
    many = tuple(a_finding("example-mx", ok(f"d{number}.example.com", "x")) for number in range(6))
    text = html_report(replace(example_report(), findings=many))
    assert [f"<h3>d{number}.example.com</h3>" in text for number in range(6)] == [True] * 6
    assert "<h3>example.com</h3>" not in html_report(example_report())


def test_what_needs_a_person_is_at_the_top_and_its_number_is_limited() -> None:
    wrong = tuple(a_finding("example-mx", fail(f"d{n}.example.com", "x", expected="y", fix="z")) for n in range(40))
    text = html_report(replace(example_report(), findings=wrong))
    assert "What needs a person: 40 findings" in text
    assert text.count('href="#finding-') == SHOWN_URGENT
    assert f"and {40 - SHOWN_URGENT} more below" in text
    well = tuple(one for one in example_report().findings if one.state is State.OK)
    assert "What needs a person" not in html_report(replace(example_report(), findings=well))


def test_the_chart_has_a_column_for_each_of_the_last_runs() -> None:
    past = [past_of(example_report(STARTED - timedelta(hours=number))) for number in range(100, 0, -1)]
    text = html_report(example_report(), past)
    assert text.count("<g>") == MOST_RUNS
    assert "2026-11-29T08:00:00Z: 2 fail, 1 warn, 1 unknown, 6 ok, 1 n/a</title>" in text, "this run is the last one"
    assert html_report(example_report(), past[:1]).count("<g>") == 2
    assert "first run that is remembered" in html_report(example_report())


def test_a_run_without_findings_has_a_page() -> None:
    nothing = replace(example_report(), findings=(), target=TARGET.model_copy(update={"stack": "", "domains": ()}))
    page = Page(html_report(nothing, [past_of(nothing)]))
    assert page.text["h1"] == "relay.example.com"
    assert "Nothing was looked at." in page.text["p"]


@pytest.mark.slow
def test_very_many_findings_are_counted_and_only_what_is_not_well_is_listed() -> None:
    many = tuple(a_finding("example-mx", ok(f"d{number}.example.com", "x")) for number in range(MOST_LISTED))
    wrong = a_finding("example-mx", fail("d1.example.com", "two", expected="one", fix="remove one"))
    text = html_report(replace(example_report(), findings=(*many, wrong)))
    assert text.count("<article") == 1
    assert f"{MOST_LISTED} findings that are well or do not apply are counted, not listed" in text
    assert f"1 fail, {MOST_LISTED} ok" in text
    assert html_report(replace(example_report(), findings=many)).count("<article") == MOST_LISTED
