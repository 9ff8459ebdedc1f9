"""The shape of ``relay.image``: the container image of the relay, built or taken as it is."""

from typing import Literal

from pydantic import Field

from mailstack.settings.section import Section
from mailstack.settings.types import (
    BuildPlatform,
    HostAndPort,
    ImageName,
    ImageReference,
    LoginName,
    OneLineSecret,
    ShortText,
)

__all__ = ["ImageRegistry", "RelayImage"]


class ImageRegistry(Section):
    """A registry with a login: a built image is pushed to it, one that is there is pulled from it."""

    server: HostAndPort = Field(description="Its name, with a port where it is not 443: registry.example.com.")
    username: LoginName = Field(description="Login name.")
    password: OneLineSecret = Field(description="Password or token.")


class RelayImage(Section):
    """The relay's container image."""

    reference: ImageReference | None = Field(
        default=None,
        description="Image that is there already, with tag or digest. Absent: built from images/postfix-relay.",
    )
    name: ImageName = Field(
        default="mailstack-postfix-relay", description="Name of the built image; the tag is made of its code."
    )
    base: ImageReference | None = Field(
        default=None, description="Debian it is built on. Absent: Debian 12 as the Dockerfile pins it."
    )
    platform: BuildPlatform = Field(default="linux/amd64", description="What the machine that runs it is.")
    build_network: Literal["default", "host", "none"] = Field(
        default="default", description="Network of the build, which installs Debian's packages."
    )
    rebuild: ShortText | None = Field(
        default=None, description="Any text; another one builds it again, with the packages of that day."
    )
    registry: ImageRegistry | None = Field(default=None, description="Where it is pushed to, or pulled from.")

    @property
    def build_keys(self) -> tuple[str, ...]:
        """Return which keys were given that only a build has a use for."""
        return tuple(key for key in ("name", "base", "build_network", "rebuild") if key in self.model_fields_set)
