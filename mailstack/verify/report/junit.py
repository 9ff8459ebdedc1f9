"""The report as JUnit XML, which CI systems show as tests: a suite for each group, a case for each finding."""

from xml.etree import ElementTree as ET

from mailstack.verify.model import GROUPS, State
from mailstack.verify.report.rows import Row, grouped, stamp, subject_of, title_of
from mailstack.verify.run import Report
from mailstack.verify.verdict import FailOn, is_wrong

__all__ = ["junit_report"]


def junit_report(report: Report, fail_on: FailOn = FailOn.FAIL) -> str:
    """Return the report as XML. What counts as wrong is a failure, an error where it was only not seen.

    What was not seen otherwise, or does not apply, is skipped; a warning below the threshold passes and says its words
    on standard output.
    """
    root = ET.Element("testsuites", name=f"mailstack verify: {title_of(report)}", time=f"{report.seconds:.3f}")
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for group, found in grouped(report).items():
        suite = ET.SubElement(root, "testsuite", name=f"{group} {GROUPS[group]}", timestamp=stamp(report.started)[:-1])
        numbers = dict.fromkeys(totals, 0)
        for row in found:
            numbers["tests"] += 1
            kind = _case(suite, row, fail_on)
            if kind is not None:
                numbers[kind] += 1
        for word, number in numbers.items():
            suite.set(word, str(number))
            totals[word] += number
    for word, number in totals.items():
        root.set(word, str(number))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, row: Row, fail_on: FailOn) -> str | None:
    """Add a case; return what it counts as, None where it passes."""
    finding = row.finding
    case = ET.SubElement(suite, "testcase", classname=row.check.name, name=subject_of(row), time="0")
    if is_wrong(finding, fail_on):
        tag, kind = ("error", "errors") if finding.state is State.UNKNOWN else ("failure", "failures")
        ET.SubElement(case, tag, message=finding.found, type=finding.state.value).text = _words(row)
        return kind
    if finding.state in {State.UNKNOWN, State.NOT_APPLICABLE}:
        ET.SubElement(case, "skipped", message=finding.found)
        return "skipped"
    ET.SubElement(case, "system-out").text = _words(row)
    return None


def _words(row: Row) -> str:
    finding = row.finding
    lines = [f"{row.check.number}. {row.check.title} ({row.check.source})", finding.found, *finding.details]
    lines += [f"{word}: {text}" for word, text in (("expected", finding.expected), ("fix", finding.fix)) if text]
    return "\n".join(lines)
