"""What restarts, reloads or is replaced by an update, and what applications see of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from mailstack.diff.operations import Operation, Word
from mailstack.diff.resources import CODE, COMMAND, OBJECT, SECRETS, SETTINGS
from mailstack.plan import Plan, RoleRun
from mailstack.postal.compose import image_reference, render_compose
from mailstack.postal.render import PROCESSES, config_digest, merge
from mailstack.postfix.files import RESTART_PARAMETERS

__all__ = ["RESTART_PARAMETERS", "Restart", "restarts"]

How = Literal["start", "reload", "restart", "recreate", "roll", "stop", "run", "ask"]
CODE_ONLY = "its code changed: only what that writes otherwise is applied"
POSTFIX_FILES = ("main_cf", "master_cf", "maps", "sasl", "more_logins")
Runs = tuple[RoleRun, RoleRun]


@dataclass(frozen=True, kw_only=True)
class Restart:
    """``what`` does ``how`` at ``where``; ``means`` says what is seen of it. ``because`` is the resource's name."""

    what: str
    how: How
    where: str
    means: str
    because: str


def restarts(done: Mapping[str, Operation], before: Plan | None, after: Plan | None) -> tuple[Restart, ...]:
    """Return every one, in the order of the resources."""
    old = {} if before is None else {run.name: run for run in before.runs()}
    new = {} if after is None else {run.name: run for run in after.runs()}
    return tuple(restart for name, one in done.items() for restart in _of(name, one, old, new))


def _of(name: str, one: Operation, old: Mapping[str, RoleRun], new: Mapping[str, RoleRun]) -> Iterator[Restart]:
    kind = one.resource.type
    if kind == OBJECT:
        yield from _object(name, one)
    elif kind == "container":
        yield from _container(name, one)
    elif kind == COMMAND:
        yield from _role(name, one, old, new)


# -- objects of a cluster, and containers ---------------------------------------------------------------------------

WORKLOADS = ("Deployment ", "StatefulSet ")
TEMPLATE = "spec.template"
RELAY_CONTAINER, ENGINE = "relay-container", "Docker engine"
CONTAINER: Mapping[Word, tuple[How, str]] = {
    "create": ("start", "Postfix starts"),
    "update": ("reload", "its limits, or when it starts again, change while it runs"),
    "replace": ("recreate", "Postfix stops in its own time and starts on the same queue; applications try again"),
    "delete": ("stop", "Postfix stops; nothing takes mail"),
}


def _object(name: str, one: Operation) -> Iterator[Restart]:
    what = one.resource.what
    if what.startswith("Job "):
        if one.word in {"create", "replace"}:
            yield Restart(what=what, how="run", where="cluster", means="runs once", because=name)
    elif what.startswith(WORKLOADS):
        if one.word == "create":
            yield Restart(what=what, how="start", where="cluster", means="pods start", because=name)
        elif one.word == "delete":
            yield Restart(what=what, how="stop", where="cluster", means="pods end; nothing takes mail", because=name)
        elif one.word == "replace":
            moved = any(path == "cluster" or path.startswith("metadata.name") for path in one.inputs)
            means = f"all pods end before new ones start{', elsewhere' if moved else '; volumes stay'}"
            yield Restart(what=what, how="recreate", where="cluster", means=means, because=name)
        elif any(path == TEMPLATE or path.startswith(f"{TEMPLATE}.") for path in one.inputs):
            means = "pods are replaced one after the other; the others take mail meanwhile"
            yield Restart(what=what, how="roll", where="cluster", means=means, because=name)


def _container(name: str, one: Operation) -> Iterator[Restart]:
    if name != RELAY_CONTAINER:  # the one that tries settings is none that anybody waits for
        return
    how, means = CONTAINER[one.word]
    yield Restart(what=one.resource.what, how=how, where=one.resource.host or ENGINE, means=means, because=name)


# -- roles on hosts -------------------------------------------------------------------------------------------------


def _role(name: str, one: Operation, old: Mapping[str, RoleRun], new: Mapping[str, RoleRun]) -> Iterator[Restart]:
    run, former = new.get(name), old.get(one.before.name) if one.before is not None else None
    goes = one.word in {"delete", "replace"}
    if goes and former is not None and former.on_destroy == "remove" and former.role in SERVICES:
        means = "is removed from the host"
        yield Restart(what=SERVICES[former.role][0], how="stop", where=former.host, means=means, because=name)
    if run is None:
        return
    if former is None or one.word in {"create", "replace"}:
        if run.role in SERVICES:
            what, means = SERVICES[run.role]
            yield Restart(what=what, how="start", where=run.host, means=means, because=name)
        return
    look = LOOKS.get(run.role)
    if look is None or not {SETTINGS, SECRETS, CODE} & set(one.inputs):
        return
    found = list(look((former, run)))
    for what, how, means in found:
        yield Restart(what=what, how=how, where=run.host, means=means, because=name)
    if not found and CODE in one.inputs and run.role in SERVICES:
        yield Restart(what=SERVICES[run.role][0], how="run", where=run.host, means=CODE_ONLY, because=name)


Seen = tuple[str, How, str]
SERVICES: Mapping[str, tuple[str, str]] = {
    "postfix_relay": ("Postfix", "is installed and started"),
    "caddy": ("Caddy", "is installed and started; certificates are issued"),
    "postal": ("Postal", "is started; its database is prepared"),
    "mariadb": ("MariaDB", "is started"),
    "dns_server": ("DNS server", "is installed and started"),
    "k3s": ("k3s", "is installed; the node joins"),
    "docker": ("Docker", "is installed"),
}


