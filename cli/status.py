"""``mailstack status``: the whole stack on one screen."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.common import ROOT, JsonOption, StackOption, say
from cli.operate_options import IdentityOption, entry_of

__all__ = ["status"]

SIGNS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]", "unknown": "[magenta]unknown[/]"}


def status(
    stack: StackOption,
    *,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1.0, help="seconds for everything; what has not answered is unknown")
    ] = 45.0,
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the whole stack: hosts, relay and queue, Postal, certificates, relay rule, DNS, backups. Changes nothing.

    Exits with 1 where something fails or could not be seen.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
    from rich.table import Table

    from cli.verify import HISTORY
    from mailstack.operate.status import gather, looks, worst
    from mailstack.reach.outputs import stack_outputs
    from mailstack.verify.aiming import target_of_output
    from mailstack.verify.history import file_name, read_history

    entry = entry_of(stack, identity)
    outputs = stack_outputs(stack, ROOT)
    past = read_history(HISTORY / file_name(target_of_output(outputs["verify"], stack))) if "verify" in outputs else ()
    asked = looks(entry, outputs, past[-1] if past else None, datetime.now(UTC))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("asking", total=len(asked))
        parts = gather(asked, timeout, lambda name: progress.update(task, advance=1, description=name))
    state = worst(parts)
    if as_json:
        say(json.dumps({"stack": stack, "state": state, "parts": [part.document() for part in parts]}, indent=2))
    else:
        table = Table(
            "", "part", "seen", box=None, pad_edge=False, title=f"stack {escape(stack)}", title_justify="left"
        )
        for part in parts:
            table.add_row(SIGNS[part.state], escape(part.name), escape(part.told))
        Console().print(table)
    raise typer.Exit(int(state in {"fail", "unknown"}))
