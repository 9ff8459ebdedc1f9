"""The role: plan, apply under an armed undo, confirm over a second connection."""

import shutil
from typing import Any, Dict, List, Sequence, Tuple

from firewall import containers, firewalld, ssh_access, ufw
from firewall.state import State
from firewall.undo import Undo
from firewall.wanted import Wanted, wanted_from
from rolelib.commands import CommandError, run
from rolelib.host import RoleError, install_packages, package_family, service_is_active, systemctl
from rolelib.protocol import Change, Plan, Role

__all__ = ["Firewall"]

# The program that tells whether a package is there, by package.
PROGRAMS = {"ufw": "ufw", "firewalld": "firewall-cmd", "nftables": "nft"}
# Time to carry out a change, on top of the time to confirm it.
APPLY_SECONDS = 180
UNDO_FILES = [*ufw.FILES, *firewalld.FILES, *containers.FILES]


class Firewall(Role):
    """Default deny, the declared ports open, SSH always open, and containers reachable only where declared.

    Settings: ``kind`` ("ufw", "firewalld", "none"), ``ssh_ports``, ``allow`` (``port``, ``protocol``, ``sources``,
    ``container``), ``trusted_networks``, ``undo_seconds``, ``confirm``. A change is taken back after ``undo_seconds``,
    and at a reboot before that, unless the role runs again with ``confirm`` over another connection.
    Facts in the summary: ``kind``, ``ssh_ports``, ``undo`` (``armed``, ``seconds``), ``confirmed`` (only with
    ``confirm``: whether there was something to confirm). A confirmation that comes too late makes the change again,
    under a new undo, and fails: the next one can succeed.
    """

    name = "firewall"

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        """Hold the input; the host is looked at when planning."""
        Role.__init__(self, settings, secrets)
        self.wanted: Wanted
        self.ssh_ports: List[int] = []
        self.uplinks: List[str] = []
        self.taken_back = ""

    def _state(self) -> State:
        return State(self.state_directory())

    def _undo(self) -> Undo:
        return Undo(self.state_directory())

    # -- looking ------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Compare the host with the settings, or with ``confirm`` say what there is to confirm."""
        self.wanted = wanted_from(self.settings)
        self._undo().wait_until_idle()
        self.ssh_ports = ssh_access.ports(self.wanted.ssh_ports)
        self.uplinks = containers.default_route_interfaces()
        steps = self._steps(self.warnings)
        self._report()
        if self.wanted.confirm:
            return self._plan_confirmation(steps)
        if self._undo().armed:
            self.warnings.append("the last change has not been confirmed and will be taken back")
        return [Change(step, what, _done_by_apply) for step, what in steps]

    def _steps(self, warnings: List[str]) -> List[Tuple[str, str]]:
        """Return (step, what) for every difference, in the order in which they are mended."""
        steps = []
        made = self._state().made
        if made not in ("", self.wanted.kind):
            steps.append(("take away", f"{made} was set up by mailstack and is not wanted any more"))
        if self.wanted.kind == "none":
            if containers.is_there(containers.gather()):
                steps.append(("take away", "the filter in front of containers is not wanted any more"))
            return steps
        self._refuse_two_firewalls(made)
        absent = self._absent()
        steps += [("packages", f"{name} is not installed") for name in absent]
        if self.wanted.kind not in absent:
            steps += self._host_steps(warnings)
        if "nftables" not in absent:
            steps += containers.plan(containers.gather(), self.wanted, self.uplinks)
        return steps

    def _absent(self) -> List[str]:
        return [name for name in (self.wanted.kind, "nftables") if not shutil.which(PROGRAMS[name])]

    def _host_steps(self, warnings: List[str]) -> List[Tuple[str, str]]:
        if self.wanted.kind == "ufw":
            return ufw.plan(ufw.gather(), self.wanted, self.ssh_ports, warnings)
        return firewalld.plan(firewalld.gather(self.uplinks), self.wanted, self.ssh_ports, warnings)

    def _refuse_two_firewalls(self, made: str) -> None:
        if self.wanted.kind == "ufw":
            if package_family() == "dnf":
                raise RoleError("settings", "this system has no ufw: set hosts.*.firewall to firewalld or none")
            other, runs = "firewalld", service_is_active(firewalld.UNIT)
        else:
            other, runs = "ufw", bool(shutil.which("ufw")) and ufw.gather().enabled
        if runs and made != other:
            raise RoleError(
                "settings",
                f"{other} is at work on this host and would fight with {self.wanted.kind}: set hosts.*.firewall "
                f"to {other}, or switch it off on the host, then repeat",
            )

    def _report(self) -> None:
        undo = self._undo()
        self.facts.update(
            kind=self.wanted.kind,
            ssh_ports=self.ssh_ports,
            undo={"armed": undo.armed, "seconds": self.wanted.undo_seconds},
        )

    # -- confirming ---------------------------------------------------------------------------------------

    def _plan_confirmation(self, steps: Sequence[Tuple[str, str]]) -> Plan:
        undo = self._undo()
        self.facts["confirmed"] = undo.armed
        if steps and not undo.armed and undo.fired:
            # Whoever runs roles may not run the change itself again: its settings are the same.
            self.taken_back = undo.fired
            return [Change(step, what, _done_by_apply) for step, what in steps]
        if steps:
            listed = "; ".join(what for _, what in steps)
            # Not refused before an apply: to `--check` it is drift like any other.
            return [Change("confirm", f"the firewall is not as declared, so it is not confirmed: {listed}", _refuse)]
        if not undo.armed:
            self.say("confirm", "there was nothing to confirm")
            return []
        here = ssh_access.connection()
        if here and here == undo.connection():
            raise RoleError("confirm", "this is the connection the change came over: it proves nothing, open another")
        return [Change("confirm", "the firewall is confirmed: it stays", self._confirm)]

    def _confirm(self) -> None:
        self._undo().disarm()

    # -- changing -----------------------------------------------------------------------------------------

    def apply(self, changes: Plan) -> None:
        """Carry out the plan with the undo armed; a change that fails is taken back at once."""
        if self.wanted.confirm and not self.taken_back:
            Role.apply(self, changes)
            return
        if not changes:
            return
        self._apply_under_undo(changes)
        if self.taken_back:
            raise RoleError(
                "confirm",
                f"the change was not confirmed in time and was taken back at {self.taken_back}. It has been made "
                f"again: repeat this within {self.wanted.undo_seconds} s to confirm it",
            )

    def _apply_under_undo(self, changes: Plan) -> None:
        for change in changes:
            self.say(change.step, change.what)
        self._install()
        self._validate()
        state, undo = self._state(), self._undo()
        state.remember(self.wanted.kind)
        undo.arm(
            [*UNDO_FILES, state.path],
            self._switches(state.made),
            self.wanted.undo_seconds + APPLY_SECONDS,
            ssh_access.connection(),
        )
        self.say("undo", f"armed: without confirmation the firewall is put back {self.wanted.undo_seconds} s from now")
        try:
            self._change(state)
        except (RoleError, CommandError, OSError) as error:
            self.say("roll back", "put the previous firewall back")
            complaints = undo.now()
            raise RoleError("apply", "\n".join([str(error), "the previous firewall is back", *complaints])) from None
        undo.restart_clock(self.wanted.undo_seconds)
        self._report()

    def _install(self) -> None:
        absent = self._absent() if self.wanted.kind != "none" else []
        if not absent:
            return
        if "firewalld" in absent:
            # Debian starts it at once, with rules that know nothing of our SSH ports.
            run(["systemctl", "mask", "--runtime", firewalld.UNIT], check=False)
        try:
            self._state().remember_packages(absent)
            install_packages(absent)
        except RoleError:
            run(["systemctl", "unmask", "--runtime", firewalld.UNIT], check=False)
            raise

    def _validate(self) -> None:
        if self.wanted.kind == "none":
            return
        try:
            containers.validate(self.wanted, self.uplinks)
            if self.wanted.kind == "firewalld":
                firewalld.validate(self.wanted, self.ssh_ports)
        except CommandError as error:
            raise RoleError("validate", f"the new rules are refused, nothing was changed: {error}") from None

    def _switches(self, made: str) -> Dict[str, bool]:
        """Return what the undo has to know of the present: which firewalls run, and which are about to be touched."""
        touched = {made, self.wanted.kind}
        found = firewalld.gather([]) if "firewalld" in touched else firewalld.Facts()
        return {
            "touches_ufw": "ufw" in touched,
            "touches_firewalld": "firewalld" in touched,
            "firewalld_active": found.active,
            "firewalld_enabled": found.enabled,
        }

    def _change(self, state: State) -> None:
        if state.made not in ("", self.wanted.kind):
            for what in self._take_host_firewall_away(state):
                self.say("take away", what)
        state.save_made(self.wanted.kind if self.wanted.kind != "none" else "")
        if self.wanted.kind == "none":
            containers.take_away()
            return
        if self.wanted.kind == "ufw":
            ufw.put(ufw.gather(), self.wanted, self.ssh_ports)
        elif firewalld.put(firewalld.gather(self.uplinks), self.wanted, self.ssh_ports):
            self._restart_docker("firewalld has started and emptied the tables in which Docker has its rules")
        self._put_container_filter()
        left = self._steps([])
        if left:
            raise RoleError("apply", "after the change the host still differs: " + "; ".join(what for _, what in left))

    def _put_container_filter(self) -> None:
        if containers.plan(containers.gather(), self.wanted, self.uplinks):
            containers.put(self.wanted, self.uplinks)

    def _restart_docker(self, why: str) -> None:
        if service_is_active("docker.service"):
            self.say("docker", f"restart Docker: {why}")
            systemctl("restart", "docker.service")

    def verify(self) -> None:
        """Report what is there now; an apply has compared it already, under the undo."""
        self._report()

    # -- undoing ------------------------------------------------------------------------------------------

    def _take_host_firewall_away(self, state: State) -> List[str]:
        before = state.before()
        if state.made == "ufw":
            return ufw.take_away(before) if shutil.which("ufw") else []
        if not shutil.which("firewall-cmd"):
            return []
        done = firewalld.take_away(before)
        if not before.get("active"):
            self._restart_docker("firewalld has stopped and emptied the tables in which Docker has its rules")
        return done

    def remove(self) -> List[str]:
        """Put back what was there before the first run, without an undo: only openings are left after it."""
        state, undo = self._state(), self._undo()
        done: List[str] = []
        if undo.armed:
            undo.disarm()
        if state.made:
            done += self._take_host_firewall_away(state)
        if containers.is_there(containers.gather()):
            done += containers.take_away()
        done += state.remove_packages()
        shutil.rmtree(self.state_directory(), ignore_errors=True)
        return done


def _refuse() -> None:
    raise RoleError("confirm", "only a firewall that is as declared is confirmed")


def _done_by_apply() -> None:
    """All differences are mended together, under one undo."""
