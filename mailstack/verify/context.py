"""What every check is given: what to look at, how to ask, and how long that may take."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mailstack.verify.around import Around
from mailstack.verify.asking import Dns
from mailstack.verify.host import HostAccess
from mailstack.verify.kept import Kept
from mailstack.verify.message import MessagePath
from mailstack.verify.target import Target

__all__ = ["Context"]


@dataclass(frozen=True, kw_only=True)
class Context:
    """``deadline`` is of ``time.monotonic``; what is not answered by then is unknown.

    The rest is what somebody has to ask for: ``access`` is a way into hosts, ``drift`` returns what differs from the
    declaration, in words, ``message`` is a way to send a message and to read it back. ``probe_outbound`` also connects
    to mail hosts of others, to see whether port 25 is open from here.
    """

    target: Target
    dns: Dns
    around: Around
    deadline: float = field(default_factory=lambda: time.monotonic() + 60)
    kept: Kept = field(default_factory=Kept)
    access: HostAccess | None = None
    drift: Callable[[], list[str]] | None = None
    probe_outbound: bool = False
    message: MessagePath | None = None

    def left(self, most: float) -> float:
        """Return how many seconds a question may take: ``most``, or what is left. Raises TimeoutError after the end."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is over")
        return min(left, most)
