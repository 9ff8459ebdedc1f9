"""``mailstack status``: the whole stack on one screen."""

import os
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.common import ROOT, JsonOption, StackOption, print_json
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

    from cli.operate_show import console_of, table_of
    from cli.verify import HISTORY
    from mailstack.operate.status import gather, looks, worst
    from mailstack.reach.environment import resolving
    from mailstack.reach.outputs import stack_outputs
    from mailstack.verify.history import file_name, read_history
    from mailstack.verify.target import Target

    outputs = stack_outputs(stack, ROOT)
    entry = entry_of(stack, identity, told=outputs.get("operations"))
    past = read_history(HISTORY / file_name(Target(stack=stack)))
    asked = looks(entry, outputs, past[-1] if past else None, datetime.now(UTC))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
    console = Console(stderr=True)
    progress = Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())
    with resolving(os.environ), progress:
        task = progress.add_task("asking", total=len(asked))
        parts = gather(asked, timeout, lambda name: progress.update(task, advance=1, description=name))
    state = worst(parts)
    if as_json:
        print_json({"stack": stack, "state": state, "parts": [part.document() for part in parts]})
    else:
        table = table_of("", "part", "seen")
        table.title, table.title_justify = f"stack {escape(stack)}", "left"
        for part in parts:
            table.add_row(SIGNS[part.state], escape(part.name), escape(part.told))
        console_of().print(table)
    raise typer.Exit(int(state in {"fail", "unknown"}))
