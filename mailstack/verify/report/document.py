"""The report for machines: JSON, with a schema (docs/reference/verify.schema.json)."""

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mailstack.verify.model import GROUPS
from mailstack.verify.report.rows import counts, rows, shown, stamp
from mailstack.verify.run import Report

__all__ = ["document", "json_report", "report_schema"]

Word = Literal["ok", "warn", "fail", "unknown", "not applicable"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Counts(_Part):
    """How many findings are in each state."""

    fail: int = Field(ge=0)
    warn: int = Field(ge=0)
    unknown: int = Field(ge=0)
    ok: int = Field(ge=0)
    not_applicable: int = Field(ge=0)


class _Finding(_Part):
    """What one check found about one subject."""

    check: str = Field(description="Stable name of the check.")
    number: int = Field(description="Its number in the list of checks.")
    group: str = Field(description="Letter of its group.")
    group_title: str = Field(description="What the group is about.")
    title: str = Field(description="What the check asks.")
    subject: str = Field(description="Domain, host or address; empty for everything at once.")
    state: Word = Field(description="What came out; a question that was not answered in time is unknown, never fail.")
    found: str = Field(description="Evidence, one line; what does not print is an escape such as \\x1b.")
    expected: str = Field(description="What would be right; empty where all is well.")
    fix: str = Field(description="What to do; empty where all is well.")
    details: tuple[str, ...] = Field(description="Further evidence, such as what each server said.")
    source: str = Field(description="RFC or page that the rule comes from.")
    uses: str = Field(description="Library that does the judging; empty for our own.")


class _Document(_Part):
    """What a run of `mailstack verify` found. Keys are only ever added; `version` counts breaking changes."""

    version: Literal[1] = Field(description="Version of this schema.")
    stack: str = Field(description="Name of the stack; empty where flags said what to look at.")
    started: str = Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", description="When it started, UTC, such as 2026-11-29T08:00:00Z."
    )
    seconds: float = Field(ge=0, description="How long it took.")
    state: Word = Field(description="The worst state there is; not applicable is no worse than ok.")
    counts: _Counts
    domains: tuple[str, ...] = Field(description="Domains that were looked at.")
    hosts: tuple[str, ...] = Field(description="Hosts that were looked at.")
    findings: tuple[_Finding, ...] = Field(description="In the order of the checks' numbers.")


def document(report: Report) -> dict[str, Any]:
    """Return the report as plain data, as the schema has it."""
    made = _Document(
        version=1,
        stack=shown(report.target.stack),
        started=stamp(report.started),
        seconds=round(report.seconds, 3),
        state=report.worst.value,
        counts=_Counts(**{state.name.lower(): number for state, number in counts(report).items()}),
        domains=tuple(shown(domain.name) for domain in report.target.domains),
        hosts=tuple(shown(host.name) for host in report.target.hosts),
        findings=tuple(
            _Finding(
                check=row.check.name,
                number=row.check.number,
                group=row.check.group,
                group_title=GROUPS[row.check.group],
                title=row.check.title,
                subject=row.finding.subject,
                state=row.finding.state.value,
                found=row.finding.found,
                expected=row.finding.expected,
                fix=row.finding.fix,
                details=row.finding.details,
                source=row.check.source,
                uses=row.check.uses,
            )
            for row in rows(report)
        ),
    )
    return made.model_dump(mode="json")


def json_report(report: Report) -> str:
    """Return the report as indented JSON with a final newline."""
    return json.dumps(document(report), indent=2, ensure_ascii=False) + "\n"


def report_schema() -> str:
    """Return the schema (JSON Schema 2020-12) of ``json_report`` as indented JSON with a final newline."""
    model = _Document.model_json_schema()
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Report of mailstack verify"}
    text = json.dumps({**model, **about}, indent=2, sort_keys=True)
    for part in (_Counts, _Finding):
        text = text.replace(part.__name__, part.__name__.removeprefix("_"))
    return text + "\n"
