"""Which images a rehearsal needs, and where they come from: the real ones where they can be pulled."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rehearsal.ground.archive import Entry
from rehearsal.ground.daemon import ensure_docker
from rehearsal.ground.docker import docker, docker_try
from rehearsal.ground.errors import GroundError
from rehearsal.ground.image import ensure_bare_image, ensure_base_image, exists, image_tag, pull
from rehearsal.ground.machine import read_machine
from rehearsal.ground.state import STATE_ROOT, exclusive, private_directory
from rehearsal.images.build import Config, Layer, build, folder_layers, slim_layer
from rehearsal.images.relay import RELAY_REPOSITORIES, base_layers, relay_tag

__all__ = [
    "MARIADB_IMAGE",
    "POSTAL_IMAGE",
    "POSTAL_VARIABLE",
    "POSTAL_VERSION",
    "POSTAL_VERSION_BROKEN",
    "POSTAL_VERSION_NEXT",
    "Images",
    "ensure_docker_host_image",
    "ensure_images",
    "ensure_service_image",
    "remove_outdated_images",
]

Log = Callable[[str], None]
_REHEARSAL = Path(__file__).resolve().parent.parent
_APP = "/opt/postal/app"

POSTAL_VERSION = "3.3.7"
POSTAL_VERSION_NEXT = "3.3.8"
"""The same program calling itself newer: for upgrades."""
POSTAL_VERSION_BROKEN = "3.3.9-broken"
"""The same program again, whose ``postal upgrade`` fails: for upgrades that must be taken back."""

POSTAL_IMAGE = f"ghcr.io/postalserver/postal:{POSTAL_VERSION}"
MARIADB_IMAGE = "mariadb:10.11"

POSTAL_VARIABLE = "MAILSTACK_POSTAL_IMAGE"
"""Environment variable with an image of Postal on this machine to use instead, real or not."""

SERVICE_PACKAGES = ("ca-certificates", "docker-registry", "nsd", "pebble", "unbound")
"""Registry, name server, ACME server and resolver of a rehearsal."""

DOCKER_PACKAGES = ("docker.io", "docker-compose", "iptables")
"""Docker as Debian has it."""

_REPOSITORIES = (
    *(
        f"mailstack-rehearsal-{name}"
        for name in ("slim", "services", "postal-packages", "postal", "mariadb", "docker-host")
    ),
    *RELAY_REPOSITORIES,
)

_ASK_AGAIN = 24 * 3600.0
"""Seconds before a registry that could not be reached is asked again."""

# A migration Rails runs last and that always fails. The stand-in goes by the version instead.
_BROKEN_MIGRATION = """class BrokenOnPurpose < ActiveRecord::Migration[7.0]
  def change
    raise "this release is broken on purpose, to rehearse a failed upgrade"
  end
end
"""


@dataclass(frozen=True, kw_only=True)
class _Recipes:
    """What :func:`ensure_images` has to build, each a list of layers; empty where a real image is there."""

    services: list[Layer]
    mariadb: list[Layer]
    postal: list[Layer]
    variants: dict[str, list[Layer]]
    postal_image: str
    """Base of the variants."""

    def tags(self) -> set[str]:
        lists = [self.services, self.mariadb, self.postal, *self.variants.values()]
        return {layer.tag for layers in lists for layer in layers}


@dataclass(frozen=True, kw_only=True)
class Images:
    """Names of images this machine's Docker daemon has."""

    postal: Mapping[str, str]
    """Version (:data:`POSTAL_VERSION`, ``_NEXT``, ``_BROKEN``) to image."""
    mariadb: str
    services: str
    """docker-registry, nsd, unbound and pebble."""
    real_postal: bool
    """Postal itself, not the stand-in."""
    real_mariadb: bool
    """The official image; the stand-in's server is a real MariaDB too."""


def _obtain(image: str, log: Log) -> bool:
    """Tell whether the daemon has ``image`` now. A registry that was out of reach today is not asked again."""
    if exists(image):
        return True
    note = private_directory(STATE_ROOT / ".images") / f"unreachable-{image.replace('/', '_').replace(':', '_')}"
    if note.exists() and time.time() - note.stat().st_mtime < _ASK_AGAIN:
        return False
    if pull(image, log):
        note.unlink(missing_ok=True)
        return True
    note.touch()
    return False


def _is_real_postal(image: str) -> bool:
    """Tell Postal from the stand-in: only Postal is a Rails application."""
    rails = "/opt/postal/app/config/application.rb"
    arguments = ["run", "--rm", "--network", "none", "--entrypoint", "test", image, "-f", rails]
    return docker_try(arguments).returncode == 0


def _service_layers(log: Log) -> list[Layer]:
    slim = slim_layer(ensure_bare_image(log))
    return [slim, Layer(repository="mailstack-rehearsal-services", base=slim.tag, packages=SERVICE_PACKAGES)]


def _mariadb_layers(slim: Layer) -> list[Layer]:
    folder = _REHEARSAL / "mariadb_standin" / "image"
    return [slim, *folder_layers("mariadb", folder, slim.tag, target="/opt/mariadb-standin", together=True)]


