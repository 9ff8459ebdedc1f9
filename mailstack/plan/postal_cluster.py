"""Postal as objects of a cluster: the part of the plan that placement ``kubernetes`` has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mailstack.kubernetes.names import Before, continued
from mailstack.kubernetes.objects import Placed
from mailstack.kubernetes.postal import postal_objects
from mailstack.kubernetes.postal_definition import PostalOnCluster
from mailstack.plan.cluster_access import ClusterAccess
from mailstack.plan.shown import Secret, Shown, flat

__all__ = ["KubernetesPostal"]


@dataclass(frozen=True, kw_only=True)
class KubernetesPostal:
    """``postal`` is what runs, ``secrets`` those of role ``postal``; ``keep``: nothing goes when the stack does.

    ``before`` are the objects that the last update left.
    """

    access: ClusterAccess
    postal: PostalOnCluster
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)
    keep: bool = False
    before: Before = field(default_factory=dict)

    def objects(self, shown: Shown) -> tuple[Placed, ...]:
        """Return every object. ``shown`` is the plan's, with the versions of its secrets (``shown.versioned``)."""
        versions = {name: told.version for name, _ in flat(self.secrets) if isinstance(told := shown.get(name), Secret)}
        return continued(postal_objects(self.postal, self.secrets, versions), self.before)

    def declared(self) -> tuple[Placed, ...]:
        """Return every object for a comparison that has no state: no name of a Secret says how often it changed."""
        return postal_objects(self.postal, self.secrets, {})
