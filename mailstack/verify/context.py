"""What every check is given: what to look at, how to ask, and how long that may take."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar, cast

from mailstack.dns.names import lineage
from mailstack.verify.around import Around
from mailstack.verify.asking import Answer, Dns
from mailstack.verify.host import HostAccess
from mailstack.verify.message import MessagePath
from mailstack.verify.target import DomainTarget, HostTarget, Target

__all__ = ["Context"]

AT_ONCE = 32

_One = TypeVar("_One")
_Found = TypeVar("_Found")  # a finding; what that is, the checks know
_inside = threading.local()


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
    _pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="look"), repr=False
    )
    _known: dict[object, object] = field(default_factory=dict, repr=False)
    _locks: dict[object, threading.Lock] = field(default_factory=dict, repr=False)
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

    def each(self, subjects: Iterable[_One], look: Callable[[_One], Iterable[_Found]]) -> Iterator[_Found]:
        """Look at many subjects side by side; findings come in the order of the subjects. All checks share one pool, so
        a look that itself calls this does its part in turn: waiting for a place while holding one may never end.
        """
        subjects = list(subjects)
        if len(subjects) < 2 or getattr(_inside, "pool", False):
            for subject in subjects:
                yield from look(subject)
            return

        def one(subject: _One) -> list[_Found]:
            _inside.pool = True
            return list(look(subject))

        for found in self._pool.map(one, subjects):
            yield from found

    def once(self, key: object, find: Callable[[], _One]) -> _One:
        """Return what ``find`` finds, which is asked for once in a run however many checks want it."""
        with self._locks.setdefault(key, threading.Lock()):
            if key not in self._known:
                self._known[key] = find()
            return cast("_One", self._known[key])

    def look(self, name: str, kind: str) -> Answer:
        """Look at a name of ours at its own servers; at one of others (an upstream's host) through our resolver, since
        how their servers stand is not the question.
        """
        ours = self.once("names of ours", self._names)
        ask = self.dns.look if any(parent in ours for parent in lineage(name)) else self.dns.follow
        return ask(name, kind)

    def _names(self) -> frozenset[str]:
        target = self.target
        return frozenset((*target.zones, *(one.name for one in target.domains), *(one.name for one in target.hosts)))

    def domains(self, look: Callable[[DomainTarget], Iterable[_Found]]) -> Iterator[_Found]:
        """Look at every domain of the target."""
        return self.each(self.target.domains, look)

    def hosts(self, look: Callable[[HostTarget], Iterable[_Found]]) -> Iterator[_Found]:
        """Look at every host of the target."""
        return self.each(self.target.hosts, look)
