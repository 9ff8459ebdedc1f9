"""What a finished run of the preview workflow left, read as data by a job that has rights.

The run may be a fork's: its code, and so everything in its artifacts, may be an attacker's. Who asks, for which pull
request and from which repository, is told by GitHub's event and API alone. Artifacts are bounded before they are read,
never unpacked to a disk, and only the files that are expected are looked at.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from lzma import LZMAError
from typing import Any

from mailstack.pull_request.api import Api
from mailstack.pull_request.comment import declared_comment, marker

__all__ = ["ArtifactError", "FinishedRun", "comments", "finished_run", "one_file", "pull_request"]

MOST_ARTIFACT_BYTES = 1_048_576
MOST_FILE_BYTES = 262_144
# GitHub's bound of a comment.
MOST_CHARACTERS = 65_536
WORKFLOW = ".github/workflows/preview.yml"


class ArtifactError(RuntimeError):
    """An artifact is not what the preview workflow makes; the text says what was found."""


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run of the preview workflow: ``head`` is the repository it came from, ``sha`` the commit."""

    identity: int
    repository: str
    head: str
    branch: str
    sha: str
    default_branch: str

    @property
    def from_fork(self) -> bool:
        """Tell whether the run's code is from another repository: it had no secrets, and is not believed."""
        return self.head != self.repository


def finished_run(event: Mapping[str, Any], repository: str) -> FinishedRun | None:
    """Return the run of an event ``workflow_run``; None where there is nobody to tell.

    Raises ArtifactError for an event of another kind.
    """
    run = event.get("workflow_run")
    if not isinstance(run, Mapping):
        raise ArtifactError("the event is no workflow_run; this runs in .github/workflows/comment.yml only")
    # The path is followed by @ and the branch in some answers.
    if run.get("path", "").partition("@")[0] != WORKFLOW:
        raise ArtifactError(f"the run is of {run.get('path')!r}, not of {WORKFLOW}")
    if run.get("event") != "pull_request" or not run.get("head_repository"):
        return None  # pushed, or the fork is gone
    return FinishedRun(
        identity=int(run["id"]),
        repository=repository,
        head=str(run["head_repository"]["full_name"]),
        branch=str(run["head_branch"]),
        sha=str(run["head_sha"]),
        default_branch=str(event["repository"]["default_branch"]),
    )


def pull_request(github: Api, run: FinishedRun) -> int | None:
    """Return the number of the open pull request whose newest commit the run looked at; None where there is none.

    The event names no pull request of a fork, and the artifact is not asked: GitHub is.
    """
    owner = run.head.partition("/")[0]
    for pull in github.pages("/pulls", state="open", head=f"{owner}:{run.branch}", base=run.default_branch):
        head = pull["head"]
        # The API ignores a filter it cannot read, and then lists all.
        if (
            head["sha"] == run.sha
            and head["ref"] == run.branch
            and (head["repo"] or {}).get("full_name") == run.head
            and pull["base"]["ref"] == run.default_branch
        ):
            return int(pull["number"])
    return None


def comments(github: Api, run: FinishedRun, stacks: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (stack, body) for each of ``stacks`` that the run has something on.

    A preview of our own branch is taken as our code rendered it. From a fork only what it declares is taken, and shown
    as a text.
    """
    listed = github.pages(f"/actions/runs/{run.identity}/artifacts", key="artifacts")
    # A run that was started again has those of its first attempt too: the newest counts.
    known = sorted((found for found in listed if not found.get("expired")), key=lambda found: int(found["id"]))
    there = {str(found["name"]): found for found in known}
    for stack in stacks:
        mark = marker(stack)
        if not run.from_fork and (found := there.get(f"preview-{stack}")) is not None:
            body, whole = one_file(_downloaded(github, found), "comment.md")
            if not whole or not body.startswith(mark) or len(body) > MOST_CHARACTERS:
                raise ArtifactError(
                    f"preview-{stack}: comment.md has {len(body)} characters, first {body[:40]!r}; expected at most "
                    f"{MOST_CHARACTERS}, after {mark}. Fix: write it by `mailstack pr comment`"
                )
            yield stack, body
        elif (found := there.get(f"declared-{stack}")) is not None:
            diff, whole = one_file(_downloaded(github, found), "diff.txt")
            yield stack, declared_comment(stack, diff, commit=run.sha, most=None if whole else MOST_FILE_BYTES)


def _downloaded(github: Api, artifact: Mapping[str, Any]) -> bytes:
    size = int(artifact["size_in_bytes"])
    if size > MOST_ARTIFACT_BYTES:
        raise ArtifactError(f"{artifact['name']} has {size} bytes, more than {MOST_ARTIFACT_BYTES}; it was not read")
    return github.download(f"/actions/artifacts/{int(artifact['id'])}/zip", MOST_ARTIFACT_BYTES)


def one_file(archive: bytes, name: str) -> tuple[str, bool]:
    """Return the text of file ``name`` in a ZIP archive, and whether that is all of it: of a long one only its start.

    Nothing else in the archive is looked at. Raises ArtifactError.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened, opened.open(name) as file:
            # The archive's own word on its size may be a lie.
            found = file.read(MOST_FILE_BYTES + 1)
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError, EOFError, OSError, zlib.error, LZMAError) as error:
        raise ArtifactError(f"the artifact is no ZIP archive with {name}: {error}") from None
    return found[:MOST_FILE_BYTES].decode("utf-8", errors="replace"), len(found) <= MOST_FILE_BYTES
