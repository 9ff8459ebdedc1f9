"""`mailstack pr`: what jobs of a forge call to tell people what a change does."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from cli.common import StackOption, say, tell

__all__ = ["pr"]

pr = typer.Typer(
    help="Tell a pull request, or an issue, about a stack. For jobs: docs/how-to/pull-requests.md.",
    no_args_is_help=True,
)

# A preview of thousands of records is a tenth of it.
MOST_BYTES = 64 * 1_048_576
# What scripts/scheduled-checks.sh leaves once all checks were made.
LOOKED, VERIFIED = "looked", "verify.json"

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
    diff: Annotated[Path | None, typer.Option("--diff", help="what `mailstack diff` said: its JSON, or a text")] = None,
    commit: Annotated[str | None, typer.Option("--commit", help="commit that was looked at")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="file for the comment instead of the terminal")
    ] = None,
) -> None:
    """Write the comment on a preview: records, roles, restarts, policies, deliverability. Ends with 1 if it failed."""
    from mailstack.pull_request.comment import comment as rendered
    from mailstack.pull_request.preview import read_preview

    _mark(stack)
    found = read_preview(_text(preview), None if events is None else _text(events), name=str(preview))
    body = rendered(stack, found, diff=None if diff is None else _text(diff), commit=commit)
    if output is None:
        say(body)
    else:
        output.write_text(body, encoding="utf-8")
    raise typer.Exit(1 if found.failed else 0)


@pr.command()
def post(stack: StacksOption, *, author: AuthorOption = None) -> None:
    """On GitHub, after the preview's run: put its comments where they belong. Reads artifacts as data only."""
    from mailstack.pull_request.comment import marker
    from mailstack.pull_request.conversation import put_comment
    from mailstack.pull_request.finished_run import ArtifactError, comments, finished_run, pull_request
    from mailstack.pull_request.github import GitHub
    from mailstack.pull_request.job import variables

    github = GitHub.of_job(os.environ, author)
    path, repository = variables(os.environ, "GITHUB_EVENT_PATH", "GITHUB_REPOSITORY")
    run = finished_run(json.loads(_text(Path(path))), repository)
    number = None if run is None else pull_request(github, run)
    if run is None or number is None:
        say("nobody to tell: no open pull request has this commit as its newest")
        return
    told, wrong = 0, False
    for one in stack:
        try:
            for name, body in comments(github, run, [one]):
                say(f"#{number}: comment of {name}: {put_comment(github, number, marker(name), body)}")
                told += 1
        except ArtifactError as error:  # of one stack: the others are told about all the same
            tell(str(error))
            wrong = True
    if not told:
        say(f"#{number}: the run left nothing to tell of {', '.join(stack)}")
    raise typer.Exit(1 if wrong else 0)


@pr.command()
def note(
    stack: StackOption,
    *,
    comment: Annotated[Path, typer.Option("--comment", help="what `mailstack pr comment --output` wrote")],
) -> None:
    """On GitLab, in the merge request's own pipeline: put the comment there, or update it."""
    from mailstack.pull_request.conversation import put_comment
    from mailstack.pull_request.gitlab import GitLab
    from mailstack.pull_request.job import variables

    gitlab = GitLab.of_job(os.environ)
    number = int(variables(os.environ, "CI_MERGE_REQUEST_IID")[0])
    # In a pipeline of merged results CI_COMMIT_SHA is the merge, and the branch's own commit has a variable of its own.
    commit = os.environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or variables(os.environ, "CI_COMMIT_SHA")[0]
    if gitlab.newest_commit(number) != commit:
        say(f"!{number}: nobody to tell: it is not open any more, or {commit[:12]} is not its newest commit")
        return
    say(f"!{number}: comment of {stack}: {put_comment(gitlab, number, _mark(stack), _text(comment))}")


@pr.command()
def issue(
    stack: StackOption,
    *,
    reports: Annotated[
        Path,
        typer.Option(
            "--reports", help="folder of scripts/scheduled-checks.sh: CHECK.txt or verify.json of what is not well"
        ),
    ],
    run_url: Annotated[str, typer.Option("--run-url", help="page of the run that looked")] = "",
    author: AuthorOption = None,
) -> None:
    """Keep one open issue of a stack while something is not as declared; close it when all is. GitHub or GitLab."""
    from mailstack.pull_request.conversation import close_issue, keep_issue
    from mailstack.pull_request.github import GitHub
    from mailstack.pull_request.gitlab import GitLab
    from mailstack.pull_request.report import issue_body, issue_title

    mark, foot = _mark(stack, "checks"), f"Run: {run_url}" if run_url else ""
    forge = GitLab.of_job(os.environ) if os.environ.get("GITLAB_CI") else GitHub.of_job(os.environ, author)
    if not (reports / LOOKED).is_file():
        raise RuntimeError(
            f"{reports / LOOKED} is not there: the checks did not end, so nothing is told. See their log"
        )
    texts = {path.stem: _text(path) for path in sorted(reports.glob("*.txt"))}
    verified = _text(reports / VERIFIED) if (reports / VERIFIED).is_file() else None
    if texts or verified is not None:
        done = keep_issue(forge, mark, issue_title(stack), issue_body(stack, texts, verified), foot)
    else:
        done = close_issue(forge, mark, foot)
    say(f"issue of {stack}: {done}")


def _mark(stack: str, kind: str = "preview") -> str:
    """Return the mark of a stack. A name that is none is a wrong call."""
    from mailstack.pull_request.comment import marker

    try:
        return marker(stack, kind)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


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
