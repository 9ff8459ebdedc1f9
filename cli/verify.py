"""`mailstack verify`: looks at a stack, or at any domain, from outside."""

import sys
from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import ROOT
from cli.verify_message import (
    FromOption,
    ImapOption,
    MessageOption,
    SmtpOption,
    SmtpTlsOption,
    ToOption,
    message_flags,
    message_path_of,
)
from cli.verify_options import (
    HOW,
    OUT,
    DomainOption,
    FailOnWord,
    Form,
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
    option,
    read_seconds,
    target_from,
    world_from,
    wrong_call,
)

if TYPE_CHECKING:
    from mailstack.plan import Plan
    from mailstack.verify.run import Report
    from mailstack.verify.verdict import FailOn

    Run = Callable[..., Report]

__all__ = ["EPILOG", "HISTORY", "verify"]

MESSAGE = "message"
HISTORY = ROOT / ".mailstack/verify"
EPILOG = (
    "Exit codes: 0 nothing is wrong; 1 something is wrong (fails, or what --fail-on names); 2 wrong call, or nothing "
    "to look at; 3 with --fail-on unknown: nothing is wrong but something was not seen; 4 --wait: the deadline passed "
    "and what is wrong may still come right. With --watch: 0 where nothing changed, else as above for what changed."
)


def verify(
    stack: StackChoice = None,
    *,
    from_file: FromFileOption = False,
    domain: DomainOption = None,
    selector: SelectorOption = None,
    return_path: ReturnPathOption = None,
    sender: SenderOption = None,
    host: HostOption = None,
    only: Annotated[
        list[str] | None, option("--only", about="a check by name or number, or a group (A to G)", panel=HOW)
    ] = None,
    skip: Annotated[list[str] | None, option("--skip", about="a check or group to leave out", panel=HOW)] = None,
    resolver: ResolverOption = None,
    own_resolver: OwnResolverOption = None,
    timeout: TimeoutOption = 60.0,
    helo: HeloOption = None,
    inside: Annotated[
        bool, option("--inside", about="with --stack: also ask the hosts themselves, over SSH", panel=HOW)
    ] = False,
    probe_outbound: Annotated[
        bool, option("--probe-outbound", about="also connect to big mail hosts: is port 25 open from here?", panel=HOW)
    ] = False,
    message: MessageOption = False,
    message_from: FromOption = None,
    message_to: ToOption = None,
    smtp: SmtpOption = None,
    smtp_tls: SmtpTlsOption = None,
    imap: ImapOption = None,
    wait: Annotated[
        bool, option("--wait", about="look again until DNS shows everywhere what is right", panel=HOW)
    ] = False,
    deadline: Annotated[
        str, option("--deadline", about="with --wait: how long, such as 90s or 2h [30m]", panel=HOW)
    ] = "30m",
    watch: Annotated[
        bool, option("--watch", about="for cron: print only what changed since the last run", panel=OUT)
    ] = False,
    form: Annotated[
        Form, option("--format", about=f"{', '.join(Form)} [table]", panel=OUT, metavar="FORM")
    ] = Form.TABLE,
    as_json: Annotated[bool, option("--json", about="the same as --format json", panel=OUT)] = False,
    output: Annotated[
        Path | None, option("--output", about="file for the report, replaced as a whole", panel=OUT)
    ] = None,
    history: Annotated[
        Path, option("--history", about="folder for the last runs [.mailstack/verify]", panel=OUT)
    ] = HISTORY,
    fail_on: Annotated[
        FailOnWord, option("--fail-on", about="from which state on something is wrong [fail]", panel=OUT)
    ] = FailOnWord.FAIL,
    verbose: Annotated[
        bool, option("--verbose", "-v", about="table: every finding with all evidence", panel=OUT)
    ] = False,
) -> None:
    """Look at a stack, or at any domain, from outside: is what the world sees what was declared? Changes nothing."""
    from cli.verify_show import watched, write_report
    from mailstack.verify.history import file_name, read_history, remember
    from mailstack.verify.run import run_checks
    from mailstack.verify.selection import SelectionError, select
    from mailstack.verify.verdict import EXIT_WAITED, FailOn, exit_code
    from mailstack.verify.waiting import pending

    if as_json and form not in {Form.TABLE, Form.JSON}:
        raise wrong_call(f"--json and --format {form.value}: leave out one of them")
    form = Form.JSON if as_json else form
    if watch and form is not Form.TABLE and output is None:
        raise wrong_call("--watch prints what changed; with --format or --json it needs --output for the report")
    seconds, threshold = read_seconds(deadline), FailOn(fail_on.value)
    try:
        names = select(only or (), skip or ())
    except SelectionError as error:
        raise wrong_call(str(error)) from None
    if not names:
        raise wrong_call("--only and --skip leave no check to run")
    if message and MESSAGE not in names:
        raise wrong_call(f"--message asks for the check {MESSAGE}, which --only and --skip leave out")
    target = target_from(
        stack=stack, from_file=from_file, domains=domain, selectors=selector, return_paths=return_path,
        senders=sender, hosts=host,
    )  # fmt: skip
    world = world_from(resolver, own_resolver, helo)
    plan = None if stack is None else cache(partial(_opened, stack))
    flags = message_flags(message_from, message_to, smtp, smtp_tls, imap)
    path = message_path_of(flags, world, wanted=message, plan=plan, stack=stack)
    run: Run = partial(run_checks, target, world, seconds=timeout, probe_outbound=probe_outbound, message=path)
    if inside:
        run = _inside(run, plan, stack)
    report = _look(run, names)
    if wait:
        report = _wait(report, run, seconds, threshold)
    kept = history / file_name(target)
    past = read_history(kept)
    if not watch or output is not None:
        write_report(report, past, form=form, output=output, fail_on=threshold, verbose=verbose)
    code = exit_code(report, threshold)
    if watch:
        code = watched(report, past[-1] if past else None, threshold)
    try:
        remember(kept, report)
    except OSError as error:
        sys.stderr.write(f"this run is not remembered: {error}\n")
    if wait and pending(report, threshold):
        code = EXIT_WAITED
    raise typer.Exit(code)


