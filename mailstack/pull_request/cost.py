"""What it costs to run a role again: what stops, for how long, and where mail waits meanwhile.

The roles decide on the host, by what they find there; this says what they do with the changes that a preview shows. The
how-to pages (docs/how-to/) say the same at length.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailstack.markdown import sentence
from mailstack.postfix.files import RESTART_PARAMETERS
from mailstack.pull_request.declared import Restart
from mailstack.pull_request.preview import COMMAND, Step

__all__ = ["RESTART_PARAMETERS", "ROLES", "WORKLOADS", "Cost", "Run", "runs"]

MARK = "code of role "


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an update of a role does; ``interrupts`` tells whether mail or the web UI waits meanwhile.

    ``looks`` marks a role that changes nothing on its host, whatever becomes of it.
    """

    text: str
    interrupts: bool = False
    looks: bool = False


@dataclass(frozen=True, kw_only=True)
class Run:
    """A role that runs again, or for the first or last time: on ``host``, because of ``why``."""

    name: str
    role: str
    host: str
    action: str
    why: tuple[str, ...]
    cost: Cost


LOOKS = Cost(text="looks only; nothing stops", looks=True)
# Component and rest of the resource's name, empty for any -> role, and what an update of it does.
ROLES: Mapping[tuple[str, str], tuple[str, Cost]] = {
    ("RemoteHost", "preflight"): ("preflight", LOOKS),
    ("RemoteHost", "security-updates"): ("security_updates", Cost(text="packages' updates are set up; nothing stops")),
    ("RemoteHost", "firewall-confirm"): (
        "firewall",
        Cost(text="proves that SSH still works; nothing stops", looks=True),
    ),
    ("RemoteHost", "firewall"): (
        "firewall",
        Cost(text="rules are replaced as a whole; open connections stay. Without a proof that SSH works, undone"),
    ),
    ("RemoteHost", "docker"): (
        "docker",
        Cost(text="Docker reloads; a few settings need a restart of it, containers go on running", interrupts=True),
    ),
    ("PostfixRelay", ""): ("postfix_relay", Cost(text="Postfix reloads: sessions end in peace, the queue stays")),
    ("WorkspaceRelayRule", ""): (
        "relay_probe",
        Cost(text="connects to the upstream; nothing is sent, nothing stops", looks=True),
    ),
    ("CaddyTls", ""): (
        "caddy",
        Cost(text="Caddy reloads: open requests have 30 s. A new SMTP certificate restarts Postal's SMTP container"),
    ),
    ("DnsRecords", ""): (
        "dns_server",
        Cost(text="zones are loaded anew; other addresses to listen on restart the server"),
    ),
    ("PostalHost", "mariadb"): (
        "mariadb",
        Cost(
            text="the database restarts if its configuration changes: Postal waits, clients try again", interrupts=True
        ),
    ),
    ("PostalHost", ""): (
        "postal",
        Cost(
            text="processes that read the change restart (workers have 150 s): clients try again, the queue stays",
            interrupts=True,
        ),
    ),
    ("KubernetesCluster", "members"): ("k3s_members", Cost(text="nodes that are not declared leave the cluster")),
    ("KubernetesCluster", "kubeconfig"): ("k3s_kubeconfig", Cost(text="reads the access; nothing stops", looks=True)),
    ("KubernetesCluster", ""): (
        "k3s",
        Cost(text="k3s restarts, one node after the other; pods go on running", interrupts=True),
    ),
}
RESTART = Cost(
    text="Postfix restarts, since it reads {names} only then: new sessions are refused for seconds, the queue stays",
    interrupts=True,
)
FIRST = Cost(text="installed for the first time")
MOVED = "removed from its host, then put on the next: away in between"
REMOVED = "taken off the host"
REFUSES = "; refuses while mail is queued"
SAME = Cost(text="finds nothing to do on the machine of before; on another one it is installed")
KEPT = Cost(text="no longer managed; what is on the host stays")
# Kind of a resource that runs something -> what an update or a replacement of it does.
WORKLOADS: Mapping[str, str] = {
    "docker:index/container:Container": "the next container takes over: new mail waits until the old one has ended",
    "kubernetes:apps/v1:StatefulSet": "pods restart one after the other",
    "kubernetes:apps/v1:Deployment": "pods are replaced one after the other",
    "kubernetes:batch/v1:Job": "runs once more",
}
# Words of `mailstack diff` for what takes a service away, if only for a second.
INTERRUPTS = frozenset({"restart", "recreate", "roll", "stop"})
# Input of the command -> what of it changed.
REASONS = {
    "stdin": "its settings, secrets or code",
    "connection": "the way to the host",
    "triggers": "another host",
    "create": "its time limit",
    "update": "its time limit",
    "delete": "what happens when it is removed",
    "logging": "what it may print",
}
# Where only these change, the role is told what it was told before.
AS_BEFORE = frozenset(REASONS) - {"stdin", "triggers"}


