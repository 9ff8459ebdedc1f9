"""What a cluster has made on this machine, and its removal: by its maker, or after the maker's death by the next."""

import ipaddress
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from rehearsal.ground.state import STATE_ROOT, exclusive, private_directory, process_start
from rehearsal.kubernetes import cgroups, network
from rehearsal.kubernetes.addresses import Addresses
from rehearsal.kubernetes.errors import KubernetesError
from rehearsal.kubernetes.processes import kill

__all__ = ["CLUSTERS", "Record", "clean_leftovers"]

CLUSTERS = STATE_ROOT / ".kubernetes"
"""One folder per cluster: keys, logs, images, volumes."""

_NOTE = "cluster.json"


@dataclass(kw_only=True)
class Record:
    """The note in a cluster's folder. It is written before what it tells of is made."""

    name: str
    owner: int
    owner_start: str
    keep: bool
    range: str = ""
    """Addresses of a node, CIDR; empty for an API server alone."""
    processes: list[tuple[int, str]] = field(default_factory=list)
    """Process id and start time of what has to be killed; the rest ends with it."""

    @classmethod
    def claim(cls, name: str, *, keep: bool, root: Path) -> Self:
        """Make the folder of a new cluster, for this process. Raises ``KubernetesError`` where there is one."""
        with exclusive("kubernetes"):
            found = cls.read(root / name)
            if found is not None:
                raise KubernetesError(
                    f"The cluster {name!r} exists already (process {found.owner}{', kept' if found.keep else ''}). "
                    "Fix: stop it, or use another name."
                )
            shutil.rmtree(root / name, ignore_errors=True)
            private_directory(root)
            private_directory(root / name)
            pid = os.getpid()
            record = cls(name=name, owner=pid, owner_start=process_start(pid) or "", keep=keep)
            record.write(root)
            return record

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the note of a folder, or None where there is none."""
        try:
            raw = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        raw["processes"] = [(pid, started) for pid, started in raw["processes"]]
        return cls(**raw)

    def write(self, root: Path) -> None:
        """Write the note."""
        partial = root / self.name / f"{_NOTE}.new"
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        partial.replace(root / self.name / _NOTE)

    @property
    def is_leftover(self) -> bool:
        """Whether its owner is gone and nobody asked to keep it."""
        return not self.keep and process_start(self.owner) != self.owner_start

    def remove(self, root: Path) -> None:
        """End and remove everything."""
        kill(self.processes)
        if self.range:
            addresses = Addresses(whole=ipaddress.IPv4Network(self.range))
            network.remove_links(addresses)
            cgroups.remove(addresses.link)
        shutil.rmtree(root / self.name)


def clean_leftovers(log: Callable[[str], None], root: Path = CLUSTERS) -> tuple[str, ...]:
    """Remove the clusters of dead runs below ``root``. Return their names, sorted."""
    removed = []
    with exclusive("kubernetes"):
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            record = Record.read(folder)
            if record is not None and record.is_leftover:
                log(f"removing a leftover: cluster {record.name} of process {record.owner}")
                record.remove(root)
                removed.append(record.name)
    return tuple(removed)
