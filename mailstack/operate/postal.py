"""What an operator does with a running Postal, on its host or on a cluster: look, log, back up, bring back."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mailstack.operate.ages import ago
from mailstack.postal import overview
from mailstack.reach.entry import Entry
from mailstack.reach.kubectl import KubectlError
from mailstack.reach.operations import PostalAt
from mailstack.reach.place import Follower, HostPlace, PlaceError, PodPlace, Report, StoppedError

__all__ = [
    "LEAST_FREE",
    "OLD_BACKUP_SECONDS",
    "PROCESSES",
    "Postal",
    "UpgradeError",
    "shown_release",
    "upgrade_problem",
]

ROLE = "postal_operations"
# A dump of all mail may take hours; SSH keeps the session.
LONG_SECONDS = 12 * 3600 + 600
DEFAULT_LIMIT = 200
SQL_SCRIPT = Path(__file__).with_name("query.rb")
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)\Z")
PROCESSES = ("web", "smtp", "worker")
COMPONENT = "app.kubernetes.io/component"
DIGEST_SHOWN = len("sha256:") + 12
# Of a disk, and of the memory.
LEAST_FREE = 0.1
# The timer makes one a day, unless a stack says otherwise; two missed ones are no accident.
OLD_BACKUP_SECONDS = 2 * 86400


class UpgradeError(RuntimeError):
    """The version cannot be gone to; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Postal:
    """The Postal of a stack."""

    entry: Entry

    @property
    def at(self) -> PostalAt:
        """Return where it is. Raises PlaceError where the stack has none."""
        at = self.entry.operations.postal
        if at is None:
            raise PlaceError(f"stack {self.entry.stack} has no Postal")
        return at

    def _host(self, what: str) -> HostPlace:
        if self.at.host is None:
            raise PlaceError(
                f"{what}: Postal runs on a cluster here. Its data is in the database alone: back that up and bring it "
                "back as its operator or provider does"
            )
        return self.entry.host(self.at.host)

    def _run(self, operation: str, **settings: Any) -> Report:
        return self._host(operation).run(ROLE, {"operation": operation, **settings}, "check")

    def _query(self) -> overview.Query:
        """Return what asks the database from a pod: its own login is in the pod's configuration."""
        script = SQL_SCRIPT.read_text(encoding="utf-8")
        pod = self._pod_that_asks()

        def ask(questions: Sequence[str]) -> list[list[list[str]]]:
            text = pod.execute("ruby", "-e", script, stdin=json.dumps(list(questions)))
            answers = json.loads(text.strip().splitlines()[-1])
            return [[[str(value) for value in row] for row in rows] for rows in answers]

        return ask

    def _pod_that_asks(self) -> PodPlace:
        """Return a pod that runs: the worker's, else another's, since all of them know the database."""
        at = self.at.pods
        if at is None:
            raise PlaceError("Postal runs on a host here, not in pods")
        reasons: list[str] = []
        for component in ("worker", "web", "smtp"):
            try:
                return self.entry.pods(at.model_copy(update={"labels": {**at.labels, COMPONENT: component}}))[0]
            except StoppedError as error:
                reasons.append(str(error))
        raise StoppedError(reasons[0])

    def status(self) -> dict[str, Any]:
        """Return processes, versions, queue, room and the last backup, as role ``postal_operations`` tells them."""
        if self.at.placement == "vm":
            return dict(self._run("status").facts)
        found: dict[str, Any] = {"image": self.at.image, "processes": list(self._pods()), "disk": [], "backup": None}
        # A database that is away, or no pod to ask it from, is what somebody looks for here: said, not raised.
        try:
            ask = self._query()
            found["database"] = {
                "version": ask(["SELECT VERSION();"])[0][0][0],
                "bytes": overview.database_bytes(ask, self.at.database, self.at.prefix),
                "error": None,
            }
            servers = overview.queue(ask, self.at.database, self.at.prefix, DEFAULT_LIMIT)
            found["servers"] = [{**one, "messages": len(one["messages"])} for one in servers]
        except (PlaceError, KubectlError) as error:
            found["database"], found["servers"] = {"error": str(error)}, None
        return found

    def _pods(self) -> "list[dict[str, Any]]":
        at = self.at.pods
        if at is None:
            return []
        labels = ",".join(f"{name}={value}" for name, value in at.labels.items())
        text = self.entry.cluster(at).run(
            "get", "pods", f"--namespace={at.namespace}", f"--selector={labels}", "--output=json"
        )
        return [_process(pod) for pod in json.loads(text)["items"] if _component(pod) in PROCESSES]

    def queue(self, limit: int = DEFAULT_LIMIT) -> list[dict[str, Any]]:
        """Return each mail server's queue (``overview.queue``)."""
        if self.at.placement == "vm":
            servers: list[dict[str, Any]] = self._run("queue", limit=limit).facts["servers"]
            return servers
        return overview.queue(self._query(), self.at.database, self.at.prefix, limit)

    def users(self) -> list[dict[str, Any]]:
        """Return who may log in, and whether they are declared."""
        found: list[dict[str, Any]]
        if self.at.placement == "vm":
            found = self._run("users").facts["users"]
        else:
            found = overview.users(self._query(), self.at.database)
        return [{**user, "declared": user["email"] in self.at.users} for user in found]

    def credentials(self) -> list[dict[str, Any]]:
        """Return the keys by name, and whether they are declared."""
        found: list[dict[str, Any]]
        if self.at.placement == "vm":
            found = self._run("credentials").facts["credentials"]
        else:
            found = overview.credentials(self._query(), self.at.database)
        declared = self.at.credentials
        return [{**one, "declared": one["name"] in declared.get(one["server"], ())} for one in found]

    def logs(
        self, process: str | None, *, since: float | None, limit: int
    ) -> tuple[dict[str, list[str]], dict[str, str]]:
        """Return the last ``limit`` lines of each container or pod, and what could not be asked, with the reason.

        ``since`` is in seconds before now.
        """
        start = None if since is None else ago(since)
        if self.at.placement == "vm":
            lines: dict[str, list[str]] = self._run("log", process=process, since=start, limit=limit).facts["lines"]
            return lines, {}
        pods, gone = self._log_pods(process)
        found: dict[str, list[str]] = {}
        unseen = {name: str(error) for name, error in gone.items()}
        for pod in pods:
            try:
                found[pod.name] = pod.log(start, limit)
            except KubectlError as error:
                unseen[pod.name] = str(error)
        return found, unseen

    def followers(self, process: str | None, *, since: float | None, limit: int) -> dict[str, Follower]:
        """Return, for the host or each pod, what gives the same and then each line as it comes, until interrupted."""
        start = None if since is None else ago(since)
        if self.at.placement == "vm":
            host = self._host("log")
            choice = {"process": process, "since": start, "limit": limit}
            return {host.name: partial(host.follow, ROLE, choice)}
        pods, gone = self._log_pods(process)
        followers: dict[str, Follower] = {pod.name: partial(pod.follow, start, tail=limit) for pod in pods}
        followers.update({name: partial(_cannot, error) for name, error in gone.items()})
        return followers

    def _log_pods(self, process: str | None) -> tuple[list[PodPlace], dict[str, StoppedError]]:
        """Return the pods that run, and the processes that none runs of. Raises StoppedError where there is no pod."""
        at = self.at.pods
        if at is None:
            return [], {}
        if process is not None and process not in PROCESSES:
            raise PlaceError(f"Postal has no process {process!r}; there are: {', '.join(PROCESSES)}")
        found: list[PodPlace] = []
        gone: dict[str, StoppedError] = {}
        for component in PROCESSES if process is None else (process,):
            try:
                found += self.entry.pods(at.model_copy(update={"labels": {**at.labels, COMPONENT: component}}))
            except StoppedError as error:
                gone[component] = error
        if not found:
            raise next(iter(gone.values()))
        return found, gone

    def backups(self) -> list[dict[str, Any]]:
        """Return the backups on the host, the newest first."""
        found: list[dict[str, Any]] = self._run("backups").facts["backups"]
        return found

    def backup(self, say: Callable[[str], None]) -> dict[str, Any]:
        """Make a backup now and return its file, size and manifest."""
        report = self._host("backup").run(ROLE, {"operation": "backup"}, "apply", LONG_SECONDS, on_line=say)
        made: dict[str, Any] = report.facts["backup"]
        return made

    def restore(self, file: str, *, with_config: bool, say: Callable[[str], None], agreed: bool) -> Mapping[str, Any]:
        """Return what a restore of ``file`` ("" for the newest) brings and replaces; with ``agreed``, do it."""
        settings = {"operation": "restore", "file": file, "with_config": with_config}
        place = self._host("restore")
        if not agreed:
            return place.run(ROLE, settings, "check").facts
        return place.run(ROLE, settings, "apply", LONG_SECONDS, on_line=say).facts


