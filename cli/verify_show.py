"""Where a report of `mailstack verify` goes: the terminal or a file, in the form that was asked for."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.verify_options import Form

if TYPE_CHECKING:
    from mailstack.verify.history import Past
    from mailstack.verify.run import Report
    from mailstack.verify.verdict import FailOn

__all__ = ["watched", "write_report"]


def write_report(
    report: "Report", past: "Sequence[Past]", *, form: Form, output: Path | None, fail_on: "FailOn", verbose: bool
) -> None:
    """Print the report, or write it to a file and print one line on standard error.

    Raises RuntimeError for a file that cannot be written.
    """
    from mailstack.reach.files import write_whole
    from mailstack.verify.report.summary import summary_line

    if output is None and form is Form.TABLE:
        _print_table(report, verbose=verbose)
        return
    text = _text(report, past, form=form, fail_on=fail_on, verbose=verbose)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, text)
    except OSError as error:
        raise RuntimeError(f"--output {output} cannot be written: {error.strerror}") from None
    sys.stderr.write(f"{output}: {summary_line(report)}\n")


def watched(report: "Report", before: "Past | None", fail_on: "FailOn") -> int:
    """Print what changed since ``before``; return the exit code for that alone, 0 where nothing did."""
    from dataclasses import replace

    from cli.operate_show import console_of
    from mailstack.verify.history import changes
    from mailstack.verify.report.table import changes_table
    from mailstack.verify.verdict import exit_code

    found = changes(before, report)
    if found:
        console_of().print(changes_table(found))
    return exit_code(replace(report, findings=tuple(one.finding for one in found if one.finding is not None)), fail_on)


def _print_table(report: "Report", *, verbose: bool) -> None:
    from cli.operate_show import console_of
    from mailstack.verify.report.table import report_table

    console_of().print(report_table(report, verbose=verbose))


def _text(report: "Report", past: "Sequence[Past]", *, form: Form, fail_on: "FailOn", verbose: bool) -> str:
    """Return the report in its form. Each form is read only when it is asked for."""
    match form:
        case Form.JSON:
            from mailstack.verify.report.document import json_report

            return json_report(report)
        case Form.JUNIT:
            from mailstack.verify.report.junit import junit_report

            return junit_report(report, fail_on)
        case Form.HTML:
            from mailstack.verify.report.page import html_report

            return html_report(report, past)
        case Form.PROMETHEUS:
            from mailstack.verify.report.prometheus import prometheus_report

            return prometheus_report(report)
        case Form.MARKDOWN:
            from mailstack.verify.report.markdown import markdown_report

            return markdown_report(report)
        case Form.TABLE:
            from cli.operate_show import plain_text
            from mailstack.verify.report.table import report_table

            return plain_text(report_table(report, verbose=verbose))
