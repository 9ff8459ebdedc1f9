"""Commands about one stack: init, validate, drift, rehearse."""

from typing import Annotated

import typer

from cli.common import ROOT, StackOption, say, today

__all__ = ["drift", "init", "rehearse", "validate"]

# The exit code of a role's --check, and of this command, when something differs.
EXIT_DRIFT = 2


def init(stack: StackOption) -> None:
    """Make the secrets a stack needs, encrypted into its file by Pulumi."""
    from mailstack.settings.initialise import initialise

    for step in initialise(stack, ROOT, say):
        command = f"pulumi config set --secret --path '{step.path}' --stack {stack}"
        say(f"still needed: {step.what}. Set it with: {command}")


def validate(stack: StackOption) -> None:
    """Check a stack file without an engine, a host or its secrets."""
    from mailstack.plan import load_plan
    from mailstack.plan.outside import Outside
    from mailstack.settings.initialise import missing_secrets, rehearsal_config
    from mailstack.settings.stackfile import read_stack_file, throwaway
    from mailstack.settings.written import Written

    path = ROOT / f"Pulumi.{stack}.yaml"
    written = Written.in_file(path)
    plan = load_plan(rehearsal_config(path), written=[written], outside=Outside(today=today()))
    for step in missing_secrets(read_stack_file(path, throwaway)):
        say(f"still missing: {step.what}" + ("; `mailstack init` makes it" if step.ours else ""))
    if (close := written.warning()) is not None:
        say(f"soon too large: {close}")
    for sentence in plan.warnings:
        say(f"weakened on purpose: {sentence}")
    say(f"Pulumi.{stack}.yaml is valid. Encrypted values were not opened, so their content is unchecked.")


def drift(stack: StackOption) -> None:
    """Compare hosts and records with the declaration; changes nothing, exits with 2 on a difference."""
    from mailstack.plan import load_plan
    from mailstack.reach.drift import decrypted_config, find_drift, own_kubeconfig

    plan = load_plan(decrypted_config(stack, ROOT))
    found = find_drift(plan, say, own_cluster=lambda: own_kubeconfig(stack, ROOT))
    for difference in found:
        say(f"drift: {difference}")
    say(f"{len(found)} differences" if found else "hosts, objects and records are as declared")
    raise typer.Exit(EXIT_DRIFT if found else 0)


def rehearse(
    stack: StackOption,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="leave the hosts up (remove: --down)")] = False,
    down: Annotated[bool, typer.Option("--down", help="only remove what an earlier --keep left")] = False,
) -> None:
    """Bring a stack up on throw-away hosts and send a message through it."""
    from rehearsal import rehearse as rehearsals  # needs Pulumi and Docker, the rest does not

    code = rehearsals.tear_down(stack, say) if down else rehearsals.rehearse(stack, say, keep=keep)
    raise typer.Exit(code)
