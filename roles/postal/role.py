"""The role: facts, plan, apply, verify.

Settings: ``mailstack.postal.definition.role_settings``. Secrets: config {group: {key: value}}, signing_key (PEM),
user_passwords {user: text}, credentials {organization/server/credential: key}, dkim {domain: PEM}, backup_passphrase.
"""

import functools
import os
import time
from typing import Any, Dict, List, Optional

from mailstack.postal.compose import CONFIG_LABEL, PROJECT, image_reference
from mailstack.postal.render import PROCESSES, RenderError, config_digest
from postal import backup_setup, candidate, checks, paths, provision
from postal.desired import Desired, desired, expected_containers, provision_digest
from postal.processes import Processes
from postal.state import State
from rolelib import containers
from rolelib.commands import run
from rolelib.containers import Container
from rolelib.host import RoleError, unit_log
from rolelib.owned_files import differs
from rolelib.protocol import Change, Plan, Role

__all__ = ["Postal"]

# Later steps need what earlier ones make.
ORDER = ("resume", "pull", "backup", "files", "containers", "upgrade", "provision")
# After an interrupted run the files may be back to what they were: then everything is looked at again.
ACTIVATING = ("resume", "files", "containers", "upgrade")


class Postal(Role):
    """Postal on this host."""

    name = "postal"

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        """Hold the input; the host is read when planning."""
        Role.__init__(self, settings, secrets)
        self.state = State(self.state_directory())
        self.processes = Processes(settings, self.state, self.say)
        self.found: List[Container] = []
        self.database_answers = False
        self.provisioned: Optional[Dict[str, Any]] = None
        # Whose record is whose, where a comparison found nothing to change; a renamed key of ours shows only here.
        self.identities: Optional[Dict[str, Any]] = None
        # What the quick look found; None where something has changed since, or nothing runs.
        self.now: Optional[Dict[str, Any]] = None

    # --- plan ---------------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Compare files, containers, database version and what is provisioned with the declaration."""
        containers.require_docker()
        if not self.settings["compose"]["host_network"]:
            containers.require_network(self.settings["compose"]["network"])
        wanted = self._desired()
        self.found = containers.containers(PROJECT)
        image = containers.image_id(image_reference(self.settings["image"]))
        changes: Plan = []
        if self.state.pending():
            changes.append(self._change("resume", "a run was interrupted; its half-done work is dealt with first"))
        if image is None:
            changes.append(self._change("pull", f"image {image_reference(self.settings['image'])} is not here"))
        changes += [self._change("backup", what) for what in backup_setup.problems(self.settings, self.secrets)]
        changes += [self._change("files", what) for what in map(differs, wanted.every_file) if what]
        changes += self._container_changes(wanted, image)
        changes += self._provision_changes(changes)
        return changes

    def _desired(self) -> Desired:
        try:
            return desired(self.settings, self.secrets)
        except RenderError as error:
            raise RoleError("settings", str(error)) from None

    def _change(self, step: str, what: str) -> Change:
        return Change(step, what, functools.partial(self._mend, step))

    def _container_changes(self, wanted: Desired, image: Optional[str]) -> Plan:
        changes = []
        web = self._container("web")
        # A restored host does not remember, but what runs on its databases tells.
        migrated = self.state.applied().get("migrated_image", web.image if web is not None else None)
        if migrated is not None and image != migrated:
            changes.append(
                self._change("upgrade", f"the databases were last used by another image than {self._reference()}")
            )
        for service, count in sorted(expected_containers(self.settings).items()):
            mine = [each for each in self.found if each.service == service]
            running = [each for each in mine if each.running]
            digest = config_digest(service, wanted.config, wanted.files[1].content)
            if len(running) != count or len(mine) != count:
                changes.append(self._change("containers", f"{len(running)} of {count} {service} containers run"))
            elif any(each.labels.get(CONFIG_LABEL) != digest or each.image != image for each in mine):
                changes.append(self._change("containers", f"{service} runs with another configuration or image"))
            elif any(each.health == "unhealthy" for each in mine):
                changes.append(self._change("containers", f"{service} is unhealthy"))
        return changes

    def _reference(self) -> str:
        return image_reference(self.settings["image"])

    def _provision_changes(self, others: Plan) -> Plan:
        now = self.now = provision.fingerprint(self._container("web"))
        self.database_answers = now is not None
        if provision.provisioned_before(self.settings, self.secrets, self.state, now):
            return []
        if now is None or not os.path.exists(paths.COMPOSE) or any(each.step == "resume" for each in others):
            return [self._change("provision", "what is declared is compared and provisioned once Postal runs")]
        summary = provision.run_script("plan", self.processes.compose(), self.settings, self.secrets, self.state)
        if not summary["changed"]:
            self.identities = summary["identities"]
        return [self._change("provision", what) for what in summary["changed"]]

    def _container(self, service: str) -> Optional[Container]:
        return next((each for each in self.found if each.service == service and each.running), None)

    # --- apply --------------------------------------------------------------------------------------------------

    def apply(self, changes: Plan) -> None:
        """Carry out the plan: each step once, however many reasons it has."""
        if changes:
            self.now = None
        for step in ORDER:
            mine = [each for each in changes if each.step == step]
            for each in mine:
                self.say(step, each.what)
            if mine and step not in ACTIVATING[1:]:
                mine[0].mend()
            if step == ACTIVATING[-1] and any(each.step in ACTIVATING for each in changes):
                self._activate()

    def _mend(self, step: str) -> None:
        if step == "resume":
            self.processes.resume()
            self.found = containers.containers(PROJECT)
        elif step == "pull":
            containers.pull(self._reference())
        elif step == "backup":
            backup_setup.install(self.settings, self.secrets)
        elif step == "provision":
            self._provision("apply")

    def _activate(self) -> None:
        """Try the new configuration with its image, then swap it in with the database it needs."""
        candidate.check_certificate(self.settings)
        self._check_ports()
        self.say("check", "trying the configuration, the database and the relay's name in a container")
        wanted = self._desired()
        database = candidate.examine(wanted, self.settings, self.secrets, self.warnings)
        self.database_answers = True
        self._require_client_image()
        image = containers.image_id(self._reference())
        # Not known after a restore: then a migration that finds nothing to do costs less than one that is missing.
        migrate = database["migrations"] > 0 and self.state.applied().get("migrated_image") != image
        self.processes.replace(wanted, database, migrate)
        self.state.record(
            migrated_image=image,
            image=self._reference(),
            workers=self.settings["compose"]["worker_replicas"],
        )
        self.found = containers.containers(PROJECT)
        self._compare_served_certificate()

    def _compare_served_certificate(self) -> None:
        unit = paths.CERTIFICATE_SERVICE
        if not self.settings["smtp_certificate"] or not os.path.exists(f"{paths.SYSTEM_UNITS}/{unit}"):
            return
        if not run(["systemctl", "start", unit], check=False).ok:
            self.warnings.append(f"the SMTP server does not show the delivered certificate: {unit_log(unit, 3)}")

    def _require_client_image(self) -> None:
        client = self.settings["database"]["client_image"]
        if containers.image_id(client) is None:
            containers.pull(client)

    def _check_ports(self) -> None:
        compose = self.settings["compose"]
        if self._container("smtp") is None:
            for address in compose["smtp_publish"] or [""]:
                candidate.check_port(address, compose["smtp_port"])
        if self._container("web") is None:
            candidate.check_port(compose["web_publish"], compose["web_port"])

    def _provision(self, mode: str) -> None:
        if not self.database_answers:
            candidate.require_database(self.settings, self.secrets)
        self.provisioned = provision.run_script(mode, self.processes.compose(), self.settings, self.secrets, self.state)
        if mode == "apply":
            # First whose record is whose: a kill after this line costs nothing but a comparison.
            self.state.keep("identities.json", self.provisioned["identities"])
        kept = {name: self.provisioned[name] for name in ("servers", "domains", "track_domains")}
        self.state.record(**kept)

    # --- verify -------------------------------------------------------------------------------------------------

    def verify(self) -> None:
        """Prove that every process is healthy and every kind of login works; judge what Postal sees in DNS."""
        seconds = self.settings["checks"]["health_seconds"]
        self.found = containers.wait_until_healthy(PROJECT, expected_containers(self.settings), seconds)
        self._remember_provisioned()
        self._check_dns()
        if self.settings["checks"]["api"]:
            self.facts["api"] = checks.check_api(self.settings, self.secrets.get("credentials", {}))
        if self.settings["checks"]["smtp"]:
            self.facts["smtp_auth"] = checks.check_smtp(self.settings, self.secrets.get("credentials", {}))
        self.facts["image"] = self.found[0].image
        self.facts["version"] = self.settings["image"]["tag"]
        # Each one's own check has just passed; what Docker says may be a quarter of a minute old.
        self.facts["containers"] = dict.fromkeys(PROCESSES, "healthy")
        self.facts["backup"] = backup_setup.status(time.time())
        if self.facts["backup"]["error"]:
            self.warnings.append(f"the last backup failed: {self.facts['backup']['error']}")

    def _remember_provisioned(self) -> None:
        now = self.now = self.now or provision.fingerprint(self._container("web"))
        if now is None:
            raise RoleError("verify", "the web container cannot read its database")
        self.facts["database"] = now["version"]
        salt = self.state.salt()
        script = candidate.script_text(provision.SCRIPT)
        digest = provision_digest(self.settings, self.secrets, salt, script)
        applied = self.state.applied()
        if applied.get("digest") != digest or applied.get("fingerprint") != now["fingerprint"]:
            if self.identities is not None:
                self.state.keep("identities.json", self.identities)
            passwords = provision.password_hashes(self.secrets, salt)
            self.state.record(digest=digest, fingerprint=now["fingerprint"], passwords=passwords)

    def _check_dns(self) -> None:
        """Postal signs with a domain's own key only after it has seen the records, and looks only when asked once."""
        status = provision.status_now(self.state, self.now)
        if self.provisioned is None and not provision.dns_settled(status["domains"]):
            self.say("dns", "asking Postal to look at the domains' records again")
            self._provision("check_dns")
            status = provision.status_now(self.state, None)
        self.facts.update(status)
        problems = provision.judge_dns(status["domains"])
        if problems and self.settings["dns_check"]["on_failure"] == "fail":
            raise RoleError("dns", "; ".join(problems))
        self.warnings += problems

    def remove(self) -> List[str]:
        """Stop Postal and remove its files; the database and the backups stay."""
        from postal.removal import remove  # noqa: PLC0415 - only this action needs it

        return remove(self.settings, self.processes)
