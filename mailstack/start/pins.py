"""Which container images a stack file names by tag alone, and the settings that pin them to bytes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailstack.settings.caddy_model import Caddy
from mailstack.settings.postal_model import Database, PostalImage
from mailstack.settings.stackfile import as_mapping

__all__ = ["Pin", "command", "images_of", "unpinned"]


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One image without a digest. ``path`` is the setting that pins it, ``tag_path`` one that has to be there too.

    ``whole``: the setting holds the image's name and tag before the digest.
    """

    path: str
    image: str
    tag_path: str | None = None
    whole: bool = False

    def settings(self, digest: str) -> list[tuple[str, str]]:
        """Return the settings that pin it: a digest alone would stay when the program's own tag moves on."""
        if self.whole:
            return [(self.path, f"{self.image}@{digest}")]
        tag = [] if self.tag_path is None else [(self.tag_path, self.image.rpartition(":")[2])]
        return [*tag, (self.path, digest)]


def unpinned(raw: Mapping[str, Any]) -> list[Pin]:
    """Return the images of a configuration that ``images-are-pinned`` refuses in production, in the file's order."""
    return [*_relay(as_mapping(raw.get("relay"))), *_postal(as_mapping(raw.get("postal"))), *_caddy(raw.get("caddy"))]


def command(stack: str, pin: Pin, digest: str | None, pulumi: str = "pulumi") -> str:
    """Return what to type; without a digest the text DIGEST stands for it."""
    settings = pin.settings(digest or "DIGEST")
    return " && ".join(
        f"{pulumi} config set --path 'mailstack:{path}' {value} --stack {stack}" for path, value in settings
    )


def _relay(relay: Mapping[str, Any]) -> Iterator[Pin]:
    reference = as_mapping(relay.get("image")).get("reference")
    if relay.get("placement") in {"docker", "kubernetes"} and isinstance(reference, str) and "@" not in reference:
        yield Pin(path="relay.image.reference", image=reference, whole=True)


def _postal(postal: Mapping[str, Any]) -> Iterator[Pin]:
    if not postal:
        return
    usual, own = PostalImage(), as_mapping(postal.get("image"))
    yield from _tagged("postal.image", own, own.get("repository", usual.repository), usual.tag)
    if postal.get("placement") == "kubernetes":
        return  # a database elsewhere, and no backup that needs its client
    database, fields = as_mapping(postal.get("database")), Database.model_fields
    name = database.get("image", fields["image"].default)
    yield from _tagged("postal.database", database, name, fields["tag"].default)


def _tagged(section: str, own: Mapping[str, Any], name: Any, usual_tag: str) -> Iterator[Pin]:
    """Yield the image of a section that holds tag and digest apart, where it has no digest."""
    if not own.get("digest"):
        tag = own.get("tag")
        yield Pin(
            path=f"{section}.digest",
            image=f"{name}:{tag or usual_tag}",
            tag_path=None if tag else f"{section}.tag",
        )


def _caddy(caddy: Any) -> Iterator[Pin]:
    image = as_mapping(caddy).get("image", Caddy.model_fields["image"].default)
    if as_mapping(caddy).get("placement") == "container" and "@" not in str(image):
        yield Pin(path="caddy.image", image=str(image), whole=True)


def images_of(pins: Sequence[Pin]) -> list[str]:
    """Return the images, each once."""
    return list(dict.fromkeys(pin.image for pin in pins))
