"""The shape of ``relay.proof``: how a host shows that its relay delivers, before the next host is touched."""

from typing import Literal

from pydantic import Field

from mailstack.settings.section import Section
from mailstack.settings.types import EmailAddress

__all__ = ["RelayProof"]


class RelayProof(Section):
    """How each host shows that it accepts and delivers, before the next one is touched; no message is sent."""

    sender: EmailAddress | None = Field(default=None, description="Absent: postmaster@ the first sender domain.")
    recipient: EmailAddress | None = Field(default=None, description="Absent: the sender.")
    wait_minutes: int = Field(
        default=2, ge=0, le=10, description="How long a failure is tried again; nothing else runs on that host."
    )
    interval_seconds: int = Field(default=10, ge=6, le=600, description="Between two tries.")
    on_failure: Literal["fail", "warn"] = Field(
        default="fail", description="fail: the previous configuration comes back, and no further host is touched."
    )