def runs(steps: Sequence[Step], restarts: Sequence[Restart] = ()) -> tuple[Run, ...]:
    """Return every role that runs, in the engine's order.

    ``restarts`` are what `mailstack diff` says: it compares the settings, which the engine sees as
    one secret input, and so is more exact.
    """
    settings = {
        step.urn.rpartition("::")[0].rpartition("::")[2].rpartition(":")[2]: _changed(step)
        for step in steps
        if step.kind.startswith("mailstack:")
    }
    exact = {name: _exact([one for one in restarts if one.resource == name]) for name in {r.resource for r in restarts}}
    return tuple(
        _run(step, settings.get(step.component, ()), exact.get(step.name)) for step in steps if step.kind == COMMAND
    )


def _exact(restarts: Sequence[Restart]) -> Cost:
    """Return what a role does, in the words of `mailstack diff`: texts of others."""
    texts = [
        sentence(f"{'perhaps ' if one.certain is not True else ''}{one.what}: {one.how}; {one.means}")
        for one in restarts
    ]
    return Cost(text=", ".join(texts), interrupts=any(one.how in INTERRUPTS for one in restarts))


def _changed(step: Step) -> tuple[str, ...]:
    return tuple(name for name in (*step.old, *step.new) if step.old.get(name) != step.new.get(name))


def _run(step: Step, settings: Sequence[str], exact: Cost | None) -> Run:
    old, new = (_host(inputs) for inputs in (step.old, step.new))
    role, cost = _role(step, old or new)
    refuses = REFUSES if role == "postfix_relay" else ""
    if step.action == "delete" and not step.old.get("delete"):
        cost = KEPT
    elif cost.looks:
        pass
    elif step.action == "create":
        cost = FIRST
    elif step.action == "delete":
        cost = Cost(text=REMOVED + refuses, interrupts=True)
    elif "replace" in step.action:
        cost = Cost(text=MOVED + refuses, interrupts=True)
    elif exact is not None:
        cost = exact
    elif step.reasons and AS_BEFORE.issuperset(reason.partition("[")[0] for reason in step.reasons):
        cost = SAME
    elif role == "postfix_relay":
        restarts = [name for name in RESTART_PARAMETERS if any(key.endswith(f"main.cf/{name}") for key in settings)]
        cost = Cost(text=RESTART.text.format(names=" and ".join(restarts)), interrupts=True) if restarts else cost
    why = dict.fromkeys(REASONS.get(reason.partition("[")[0], "another input") for reason in step.reasons)
    code = f"{MARK}{role}" in settings
    return Run(
        name=step.name,
        role=role,
        host=old if old == new or not new else f"{old} → {new}" if old else new,
        action=step.action,
        why=(*why, *(["the role's code is new"] if code and step.action == "update" else [])),
        cost=cost,
    )


def _host(inputs: Mapping[str, object]) -> str:
    """Return the host's name in the settings: it triggers a replacement (components/remote_host.py)."""
    triggers = inputs.get("triggers")
    return str(triggers[0]) if isinstance(triggers, list) and triggers else ""


def _role(step: Step, host: str) -> tuple[str, Cost]:
    """Return the role of a command, and what an update of it does."""
    rest = step.name.removeprefix(f"{host}-") if step.component == "RemoteHost" else step.name.partition("-")[2]
    found = ROLES.get((step.component, rest)) or ROLES.get((step.component, ""))
    return found or (step.name, Cost(text="a command runs on the host", interrupts=True))