def _postal_layers(slim: Layer) -> list[Layer]:
    folder = _REHEARSAL / "postal_standin" / "image"
    return [slim, *folder_layers("postal", folder, slim.tag, target=_APP, arguments=[POSTAL_VERSION])]


def _variant(base: str, version: str, *, broken: bool = False) -> Layer:
    files = [Entry(target=f"{_APP}/VERSION", content=f"{version}\n".encode())]
    if broken:
        migration = f"{_APP}/db/migrate/99991231235959_broken_on_purpose.rb"
        files.append(Entry(target=migration, content=_BROKEN_MIGRATION.encode()))
    return Layer(repository="mailstack-rehearsal-postal", base=base, files=tuple(files))


def _given_postal(log: Log) -> str | None:
    """Return the image of Postal somebody else has made, if there is one."""
    named = os.environ.get(POSTAL_VARIABLE)
    if named and not exists(named):
        raise GroundError(
            f"{POSTAL_VARIABLE} names {named!r}, which this machine's Docker does not have. "
            "Fix: build, load or pull it first, or unset the variable."
        )
    if named and docker(["image", "inspect", "--format", "{{len .RepoTags}}", named]) == "0":
        # The registry gives it another one for a while; taking the last one away would delete the image.
        raise GroundError(f"The image {POSTAL_VARIABLE}={named} has no name. Fix: docker tag {named} postal-mine:1")
    if named:
        return named
    return POSTAL_IMAGE if _obtain(POSTAL_IMAGE, log) else None


def _recipes(log: Log) -> _Recipes:
    services = _service_layers(log)
    slim = services[0]
    given = _given_postal(log)
    postal = [] if given else _postal_layers(slim)
    # A name can be given to another image any time; its id stays.
    base = docker(["image", "inspect", "--format", "{{.Id}}", given]) if given else postal[-1].tag
    return _Recipes(
        services=services,
        mariadb=[] if _obtain(MARIADB_IMAGE, log) else _mariadb_layers(slim),
        postal=postal,
        variants={
            POSTAL_VERSION_NEXT: [_variant(base, POSTAL_VERSION_NEXT)],
            POSTAL_VERSION_BROKEN: [_variant(base, POSTAL_VERSION_BROKEN, broken=True)],
        },
        postal_image=given or postal[-1].tag,
    )


def _build_all(recipes: Sequence[Sequence[Layer]], log: Log) -> None:
    """Build the last layer of each recipe and those below it, as far as they are missing."""
    if all(exists(layers[-1].tag) for layers in recipes if layers):
        return
    with exclusive("images"):
        for layers in recipes:
            build(layers, log)


def ensure_service_image(log: Log) -> str:
    """Return the image with the registry, the resolver and the ACME server; build it where needed."""
    ensure_docker(log)
    layers = _service_layers(log)
    _build_all([layers], log)
    return layers[-1].tag


def _docker_host_layer() -> Layer:
    return Layer(
        repository="mailstack-rehearsal-docker-host",
        base=image_tag(read_machine()),
        packages=DOCKER_PACKAGES,
        config=Config(command=("/sbin/init",), environment={"container": "docker"}),
    )


def ensure_docker_host_image(log: Log) -> str:
    """Return an image for ``create_host(image=..., docker=True)`` in which Debian's Docker is installed already.

    For tests of what runs on Docker, not of how it gets there. Raises ``GroundError``.
    """
    ensure_docker(log)
    ensure_base_image(log)
    layer = _docker_host_layer()
    _build_all([[layer]], log)
    return layer.tag


def ensure_images(log: Log) -> Images:
    """Return all images a rehearsal needs; build what is missing or whose recipe has changed.

    Raises ``GroundError``. From nothing this takes about a minute, otherwise half a second.
    """
    ensure_docker(log)
    recipes = _recipes(log)
    _build_all([recipes.services, recipes.mariadb, recipes.postal, *recipes.variants.values()], log)
    return Images(
        postal={
            POSTAL_VERSION: recipes.postal_image,
            **{version: layers[-1].tag for version, layers in recipes.variants.items()},
        },
        mariadb=recipes.mariadb[-1].tag if recipes.mariadb else MARIADB_IMAGE,
        services=recipes.services[-1].tag,
        real_postal=not recipes.postal and _is_real_postal(recipes.postal_image),
        real_mariadb=not recipes.mariadb,
    )


def remove_outdated_images(log: Log) -> tuple[str, ...]:
    """Remove images of older recipes, unless something runs on them."""
    removed = []
    with exclusive("images"):
        base = base_layers(ensure_bare_image(log))[-1].tag
        # One that trusts a ground's own authority is outdated with its ground.
        present = _recipes(log).tags() | {_docker_host_layer().tag, base, relay_tag(base)}
        # An image goes only after those built on it: newest first, which is how Docker lists them.
        for tag in docker(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).split():
            if tag.partition(":")[0] not in _REPOSITORIES or tag in present:
                continue
            if docker_try(["image", "rm", tag]).returncode == 0:
                log(f"removed the outdated image {tag}")
                removed.append(tag)
    return tuple(removed)
