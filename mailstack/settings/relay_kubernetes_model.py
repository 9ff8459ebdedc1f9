"""The shape of ``relay.kubernetes``: the relay on a cluster."""

from mailstack.settings.section import Section

__all__ = ["RelayKubernetes"]


class RelayKubernetes(Section):
    """How the cluster runs it."""
