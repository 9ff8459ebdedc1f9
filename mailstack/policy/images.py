"""Which bytes run: an image's digest says it, a tag is what somebody else says today."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.policy.model import Level, Policy, Resource, Seen

__all__ = ["IMAGES"]

PINNED = re.compile(r".+@sha256:[0-9a-f]{64}")
PODS = ("spec", "template", "spec")


def _images(resource: Resource, seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    for where, image in _named(resource):
        if image and image not in seen.built and not PINNED.fullmatch(image):
            yield f"{where} is {image}: a tag may lead to other bytes tomorrow"


def _named(resource: Resource) -> Iterator[tuple[str, str]]:
    inputs = resource.inputs
    if resource.type == "docker:index/container:Container":
        yield "image", _text(inputs.get("image"))
    if resource.type == "docker:index/remoteImage:RemoteImage":
        yield "name", _text(inputs.get("name"))
    if resource.type.startswith("kubernetes:"):
        for kind in ("initContainers", "containers"):
            for container in resource.entries(*PODS, kind):
                yield f"image of container {container.get('name')}", _text(container.get("image"))
    if resource.is_component("PostalHost"):
        for key, repository in resource.shown("image/repository"):
            place = key.removesuffix("repository")
            digest, tag = _text(inputs.get(f"{place}digest")), _text(inputs.get(f"{place}tag"))
            yield key.removesuffix("/repository"), f"{repository}:{tag}@{digest}" if digest else f"{repository}:{tag}"
        for name in ("mariadb/image", "database/client_image"):
            yield from resource.shown(name)
    if resource.is_component("CaddyTls") and inputs.get("placement") == "container":
        yield "image", _text(inputs.get("image"))


def _text(value: Any) -> str:
    """Return a text; of what is not known before an update nothing."""
    return value if isinstance(value, str) else ""


IMAGES = Policy(
    name="images-are-pinned",
    description="In production containers run images named by digest, or built by the stack itself.",
    level=Level.MANDATORY,
    environments=frozenset({"prod"}),
    source="OCI Distribution Specification 1.1 (digests), SLSA v1.0 (dependencies)",
    remedy="add the digest that `docker buildx imagetools inspect IMAGE` shows: relay.image.reference with @sha256:…, "
    "postal.image.digest, postal.database.digest, caddy.image with @sha256:…",
    check=_images,
)
