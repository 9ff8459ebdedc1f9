"""Holds resources, one after the other, against all policies."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from mailstack.policy.model import COMPONENT, Level, Policy, Resource, Seen, Unclear
from mailstack.policy.policies import POLICIES
from mailstack.policy.wire import text_of

__all__ = ["EXCEPT", "Checker", "Finding", "PolicyConfigError", "level_of", "read_config"]

# Of a policy's configuration: names of resources it does not hold for, and its level; the engine calls it so too.
EXCEPT = "except"
LEVEL = "enforcementLevel"
DISABLED = "disabled"
IMAGE = "docker:index/image:Image"
BUILDX = "docker-build:index:Image"
NAMESPACE = "kubernetes:core/v1:Namespace"


class PolicyConfigError(RuntimeError):
    """The configuration of the policies cannot be used; the text says which entry and what to write."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A policy, the resource that violates it, and how: one sentence.

    ``unclear``: it may violate it, ``message`` is the input that nobody knows before the update.
    """

    policy: Policy
    resource: Resource
    message: str
    level: Level
    unclear: bool = False


@dataclass
class Checker:
    """One run over the resources of one stack, in the order in which they are registered.

    ``config`` maps a policy's name to its configuration, as a policy pack's configuration file has it: a level, or a
    mapping with ``enforcementLevel``, ``except`` and the policy's own settings. ``all`` is for policies without one.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    _seen: Seen = field(default_factory=Seen)
    _lock: Lock = field(default_factory=Lock)

    @property
    def environment(self) -> str:
        """The environment that the stack's components show."""
        return self._seen.environment

    def note(self, resource: Resource) -> None:
        """Remember what ``resource`` tells about those that follow."""
        with self._lock:
            _note(self._seen, resource)

    def violations(self, policy: Policy, resource: Resource, config: Mapping[str, Any]) -> list[str]:
        """Return how ``resource``, which was noted, violates ``policy``: a sentence each, or what is ``Unclear``."""
        with self._lock:
            if self._seen.environment not in policy.environments or resource.name in config.get(EXCEPT, ()):
                return []
            return list(policy.check(resource, self._seen, {**policy.settings, **config}))

    def check(self, resource: Resource) -> Iterator[Finding]:
        """Note ``resource`` and yield what is wrong with it."""
        self.note(resource)
        for policy in POLICIES:
            level, told = level_of(policy, self.config), self.config.get(policy.name, {})
            if level == DISABLED:
                continue
            for message in self.violations(policy, resource, told if isinstance(told, Mapping) else {}):
                unclear = isinstance(message, Unclear)
                yield Finding(policy=policy, resource=resource, message=message, level=Level(level), unclear=unclear)


def level_of(policy: Policy, config: Mapping[str, Any]) -> str:
    """Return the level of ``policy`` under a configuration (see ``Checker``): mandatory, advisory or disabled.

    Raises PolicyConfigError for another one.
    """
    told = config.get("all", {}) if policy.name not in config else config[policy.name]
    level = told if isinstance(told, str) else told.get(LEVEL, policy.level)
    if not isinstance(level, str) or level not in {*Level, DISABLED}:
        raise PolicyConfigError(
            f"{policy.name}: {level!r} is no level. Fix: write one of {', '.join([*Level, DISABLED])}"
        )
    return str(level)


def _note(seen: Seen, resource: Resource) -> None:
    inputs = resource.inputs
    if resource.type.startswith(COMPONENT):
        seen.environment = text_of(inputs.get("environment")) or seen.environment
    if resource.is_component("PostfixRelay"):
        for _, text in resource.shown("container/queue"):
            volume, _, what = text.removeprefix("volume ").partition(", ")
            if what == "kept on destroy":
                seen.kept_volumes.add(volume)
    if resource.is_component("DnsRecords"):
        dated = ((key, text) for key, text in inputs.items() if key.startswith("dmarc/") and isinstance(text, str))
        seen.ramps |= {key.removeprefix("dmarc/") for key, text in dated if "may follow" in text}
    if resource.type == IMAGE and inputs.get("build"):
        seen.built.add(str(inputs.get("imageName")))
    if resource.type == BUILDX:
        tags = inputs.get("tags")
        seen.built |= {str(tag) for tag in tags} if isinstance(tags, list) else set()
    if resource.type == NAMESPACE:
        options = resource.options
        stays = True if options.protect else options.retain_on_delete
        seen.namespaces[str(resource.mapping("metadata").get("name"))] = stays


def read_config(text: str) -> dict[str, Any]:
    """Return the configuration in ``text``, the JSON that `--policy-pack-config` takes too.

    Raises PolicyConfigError for what is no such JSON, and for policies and settings that there are none of.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise PolicyConfigError(f"the policies' configuration is no JSON: {error}. Fix: correct it there") from None
    if not isinstance(found, dict):
        raise PolicyConfigError("the policies' configuration is no mapping. Fix: map names of policies to levels")
    known: dict[str, set[str]] = {policy.name: {LEVEL, EXCEPT, *policy.settings} for policy in POLICIES}
    for name, told in found.items():
        if name != "all" and name not in known:
            raise PolicyConfigError(f"there is no policy {name!r}. Fix: write one of {', '.join(known)}")
        extra = set(told) - known.get(name, {LEVEL}) if isinstance(told, dict) else set()
        if extra or not isinstance(told, str | dict):
            raise PolicyConfigError(
                f"{name}: {', '.join(sorted(extra)) if extra else repr(told)} means nothing here. "
                f"Fix: write a level, or a mapping of {', '.join(sorted(known.get(name, {LEVEL})))}"
            )
        _require_types(name, told if isinstance(told, dict) else {})
    for policy in POLICIES:
        level_of(policy, found)
    return found


def _require_types(name: str, told: Mapping[str, Any]) -> None:
    """Raise PolicyConfigError for a setting of a wrong type, as the engine does by the policies' schema."""
    excepted = told.get(EXCEPT, [])
    if not isinstance(excepted, list) or not all(isinstance(one, str) for one in excepted):
        raise PolicyConfigError(f'{name}: {EXCEPT} is {excepted!r}. Fix: write a list of names, such as ["postal"]')
    for setting, value in told.items():
        if setting not in {EXCEPT, LEVEL} and (isinstance(value, bool) or not isinstance(value, int)):
            raise PolicyConfigError(f"{name}: {setting} is {value!r}. Fix: write a whole number")
