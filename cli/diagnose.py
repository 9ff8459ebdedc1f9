"""`mailstack diagnose`: from a symptom to the causes that show, with evidence and the next command."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import JsonOption, print_json
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
    world_from,
    wrong_call,
)

if TYPE_CHECKING:
    from mailstack.verify.diagnosis import Diagnosis
    from mailstack.verify.model import Finding

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
    as_json: JsonOption = False,
) -> None:
    """Find what a symptom comes from; without one, list the symptoms. Changes nothing."""
    from rich.table import Table

    from cli.operate_show import console_of
    from mailstack.verify.diagnosis import SYMPTOMS, checks_for
    from mailstack.verify.diagnosis import diagnose as diagnosed
    from mailstack.verify.run import run_checks
    from mailstack.verify.selection import checks_numbered
    from mailstack.verify.verdict import EXIT_FAIL, EXIT_OK, EXIT_UNKNOWN

    if symptom is None and as_json:
        print_json(dict(SYMPTOMS))
        return
    if symptom is None:
        table = Table.grid(padding=(0, 2, 0, 0))
        for name, about in SYMPTOMS.items():
            table.add_row(f"[bold]{name}[/]", about)
        console_of().print(table)
        return
    if symptom not in SYMPTOMS:
        raise wrong_call(f"{symptom!r} is no symptom; use one of {', '.join(SYMPTOMS)}")
    target = target_from(
        stack=stack, from_file=from_file, domains=domain, selectors=selector, return_paths=return_path,
        senders=sender, hosts=host,
    )  # fmt: skip
    world = world_from(resolver, own_resolver, helo)
    report = run_checks(target, world, names=checks_numbered(checks_for(symptom)), seconds=timeout)
    found = diagnosed(symptom, report)
    if as_json:
        print_json(_document(found, stack or "<stack>"))
    else:
        _print(found, stack or "<stack>")
    raise typer.Exit(EXIT_FAIL if found.found else EXIT_UNKNOWN if found.unseen else EXIT_OK)


def _document(diagnosis: "Diagnosis", stack: str) -> dict[str, Any]:
    from mailstack.verify.diagnosis import SYMPTOMS

    return {
        "symptom": diagnosis.symptom,
        "about": SYMPTOMS[diagnosis.symptom],
        "causes": [
            {
                "cause": one.cause.cause,
                "certain": one.certain,
                "next": one.cause.command.replace("<stack>", stack),
                "evidence": [_finding(finding) for finding in one.evidence],
                "explains": list(one.seeds),
            }
            for one in diagnosis.found
        ],
        "not_seen": [_finding(finding) for finding in diagnosis.unseen],
        "elsewhere": [command.replace("<stack>", stack) for command in diagnosis.elsewhere],
    }


def _finding(finding: "Finding") -> dict[str, str]:
    from mailstack.verify.report.rows import shown

    return {
        "check": finding.check, "subject": shown(finding.subject), "state": finding.state.value,
        "found": shown(finding.found), "fix": shown(finding.fix),
    }  # fmt: skip


def _print(diagnosis: "Diagnosis", stack: str) -> None:
    from rich.text import Text

    from cli.operate_show import console_of
    from mailstack.verify.diagnosis import SYMPTOMS
    from mailstack.verify.report.rows import WORDS, shown
    from mailstack.verify.report.table import STYLES

    console = console_of()
    console.print(Text(f"{diagnosis.symptom}: {SYMPTOMS[diagnosis.symptom]}", style="bold"))
    for number, one in enumerate(diagnosis.found, start=1):
        console.print(Text(f"\n{number}. {one.cause.cause}", style="bold"))
        for finding in one.evidence:
            line = Text(f"   {WORDS[finding.state]}  ", style=STYLES[finding.state])
            line.append(f"{finding.check}, {shown(finding.subject) or 'all'}: {shown(finding.found)}", style="not bold")
            console.print(line)
            if finding.fix:
                console.print(Text(f"   fix: {shown(finding.fix)}"))
        console.print(
            Text("   next: ").append(one.cause.command.replace("<stack>", stack), style="cyan"), soft_wrap=True
        )
        console.print(Text(f"   explains: {'; '.join(one.seeds)}", style="dim"))
    if not diagnosis.found:
        console.print("\nNothing that can be seen from outside explains it.")
    if diagnosis.unseen:
        names = ", ".join(dict.fromkeys(finding.check for finding in diagnosis.unseen))
        console.print(Text(f"\nNot seen, so neither there nor ruled out: {names}", style="magenta"))
    if diagnosis.elsewhere:
        console.print(Text("\nWhat only the hosts can tell:", style="bold"))
        for command in diagnosis.elsewhere:
            console.print(Text("  ").append(command.replace("<stack>", stack), style="cyan"), soft_wrap=True)
