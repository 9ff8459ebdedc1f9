"""What the engine does with each resource to go from one plan to another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mailstack.diff.resources import Resource

__all__ = ["Operation", "Word", "operations"]

Word = Literal["create", "update", "replace", "delete"]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """``inputs`` are the names of those that changed. ``before`` None: it is new; ``after`` None: it goes."""

    word: Word
    before: Resource | None
    after: Resource | None
    inputs: tuple[str, ...] = ()

    @property
    def resource(self) -> Resource:
        """Return the resource as it will be, of one that goes as it was."""
        found = self.after or self.before
        if found is None:
            raise ValueError("an operation is about a resource")
        return found

    @property
    def stays(self) -> bool:
        """Tell whether what goes is only forgotten, and stays where it is."""
        return self.word == "delete" and self.before is not None and self.before.stays


def operations(before: Mapping[str, Resource], after: Mapping[str, Resource]) -> dict[str, Operation]:
    """Return what is done, by the resource's name, in the order of ``after``, then what goes."""
    found: dict[str, Operation] = {}
    renamed: set[str] = set()
    for name, resource in after.items():
        old = before.get(name)
        if old is None:
            former = next((one for one in resource.formerly if one in before), None)
            if former is not None:
                renamed.add(former)
                old = before[former]
        if old is None:
            found[name] = Operation(word="create", before=None, after=resource)
            continue
        changed = _changed(old, resource, found)
        if old.type != resource.type:  # one goes, the other comes; what differs between them says nothing
            found[name] = Operation(word="replace", before=old, after=resource, inputs=("its kind",))
        elif changed:
            new = any(resource.makes_new(path) for path in changed)
            found[name] = Operation(word="replace" if new else "update", before=old, after=resource, inputs=changed)
    for name, resource in before.items():
        if name not in after and name not in renamed:
            found[name] = Operation(word="delete", before=resource, after=None)
    return found


def _changed(old: Resource, new: Resource, done: Mapping[str, Operation]) -> tuple[str, ...]:
    paths = [path for path in dict.fromkeys([*old.inputs, *new.inputs]) if old.inputs.get(path) != new.inputs.get(path)]
    followed = [
        path
        for path, other in new.follows.items()
        if path not in paths and other in done and done[other].word in {"create", "replace"}
    ]
    return (*paths, *followed)
