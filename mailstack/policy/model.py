"""What policies are made of, and what they look at."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from mailstack.policy.wire import mappings, opened, read, within
from mailstack.settings.environments import ENVIRONMENTS

__all__ = ["COMPONENT", "EVERYWHERE", "Check", "Level", "Options", "Policy", "Resource", "Seen", "Unclear"]

# Our own components: their inputs are the plan as it is shown, a flat mapping of names to texts.
COMPONENT = "mailstack:index:"
EVERYWHERE = frozenset(ENVIRONMENTS)


class Level(StrEnum):
    """What a violation does: mandatory ends the preview or update, advisory is a warning."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a resource. ``retain_on_delete`` is None where nobody says: the engine tells no policy of it."""

    protect: bool = False
    retain_on_delete: bool | None = None
    delete_before_replace: bool = False
    parent: str = ""


@dataclass(frozen=True)
class Resource:
    """A resource before it is made. ``wire`` are its inputs as the SDK hands them over (see ``wire.read``)."""

    type: str
    name: str
    wire: Mapping[str, Any] = field(repr=False)
    options: Options = Options()
    urn: str = ""

    @cached_property
    def marked(self) -> dict[str, Any]:
        """The inputs with ``Hidden`` around secrets."""
        found: dict[str, Any] = read(self.wire)
        return found

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """The inputs without the marks of secrets."""
        found: dict[str, Any] = opened(self.marked)
        return found

    def is_component(self, name: str) -> bool:
        """Tell whether it is our component ``name``."""
        return self.type == f"{COMPONENT}{name}"

    def shown(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield (key, text) of a component's input ``name``, that of each host where hosts differ."""
        for key, value in self.inputs.items():
            if (key == name or key.endswith(f"/{name}")) and isinstance(value, str):
                yield key, value

    def mapping(self, *path: str) -> dict[str, Any]:
        """Return the mapping at ``path``, empty where there is none."""
        value = within(self.inputs, *path)
        return value if isinstance(value, dict) else {}

    def entries(self, *path: str) -> list[dict[str, Any]]:
        """Return the mappings of the list at ``path``, none where there is no list."""
        return mappings(within(self.inputs, *path))


@dataclass
class Seen:
    """What resources before have told: a component is registered before what it makes.

    ``environment`` is the setting of that name; as long as nobody has said, the strictest.
    ``built`` are names of images that the stack builds itself, ``kept_volumes`` those of volumes that the relay says
    stay when it goes, ``namespaces`` those of Kubernetes with whether they stay (None: not told), ``ramps`` domains
    whose DMARC policy is on its way with dates.
    """

    environment: str = "prod"
    built: set[str] = field(default_factory=set)
    kept_volumes: set[str] = field(default_factory=set)
    namespaces: dict[str, bool | None] = field(default_factory=dict)
    ramps: set[str] = field(default_factory=set)


class Unclear(str):
    """Which input a policy would have to know: nobody does before the update, which asks again."""

    __slots__ = ()


# (resource, what was seen before, the policy's configuration) to one sentence for each violation, or what is unclear.
Check = Callable[[Resource, Seen, Mapping[str, Any]], Iterator[str]]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A rule. ``environments`` are those it holds in; ``settings`` what may be configured, name to default.

    ``source`` says where the rule comes from, ``remedy`` what to do. ``needs_marks``: it looks at what is secret.
    """

    name: str
    description: str
    level: Level
    source: str
    remedy: str
    check: Check
    environments: frozenset[str] = EVERYWHERE
    settings: Mapping[str, int] = field(default_factory=dict)
    needs_marks: bool = False