def _differs(runs: Runs, *keys: str) -> bool:
    return any(runs[0].settings.get(key) != runs[1].settings.get(key) for key in keys)


def _secret_differs(runs: Runs, *keys: str) -> bool:
    return any(runs[0].secrets.get(key) != runs[1].secrets.get(key) for key in keys)


def _postfix(runs: Runs) -> Iterator[Seen]:
    old, new = (dict(run.settings["main_cf"]) for run in runs)
    restart = [name for name in RESTART_PARAMETERS if old.get(name) != new.get(name)]
    if restart:
        yield "Postfix", "restart", f"{', '.join(restart)} is read at the start only; a second without answers"
    elif _differs(runs, *POSTFIX_FILES) or _secret_differs(runs, "sasl_password", "upstream_passwords"):
        yield "Postfix", "reload", "nothing is refused; the queue stays"
    if _differs(runs, "submission") or _secret_differs(runs, "submission_passwords"):
        yield "login service of submission", *_beside(runs, "submission", "logins of that second are refused for now")
    if _differs(runs, "metrics"):
        yield "metrics service", *_beside(runs, "metrics", "no mail is touched")


def _beside(runs: Runs, key: str, means: str) -> tuple[How, str]:
    """Return what becomes of a service beside Postfix that is there where ``key`` is set."""
    there = [bool(run.settings.get(key)) for run in runs]
    if all(there):
        return "restart", means
    return ("start", "is new") if there[1] else ("stop", "is removed from the host")


def _caddy(runs: Runs) -> Iterator[Seen]:
    if _differs(runs, "placement") or (runs[1].settings["placement"] == "container" and _differs(runs, "image")):
        yield "Caddy", "restart", "web UI and API do not answer for seconds"
    elif _differs(runs, "caddyfile", "certificates", "sites") or runs[0].secrets != runs[1].secrets:
        yield "Caddy", "reload", "connections go on"
    if _differs(runs, "smtp"):
        yield "Postal's SMTP container", "restart", "only where it serves another certificate then"


PROCESS_SEEN: Mapping[str, str] = {
    "web": "web UI and API do not answer for seconds",
    "smtp": "port 25 does not answer for seconds",
    "worker": "each finishes the message in hand",
}


def _postal(runs: Runs) -> Iterator[Seen]:
    old, new = (_services(run) for run in runs)
    if image_reference(runs[0].settings["image"]) != image_reference(runs[1].settings["image"]):
        means = "stopped for a dump and the migration of its database, then started; applications have to try again"
        yield f"Postal ({', '.join(PROCESSES)})", "recreate", means
        return
    changed = [name for name in PROCESSES if old[name] != new[name]]
    if changed:
        yield f"Postal ({', '.join(changed)})", "recreate", "; ".join(PROCESS_SEEN[name] for name in changed)
    if _differs(runs, "provision") or _secret_differs(runs, "user_passwords", "credentials", "dkim"):
        yield "Postal's provisioning", "run", "objects are made, changed or removed; no process restarts for it"


def _services(run: RoleRun) -> dict[str, Any]:
    """Return what each process's containers are made of, as role ``postal`` writes it."""
    config = merge(run.settings["config"], run.secrets["config"])
    key = run.secrets["signing_key"].strip() + "\n"
    digests = {process: config_digest(process, config, key) for process in PROCESSES}
    text = render_compose(run.settings["compose"], image_reference(run.settings["image"]), config, digests)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    services: dict[str, Any] = yaml.load(text, Loader=loader)["services"]  # noqa: S506 - the same safe subset
    replicas = run.settings["compose"]["worker_replicas"]
    return {**services, "worker": [services["worker"], replicas]}


def _mariadb(runs: Runs) -> Iterator[Seen]:
    if _differs(runs, "image", "listen", "port", "memory_mb", "max_message_mb", "network"):
        yield "MariaDB", "recreate", "Postal waits for its database: API and SMTP fail for seconds"
    elif runs[0].secrets != runs[1].secrets:
        yield "MariaDB", "run", "its accounts get the declared passwords"


def _dns_server(runs: Runs) -> Iterator[Seen]:
    if _differs(runs, "listen", "port", "server"):
        yield "DNS server", "restart", "questions of that second are asked again"
    elif _differs(runs, "zones", "hold"):
        yield "DNS server", "reload", "answers go on; resolvers keep old ones for their TTL"


def _k3s(runs: Runs) -> Iterator[Seen]:
    if _differs(runs, "version", "config", "registries", "node", "binary_file", "sha256"):
        yield "k3s", "restart", "pods of the node go on; its API does not answer for a while"


def _docker(runs: Runs) -> Iterator[Seen]:
    if _differs(runs, "network"):
        yield "container network", "recreate", "containers on it are cut off until they are started again"
    elif _differs(runs, "registry_mirrors"):
        yield "Docker", "reload", "containers go on"
    elif _differs(runs, "source"):
        yield "Docker", "restart", "containers go on where live-restore is on"


def _firewall(runs: Runs) -> Iterator[Seen]:
    if not runs[1].settings.get("confirm") and runs[0].settings != runs[1].settings:
        yield "firewall", "reload", "open connections stay; they come back where a second connection by SSH fails"


def _relay_probe(_runs: Runs) -> Iterator[Seen]:
    yield "probe of the relay rule", "ask", "the upstream is asked, no message is sent"


LOOKS: Mapping[str, Callable[[Runs], Iterator[Seen]]] = {
    "postfix_relay": _postfix,
    "caddy": _caddy,
    "postal": _postal,
    "mariadb": _mariadb,
    "dns_server": _dns_server,
    "k3s": _k3s,
    "docker": _docker,
    "firewall": _firewall,
    "relay_probe": _relay_probe,
}
