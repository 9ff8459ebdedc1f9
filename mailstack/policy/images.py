"""Which bytes run: an image's digest says it, a tag is what somebody else says today."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.policy.model import Level, Policy, Resource, Seen, Unclear
from mailstack.policy.pods import pod_spec, pods_are_unknown, pods_containers
from mailstack.policy.wire import UNKNOWN, mappings, within

__all__ = ["IMAGES"]

DIGEST = r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})"
# A name with a digest, or Docker's ID of an image, which is the digest of its configuration.
PINNED = re.compile(rf"(.+@)?{DIGEST}")


def _images(resource: Resource, seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    for where, image in _named(resource):
        if image is UNKNOWN:
            yield Unclear(where)
        elif isinstance(image, str) and image and image not in seen.built and not PINNED.fullmatch(image):
            yield f"{where} is {image}: a tag may lead to other bytes tomorrow"


def _named(resource: Resource) -> Iterator[tuple[str, Any]]:
    inputs = resource.inputs
    if resource.type == "docker:index/container:Container":
        yield "image", inputs.get("image")
    if resource.type == "docker:index/service:Service":
        yield "image of the service", within(inputs, "taskSpec", "containerSpec", "image")
    if resource.type == "docker:index/remoteImage:RemoteImage" and not inputs.get("build"):
        yield "name", UNKNOWN if inputs.get("build") is UNKNOWN else inputs.get("name")
    for container in pods_containers(resource):
        yield f"image of container {container.get('name')}", container.get("image")
    if pods_are_unknown(resource):
        yield "containers", UNKNOWN
    for volume in mappings(pod_spec(resource).get("volumes")):
        yield f"image of volume {volume.get('name')}", within(volume, "image", "reference")
    if resource.is_component("PostalHost"):
        for key, repository in resource.shown("image/repository"):
            place = key.removesuffix("repository")
            digest, tag = inputs.get(f"{place}digest") or "", inputs.get(f"{place}tag") or ""
            yield key.removesuffix("/repository"), f"{repository}:{tag}@{digest}" if digest else f"{repository}:{tag}"
        for name in ("mariadb/image", "database/client_image"):
            yield from resource.shown(name)
    if resource.is_component("CaddyTls") and inputs.get("placement") == "container":
        yield "image", inputs.get("image")


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
