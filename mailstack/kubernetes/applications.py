"""Secrets with the variables of an application, in that application's own namespace."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mailstack.kubernetes.objects import Placed, Stage, manifest

__all__ = ["ApplicationVariables", "application_objects"]


@dataclass(frozen=True, kw_only=True)
class ApplicationVariables:
    """``variables`` as `mailstack env` writes them, for ``envFrom`` of the pods in ``namespace``, which is there."""

    namespace: str
    name: str
    variables: Mapping[str, str] = field(repr=False)

    @property
    def resource(self) -> str:
        """Return the name of its resource. A namespace has no dot, so no two share one."""
        return f"application-{self.namespace}.{self.name}"


def application_objects(told: Iterable[ApplicationVariables], labels: Mapping[str, str]) -> Iterator[Placed]:
    """Yield the Secrets. They come last: whoever reads one may send at once.

    Their names stay, since pods of others name them. So a change deletes them and makes them anew, at once; a pod that
    starts in between waits for it.
    """
    for one in told:
        secret = manifest(
            "Secret", one.name, one.namespace, labels=labels, type="Opaque", stringData=dict(one.variables)
        )
        yield Placed(name=one.resource, manifest=secret, stage=Stage.ACCESS)