def _cannot(error: StoppedError, _on_line: Callable[[str], None]) -> None:
    """Follow what is not there."""
    raise error


def _component(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"].get("labels", {}).get(COMPONENT, ""))


def _process(pod: Mapping[str, Any]) -> dict[str, Any]:
    statuses = pod["status"].get("containerStatuses") or [{}]
    ready = bool(statuses[0].get("ready"))
    return {
        "service": _component(pod),
        "container": pod["metadata"]["name"],
        "running": pod["status"].get("phase") == "Running",
        "health": "healthy" if ready else "not ready",
        "image": pod["spec"]["containers"][0]["image"],
        "restarts": int(statuses[0].get("restartCount", 0)),
        "started": str(pod["status"].get("startTime", "")),
    }


def shown_release(image: str) -> str:
    """Return what people know an image by: its tag, or the beginning of the digest that pins it."""
    _, pinned, digest = image.partition("@")
    return digest[:DIGEST_SHOWN] if pinned else image.rpartition(":")[2]


def upgrade_problem(running: str, wanted: str) -> str | None:
    """Return why ``wanted`` cannot follow ``running`` (both tags such as 3.3.7), None where it can."""
    new = VERSION.match(wanted)
    if new is None:
        return f"{wanted!r} is no exact release: write one such as 3.3.7 (docs/how-to/upgrade-postal.md)"
    old = VERSION.match(running)
    if old is None:
        return None  # a digest or a tag of your own: nothing to compare
    if tuple(map(int, new.groups())) == tuple(map(int, old.groups())):
        return f"{wanted} runs already"
    if tuple(map(int, new.groups())) < tuple(map(int, old.groups())):
        return f"{wanted} is older than {running}: Postal's databases do not go back. Restore a backup of that version"
    return None
