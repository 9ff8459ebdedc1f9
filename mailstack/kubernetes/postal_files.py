"""The files in Postal's pods: each kind of pod has a Secret of its own, with what it needs and nothing else.

All of them never change; their names tell the version. A version is a digest of what is no secret and of how often each
secret has changed, never of a secret itself: that would help whoever guesses passwords.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mailstack.kubernetes.objects import Placed, Stage, digest, manifest
from mailstack.kubernetes.postal_definition import SMTP_PORT, PostalOnCluster
from mailstack.postal.render import PRIVATE_GROUPS, merge, render_postal_yml

__all__ = ["JOB_SCRIPTS", "PostalFiles", "cluster_config", "script"]

OWN_SCRIPTS = Path(__file__).with_name("postal_scripts")
# The very scripts that role ``postal`` runs in containers of a host.
SHARED_SCRIPTS = Path(__file__).resolve().parents[2] / "roles" / "postal" / "runner"
JOB_SCRIPTS = ("bootstrap.rb", "check.rb", "database.rb", "probe.rb", "provision.rb")
POD_SCRIPTS: Mapping[str, str] = {"smtp": "certificate.rb", "worker": "worker.rb"}
# Who is told which secrets of postal.yml, besides the database's password, and who the installation's key.
SESSION_KEY: frozenset[str] = frozenset({"web"})
SIGNING_KEY: frozenset[str] = frozenset({"web", "worker"})
DATABASE_GROUPS = ("main_db", "message_db")
# After so many days Postal deletes what a killed worker held. Here the next worker of that name takes it up again.
STALE_DAYS = 30


@cache
def script(name: str) -> str:
    """Return one of the Ruby scripts, from here or from role ``postal``."""
    own = OWN_SCRIPTS / name
    return (own if own.is_file() else SHARED_SCRIPTS / name).read_text(encoding="utf-8")


def cluster_config(config: Mapping[str, Mapping[str, Any]], *, dual_stack: bool) -> dict[str, dict[str, Any]]:
    """Return postal.yml as pods need it: their ports, health that the cluster can ask for, nothing sent too early."""
    found = {group: dict(keys) for group, keys in config.items()}
    any_address = "0.0.0.0"  # noqa: S104 - a pod's; network policies guard it
    smtp = found.setdefault("smtp_server", {})
    smtp |= {"default_port": SMTP_PORT, "default_health_server_bind_address": any_address}
    if dual_stack:
        smtp["default_bind_address"] = "::"
    found.setdefault("worker", {})["default_health_server_bind_address"] = any_address
    # Whoever starts a pod of a new version: it waits for its tables.
    found.setdefault("migration_waiter", {}).setdefault("enabled", True)
    found.setdefault("postal", {}).setdefault("queued_message_lock_stale_days", STALE_DAYS)
    return found


@dataclass(frozen=True)
class PostalFiles:
    """The files of one installation. ``versions`` None: for a reviewer, whose lines shall not change by a name."""

    postal: PostalOnCluster
    secrets: Mapping[str, Any]
    versions: Mapping[str, int] | None

    def objects(self) -> Iterator[Placed]:
        """Yield every Secret and ConfigMap."""
        for process in ("web", "smtp", "worker"):
            yield self._secret(process, self._of_process(process))
        yield self._secret("migrate", {"postal.yml": self._database_yml(), "check.json": self._check()})
        yield self._secret("provision", {"postal.yml": self._job_yml(), "document.json": self._document()})
        if self.postal.admin is not None:
            yield self._secret("database", self._for_admin())
        for component, data in self._scripts().items():
            name = self.scripts_name(component)
            found = manifest(
                "ConfigMap",
                name,
                self.postal.namespace,
                labels=self.postal.labels(component),
                immutable=True,
                data=data,
            )
            yield Placed(name=f"scripts-{component}", manifest=found, stage=Stage.BASIS)

    def secret_name(self, component: str) -> str:
        """Return the name of a component's Secret in this version."""
        return self._versioned(self.postal.called(component), self._told(component))

    def scripts_name(self, component: str) -> str:
        """Return the name of the ConfigMap with a component's scripts; those of all jobs are in one."""
        return self._versioned(f"{self.postal.called(component)}-scripts", self._scripts()[component])

    def job_name(self, component: str) -> str:
        """Return the name of a job: another one exactly when it has to run again."""
        postal = self.postal
        version = [postal.image, postal.job_round, self.secret_name(component), self.scripts_name("jobs")]
        return self._versioned(postal.called(component), version)

    def _versioned(self, name: str, told: Any) -> str:
        return f"{name}-{'…' if self.versions is None else digest(told)}"

    def _scripts(self) -> dict[str, dict[str, str]]:
        found = {process: {name: script(name)} for process, name in POD_SCRIPTS.items()}
        if self.postal.smtp_tls_secret is None:
            del found["smtp"]
        return {**found, "jobs": {name: script(name) for name in JOB_SCRIPTS}}

    def _secret(self, component: str, texts: Mapping[str, str]) -> Placed:
        found = manifest(
            "Secret",
            self.secret_name(component),
            self.postal.namespace,
            labels=self.postal.labels(component),
            type="Opaque",
            immutable=True,
            stringData=dict(texts),
        )
        return Placed(name=f"secret-{component}", manifest=found, stage=Stage.BASIS)

    # --- what each is told: (everything but secrets, paths of its secrets) ------------------------------------------

    def _told(self, component: str) -> list[Any]:
        """Return what decides a version: everything that is no secret, and the count of each secret."""
        plain: Any
        names = [f"config/{group}/password" for group in DATABASE_GROUPS]
        if component == "migrate":
            plain = [self._groups(DATABASE_GROUPS), self._check_document("")]
        elif component == "provision":
            plain = [self._groups(self._job_groups()), self._plain_document()]
            names += [
                name for name in self.versions or () if name.startswith(("user_passwords/", "credentials/", "dkim/"))
            ]
        elif component == "database":
            plain, names = self._admin_document(""), [*names, "database_admin"]
        else:
            plain = self._process_config(component)
            names += ["config/rails/secret_key"] if component in SESSION_KEY else []
            names += ["signing_key"] if component in SIGNING_KEY else []
        counts = {name: (self.versions or {}).get(name) for name in sorted(names)}
        return [plain, counts]

    def _of_process(self, process: str) -> dict[str, str]:
        known = self.secrets["config"]
        groups = (*DATABASE_GROUPS, *(["rails"] if process in SESSION_KEY else []))
        own = {group: known[group] for group in groups if group in known}
        found = {"postal.yml": render_postal_yml(merge(self._process_config(process), own))}
        if process in SIGNING_KEY:
            found["signing.key"] = self.secrets["signing_key"].strip() + "\n"
        return found

    def _process_config(self, process: str) -> dict[str, Mapping[str, Any]]:
        """Return the groups a process reads: a change of one that only another reads leaves its pods alone."""
        return {
            group: keys for group, keys in self.postal.config.items() if PRIVATE_GROUPS.get(group, process) == process
        }

    def _job_groups(self) -> tuple[str, ...]:
        return (*DATABASE_GROUPS, "postal", "dns")

    def _groups(self, names: tuple[str, ...]) -> dict[str, Mapping[str, Any]]:
        return {group: self.postal.config[group] for group in names}

    def _yml(self, names: tuple[str, ...]) -> str:
        known = self.secrets["config"]
        return render_postal_yml(merge(self._groups(names), {group: known[group] for group in DATABASE_GROUPS}))

    def _database_yml(self) -> str:
        return self._yml(DATABASE_GROUPS)

    def _job_yml(self) -> str:
        return self._yml(self._job_groups())

    def _login(self, password: str) -> dict[str, Any]:
        database = self.postal.database
        kept = ("host", "port", "username", "main", "prefix")
        return {**{key: database[key] for key in kept}, "password": password}

    def _check_document(self, password: str) -> dict[str, Any]:
        config = self.postal.config
        return {
            "relay": self.postal.mail_out.name,
            "return_path_domain": config["dns"]["return_path_domain"],
            "wait_seconds": self.postal.database["wait_seconds"],
            "database": self._login(password),
            "smtp_hostname": self.postal.smtp_hostname,
            "max_message_mb": config["smtp_server"]["max_message_size"],
        }

    def _check(self) -> str:
        return json.dumps(self._check_document(self._password), sort_keys=True)

    @property
    def _password(self) -> str:
        return str(self.secrets["config"]["main_db"]["password"])

    def _plain_document(self) -> dict[str, Any]:
        return {
            "provision": self.postal.provision,
            "removal": self.postal.removal,
            "dns_check": dict(self.postal.dns_check),
            "results": self.postal.results_name,
        }

    def _document(self) -> str:
        kept = {name: self.secrets[name] for name in ("user_passwords", "credentials", "dkim")}
        return json.dumps({**self._plain_document(), "secrets": kept}, sort_keys=True)

    def _admin_document(self, password: str) -> dict[str, Any]:
        admin = self.postal.admin
        return {
            "admin": None if admin is None else admin.username,
            "secret": None if admin is None else admin.secret,
            "database": self._login(password),
            "wait_seconds": self.postal.database["wait_seconds"],
        }

    def _for_admin(self) -> dict[str, str]:
        found = {"database.json": json.dumps(self._admin_document(self._password), sort_keys=True)}
        if self.postal.admin is not None and self.postal.admin.secret is None:
            found["password"] = str(self.secrets["database_admin"])
        return found
