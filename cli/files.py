"""Commands that print or write files: schema, monitoring."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from cli.common import SOURCE

__all__ = ["monitoring", "schema"]


class Printed(StrEnum):
    """What `mailstack monitoring` prints."""

    RULES = "rules"
    DASHBOARD = "dashboard"


def schema(
    *,
    write: Annotated[
        bool, typer.Option("--write", help="write it, and what is made with it, to docs/reference")
    ] = False,
) -> None:
    """Print the JSON schema of a stack file."""
    from mailstack.diff.document import diff_schema
    from mailstack.outputs.record import record_text
    from mailstack.outputs.reference import outputs_reference, outputs_schema
    from mailstack.settings.schema import settings_reference, stack_file_schema
    from mailstack.verify.report.document import report_schema

    if write:
        folder = SOURCE / "docs/reference"
        kept = folder / "outputs.contract.json"
        kept.write_text(record_text(kept.read_text() if kept.is_file() else None))
        (folder / "outputs.schema.json").write_text(outputs_schema())
        (folder / "outputs.md").write_text(outputs_reference())
        (folder / "stack.schema.json").write_text(stack_file_schema())
        (folder / "settings.md").write_text(settings_reference())
        (folder / "verify.schema.json").write_text(report_schema())
        (folder / "diff.schema.json").write_text(diff_schema())
    else:
        sys.stdout.write(stack_file_schema())


def _job(name: str | None) -> str | None:
    from mailstack.monitoring import checked_job

    try:
        return None if name is None else checked_job(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def monitoring(
    what: Annotated[Printed, typer.Argument(help="for Prometheus (YAML) or for Grafana (JSON)")],
    job: Annotated[
        str | None,
        typer.Option(callback=_job, help="name of the scrape job in Prometheus, postfix-relay unless said"),
    ] = None,
) -> None:
    """Print alerting rules or a dashboard for the relay's metrics."""
    from mailstack.monitoring import JOB, dashboard_text, rules_text

    make = rules_text if what is Printed.RULES else dashboard_text
    sys.stdout.write(make(job=job or JOB))
