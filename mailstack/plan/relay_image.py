"""The relay's image: which one, or what it is built of. Every placement in containers uses it."""

import fnmatch
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mailstack.plan.shown import Secret
from mailstack.settings.relay_image_model import RelayImage

__all__ = [
    "CONTEXT",
    "DOCKERFILE",
    "ROOT",
    "ImagePlan",
    "RegistryLogin",
    "code_files",
    "image_code_digest",
    "plan_image",
    "secret_files",
]

ROOT = Path(__file__).resolve().parents[2]
# As the builder is told them: below the project's folder, so that they are the same on every machine.
CONTEXT, DOCKERFILE = ".", "images/postfix-relay/Dockerfile"
TAG_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class RegistryLogin:
    """Where an image is pushed to or pulled from."""

    server: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ImagePlan:
    """``name`` is what a container names. ``built``: from the Dockerfile with ``arguments``; else it is there."""

    name: str
    built: bool
    platform: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    network: str = "default"
    registry: RegistryLogin | None = None

    def shown(self) -> dict[str, str | Secret]:
        """Return what a reviewer sees of it."""
        found: dict[str, str | Secret] = {"image": self.name, "image/platform": self.platform}
        if self.built:
            found |= {f"image/build argument {name}": text for name, text in self.arguments.items()}
            found["image/network of the build"] = self.network
            found["code of the image"] = image_code_digest()
        if self.registry is not None:
            found["image/registry"] = f"{self.registry.username} at {self.registry.server}"
            found["image/registry password"] = Secret(self.registry.password)
        return found


def plan_image(image: RelayImage) -> ImagePlan:
    """Return the plan of ``relay.image``. The tag of a built image changes exactly when what goes into it does."""
    registry = (
        None
        if image.registry is None
        else RegistryLogin(
            server=image.registry.server,
            username=image.registry.username,
            password=image.registry.password.get_secret_value(),
        )
    )
    if image.reference is not None:
        return ImagePlan(name=image.reference, built=False, platform=image.platform, registry=registry)
    arguments = {name: text for name, text in (("BASE", image.base), ("REBUILD", image.rebuild)) if text is not None}
    recipe = "\n".join([image_code_digest(), image.platform, *(f"{name}={text}" for name, text in arguments.items())])
    tag = hashlib.sha256(recipe.encode()).hexdigest()[:TAG_DIGITS]
    place = f"{registry.server}/" if registry is not None else ""
    return ImagePlan(
        name=f"{place}{image.name}:{tag}",
        built=True,
        platform=image.platform,
        arguments=arguments,
        network=image.build_network,
        registry=registry,
    )


@cache
def image_code_digest(root: Path = ROOT) -> str:
    """Return 16 hexadecimal digits that change exactly when the Dockerfile or a file it copies does.

    ``root`` is a project's folder.
    """
    found = hashlib.sha256()
    for path in code_files(root):
        found.update(f"{path.relative_to(root)} {path.stat().st_mode & 0o111:o}\n".encode() + path.read_bytes())
    return found.hexdigest()[:TAG_DIGITS]


def code_files(root: Path = ROOT) -> list[Path]:
    """Return the Dockerfile and everything that .dockerignore leaves in its context, sorted."""
    return sorted([root / DOCKERFILE, *_context(root)])


def _context(root: Path) -> Iterator[Path]:
    lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.startswith("!"):
            pattern = Path(line.removeprefix("!"))
            folder = root / pattern.parent
            yield from (path for path in folder.iterdir() if fnmatch.fnmatch(path.name, pattern.name))


def secret_files(secrets: Mapping[str, Any]) -> dict[str, str]:
    """Return the secrets of a relay as the image wants them: one file each."""
    further = secrets.get("upstream_passwords") or {}
    found = {f"upstream_password_{name}": password for name, password in further.items()}
    return {**({"sasl_password": secrets["sasl_password"]} if "sasl_password" in secrets else {}), **found}
