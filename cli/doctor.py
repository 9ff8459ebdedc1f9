"""``mailstack doctor``: whether this machine has what a stack takes."""

import dataclasses
import sys
from typing import Annotated

import typer

from cli.common import ROOT, SOURCE, JsonOption, print_json, today

__all__ = ["doctor"]

SIGNS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]", "unknown": "[dim]unknown[/]"}


def doctor(
    stack: Annotated[
        str | None, typer.Option("--stack", help="also what this stack needs: reads Pulumi.<stack>.yaml")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Look at this machine: programs, engine, plugins, back end, secrets, token, clock. Exits with 1 on a failure."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn
    from rich.table import Table

    from cli.operate_show import console_of
    from mailstack.reach.doctor import Machine, examine

    checks = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("looking")
        for check in examine(Machine(folder=ROOT, source=SOURCE, today=today()), stack):
            checks.append(check)
            progress.update(task, description=check.name)
    failed = any(check.state == "fail" for check in checks)
    if as_json:
        print_json({"stack": stack, "ok": not failed, "checks": [dataclasses.asdict(one) for one in checks]})
    else:
        table = Table("", "what", "found", "what to do", box=None, pad_edge=False)
        for check in checks:
            table.add_row(SIGNS[check.state], escape(check.name), escape(check.found), escape(check.fix))
        console_of().print(table)
    raise typer.Exit(int(failed))
