"""The role: fetch and check, snapshot, replace as a set, prove the node ready, and go back where it is not."""

import contextlib
import os
import time
from typing import Any, Dict, List

from k3s import binary, node, paths, state
from k3s.desired import Desired
from k3s.facts import Facts, enforcing_selinux, gather
from k3s.planning import plan
from k3s.removal import remove
from rolelib.commands import CommandError, run
from rolelib.files import Transaction
from rolelib.host import RoleError, service_is_active, systemctl
from rolelib.protocol import Change, Plan, Role

__all__ = ["K3s"]

SNAPSHOT_SECONDS = 300
# A short patience with the new release must not be one with the old.
BACK_SECONDS = 120
SNAPSHOT_NAME = "mailstack-upgrade"
SNAPSHOTS_KEPT = 5


class K3s(Role):
    """A server or an agent of a k3s cluster.

    Settings: see ``mailstack.plan.cluster``. Secrets: ``token``, ``registry_passwords`` (by registry). Facts in the
    summary: ``node``, ``kind``, ``version``, ``ready``, ``snapshot`` (of etcd, before an upgrade).
    """

    name = "k3s"

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        """Hold settings and secrets; nothing on the host is looked at yet."""
        Role.__init__(self, settings, secrets)
        self.wanted: Desired
        self.host: Facts

    # -- looking ------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Compare the host with the settings."""
        self.wanted = Desired(self.settings, self.secrets, os.uname().machine, enforcing_selinux())
        self.host = gather(self.wanted)
        self._report()
        return [Change(step, what, _done_by_apply) for step, what in plan(self.host, self.wanted)]

    def _report(self) -> None:
        ready = node.trouble(self.host.node, self.wanted.version) is None
        self.facts.update(node=self.wanted.name, kind=self.wanted.kind, version=self.host.version, ready=ready)

    # -- changing -----------------------------------------------------------------------------------------

    def apply(self, changes: Plan) -> None:
        """Do everything as one change: all of it, or the host is as it was."""
        if not changes:
            return
        for change in changes:
            self.say(change.step, change.what)
        steps = {change.step for change in changes}
        if "resume" in steps:
            self._resume()
        wanted = self.wanted
        if self.host.sha256 != wanted.sha256:
            self.say("program", f"from {wanted.binary_file or wanted.url}")
            binary.prepare(wanted)
        for images in wanted.images:
            if self.host.images[images.path] != images.sha256:
                binary.place_images(images)
        state.save(wanted.kind, wanted.name, wanted.fixed)
        was_active = service_is_active(wanted.unit)
        if was_active and self.host.sha256 not in (None, wanted.sha256):
            self._snapshot()
        transaction = Transaction(state.ROLLBACK)
        try:
            self._replace(transaction)
            self._start()
        except (RoleError, CommandError) as error:
            self.say("roll back", "put program and files back as they were")
            back = self._go_back(transaction, was_active)
            raise RoleError(error.step if isinstance(error, RoleError) else "service", f"{error}\n{back}") from None
        transaction.close()
        for path in self.host.old_images:
            os.unlink(path)

    def _resume(self) -> None:
        """Take back what a killed run left half done. k3s goes on with whatever it runs until the start below."""
        leftover = Transaction.leftover(state.ROLLBACK)
        if leftover is not None:
            leftover.restore()
            leftover.close()
        self.host = gather(self.wanted)
        problems = [what for step, what in plan(self.host, self.wanted) if step == "program"]
        self.say("resume", "; ".join(problems) or "the program is the declared one")

    def _snapshot(self) -> None:
        """Save etcd before an upgrade, which the database does not come back from."""
        if self.wanted.kind != "server":
            return
        save = [paths.BINARY, "etcd-snapshot", "save", "--name", SNAPSHOT_NAME]
        result = run(save, check=False, timeout=SNAPSHOT_SECONDS)
        if not result.ok:
            raise RoleError(
                "snapshot", f"etcd was not saved, so nothing was changed: {(result.err or result.out)[-500:]}"
            )
        self.facts["snapshot"] = os.path.join(paths.DATA, "server/db/snapshots", SNAPSHOT_NAME)
        self.say("snapshot", f"etcd saved as {SNAPSHOT_NAME}-* in {paths.DATA}/server/db/snapshots")
        prune = ["prune", "--name", SNAPSHOT_NAME, "--snapshot-retention", str(SNAPSHOTS_KEPT)]
        if not run([paths.BINARY, "etcd-snapshot", *prune], check=False, timeout=SNAPSHOT_SECONDS).ok:
            self.warnings.append(f"old snapshots {SNAPSHOT_NAME}-* could not be pruned")

    def _replace(self, transaction: Transaction) -> None:
        if os.path.exists(paths.NEW_BINARY):
            binary.install(transaction)
        for file in self.wanted.files:
            transaction.write(file)
        for path in self.host.stale:
            transaction.remember(path)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _start(self) -> None:
        wanted = self.wanted
        systemctl("daemon-reload")
        systemctl("enable", wanted.unit)
        self._restart(wanted.ready_seconds)

    def _restart(self, seconds: int) -> None:
        """Start k3s with what is on the disk now, and wait for the node. Raises RoleError."""
        wanted = self.wanted
        run(["systemctl", "reset-failed", wanted.unit], check=False)
        since = time.time()
        # The unit counts as started once the node has joined, which may be never: so it is not waited for.
        systemctl("--no-block", "restart", wanted.unit)
        version = binary.version_of(paths.BINARY) or ""
        node.wait_until_ready(wanted.kind, wanted.name, version, seconds, since)

    def _go_back(self, transaction: Transaction, was_active: bool) -> str:
        if not was_active:
            run(["systemctl", "disable", "--now", self.wanted.unit], check=False)
        transaction.restore()
        transaction.close()
        systemctl("daemon-reload")
        if not was_active:
            return "k3s did not run before and does not run now; program and files are as they were"
        try:
            self._restart(max(self.wanted.ready_seconds, BACK_SECONDS))
        except (RoleError, CommandError) as error:
            return f"program and files are as they were, but the node does not come up with them: {error}"
        return "program and files are as they were, and the node is ready with them"

    def verify(self) -> None:
        """Prove that the host is as declared and the node ready with the declared version."""
        self.host = gather(self.wanted)
        left = plan(self.host, self.wanted)
        if left:
            raise RoleError("verify", "after the run the host still differs: " + "; ".join(what for _, what in left))
        self._report()

    # -- undoing ------------------------------------------------------------------------------------------

    def remove(self) -> List[str]:
        """Take the node out of the cluster where it can, and everything of it off the host."""
        return remove(self.settings, self.say, self.warnings)


def _done_by_apply() -> None:
    """Steps depend on one another; ``apply`` does them together."""
