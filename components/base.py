"""What all components share: the type token, the shown plan as inputs, and the options of their children."""

from typing import Any

import pulumi

from mailstack.plan import Secret, Shown

__all__ = ["Component"]


class Component(pulumi.ComponentResource):
    """A component of this project; its type token is ``mailstack:index:<class name>``.

    The token is part of every child's URN. Renaming a class needs an alias.
    """

    def __init__(self, name: str, shown: Shown, opts: pulumi.ResourceOptions | None = None) -> None:
        """Register the component. Subclasses create their children afterwards and register their outputs.

        ``shown`` becomes its inputs, so that the engine compares them and a preview tells what a change does.
        """
        super().__init__(f"mailstack:index:{type(self).__name__}", name, _inputs(shown), opts)

    def _child(self, **extra: Any) -> pulumi.ResourceOptions:
        """Return the options of a child. ``parent`` alone hands down providers, protection and aliases.

        The caller's own options are never merged in: with them a child could end up under the grandparent.
        """
        return pulumi.ResourceOptions(parent=self, **extra)


def _inputs(shown: Shown) -> dict[str, pulumi.Input[str]]:
    return {
        name: pulumi.Output.secret(text.value) if isinstance(text, Secret) else text for name, text in shown.items()
    }
