"""Rules of ``relay.image`` that need more than one field."""

from collections.abc import Callable, Iterator

from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem

__all__ = ["IMAGE_PLACEMENTS", "RELAY_IMAGE_RULES"]

IMAGE_PLACEMENTS = frozenset({"docker", "kubernetes"})


def _image(settings: Settings) -> Iterator[Problem]:
    relay, image = settings.relay, settings.relay.image
    if relay.placement not in IMAGE_PLACEMENTS:
        if image.model_fields_set:
            yield Problem(
                field="relay.image",
                value=", ".join(sorted(image.model_fields_set)),
                rule=f"has no effect: placement is {relay.placement}, which runs no container",
                fix="remove the section, or choose placement docker",
            )
        return
    if image.reference is not None:
        for key in image.build_keys:
            yield Problem(
                field=f"relay.image.{key}",
                value=str(getattr(image, key)),
                rule="is about building the image, and relay.image.reference names one that is there",
                fix="keep one of the two keys",
            )
    registry = image.registry
    if registry is not None and image.reference is not None and not image.reference.startswith(f"{registry.server}/"):
        yield Problem(
            field="relay.image.registry.server",
            value=registry.server,
            rule=f"is not where {image.reference} comes from",
            fix="write the first part of the reference, or remove the section registry",
        )


def _authorities(settings: Settings) -> Iterator[Problem]:
    relay = settings.relay
    if relay.placement not in IMAGE_PLACEMENTS or relay.image.reference is not None or relay.image.base is not None:
        return
    for field, upstream in settings.upstreams_by_field.items():
        if upstream.ca_file is not None:
            yield Problem(
                field=f"{field}.ca_file",
                value=upstream.ca_file,
                rule="is a file on a host; the relay's image has none of yours",
                fix="build on a relay.image.base that has the file, or that trusts the authority, and say so there",
            )


RELAY_IMAGE_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_image, _authorities)
