"""Builds small images layer by layer from Debian packages; a layer is built once for each recipe."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehearsal.ground.archive import Entry, pack, pack_tree
from rehearsal.ground.daemon import default_mtu
from rehearsal.ground.docker import docker, docker_bytes, docker_try
from rehearsal.ground.hosts import APT_VOLUME
from rehearsal.ground.image import BUILD_TIMEOUT, exists, run_logged
from rehearsal.ground.machine import Machine, read_machine
from rehearsal.ground.state import STATE_ROOT, private_directory

__all__ = ["Config", "Layer", "apt_files", "build", "folder_layers", "slim_layer"]

Log = Callable[[str], None]
_FILES = Path(__file__).with_name("files")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a container of the image is started with; the keys of a recipe folder's ``image.json``."""

    user: str = "root"
    working_dir: str = "/"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ("/bin/sh",)
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Read an ``image.json``. Raises ``TypeError`` for a key that is not one."""
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lists = {key: tuple(value) for key, value in raw.items() if isinstance(value, list)}
        return cls(**{**raw, **lists})

    def changes(self) -> list[str]:
        """The arguments that make docker-commit(1) write this down."""
        lines = [
            f"USER {self.user}",
            f"WORKDIR {self.working_dir}",
            f"ENTRYPOINT {json.dumps(self.entrypoint)}",
            f"CMD {json.dumps(self.command)}",
            *(f"ENV {name}={json.dumps(value)}" for name, value in self.environment.items()),
            *(f"VOLUME {json.dumps([path])}" for path in self.volumes),
            *(f"EXPOSE {port}/tcp" for port in self.ports),
        ]
        return [part for line in lines for part in ("--change", line)]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One step from ``base`` to a new image: packages, then files, then a command, run as root."""

    repository: str
    base: str
    packages: tuple[str, ...] = ()
    files: tuple[Entry, ...] = ()
    command: tuple[str, ...] = ()
    config: Config = field(default_factory=Config)
    """Not for a layer of files alone, which leaves that of the base."""
    flat: bool = False
    """Throw the history of the base away, so that what was deleted is really gone."""

    @property
    def tag(self) -> str:
        """The name of the image: it changes whenever the recipe does."""
        recipe = {
            "base": self.base,
            "packages": self.packages,
            "files": [
                [entry.target, entry.mode, entry.owner, hashlib.sha256(entry.content or b"").hexdigest()]
                for entry in self.files
            ],
            "command": self.command,
            "config": self.config.changes(),
            "flat": self.flat,
            "script": (_FILES / "build.sh").read_text(encoding="utf-8"),
        }
        digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
        return f"{self.repository}:{digest[:16]}"


def slim_layer(bare: str) -> Layer:
    """The layer all images of the rehearsal share: Debian without documentation and package lists."""
    script = "/rehearsal/slim.sh"
    return Layer(
        repository="mailstack-rehearsal-slim",
        base=bare,
        files=(Entry(target=script, content=(_FILES / "slim.sh").read_bytes(), mode=0o755),),
        command=(script,),
        flat=True,
    )


def folder_layers(
    name: str, folder: Path, base: str, *, target: str, arguments: Sequence[str] = (), together: bool = False
) -> list[Layer]:
    """Return the layers of a recipe folder: its packages, then the folder itself, which is quick to build again.

    ``together``: in one layer, for a recipe that removes much of what its packages brought. The folder, put at
    ``target`` in the image, holds ``packages.txt`` (a name a line), ``install.sh`` (run there as root with
    ``arguments``) and ``image.json`` (see :class:`Config`).
    """
    lines = (folder / "packages.txt").read_text(encoding="utf-8").splitlines()
    names = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    parents = [str(parent) for parent in reversed(Path(target).parents) if str(parent) != "/"]
    layers = []
    if not together:
        layers.append(Layer(repository=f"mailstack-rehearsal-{name}-packages", base=base, packages=names))
    layers.append(
        Layer(
            repository=f"mailstack-rehearsal-{name}",
            base=base if together else layers[0].tag,
            packages=names if together else (),
            files=(*(Entry(target=parent, content=None, mode=0o755) for parent in parents), *pack_tree(folder, target)),
            command=(f"{target}/install.sh", *arguments),
            config=Config.read(folder / "image.json"),
        )
    )
    return layers


