"""The shape of ``relay.docker``: the relay as a container of one Docker engine."""

from mailstack.settings.section import Section

__all__ = ["RelayDocker"]


class RelayDocker(Section):
    """How the container is run."""
