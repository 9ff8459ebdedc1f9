"""What a node should be, from the settings. Pure."""

import os
from typing import Any, Dict, List

from k3s import paths, rendering
from rolelib.files import DesiredFile
from rolelib.host import RoleError

__all__ = ["Desired", "Images", "architecture_of"]

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture_of(machine: str) -> str:
    """Return k3s's name of a processor as uname(2) names it. Raises RoleError for one it is not declared for."""
    if machine not in ARCHITECTURES:
        raise RoleError("facts", f"k3s is not set up for {machine} here: use a 64-bit x86 or ARM machine")
    return ARCHITECTURES[machine]


class Images:
    """An archive of container images: where it is, its sum, and where k3s looks for it."""

    def __init__(self, source: str, sha256: str) -> None:
        """Hold the values; the name keeps its ending, by which k3s knows the compression."""
        self.source = source
        self.sha256 = sha256
        self.path = os.path.join(paths.IMAGES, f"{paths.IMAGES_PREFIX}{sha256[:12]}-{os.path.basename(source)}")


class Desired:
    """A node as declared. ``files`` are in the order they are written."""

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any], machine: str, selinux: bool) -> None:
        """Read settings and secrets for a host with that processor. Raises RoleError where no sum is given for it."""
        node = settings["node"]
        architecture = architecture_of(machine)
        self.name: str = node["name"]
        self.kind: str = node["kind"]
        self.first: bool = node["first"]
        self.servers: List[str] = node["servers"]
        self.version: str = settings["version"]
        if architecture not in settings["sha256"]:
            raise RoleError("facts", f"cluster.sha256 has no sum for {architecture}, which this host is: add it")
        self.sha256: str = settings["sha256"][architecture]
        suffix = "" if architecture == "amd64" else f"-{architecture}"
        self.url = "{}/{}/k3s{}".format(settings["download_url"], settings["version"].replace("+", "%2B"), suffix)
        self.binary_file = settings["binary_file"]
        self.images = [
            Images(entry["file"], entry["sha256"])
            for entry in settings["airgap_images"]
            if entry["architecture"] == architecture
        ]
        self.token: str = secrets["token"]
        self.ready_seconds: int = settings["ready_seconds"]
        self.remove_volumes: bool = settings["remove_volumes"]
        self.config: Dict[str, Any] = dict(settings["config"])
        if selinux:
            self.config["selinux"] = True
        # A node that joins with the long form checks the CA before it shows the token (docs.k3s.io/cli/token).
        joins = "server" in self.config and settings["ca_sha256"] is not None
        joining = "K10{}::server:{}".format(settings["ca_sha256"], self.token) if joins else self.token
        registries = rendering.registries_yaml(settings["registries"], secrets.get("registry_passwords", {}))
        self.unit = paths.UNITS[self.kind]
        self.files = [
            DesiredFile(paths.TOKEN, joining + "\n", 0o600, secret=True),
            DesiredFile(paths.CONFIG, rendering.config_yaml(self.config), 0o600),
            DesiredFile(paths.unit_path(self.kind), rendering.unit(self.kind)),
        ]
        if registries:
            self.files.insert(0, DesiredFile(paths.REGISTRIES, registries, 0o600, secret=True))
        self.unwanted = [] if registries else [paths.REGISTRIES]

    @property
    def fixed(self) -> Dict[str, Any]:
        """What cannot change once a server has made its database."""
        keys = ("cluster-cidr", "service-cidr", "secrets-encryption")
        return {key: self.config[key] for key in keys if key in self.config}
