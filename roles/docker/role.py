"""The role: plan, apply step by step, prove, and go back where the daemon does not come up again."""

import json
import os
from typing import Any, Callable, Dict, List

from docker import daemon, install, paths
from docker import network as networks
from docker.facts import Facts, gather
from docker.planning import Desired, daemon_configuration, desired, plan, source_of
from docker.removal import remove
from rolelib.commands import run
from rolelib.files import DesiredFile, Transaction, read, write
from rolelib.host import RoleError, systemctl
from rolelib.protocol import Change, Plan, Role

__all__ = ["Docker"]

ADDRESS_SECONDS = 15


class Docker(Role):
    """Docker Engine, Compose and the network of the stack.

    Settings: ``source`` ("distribution" or "docker"), ``network`` (``name``, ``bridge``, ``subnet``, ``gateway``),
    ``registry_mirrors`` (URLs). Facts in the summary: ``engine`` and ``compose`` (versions), ``compose_command``
    (argv), ``storage_driver``, ``network``, ``selinux``.
    """

    name = "docker"

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        """Check the settings; nothing on the host is looked at yet."""
        Role.__init__(self, settings, secrets)
        self.wanted: Desired
        self.host: Facts

    # -- looking ------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Compare the host with the settings."""
        self.wanted = desired(self.settings)
        self._look()
        steps = plan(self.host, self.wanted, self.warnings)
        self._report()
        return [Change(step, what, _done_by_apply) for step, what in steps]

    def _look(self) -> None:
        self.host = gather(self.wanted.network, self.state_directory())

    def _report(self) -> None:
        facts, network = self.host, self.wanted.network
        options = facts.info.get("SecurityOptions") or []
        self.facts.update(
            engine=facts.engine,
            engine_package=facts.engine_package,
            compose=facts.compose_version,
            compose_command=facts.compose,
            storage_driver=facts.info.get("Driver"),
            live_restore=facts.info.get("LiveRestoreEnabled"),
            network={
                "name": network.name,
                "bridge": network.bridge,
                "subnet": network.subnet,
                "gateway": network.gateway,
                "mtu": facts.mtu,
                "containers": facts.users,
            },
            selinux={
                "enforcing": facts.selinux_enforcing,
                "docker": any("selinux" in str(item) for item in options),
            },
        )

    # -- changing -----------------------------------------------------------------------------------------

    def apply(self, changes: Plan) -> None:
        """Do each kind of step once, in the order of the plan. Facts are read again after each."""
        if not changes:
            return
        self._remember_before()
        doing: Dict[str, Callable[[], None]] = {
            "resume": self._resume,
            "packages": self._install,
            "daemon": self._configure,
            "service": self._start,
            "network": self._make_network,
            "unit": self._write_unit,
        }
        for change in changes:
            self.say(change.step, change.what)
        for step, action in doing.items():
            # What a step brings may ask for a later one: a new package starts a daemon with its own settings.
            if step in [change.step for change in changes]:
                action()
                self._look()

    def _rollback_directory(self) -> str:
        return os.path.join(self.state_directory(), "rollback")

    def _resume(self) -> None:
        """Undo what a killed run left half done; the steps after this one start from there."""
        leftover = Transaction.leftover(self._rollback_directory())
        if leftover is not None:
            leftover.restore()
            leftover.close()
        if self.host.installed:
            # The daemon may run with settings that are no longer in the file.
            systemctl("restart", "docker.service")
            daemon.wait_until_it_answers()
        self._look()
        self._configure()

    def _install(self) -> None:
        # The daemon's first start should find its configuration: no second start, no logs without a limit.
        fresh = not self.host.engine_package
        if fresh and self.host.daemon_json is None:
            content = daemon.text(daemon_configuration(self.host, self.wanted))
            write(DesiredFile(paths.DAEMON_JSON, content, 0o644))
        # Names are kept before anything is installed: a run may be cut off in the middle.
        added = install.install(self.host, source_of(self.host, self.wanted), self._remember_packages, self.say)
        self._look()
        if not self.host.compose:
            raise RoleError("packages", f"Compose does not run after installing {', '.join(added)}")
        self._start()
        self._configure()

    def _configure(self) -> None:
        daemon.configure(
            self.host, daemon_configuration(self.host, self.wanted), Transaction(self._rollback_directory()), self.say
        )

    def _start(self) -> None:
        if self.host.active and self.host.enabled and self.host.engine is not None:
            return
        run(["systemctl", "reset-failed", "docker.service"], check=False)
        systemctl("enable", "docker.service")
        # A daemon that runs and does not answer needs a new start.
        systemctl("restart" if self.host.active and self.host.engine is None else "start", "docker.service")
        daemon.wait_until_it_answers()

    def _make_network(self) -> None:
        network, facts = self.wanted.network, self.host
        if facts.users:
            return  # the plan has refused, or only warned
        if facts.network is not None:
            wrong, better = networks.differences(network, facts.mtu, facts.network)
            if not wrong and not better:
                return
            run(["docker", "network", "rm", network.name])
        run(networks.create_command(network, facts.mtu))

    def _write_unit(self) -> None:
        write(DesiredFile(paths.NETWORK_UNIT_PATH, networks.unit(self.wanted.network), 0o644))
        systemctl("daemon-reload")
        systemctl("enable", paths.NETWORK_UNIT)
        systemctl("restart", paths.NETWORK_UNIT)

    def verify(self) -> None:
        """Prove that engine, Compose, network and its address are really there."""
        self._look()
        left = plan(self.host, self.wanted, [])
        if left:
            raise RoleError("verify", "after the run the host still differs: " + "; ".join(what for _, what in left))
        network = self.wanted.network
        found = run(["ip", "-4", "-o", "address", "show", "dev", network.bridge], check=False).out
        if f" {network.gateway}/" not in found:
            raise RoleError("verify", f"{network.gateway} is not on {network.bridge}: {found.strip() or 'no address'}")
        self._report()

    # -- undoing ------------------------------------------------------------------------------------------

    def _state_path(self) -> str:
        return os.path.join(self.state_directory(), "state.json")

    def state(self) -> Dict[str, Any]:
        """Return what this role has made on the host, and what was there before; empty when it made nothing."""
        return dict(json.loads(read(self._state_path()) or "{}"))

    def _remember_before(self) -> None:
        if not self.state():
            before = {"daemon_json": self.host.daemon_json, "enabled": self.host.enabled, "active": self.host.active}
            write(DesiredFile(self._state_path(), json.dumps({"before": before, "packages": []}), 0o600))

    def _remember_packages(self, names: List[str]) -> None:
        state = self.state()
        state["packages"] = sorted({*state["packages"], *names})
        write(DesiredFile(self._state_path(), json.dumps(state, sort_keys=True), 0o600))

    def remove(self) -> List[str]:
        """Take away what this role brought; refuse while containers need it."""
        return remove(self.settings, self.state(), self.state_directory(), self.warnings)


def _done_by_apply() -> None:
    """Steps depend on one another; ``apply`` does them in order."""
