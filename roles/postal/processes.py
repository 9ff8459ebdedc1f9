"""Starting, replacing and migrating; and putting back what was there when that fails."""

import os
import re
from typing import Any, Callable, Dict, List

from mailstack.postal.compose import PROJECT, image_reference
from postal import paths
from postal.backup import databases
from postal.backup.archive import BackupError
from postal.backup.archive import Plan as BackupPlan
from postal.backup.dump import make
from postal.backup.restore import load_databases
from postal.desired import Desired, expected_containers
from postal.state import State
from rolelib.commands import CommandError, redact
from rolelib.containers import Compose, wait_until_healthy
from rolelib.host import RoleError
from rolelib.owned_files import write

__all__ = ["Processes", "prepare_directories", "telling_lines"]

MIGRATION_SECONDS = 3600
TOLD_LINES = 12
NOISE = re.compile(r":[0-9]+:in [`']|^Creating \S+_run|^\(See full trace|^Tasks: TOP")
PREPARING, STARTING = "preparing", "starting"
INITIALISE_SECONDS = 600


class Processes:
    """The running installation on this host."""

    def __init__(self, settings: Dict[str, Any], state: State, say: Callable[[str, str], None]) -> None:
        """``say`` prints a progress line."""
        self.settings = settings
        self.state = state
        self.say = say

    def compose(self) -> Compose:
        """Return Compose for the file that is there now."""
        return Compose(PROJECT, paths.ROOT)

    def replace(self, wanted: Desired, database: Dict[str, Any], migrate: bool) -> None:
        """Swap the files in, make the database fit, start the processes; on failure put everything back.

        ``migrate``: the databases were last used by another image. They are dumped first and come back as well.
        Raises RoleError.
        """
        transaction = self.state.transaction()
        first = not os.path.exists(paths.COMPOSE)
        dump = self._stop_and_dump() if migrate else None
        for file in wanted.every_file:
            transaction.remember(file.path)
        self.state.begin(phase=PREPARING, first=first, dump=dump)
        try:
            prepare_directories()
            for file in wanted.every_file:
                write(file)
            self._fit_database(database, migrate)
            # From here on new mail may be accepted: a run after a kill goes on and does not go back.
            self.state.begin(phase=STARTING, first=first, dump=dump)
            self.start()
        except (RoleError, CommandError, OSError) as error:
            self.say("roll back", str(error).splitlines()[0])
            raise RoleError("activate", f"{error}; {self.roll_back()}") from None
        self.state.end()

    def resume(self) -> None:
        """Deal with what a killed run left: undo it, unless its processes may already have accepted mail."""
        if self.state.pending().get("phase") == PREPARING:
            self.say("resume", self.roll_back())
        self.state.end()

    def start(self) -> None:
        """Start what differs and wait until every process passes its own health check."""
        scale = {"worker": self.settings["compose"]["worker_replicas"]}
        self.compose().up(scale, timeout=self.settings["compose"]["stop_grace_seconds"] + 300)
        wait_until_healthy(PROJECT, expected_containers(self.settings), self.settings["checks"]["health_seconds"])

    def _stop_and_dump(self) -> str:
        plan = BackupPlan.load()
        try:
            databases.require_space(plan)
        except BackupError as error:
            raise RoleError("upgrade", f"nothing has changed: {error}") from None
        self.say("upgrade", "stopping Postal; workers finish the message they are sending")
        self.stop()
        self.say("upgrade", "dumping all databases")
        try:
            return make(plan, "before-upgrade")
        except (BackupError, CommandError, OSError) as error:
            self.start_again()
            raise RoleError("upgrade", f"no dump, so no upgrade; the old version runs again: {error}") from None

    def start_again(self) -> None:
        """Start the containers that are there, as they are."""
        if not os.path.exists(paths.COMPOSE):
            return
        self.compose().run(["start"], check=False)

    def stop(self) -> None:
        """Stop all processes; every worker has its grace period."""
        if not os.path.exists(paths.COMPOSE):
            return
        grace = self.settings["compose"]["stop_grace_seconds"]
        self.compose().run(["stop", "--timeout", str(grace)], timeout=grace + 120)

    def _fit_database(self, database: Dict[str, Any], migrate: bool) -> None:
        """Initialise an empty database, migrate an old one. Never both, and never while processes run on it."""
        if database["migrations"] == 0:
            self.say("database", "creating Postal's tables")
            self._postal("initialize", INITIALISE_SECONDS)
        elif migrate:
            self.say("upgrade", f"migrating to {image_reference(self.settings['image'])}")
            self._postal("upgrade", MIGRATION_SECONDS)
        else:
            return
        # `postal initialize` is a shell script; this asks the database itself.
        self._runner(["bundle", "exec", "rails", "db:abort_if_pending_migrations"], INITIALISE_SECONDS)

    def _postal(self, command: str, seconds: int) -> None:
        self._runner(["postal", command], seconds)

    def _runner(self, command: List[str], seconds: int) -> None:
        arguments = ["run", "--rm", "-T", "runner", *command]
        result = self.compose().run(arguments, stdin="", check=False, timeout=seconds)
        if not result.ok:
            said = "\n".join(telling_lines(result.out + result.err))
            raise RoleError("database", redact(f"{' '.join(command)} ended with exit code {result.code}: {said}"))

    def roll_back(self) -> str:
        """Put back files, databases and processes as they were before; return in words how that went."""
        pending = self.state.pending()
        before = self.state.leftover()
        try:
            if pending.get("dump") or pending.get("first"):
                self.compose().run(["down", "--timeout", "30"], check=False)
            if before is not None:
                before.restore()
            if pending.get("dump"):
                load_databases(BackupPlan.load(), pending["dump"])
            if pending.get("first"):
                self.state.end()
                return "nothing ran before; the new files are removed again"
            self.start_as_before()
        except (RoleError, CommandError, BackupError, OSError) as error:
            dump = f" The dump from before is {pending['dump']}." if pending.get("dump") else ""
            return f"the previous files are back, but Postal does not run with them: {error}.{dump}"
        self.state.end()
        if pending.get("dump"):
            return "the previous version and its data are back and running"
        return "the previous configuration is back and running"

    def start_as_before(self) -> None:
        """Start the previous compose file; its number of workers is what was applied last."""
        workers = self.state.applied().get("workers", 1)
        self.compose().up({"worker": workers}, timeout=600)
        seconds = self.settings["checks"]["health_seconds"]
        wait_until_healthy(PROJECT, {"web": 1, "smtp": 1, "worker": workers}, seconds)


def telling_lines(output: str) -> List[str]:
    """Return the last lines of a Ruby program's output without its back trace and Compose's own remarks."""
    lines = [line for line in output.splitlines() if line.strip() and not NOISE.search(line)]
    return lines[-TOLD_LINES:]


def prepare_directories() -> None:
    """Make /opt/postal and its configuration directory; the container's user may pass and read, nobody else."""
    os.makedirs(paths.ROOT, exist_ok=True)
    os.chmod(paths.ROOT, 0o755)  # noqa: S103 - what is secret below has its own mode
    os.makedirs(paths.CONFIG, exist_ok=True)
    os.chown(paths.CONFIG, 0, paths.USER_ID)
    os.chmod(paths.CONFIG, 0o750)  # noqa: S103 - the container's user may pass
