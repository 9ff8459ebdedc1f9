"""``mailstack policy``: what a stack would register, held against the policies, without engine, hosts or secrets."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.common import ROOT, JsonOption, StackOption, print_json

__all__ = ["policy"]

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="levels and exceptions, as --policy-pack-config takes them; absent: policies-STACK.json, if there",
        show_default=False,
    ),
]


def policy(stack: StackOption, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Hold what the stack would register against the policies. Exits with 1 where a mandatory one is violated.

    `pulumi preview --policy-pack policy` asks the same policies. Here nothing is asked or opened: secrets are
    throw-away ones.
    """
    from mailstack.policy.checker import read_config
    from mailstack.policy.report import policy_report
    from mailstack.settings.initialise import rehearsal_config
    from rehearsal.recorded import recorded_resources

    own = ROOT / f"policies-{stack}.json"
    config = config or (own if own.exists() else None)
    told = {} if config is None else read_config(_text_of(config))
    raw = rehearsal_config(ROOT / f"Pulumi.{stack}.yaml")
    os.environ["KUBECONFIG"] = os.devnull  # whether a cluster has this or that changes no answer here
    report = policy_report(stack, recorded_resources(stack, raw), told)
    if as_json:
        print_json(report)
    else:
        _show(report, "" if config is None else f", with {config.name}")
    return 0 if report["ok"] else 1


def _text_of(path: Path) -> str:
    from mailstack.policy.checker import PolicyConfigError

    try:
        return path.read_text()
    except OSError as error:
        raise PolicyConfigError(f"{path} cannot be read: {error.strerror}. Fix: name a file that is there") from None


def _show(report: dict[str, Any], exceptions: str) -> None:
    from rich.markup import escape
    from rich.table import Table

    from cli.operate_show import console_of

    console = console_of()
    title = f"{report['stack']} ({report['environment']}): {report['resources']} resources{exceptions}"
    table = Table("policy", "level", "result", title=title, title_justify="left")
    for one in report["policies"]:
        count = len(one["violations"])
        kept = "unclear before the update" if one["unclear"] else "kept"
        result = "not in this environment" if not one["applies"] else f"{count} violations" if count else kept
        table.add_row(one["name"], one["level"], result)
    console.print(table)
    for one in report["policies"]:
        for wrong in one["violations"]:
            console.print(f"[bold]{one['name']}[/] ({one['level']}): {escape(wrong['resource'])}", soft_wrap=True)
            console.print(f"  {escape(wrong['message'])}", soft_wrap=True, highlight=False)
        for unknown in one["unclear"]:
            console.print(f"[bold]{one['name']}[/]: {escape(unknown['resource'])}", soft_wrap=True)
            console.print(f"  {escape(unknown['message'])} is not known before the update", soft_wrap=True)
        if one["violations"]:
            console.print(f"  Fix: {escape(one['remedy'])}", soft_wrap=True, highlight=False)
