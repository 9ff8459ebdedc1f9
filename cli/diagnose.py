"""`mailstack diagnose`: from a symptom to the causes that show, with evidence and the next command."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from cli.verify_options import (
    DomainOption,
    FromFileOption,
    HeloOption,
    HostOption,
    OwnResolverOption,
    ResolverOption,
    ReturnPathOption,
    SelectorOption,
    SenderOption,
    StackChoice,
    TimeoutOption,
    target_from,
    wrong_call,
)

if TYPE_CHECKING:
    from mailstack.verify.diagnosis import Diagnosis

__all__ = ["EPILOG", "diagnose"]

EPILOG = (
    "Exit codes: 0 no cause shows from outside; 1 a cause shows; 2 wrong call, or nothing to look at; "
    "3 no cause shows, and something was not seen."
)


def diagnose(
    symptom: Annotated[
        str | None, typer.Argument(help="one of those that are listed without it", show_default=False)
    ] = None,
    *,
    stack: StackChoice = None,
    from_file: FromFileOption = False,
    domain: DomainOption = None,
    selector: SelectorOption = None,
    return_path: ReturnPathOption = None,
    sender: SenderOption = None,
    host: HostOption = None,
    resolver: ResolverOption = None,
    own_resolver: OwnResolverOption = None,
    timeout: TimeoutOption = 60.0,
    helo: HeloOption = None,
) -> None:
    """Find what a symptom comes from; without one, list the symptoms. Changes nothing."""
    from rich.console import Console
    from rich.table import Table

    from mailstack.verify.diagnosis import SYMPTOMS, checks_for
    from mailstack.verify.diagnosis import diagnose as diagnosed
    from mailstack.verify.run import run_checks
    from mailstack.verify.selection import checks_numbered
    from mailstack.verify.surroundings import around
    from mailstack.verify.verdict import EXIT_FAIL, EXIT_OK, EXIT_UNKNOWN

    if symptom is None:
        table = Table.grid(padding=(0, 2, 0, 0))
        for name, about in SYMPTOMS.items():
            table.add_row(f"[bold]{name}[/]", about)
        Console().print(table)
        return
    if symptom not in SYMPTOMS:
        raise wrong_call(f"{symptom!r} is no symptom; use one of {', '.join(SYMPTOMS)}")
    target = target_from(
        stack=stack, from_file=from_file, domains=domain, selectors=selector, return_paths=return_path,
        senders=sender, hosts=host,
    )  # fmt: skip
    world = around(os.environ, resolvers=resolver or (), own=own_resolver, helo=helo)
    report = run_checks(target, world, names=checks_numbered(checks_for(symptom)), seconds=timeout)
    found = diagnosed(symptom, report)
    _print(found, stack or "<stack>")
    raise typer.Exit(EXIT_FAIL if found.found else EXIT_UNKNOWN if found.unseen else EXIT_OK)


def _print(diagnosis: "Diagnosis", stack: str) -> None:
    from rich.console import Console
    from rich.text import Text

    from mailstack.verify.diagnosis import SYMPTOMS
    from mailstack.verify.report.rows import WORDS, shown
    from mailstack.verify.report.table import STYLES

    console = Console()
    console.print(Text(f"{diagnosis.symptom}: {SYMPTOMS[diagnosis.symptom]}", style="bold"))
    for number, one in enumerate(diagnosis.found, start=1):
        console.print(Text(f"\n{number}. {one.cause.cause}", style="bold"))
        for finding in one.evidence:
            line = Text(f"   {WORDS[finding.state]}  ", style=STYLES[finding.state])
            line.append(f"{finding.check}, {shown(finding.subject) or 'all'}: {shown(finding.found)}", style="not bold")
            console.print(line)
            if finding.fix:
                console.print(Text(f"   fix: {shown(finding.fix)}"))
        console.print(Text("   next: ").append(one.cause.command.replace("<stack>", stack), style="cyan"))
        console.print(Text(f"   explains: {'; '.join(one.seeds)}", style="dim"))
    if not diagnosis.found:
        console.print("\nNothing that can be seen from outside explains it.")
    if diagnosis.unseen:
        names = ", ".join(dict.fromkeys(finding.check for finding in diagnosis.unseen))
        console.print(Text(f"\nNot seen, so neither there nor ruled out: {names}", style="magenta"))
    if diagnosis.elsewhere:
        console.print(Text("\nWhat only the hosts can tell:", style="bold"))
        for command in diagnosis.elsewhere:
            console.print(Text("  ").append(command.replace("<stack>", stack), style="cyan"))
