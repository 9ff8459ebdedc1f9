"""Asks resolvers what SPF records lead to: one time budget for all domains, a few questions at once.

Nothing is raised for a network that does not answer: what nobody answered is unknown, with its reason.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.rdata
import dns.resolver

from mailstack.dns.spf_tree import TYPES, Ask, Kind, Question, Reply, expand
from mailstack.reach.resolvers import resolver_at

__all__ = ["look_at_spf"]

QUESTION_SECONDS = 2.0
AT_ONCE = 16
# So many questions without any answer, and nobody is there: the rest of the time is not waited for.
IN_VAIN = 3


def look_at_spf(
    records: Mapping[str, str], here: Ask, *, seconds: float, resolvers: Sequence[str] | None
) -> dict[Question, Reply]:
    """Return the answers that following ``records`` (name to SPF record) needs, and ``here`` does not know.

    ``resolvers`` are asked, as ``address`` or ``address:port``; None takes the system's, an empty list asks nobody.
    """
    if resolvers is not None and not resolvers:
        return {}
    look = _Look(here, time.monotonic() + seconds, resolvers)
    # A thousand domains have the same few includes: each way is gone once.
    ways = dict.fromkeys(
        (name if _depends(term) else "", term) for name, text in records.items() for term in text.split()[1:]
    )

    def one(way: tuple[str, str]) -> None:
        name, term = way
        expand(name, f"v=spf1 {term}", look.ask)

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        list(pool.map(one, ways))
    return look.answers


def _depends(term: str) -> bool:
    """Tell whether a term asks about the name its record stands at."""
    return not any(sign in term for sign in ":=")


class _Look:
    """All questions of one look; each is asked once."""

    def __init__(self, here: Ask, deadline: float, resolvers: Sequence[str] | None) -> None:
        self.answers: dict[Question, Reply] = {}
        self._here = here
        self._deadline = deadline
        self._lock = threading.Lock()
        self._locks: dict[Question, threading.Lock] = {}
        self._tops: dict[str, bool] = {}
        self._top_lock = threading.Lock()
        self._in_vain = 0
        self._heard = False
        self._resolver = dns.resolver.Resolver(configure=False)
        try:
            self._resolver = resolver_at(resolvers)
        except dns.resolver.NoResolverConfiguration:
            self._in_vain = IN_VAIN

    def ask(self, name: str, kind: Kind) -> Reply:
        """Answer from the declaration, from what was asked before, or by asking."""
        reply = self._here(name, kind)
        if reply.known or not name:
            return reply
        question: Question = (name, kind)
        with self._lock:
            lock = self._locks.setdefault(question, threading.Lock())
        with lock:
            if question not in self.answers:
                self.answers[question] = self._asked(name, kind)
            return self.answers[question]

    def _asked(self, name: str, kind: Kind) -> Reply:
        values: list[str] = []
        for type_ in TYPES[kind]:
            found = self._resolved(name, type_)
            if isinstance(found, str):
                return Reply(why=found)
            values += found
        top = name.rpartition(".")[2]
        if not values and not self._knows(top):
            return Reply(why=f"the resolver does not know the Internet's names: not even {top}")
        return Reply(values=tuple(values))

    def _knows(self, top: str) -> bool:
        """Tell whether the resolver has a top-level domain. One of a closed network denies all names of others."""
        with self._top_lock:
            if top not in self._tops:
                found = self._resolved(top, "NS")
                self._tops[top] = bool(found) and not isinstance(found, str)
            return self._tops[top]

    def _resolved(self, name: str, type_: str) -> list[str] | str:
        left = self._deadline - time.monotonic()
        if left <= 0:
            return "the time to look is over"
        if self._in_vain >= IN_VAIN and not self._heard:
            return "no resolver answers"
        try:
            answer = self._resolver.resolve(name, type_, lifetime=min(left, QUESTION_SECONDS), search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            self._heard = True
            return []
        except dns.resolver.NoNameservers:
            self._heard = True  # somebody answered, with a failure
            return "its name servers fail"
        except (dns.exception.DNSException, OSError) as error:
            self._in_vain += 1
            return "no answer in time" if isinstance(error, dns.exception.Timeout) else type(error).__name__
        self._heard = True
        return [_text(rdata) for rdata in answer]


def _text(rdata: dns.rdata.Rdata) -> str:
    strings: Sequence[bytes] | None = getattr(rdata, "strings", None)
    return rdata.to_text() if strings is None else b"".join(strings).decode("ascii", "replace")
