"""The shape of ``verify``: whether `pulumi up` ends with a look from outside."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mailstack.settings.section import Section

__all__ = ["Verify"]


def _off(value: Any) -> Any:
    """Take YAML 1.1's word for false as the text it looks like: PyYAML reads ``off`` so, the engine does not."""
    return "off" if value is False else value


class Verify(Section):
    """The checks of `mailstack verify` at the end of `pulumi up`; see docs/how-to/verify.md."""

    after_up: Annotated[Literal["off", "warn", "fail"], BeforeValidator(_off)] = Field(
        default="off",
        description="off: nobody looks. warn: what is wrong is told. fail: the update ends with an error, "
        "once everything else was made.",
    )
    seconds: int = Field(
        default=60, ge=5, le=600, description="Time for all checks; what is not seen by then is unknown."
    )
    checks: tuple[str, ...] = Field(default=(), description="Names or groups (A to G) of checks. Empty: all of them.")
