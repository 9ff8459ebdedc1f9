"""What every check is given: what to look at, how to ask, and how long that may take."""

import time
from dataclasses import dataclass, field

from mailstack.verify.around import Around
from mailstack.verify.asking import Dns
from mailstack.verify.target import Target

__all__ = ["Context"]


@dataclass(frozen=True, kw_only=True)
class Context:
    """``deadline`` is of ``time.monotonic``; what is not answered by then is unknown."""

    target: Target
    dns: Dns
    around: Around
    deadline: float = field(default_factory=lambda: time.monotonic() + 60)

    def left(self, most: float) -> float:
        """Return how many seconds a question may take: ``most``, or what is left. Raises TimeoutError after the end."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is over")
        return min(left, most)
