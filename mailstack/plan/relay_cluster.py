"""The relay as objects of a cluster: the part of the plan that placement ``kubernetes`` has."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mailstack.kubernetes.names import Before, continued
from mailstack.kubernetes.objects import Placed, digest
from mailstack.kubernetes.relay import relay_objects
from mailstack.kubernetes.relay_definition import RelayOnCluster
from mailstack.plan.cluster_access import ClusterAccess
from mailstack.plan.relay_image import ImagePlan
from mailstack.plan.shown import Secret, Shown

__all__ = ["KubernetesRelay"]


@dataclass(frozen=True, kw_only=True)
class KubernetesRelay:
    """``relay`` is what runs, of ``image``; ``secrets`` the text of each of its secret files; ``keep`` on destroy.

    ``before`` are the objects that the last update left.
    """

    access: ClusterAccess
    image: ImagePlan
    relay: RelayOnCluster
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    keep: bool = False
    before: Before = field(default_factory=dict)

    def objects(self, shown: Shown) -> tuple[Placed, ...]:
        """Return every object. ``shown`` is the plan's, with the versions of its secrets (``shown.versioned``)."""
        versions = {
            name: told.version
            for name, told in shown.items()
            if name in self.relay.secret_files and isinstance(told, Secret)
        }
        return continued(relay_objects(self.relay, self.secrets, digest(versions)), self.before)

    def declared(self) -> tuple[Placed, ...]:
        """Return every object for a comparison that has no state: no name of a Secret says how often it changed."""
        return relay_objects(self.relay, self.secrets, digest({}))

    def with_monitoring(self) -> "KubernetesRelay":
        """Return the same with the objects whose kinds the cluster has been found to know."""
        return replace(self, relay=replace(self.relay, monitoring_objects=True))
