"""What is on the host. Everything the plan depends on is read here."""

import os
import socket
from typing import Any, Dict, List, Optional

from k3s import node, paths, state
from k3s.binary import file_sha256, version_of
from k3s.desired import Desired
from rolelib.files import read
from rolelib.host import RoleError, installed_packages, service_is_active, service_is_enabled

__all__ = ["Facts", "enforcing_selinux", "gather", "server_password"]

CONNECT_SECONDS = 3


class Facts:
    """What was found. ``made`` is what this role keeps about the node; ``units`` those that are there, by kind."""

    def __init__(self, wanted: Desired) -> None:
        """Look at the host."""
        self.made: Dict[str, Any] = state.load()
        self.sha256 = file_sha256(paths.BINARY)
        self.version = version_of(paths.BINARY) if self.sha256 else None
        self.units = {kind: read(paths.unit_path(kind)) for kind in paths.UNITS}
        self.active = service_is_active(wanted.unit)
        self.enabled = service_is_enabled(wanted.unit)
        self.interrupted = os.path.exists(os.path.join(state.ROLLBACK, "manifest.json"))
        self.database = os.path.isdir(os.path.join(paths.DATA, "server", "db"))
        self.images = {images.path: file_sha256(images.path) for images in wanted.images}
        self.old_images = [path for path in _our_images() if path not in self.images]
        # A file of somebody else stays: only what this role has written is its own to delete.
        self.stale = [path for path in wanted.unwanted if paths.MARK in (read(path) or "")]
        self.node = node.seen(wanted.kind, wanted.name) if self.active else None


def gather(wanted: Desired) -> Facts:
    """Read the host. Raises RoleError for what this role must not touch, or cannot make of it."""
    facts = Facts(wanted)
    _refuse_foreign(facts)
    _refuse_another_node(facts, wanted)
    if wanted.kind == "server":
        _refuse_another_token(wanted)
        fixed = facts.made.get("fixed", {})
        changed = sorted(key for key in wanted.fixed if facts.database and fixed.get(key) != wanted.fixed[key])
        if changed:
            raise RoleError(
                "facts",
                f"{', '.join(changed)} of a cluster that is there cannot be changed this way: declare it as it was, or "
                "make a new cluster. (Encryption: follow `k3s secrets-encrypt` by hand.)",
            )
    if wanted.first and not facts.database:
        _refuse_second_cluster(wanted)
    return facts


def enforcing_selinux() -> bool:
    """Tell whether SELinux enforces. Raises RoleError where it does and k3s's policy is missing.

    Without the policy containers cannot read their own files, and what is denied shows nowhere near k3s.
    """
    if (read("/sys/fs/selinux/enforce") or "0").strip() != "1":
        return False
    if not installed_packages(["k3s-selinux"]):
        raise RoleError(
            "selinux",
            "SELinux enforces, and the package k3s-selinux is not installed: install it from rpm.rancher.io (with "
            "container-selinux), as https://docs.k3s.io/advanced#selinux-support says, then repeat",
        )
    return True


def server_password() -> Optional[str]:
    """Return the token that this server's cluster has: the last part of ``K10<hash>::server:<password>``."""
    text = read(paths.SERVER_TOKEN)
    return None if text is None else text.strip().rpartition(":")[2]


def _our_images() -> List[str]:
    if not os.path.isdir(paths.IMAGES):
        return []
    names = sorted(name for name in os.listdir(paths.IMAGES) if name.startswith(paths.IMAGES_PREFIX))
    return [os.path.join(paths.IMAGES, name) for name in names]


def _refuse_foreign(facts: Facts) -> None:
    foreign = [paths.unit_path(kind) for kind, text in facts.units.items() if text and paths.MARK not in text]
    if facts.sha256 is not None and not facts.made:
        foreign.append(paths.BINARY)
    if facts.database and not facts.made:
        foreign.append(os.path.join(paths.DATA, "server", "db"))
    if foreign:
        raise RoleError(
            "facts",
            f"k3s is here already and did not come from mailstack ({', '.join(foreign)}): remove it "
            "(k3s-uninstall.sh or k3s-agent-uninstall.sh), or leave this host out of cluster",
        )


def _refuse_another_node(facts: Facts, wanted: Desired) -> None:
    made = facts.made
    if made and (made["kind"], made["name"]) != (wanted.kind, wanted.name):
        raise RoleError(
            "facts",
            "this host is the {kind} {name} of a cluster: a node does not change from server to agent or back, nor "
            "its name. Take it out of cluster, `pulumi up` with on_destroy remove, then declare it anew".format(**made),
        )


def _refuse_another_token(wanted: Desired) -> None:
    if server_password() not in (None, wanted.token):
        raise RoleError(
            "token",
            "the cluster has another token than cluster.token. Set the one it has, or change it on the first server "
            "by hand, `k3s token rotate` (it asks on standard input), and then here: the database is encrypted with it",
        )


def _refuse_second_cluster(wanted: Desired) -> None:
    """A first server without data beside servers that run would start a cluster of its own."""
    for address in wanted.servers:
        try:
            with socket.create_connection((address, paths.API_PORT), CONNECT_SECONDS):
                pass
        except OSError:
            continue
        raise RoleError(
            "facts",
            f"{address} runs a cluster, and this host, the first of cluster.servers, has no data of it: it would begin "
            "a second one. Put a server that has the data first; this one then joins",
        )
