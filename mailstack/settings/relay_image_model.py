"""The shape of ``relay.image``: the container image of the relay, built or taken as it is."""

from pydantic import Field

from mailstack.settings.section import Section

__all__ = ["RelayImage"]


class RelayImage(Section):
    """The relay's container image."""

    reference: str | None = Field(
        default=None,
        min_length=1,
        description="Image that is there already, with tag or digest. Absent: built from images/postfix-relay.",
    )
