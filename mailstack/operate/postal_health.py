"""What is wrong with a running Postal: one judgement, for `mailstack status` and `mailstack postal status` alike."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mailstack.operate.ages import age
from mailstack.operate.postal import LEAST_FREE, OLD_BACKUP_SECONDS, PROCESSES
from mailstack.postal.compose import PROJECT
from mailstack.reach.operations import PostalAt

__all__ = ["Problem", "problems"]

GIGABYTE = 1024**3
# Where role postal puts it.
COMPOSE = "/opt/postal/compose.yaml"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """``what`` is wrong, and the ``step`` that mends it or shows more. ``fail``: mail stops, or may be lost by it."""

    what: str
    step: str
    state: Literal["fail", "warn"]

    def __str__(self) -> str:
        """Return both."""
        return f"{self.what}: {self.step}"


def problems(found: Mapping[str, Any], stack: str, at: PostalAt) -> list[Problem]:
    """Return what is wrong in ``found``, as ``Postal.status`` returns it of the Postal that is ``at``."""
    return [
        *_processes(found, stack, at),
        *_data(found),
        *_backup(found.get("backup"), stack, timed=at.calendar is not None),
        *(
            Problem(what=f"mail server {one['server']} is suspended", step="Postal's web UI says why", state="fail")
            for one in found["servers"] or ()
            if one.get("suspended")
        ),
    ]


def _processes(found: Mapping[str, Any], stack: str, at: PostalAt) -> Iterator[Problem]:
    for name in PROCESSES:
        mine = [one for one in found["processes"] if one["service"] == name]
        if not mine:
            yield Problem(what=f"process {name} is not there", step=_start(at), state="fail")
        for one in mine:
            log = f"`mailstack postal logs {name} --stack {stack}`"
            what = f"process {name} ({one['container']}) is"
            if not one["running"]:
                yield Problem(what=f"{what} not running", step=log, state="fail")
            elif one["health"] == "starting":
                yield Problem(what=f"{what} starting", step="look again in half a minute", state="warn")
            elif one["health"] not in {None, "healthy"}:
                yield Problem(what=f"{what} {one['health']}", step=log, state="fail")


def _start(at: PostalAt) -> str:
    """Return what brings a container or pod back. `pulumi up` does not: nothing that is declared has changed."""
    if at.pods is not None:
        return f"kubectl get deployments,pods --namespace {at.pods.namespace} says why"
    program = "docker compose (Debian 12: docker-compose)"
    return f"on host {at.host}: {program} --project-name {PROJECT} --file {COMPOSE} up --detach"


def _data(found: Mapping[str, Any]) -> Iterator[Problem]:
    if found["database"]["error"]:
        what = f"the database does not answer: {found['database']['error']}"
        yield Problem(what=what, step="nothing is taken or sent until it does", state="fail")
    for disk in found["disk"]:
        if disk["free"] < LEAST_FREE * disk["bytes"]:
            what = f"only {disk['free'] / GIGABYTE:.1f} GB are free at {disk['path']}"
            yield Problem(what=what, step="free some, or use a larger disk", state="warn")


def _backup(backup: Mapping[str, Any] | None, stack: str, *, timed: bool) -> Iterator[Problem]:
    """Where a timer makes them, none and old ones are wrong; one that failed always is."""
    if backup is None:
        return
    step = f"`mailstack postal backup --stack {stack}` makes one"
    if backup["error"]:
        yield Problem(what=f"the last backup failed: {backup['error']}", step=step, state="warn")
    elif timed and backup["age_seconds"] is None:
        yield Problem(what="there is no backup yet", step=step, state="warn")
    elif timed and backup["age_seconds"] > OLD_BACKUP_SECONDS:
        yield Problem(what=f"the last backup is {age(backup['age_seconds'])} old", step=step, state="warn")
