"""How hosts are reached, and what is left to run there when a resource goes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.policy.model import EVERYWHERE, Level, Policy, Resource, Seen, Unclear
from mailstack.policy.wire import UNKNOWN, has_unknown
from mailstack.reach.bundle import command_line

__all__ = ["HOST_KEYS", "SAFE_DELETES"]

REMOTE = "command:remote:"
NOT_PINNED = "not pinned"
# The one text that a role's command runs when it goes; the role itself refuses to remove what nobody named.
OF_A_ROLE = re.compile(re.escape(command_line("remove", 0)).removesuffix("0") + r"[1-9][0-9]*")
DESTROYS = re.compile(
    r"\brm\b[^|;&\n]*\s(-\w*r\w*\b|--recursive)|\bfind\b.*\s-delete\b|\bmkfs|\bwipefs\b|\bshred\b|\bblkdiscard\b|\bdd\b.*\bof="
    r"|\btruncate\b|\bdrop\s+(database|schema|table)\b|\bpostsuper\b.*\s-d|\blv(remove|reduce)\b|\bzfs\s+destroy\b"
    r"|\bmysqladmin\b.*\bdrop\b|\bapt(-get)?\b.*\bpurge\b|\b(docker|podman)\b.*(?<!-)\brm\s+(-\w*v\b|--volumes)"
    r"|\b(docker|podman)\b.*\b(volume\s+(rm|prune)|system\s+prune|down\b.*(\s-v\b|--volumes))"
    r"|\bkubectl\b.*\bdelete\b.*\b(pvc?|persistentvolume\w*|namespaces?|ns|statefulsets?|secrets?)\b"
    r"|\brmtree\b|\buserdel\b.*\s(-\w*r|--remove)|\bdelete\s+from\b|\bdropdb\b|\bflush(all|db)\b|\b[vp]gremove\b"
    r"|\bpvremove\b|\bbtrfs\s+subvolume\s+delete\b|\brsync\b.*\s--delete",
    re.IGNORECASE | re.DOTALL,
)


# ssh in a command of somebody's own: each of these takes whatever key comes.
ANY_KEY = re.compile(
    r"StrictHostKeyChecking[=\s]*(no|off|accept-new)\b|UserKnownHostsFile[=\s]*/dev/null"
    r"|ANSIBLE_HOST_KEY_CHECKING[=:'\s]*(false|no|0)\b",
    re.IGNORECASE,
)


def _host_keys(resource: Resource, _seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    if resource.type.startswith(REMOTE):
        connection = resource.mapping("connection")
        if UNKNOWN in (resource.inputs.get("connection"), connection.get("hostKey"), connection.get("proxy")):
            yield Unclear("connection")
        for place, found in (("the host", connection), ("the jump host", resource.mapping("connection", "proxy"))):
            if found and found.get("hostKey") in (None, "", NOT_PINNED):
                yield f"connects to {place} {found.get('host')} without hostKey: whoever answers first is trusted"
    if resource.type.startswith("command:"):
        for name in ("create", "update", "delete", "environment", "interpreter"):
            loose = ANY_KEY.search(str(resource.inputs.get(name) or ""))
            if loose is not None:
                yield f"{name} has {loose.group()}: whoever answers is trusted"
    if resource.is_component("RemoteHost"):
        for place in ("ssh", "jump"):
            for key, text in resource.shown(f"{place}/host_key"):
                if text == NOT_PINNED:
                    yield f"{key} is not pinned: whoever answers first is trusted"
    host = str(resource.inputs.get("host", "")) if resource.type == "pulumi:providers:docker" else ""
    # A provider's inputs are texts; the options are JSON within.
    options = resource.inputs.get("sshOpts")
    if host.startswith("ssh://") and has_unknown(options):
        yield Unclear("sshOpts")
    elif host.startswith("ssh://") and not re.search(r"StrictHostKeyChecking[= ]yes", str(options or "")):
        yield f"{host}: sshOpts lacks StrictHostKeyChecking=yes: whoever answers is trusted"


def _safe_deletes(resource: Resource, _seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    if not resource.type.startswith("command:"):
        return
    text = resource.inputs.get("delete")
    if text is None:
        return
    if text is UNKNOWN:
        yield "delete is not known before the update, so nobody can read what it removes"
    elif not OF_A_ROLE.fullmatch(str(text)):
        found = DESTROYS.search(str(text).replace("\\\n", " "))
        if found is not None:
            # What is between the first word and the last may be a password.
            words = re.sub(r"(?s)^(\S+)\s.*\s(\S+)$", r"\1 … \2", found.group())
            yield f"delete runs {words!r}: it destroys data without being asked"
    if resource.inputs.get("triggers") and not resource.options.delete_before_replace:
        yield "has delete and triggers without delete_before_replace: the old delete would undo what the new one made"


HOST_KEYS = Policy(
    name="host-keys-are-pinned",
    description="Pulumi logs in only where the host shows the key that is declared.",
    level=Level.MANDATORY,
    environments=EVERYWHERE - {"local"},
    source="RFC 4253 §4.1, RFC 4251 §9.3.4",
    remedy="set hosts.NAME.host_key and jump.host_key to the key, read on the host: /etc/ssh/ssh_host_ed25519_key.pub",
    check=_host_keys,
)
SAFE_DELETES = Policy(
    name="deletes-are-safe",
    description="What runs when a resource goes removes no data that nobody named.",
    level=Level.MANDATORY,
    source="docs/adr/0001-roles-over-one-command.md",
    remedy="let a role do it, which refuses without an explicit setting, or leave delete out",
    check=_safe_deletes,
)
