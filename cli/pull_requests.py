"""`mailstack pr`: what jobs of a forge call to tell people what a change does."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from cli.common import StackOption, say

__all__ = ["pr"]

pr = typer.Typer(
    help="Tell a pull request, or an issue, about a stack. For jobs: docs/how-to/pull-requests.md.",
    no_args_is_help=True,
)

# A preview of thousands of records is a tenth of it.
MOST_BYTES = 64 * 1_048_576
# What scripts/scheduled-checks.sh leaves once all checks were made.
LOOKED = "looked"

StacksOption = Annotated[
    list[str], typer.Option("--stack", help="stack to tell about; may be repeated", show_default=False)
]
AuthorOption = Annotated[str | None, typer.Option("--author", help="login the token writes as [github-actions bot]")]


@pr.command()
def comment(
    stack: StackOption,
    *,
    preview: Annotated[Path, typer.Option("--preview", help="what `pulumi preview --json` printed, or an event log")],
    events: Annotated[
        Path | None, typer.Option("--events", help="event log of the same preview: it has the policies' results")
    ] = None,
    diff: Annotated[Path | None, typer.Option("--diff", help="what `mailstack diff` said of the same change")] = None,
    commit: Annotated[str | None, typer.Option("--commit", help="commit that was looked at")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="file for the comment instead of the terminal")
    ] = None,
) -> None:
    """Write the comment on a preview: records, roles, restarts, policies, deliverability. Ends with 1 if it failed."""
    from mailstack.pull_request.comment import comment as rendered
    from mailstack.pull_request.comment import marker
    from mailstack.pull_request.preview import read_preview

    try:
        marker(stack)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    found = read_preview(_text(preview), None if events is None else _text(events), name=str(preview))
    body = rendered(stack, found, diff=None if diff is None else _text(diff), commit=commit)
    if output is None:
        say(body)
    else:
        output.write_text(body, encoding="utf-8")
    raise typer.Exit(1 if found.failed else 0)


@pr.command()
def post(
    stack: StacksOption,
    *,
    author: AuthorOption = None,
) -> None:
    """In a job after the preview's: put its comments where GitHub says they belong. Reads artifacts as data only."""
    from mailstack.pull_request.comment import marker
    from mailstack.pull_request.conversation import BOT, put_comment
    from mailstack.pull_request.finished_run import comments, finished_run, pull_request
    from mailstack.pull_request.github import GitHub

    github = GitHub.of_job(os.environ)
    event = json.loads(_text(Path(_variable("GITHUB_EVENT_PATH"))))
    run = finished_run(event, _variable("GITHUB_REPOSITORY"))
    number = None if run is None else pull_request(github, run)
    if run is None or number is None:
        say("nobody to tell: no open pull request has this commit as its newest")
        return
    told = 0
    for name, body in comments(github, run, stack):
        done = put_comment(github, number, marker(name), body, author=author or BOT)
        say(f"#{number}: comment of {name}: {done}")
        told += 1
    if not told:
        say(f"#{number}: the run left nothing to tell of {', '.join(stack)}")


@pr.command()
def issue(
    stack: StackOption,
    *,
    reports: Annotated[
        Path,
        typer.Option(
            "--reports", help="folder of scripts/scheduled-checks.sh: one CHECK.txt for each that is not well"
        ),
    ],
    run_url: Annotated[str, typer.Option("--run-url", help="page of the run that looked")] = "",
    author: AuthorOption = None,
) -> None:
    """Keep one open issue of a stack while something is not as declared; close it when all is."""
    from mailstack.pull_request.comment import marker
    from mailstack.pull_request.conversation import BOT, close_issue, keep_issue
    from mailstack.pull_request.github import GitHub
    from mailstack.pull_request.report import issue_body, issue_title

    try:
        mark = marker(stack, "checks")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    github, foot, by = GitHub.of_job(os.environ), f"Run: {run_url}" if run_url else "", author or BOT
    if not (reports / LOOKED).is_file():
        raise RuntimeError(
            f"{reports / LOOKED} is not there: the checks did not end, so nothing is told. See their log"
        )
    texts = {path.stem: _text(path) for path in sorted(reports.glob("*.txt"))}
    if texts:
        done = keep_issue(github, mark, issue_title(stack), issue_body(stack, texts), foot, author=by)
    else:
        done = close_issue(github, mark, foot, author=by)
    say(f"issue of {stack}: {done}")


def _text(path: Path) -> str:
    """Return a file's text. Raises RuntimeError, which says which file and why."""
    try:
        with path.open("rb") as file:
            found = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise RuntimeError(f"{path} cannot be read: {error.strerror}") from None
    if len(found) > MOST_BYTES:
        raise RuntimeError(f"{path} has more than {MOST_BYTES} bytes; that is no preview and no report")
    return found.decode("utf-8", errors="replace")


def _variable(name: str) -> str:
    found = os.environ.get(name)
    if not found:
        raise RuntimeError(f"{name} is not set. Fix: run this in a job of GitHub Actions")
    return found
