"""The report as one page for a browser: nothing else is loaded, and a policy forbids that anything could be.

Every text in it is escaped: evidence is what strangers publish. It reads without its script, which only filters.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path

from mailstack.verify.history import Past, past_of
from mailstack.verify.model import GROUPS, State
from mailstack.verify.report.chart import CLASSES, history_chart, shares
from mailstack.verify.report.rows import ORDER, WORDS, Row, grouped, rows, stamp, subject_of, title_of, what_of
from mailstack.verify.run import Report

__all__ = ["html_report"]

# From so many domains on the findings of a group are sorted by their subject.
MANY_SUBJECTS = 4
FOOTER = (
    '<footer><div class="wrap">Made by <code>mailstack verify</code>. A question that was not answered in time is '
    "unknown, never a failure. This page loads nothing and sends nothing.</div></footer>"
)
# What needs a person is listed at the top, so much of it.
URGENT, SHOWN_URGENT, BRIEF_CHARACTERS = (State.FAIL, State.WARN), 12, 110
# With more findings a page gets slow: what is well is counted then, and not listed.
MOST_LISTED = 4000
QUIET = {State.OK, State.NOT_APPLICABLE}
VERDICTS: Mapping[State, str] = {
    State.FAIL: "Something is wrong and costs mail, or lets others send.",
    State.WARN: "It works today. Something should not stay as it is.",
    State.UNKNOWN: "Nothing is wrong as far as could be seen; not everything could.",
    State.OK: "What the world sees is what was declared.",
}
# Each state has a sign of its own, so that nobody needs to tell colours apart: lines on a field of 16 by 16.
DISC = "M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13Z"
SIGNS: Mapping[State, str] = {
    State.FAIL: f"{DISC}M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
    State.WARN: "M8 2L1.5 13.5h13ZM8 6.4v3.4M8 11.6v.2",
    State.UNKNOWN: f"{DISC}M6.2 6.3c.2-2.4 3.7-2.2 3.6 0c0 1.3-1.8 1.4-1.8 2.9M8 11.4v.2",
    State.OK: f"{DISC}M5.2 8.2l2 2l3.8-4.2",
    State.NOT_APPLICABLE: f"{DISC}M5.2 8h5.6",
}
ENVELOPE = "M1.5 3.5h13v9h-13ZM1.5 4l6.5 5l6.5-5"


def html_report(report: Report, past: Sequence[Past] = ()) -> str:
    """Return the report as a page. ``past`` are the runs before this one, oldest first."""
    style, script = _file("page.css"), _file("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    title = f"{WORDS[report.worst]}: mailstack verify, {title_of(report)}"
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{escape(title)}</title>",
        f"<style>{style}</style>",
        "</head>",
        "<body>",
        '<a class="skip" href="#findings">Skip to the findings</a>',
        *_head(report),
        '<main><div class="wrap">',
        *_overview(report, past),
        *_filter(report),
        '<div id="findings">',
        *_findings(report),
        "</div>",
        "</div></main>",
        FOOTER,
        f"<script>{script}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


@cache
def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return what a Content-Security-Policy calls an inline text (CSP Level 3 §2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _svg(path: str) -> str:
    drawn = f'<path fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" d="{path}"/>'
    return f'<svg viewBox="0 0 16 16" aria-hidden="true">{drawn}</svg>'


def _badge(state: State, text: str | None = None) -> str:
    return f'<span class="badge s-{CLASSES[state]}">{_svg(SIGNS[state])}{escape(text or WORDS[state])}</span>'


def _head(report: Report) -> Iterator[str]:
    seen = what_of(report)
    yield '<header><div class="wrap">'
    yield f'<p class="brand">{_svg(ENVELOPE)}mailstack verify</p>'
    yield f"<h1>{escape(title_of(report))}</h1>"
    yield f'<p class="verdict">{_badge(report.worst)}<span>{VERDICTS[report.worst]}</span></p>'
    yield '<p class="meta">'
    if seen:
        yield f"<span>{escape(seen)}</span>"
    moment = stamp(report.started)
    yield f'<time datetime="{moment}">{moment.replace("T", " ").replace("Z", " UTC")}</time>'
    yield f"<span>{len(report.findings)} findings in {report.seconds:.1f} s</span></p>"
    yield "</div></header>"


def _overview(report: Report, past: Sequence[Past]) -> Iterator[str]:
    yield '<div class="overview">'
    yield from _urgent(report)
    yield '<section class="card" aria-labelledby="by-group"><h2 id="by-group">By group</h2>'
    yield '<ul class="groups">'
    for group, found in grouped(report).items():
        numbers = _counted(found)
        name = f'<span><span class="letter">{group}</span>{escape(GROUPS[group])}</span>'
        tally = f'<span class="tally">{_tally(numbers)}</span>'
        yield f'<li><a href="#group-{group}"><span class="name">{name}{tally}</span>'
        yield f'<span class="bar">{shares(numbers)}</span></a></li>'
    yield "</ul></section>"
    yield '<section class="card" aria-labelledby="history"><h2 id="history">Last runs</h2>'
    if past:
        yield history_chart([*past, past_of(report)])
        yield _legend()
    else:
        yield '<p class="empty">This is the first run that is remembered. The next one shows what has changed.</p>'
    yield "</section></div>"


def _urgent(report: Report) -> Iterator[str]:
    """Yield a list of what needs a person, each with a link to the finding."""
    found = [row for state in URGENT for row in rows(report) if row.finding.state is state]
    if not found:
        return
    number = f"{len(found)} finding{'' if len(found) == 1 else 's'}"
    yield '<section class="card urgent" aria-labelledby="urgent">'
    yield f'<h2 id="urgent">What needs a person: {number}</h2><ul>'
    for row in found[:SHOWN_URGENT]:
        text = f'{escape(row.check.title)} <span class="subject">{escape(subject_of(row))}</span>'
        said = row.finding.found
        brief = said if len(said) <= BRIEF_CHARACTERS else said[:BRIEF_CHARACTERS] + "…"
        link = f'<a href="#finding-{row.place}">{text}</a>'
        yield f'<li>{_badge(row.finding.state)}<div>{link}<p class="brief">{escape(brief)}</p></div></li>'
    if len(found) > SHOWN_URGENT:
        yield f'<li class="more">and {len(found) - SHOWN_URGENT} more below</li>'
    yield "</ul></section>"


def _legend() -> str:
    drawn = [state for state in ORDER if state is not State.NOT_APPLICABLE]
    box = '<svg viewBox="0 0 10 10" aria-hidden="true"><rect class="f-{}" width="10" height="10" rx="2"/></svg>'
    items = "".join(f"<li>{box.format(CLASSES[state])}{escape(WORDS[state])}</li>" for state in drawn)
    return f'<ul class="legend">{items}</ul>'


def _counted(found: Iterable[Row]) -> dict[State, int]:
    states = [row.finding.state for row in found]
    return {state: states.count(state) for state in ORDER if state in states}


def _tally(numbers: Mapping[State, int]) -> str:
    return escape(", ".join(f"{number} {WORDS[state]}" for state, number in numbers.items()))


def _filter(report: Report) -> Iterator[str]:
    """Yield the filter; only the script that makes it work shows it."""
    yield '<form class="filter" hidden><fieldset><legend>Show</legend>'
    listed = [row.finding.state for row in _listed(report)]
    for state in ORDER:
        number = listed.count(state)
        if number:
            checked = "" if state is State.NOT_APPLICABLE else " checked"
            box = f'<input type="checkbox" name="state" value="{CLASSES[state]}"{checked} autocomplete="off">'
            yield f'<label>{box}{escape(WORDS[state])} <span class="number">{number}</span></label>'
    yield '<input class="find" type="search" placeholder="Find a check, a name, a word" autocomplete="off"'
    yield ' aria-label="Find a check, a name, a word">'
    yield '<span class="shown" role="status"></span>'
    yield "</fieldset></form>"


def _findings(report: Report) -> Iterator[str]:
    listed = _listed(report)
    if not report.findings:
        yield '<p class="empty">Nothing was looked at.</p>'
    if unlisted := len(report.findings) - len(listed):
        yield f'<p class="empty">{unlisted} findings that are well or do not apply are counted, not listed.</p>'
    for group in sorted({row.check.group for row in listed}):
        own = [row for row in listed if row.check.group == group]
        yield f'<section class="group" id="group-{group}" aria-labelledby="title-{group}">'
        yield f'<h2 id="title-{group}"><span class="letter">{group}</span>{escape(GROUPS[group])}'
        yield f'<span class="tally">{_tally(_counted(own))}</span></h2>'
        subjects: dict[str, list[Row]] = {}
        for row in own:
            subjects.setdefault(subject_of(row), []).append(row)
        if len(subjects) < MANY_SUBJECTS:
            yield '<div class="findings">'
            yield from (_finding(row, named=True) for row in own)
            yield "</div>"
        for subject, about in subjects.items() if len(subjects) >= MANY_SUBJECTS else ():
            yield f'<div class="findings"><h3>{escape(subject)}</h3>'
            yield from (_finding(row, named=False) for row in about)
            yield "</div>"
        yield "</section>"


def _listed(report: Report) -> list[Row]:
    """Return the findings that the page lists: all of them, of very many only what is not well."""
    found = rows(report)
    return [row for row in found if len(found) <= MOST_LISTED or row.finding.state not in QUIET]


def _finding(row: Row, *, named: bool) -> str:
    finding, check = row.finding, row.check
    state = CLASSES[finding.state]
    level = "h3" if named else "h4"
    quiet = " quiet" if finding.state in QUIET else ""
    subject = f' <span class="subject">{escape(subject_of(row))}</span>' if named else ""
    parts = [
        f'<article id="finding-{row.place}" class="finding {state}{quiet}" data-state="{state}">',
        _badge(finding.state),
        f'<div class="body"><{level} class="what">{escape(check.title)}{subject}</{level}>',
        f'<p class="evidence">{escape(finding.found)}</p>' if finding.found else "",
    ]
    advice = [
        f"<div{extra}><dt>{word}</dt><dd>{escape(text)}</dd></div>"
        for word, text, extra in (("Expected", finding.expected, ""), ("Fix", finding.fix, ' class="fix"'))
        if text
    ]
    if advice:
        parts += ['<dl class="advice">', *advice, "</dl>"]
    uses = f", judged by {escape(check.uses)}" if check.uses else ""
    about = (
        f'<p class="source"><code>{escape(check.name)}</code>, check {check.number}, {escape(check.source)}{uses}</p>'
    )
    lines = "".join(f"<li><code>{escape(line)}</code></li>" for line in finding.details)
    number = len(finding.details)
    word = f"Evidence, {number} {'line' if number == 1 else 'lines'}" if number else "About this check"
    parts += [f"<details><summary>{word}</summary>", f"<ul>{lines}</ul>" if lines else "", about, "</details>"]
    return "".join([*parts, "</div></article>"])
