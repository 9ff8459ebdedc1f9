"""Where a running stack's parts are, for the commands that look after it: the stack's output ``operations``.

No secret is in it; keys come from elsewhere (``mailstack.reach.entry``). Fields are only ever added.
"""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mailstack.reach.outputs import OutputError, stack_output

__all__ = [
    "ContainerAt",
    "HostAt",
    "JumpAt",
    "Operations",
    "PodsAt",
    "PostalAt",
    "RelayAt",
    "parse_operations",
    "read_operations",
]


class _Told(BaseModel):
    """Unknown fields are from a newer program that wrote the output."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class JumpAt(_Told):
    """A place to log in to; ``host_key`` as ``algorithm base64``, None for one that is not pinned."""

    address: str
    port: int = 22
    user: str = "root"
    host_key: str | None = None


class HostAt(JumpAt):
    """A host of the stack, behind ``jump`` where it has one."""

    jump: JumpAt | None = None


class ContainerAt(_Told):
    """A container of one engine; ``endpoint`` as ``unix://``, ``ssh://`` or ``tcp://``, ``host`` where it is ours."""

    endpoint: str
    name: str
    host: str | None = None


class PodsAt(_Told):
    """Pods of a cluster by their labels; ``workload`` as kubectl names it, ``container`` "" where a pod has one only.

    ``context`` of the kubeconfig; ``own``: the cluster is this stack's, its kubeconfig the output of that name.
    """

    cluster: str
    namespace: str
    labels: dict[str, str]
    container: str = ""
    workload: str
    context: str | None = None
    own: bool = False


class RelayAt(_Told):
    """The relay. ``hosts`` of placement vm; ``google``: the upstream is Google's relay service.

    ``sender`` is what a test message is from, ``listen`` the addresses and ports it is handed to, by host ("" for
    containers and pods).
    """

    placement: Literal["vm", "docker", "kubernetes"]
    hosts: tuple[str, ...] = ()
    container: ContainerAt | None = None
    pods: PodsAt | None = None
    listen: dict[str, tuple[tuple[str, int], ...]]
    sender: str
    upstream: str
    google: bool = False


class PostalAt(_Told):
    """Postal. ``image`` as declared; ``backups``: the folder on its host; ``calendar`` None: none are made by timer.

    ``users`` are the declared addresses, ``credentials`` the declared names by mail server, ``database`` and ``prefix``
    how its databases are called.
    """

    placement: Literal["vm", "kubernetes"]
    host: str | None = None
    pods: PodsAt | None = None
    image: str
    web_url: str
    database: str = "postal"
    prefix: str = "postal"
    backups: str | None = None
    calendar: str | None = None
    users: tuple[str, ...] = ()
    credentials: dict[str, tuple[str, ...]] = {}


class Operations(_Told):
    """The stack: its hosts by name, and what runs where."""

    version: int = 1
    hosts: dict[str, HostAt] = {}
    relay: RelayAt | None = None
    postal: PostalAt | None = None


def read_operations(stack: str, folder: Path) -> Operations:
    """Return the stack's output. Raises OutputError where it has none, or not such a one."""
    return parse_operations(stack_output("operations", stack, folder), stack)


def parse_operations(told: object, stack: str) -> Operations:
    """Return output ``operations`` of a stack; the CLI shows a text that is JSON as the data in it.

    Raises OutputError where it is not such a one.
    """
    text = told if isinstance(told, str) else json.dumps(told)
    try:
        return Operations.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise OutputError(
            f"output `operations` of stack {stack} is not understood ({where}: {first['msg']}): it was written by "
            "another version of this project; run `pulumi up` with this one"
        ) from None
