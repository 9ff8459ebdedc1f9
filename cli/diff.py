"""`mailstack diff`: what a change of the declaration does, or how two environments differ."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import ROOT, tell, today
from cli.verify_options import wrong_call

if TYPE_CHECKING:
    from mailstack.diff.document import Document

__all__ = ["EPILOG", "EXIT_DIFFERENT", "EXIT_NO_BASE", "diff"]

EXIT_DIFFERENT, EXIT_NO_BASE = 2, 3
EPILOG = (
    "Exit codes: 0 nothing differs; 2 something differs (0 with --exit-zero), or a wrong call; 1 it cannot be told: no "
    "such stack file or git ref, or a declaration that breaks rules; 3 only the declaration of before breaks rules of "
    "this code, so there is nothing to compare with."
)


class Form(StrEnum):
    """The forms of the answer."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def diff(
    stack: Annotated[str | None, typer.Option("--stack", help="stack to compare with its own past")] = None,
    *,
    base: Annotated[
        str | None,
        typer.Option("--base", help="git ref that it is compared with; absent: where this branch left the main one"),
    ] = None,
    source: Annotated[str | None, typer.Option("--from", help="environment to compare")] = None,
    target: Annotated[str | None, typer.Option("--to", help="environment that it is compared with")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the same as --format json")] = False,
    form: Annotated[Form, typer.Option("--format", help="form of the answer")] = Form.TEXT,
    everything: Annotated[bool, typer.Option("--all", help="with --from: also what is expected to differ")] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="end with 0 where something differs, too")] = False,
) -> None:
    """Say what a change of the declaration does: records, configuration, roles that run, restarts, risks to mail.

    From the files alone: no secret is opened, and no host, engine or network is asked. `--stack prod` compares the
    working tree with git, `--from staging --to prod` two environments.
    """
    if (stack is None) == (source is None and target is None):
        raise wrong_call("say either --stack NAME, or --from NAME --to NAME")
    if stack is None and (source is None or target is None):
        raise wrong_call("--from and --to go together")
    if base is not None and stack is None:
        raise wrong_call("--base goes with --stack: two environments are compared in the working tree")
    found = _compared(stack, base, source, target)
    _write(found, Form.JSON if as_json else form, everything=everything)
    raise typer.Exit(EXIT_DIFFERENT if found.different and not exit_zero else 0)


def _compared(stack: str | None, base: str | None, source: str | None, target: str | None) -> "Document":
    from mailstack.diff.document import document
    from mailstack.diff.source import BaseRulesError, diff_environments, diff_since

    if stack is not None:
        try:
            return document(diff_since(ROOT, stack, base, today()))
        except BaseRulesError as error:
            tell(str(error))
            raise typer.Exit(EXIT_NO_BASE) from None
    return document(diff_environments(ROOT, str(source), str(target), today()))


def _write(found: "Document", form: Form, *, everything: bool) -> None:
    if form is Form.JSON:
        from mailstack.diff.document import json_document

        sys.stdout.write(json_document(found))
    elif form is Form.MARKDOWN:
        from mailstack.diff.markdown import markdown

        sys.stdout.write(markdown(found))
    else:
        from cli.operate_show import console_of
        from mailstack.diff.text import show

        show(found, console_of(soft_wrap=True), everything=everything)
