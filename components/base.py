"""What all components share: the type token, the shown plan as inputs, and the options of their children."""

from collections.abc import Iterator
from typing import Any

import pulumi

from components.previous import SECRETS_SEEN
from mailstack.plan import Secret, Shown
from mailstack.plan.shown import seen_of

__all__ = ["Component"]


class Component(pulumi.ComponentResource):
    """A component of this project; its type token is ``mailstack:index:<class name>``.

    The token is part of every child's URN. Renaming a class needs an alias.
    """

    def __init__(self, name: str, shown: Shown, opts: pulumi.ResourceOptions | None = None) -> None:
        """Register the component. Subclasses create their children afterwards and register their outputs.

        ``shown`` becomes its inputs, so that the engine compares them and a preview tells what a change does.
        """
        super().__init__(f"mailstack:index:{type(self).__name__}", name, dict(_inputs(shown)), opts)
        self._seen = seen_of(shown)

    def register_outputs(self, outputs: pulumi.Inputs) -> None:
        """Register the component's outputs, and what the next run tells changed secrets by."""
        kept = {SECRETS_SEEN: pulumi.Output.secret(self._seen)} if self._seen else {}
        super().register_outputs({**outputs, **kept})

    def _child(self, **extra: Any) -> pulumi.ResourceOptions:
        """Return the options of a child. ``parent`` alone hands down providers, protection and aliases.

        The caller's own options are never merged in: with them a child could end up under the grandparent.
        """
        return pulumi.ResourceOptions(parent=self, **extra)


def _inputs(shown: Shown) -> Iterator[tuple[str, pulumi.Input[str]]]:
    for name, text in shown.items():
        if isinstance(text, Secret):
            yield name, pulumi.Output.secret(text.value)
            yield f"{name} version", str(text.version)
        else:
            yield name, text