def _opened(stack: str) -> "Plan":
    """Return the plan of a stack with its secrets, which the Pulumi CLI opens."""
    from mailstack.plan import load_plan
    from mailstack.reach.drift import decrypted_config

    return load_plan(decrypted_config(stack, ROOT))


def _inside(run: "Run", opened: "Callable[[], Plan] | None", stack: str | None) -> "Run":
    """Return what runs checks with the ways into hosts."""
    if stack is None or opened is None:
        raise wrong_call("--inside needs --stack: its settings say how hosts are reached")
    from mailstack.plan.machine_access import machine_access
    from mailstack.reach.drift import find_drift, own_kubeconfig

    plan = opened()

    def differences() -> list[str]:
        found = find_drift(plan, lambda _line: None, own_cluster=lambda: own_kubeconfig(stack, ROOT))
        return [str(difference) for difference in found]

    return partial(run, access=machine_access(plan), drift=differences)


def _look(run: "Run", names: tuple[str, ...]) -> "Report":
    """Run the checks, with a line that says how far they are where a person looks on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("looking", total=len(names))
        return run(names=names, done=lambda check: progress.update(task, advance=1, description=check.name))


def _wait(report: "Report", run: "Run", seconds: float, fail_on: "FailOn") -> "Report":
    """Look again until nothing is pending or the deadline has passed, and say meanwhile what is waited for."""
    from rich.console import Console
    from rich.status import Status

    from mailstack.verify.waiting import wait_until_seen

    console = Console(stderr=True)
    live = Status("", console=console)

    def tell(names: tuple[str, ...], pause: float, left: float) -> None:
        rest = str(timedelta(seconds=round(left)))
        line = f"waiting for {', '.join(names)}: next look in {pause:.0f} s, deadline in {rest}"
        if console.is_terminal:
            live.start()
            live.update(line)
        else:
            sys.stderr.write(f"{line}\n")

    try:
        return wait_until_seen(
            report,
            lambda names: run(names=names),
            seconds=seconds,
            fail_on=fail_on,
            tell=tell,
        )
    finally:
        live.stop()