def apt_files(machine: Machine, folder: str, configuration: str, settings: Sequence[str] = ()) -> list[Entry]:
    """Return what apt needs from this machine, in ``folder``, and its ``configuration`` with further ``settings``."""
    lines = [*settings, *machine.apt_settings]
    entries = []
    if machine.sources:
        lines += ['Dir::Etc::sourcelist "/dev/null";', f'Dir::Etc::sourceparts "{folder}/sources.list.d";']
        name = f"{folder}/sources.list.d/rehearsal.sources"
        entries.append(Entry(target=name, content=machine.sources.encode()))
    if machine.apt_logins:
        lines.append(f'Dir::Etc::netrcparts "{folder}/auth.conf.d";')
        entries += [
            Entry(target=f"{folder}/auth.conf.d/{name}", content=text.encode(), mode=0o644)
            for name, text in machine.apt_logins.items()
        ]
    if machine.bundle is not None:
        lines.append(f'Acquire::https::CAInfo "{folder}/bundle.pem";')
        entries.append(Entry(target=f"{folder}/bundle.pem", content=machine.bundle.read_bytes()))
    entries.append(Entry(target=configuration, content=("\n".join(lines) + "\n").encode()))
    return entries


def _build_files(machine: Machine) -> list[Entry]:
    """Return what a build needs, in the one directory that does not stay in the image."""
    settings = ['Acquire::Languages "none";', 'DPkg::Options:: "--force-unsafe-io";']
    return [
        Entry(target="/rehearsal", content=None, mode=0o755),
        Entry(target="/rehearsal/build.sh", content=(_FILES / "build.sh").read_bytes(), mode=0o755),
        *apt_files(machine, "/rehearsal", "/rehearsal/apt.conf", settings),
    ]


def _create_arguments(layer: Layer, name: str) -> list[str]:
    # No --entrypoint: docker-commit(1) can replace one, but not make it none again.
    arguments = ["--name", name, "--network", name, "--user", "root", "--workdir", "/"]
    if layer.packages:
        # What apt leaves here does not become part of the image.
        arguments += ["--tmpfs", "/var/lib/apt/lists", "--tmpfs", "/var/cache/apt"]
        arguments += ["--volume", f"{APT_VOLUME}:/var/cache/rehearsal-packages"]
    return arguments


def _commit(layer: Layer, container: str, tag: str) -> None:
    changes = layer.config.changes()
    if layer.flat:
        archive = docker_bytes(["export", container], timeout=BUILD_TIMEOUT)
        docker(["import", *changes, "-", tag], stdin=archive, timeout=BUILD_TIMEOUT)
    else:
        docker(["commit", *changes, container, tag], timeout=BUILD_TIMEOUT)


def _run_and_commit(layer: Layer, tag: str, log_file: Path) -> None:
    name = f"mailstack-rehearsal-build-{tag.rpartition(':')[2]}"
    docker_try(["rm", "--force", "--volumes", name])
    docker_try(["network", "rm", name])
    docker(["network", "create", "--opt", f"com.docker.network.driver.mtu={default_mtu()}", name])
    try:
        script = ["/bin/sh", "/rehearsal/build.sh", *layer.packages, "--", *layer.command]
        docker(["create", *_create_arguments(layer, name), layer.base, *script])
        docker(["cp", "-", f"{name}:/"], stdin=pack([*_build_files(read_machine()), *layer.files]))
        run_logged(["docker", "start", "--attach", name], log_file, f"building {layer.repository}")
        _commit(layer, name, tag)
    finally:
        docker_try(["rm", "--force", "--volumes", name])
        docker_try(["network", "rm", name])


def _copy_and_commit(layer: Layer, tag: str) -> None:
    """Add files only: nothing has to run, and the configuration of the base stays as it is."""
    container = docker(["create", layer.base])
    try:
        docker(["cp", "-", f"{container}:/"], stdin=pack(layer.files))
        docker(["commit", container, tag], timeout=BUILD_TIMEOUT)
    finally:
        docker_try(["rm", "--force", "--volumes", container])


def build(layers: Sequence[Layer], log: Log) -> None:
    """Build those ``layers`` (each on the one before) that are not there yet.

    The caller holds a lock: two builds of one layer at a time would get in each other's way. Raises
    ``GroundError``; what apt and the recipe said is in ``.rehearsal/.images/build.log``.
    """
    log_file = private_directory(STATE_ROOT / ".images") / "build.log"
    for layer in layers:
        tag = layer.tag
        if exists(tag):
            continue
        log(f"building {tag} on {layer.base}")
        if layer.packages or layer.command:
            log_file.write_bytes(b"")
            _run_and_commit(layer, tag, log_file)
        else:
            _copy_and_commit(layer, tag)
