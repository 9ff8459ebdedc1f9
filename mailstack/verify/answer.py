"""What a name server said, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype

__all__ = ["Answer", "Outcome", "Server", "no_answer", "read_answer"]

LONGEST_CHAIN = 8  # CNAMEs that are followed; resolvers give up at about as many
HOST_KINDS = frozenset({dns.rdatatype.MX, dns.rdatatype.NS, dns.rdatatype.CNAME, dns.rdatatype.PTR, dns.rdatatype.SRV})


class Outcome(Enum):
    """What a server said."""

    FOUND = "found"
    EMPTY = "no such record"
    NO_NAME = "no such name"
    NO_ANSWER = "no answer"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One server's answer. ``values`` are record texts, sorted: of TXT the joined strings, else as in a zone file,
    lower case names without final dot. ``chain`` are the CNAMEs that were followed, ``why`` is the reason of no answer.

    ``authenticated``: the resolver says that DNSSEC was checked (the AD bit). ``referral`` are the name servers of the
    authority section, where a server points to others, ``glue`` the addresses it gave with them, (name, address).
    ``code`` is the response code, empty where there was no response.
    """

    name: str
    type: str
    server: str
    outcome: Outcome
    values: tuple[str, ...] = ()
    ttl: int = 0
    chain: tuple[str, ...] = ()
    why: str = ""
    authenticated: bool = False
    referral: tuple[str, ...] = ()
    glue: tuple[tuple[str, str], ...] = ()
    code: str = ""

    @property
    def known(self) -> bool:
        """Tell whether there was an answer at all."""
        return self.outcome is not Outcome.NO_ANSWER

    @property
    def void(self) -> bool:
        """Tell whether there is nothing: no such name, or no record of this type there."""
        return self.outcome in {Outcome.EMPTY, Outcome.NO_NAME}

    def __str__(self) -> str:
        """Say it in one line."""
        said = " | ".join(sorted(self.values)) if self.values else self.outcome.value
        return f"{self.server}: {said}" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, kw_only=True)
class Server:
    """An authoritative server: its name, one of its addresses."""

    name: str
    address: str

    def __str__(self) -> str:
        """Name it."""
        return f"{self.name} ({self.address})"


def no_answer(name: str, kind: str, server: str, why: str, code: str = "") -> Answer:
    """Return that nothing was learned, and why."""
    return Answer(name=name, type=kind, server=server, outcome=Outcome.NO_ANSWER, why=why, code=code)


def read_answer(reply: dns.message.Message, server: str, name: str, kind: str, *, recurse: bool) -> Answer:
    """Read a response. Without ``recurse`` it counts only where the server answers for the zone itself (RFC 1034 §6.2):
    one that points elsewhere, or repeats what it heard, does not know.
    """
    code = dns.rcode.to_text(reply.rcode())
    if reply.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        return no_answer(name, kind, server, code, code)
    referral = tuple(sorted(_text(rdata) for rrset in reply.authority for rdata in rrset if _is(rdata, "NS")))
    glue = tuple(
        sorted((_plain(rrset.name), _text(one)) for rrset in reply.additional for one in rrset if _is(one, "A", "AAAA"))
    )
    if not recurse and not reply.flags & dns.flags.AA:
        why = f"not a server of this zone: it points to {', '.join(referral)}" if referral else "not authoritative"
        found = no_answer(name, kind, server, why, code)
        return Answer(**{**vars(found), "referral": referral, "glue": glue})
    values, ttl, chain = _followed(reply, name, dns.rdatatype.from_text(kind))
    empty = Outcome.NO_NAME if reply.rcode() == dns.rcode.NXDOMAIN else Outcome.EMPTY
    return Answer(
        name=name,
        type=kind,
        server=server,
        outcome=Outcome.FOUND if values else empty,
        values=values,
        ttl=ttl,
        chain=chain,
        authenticated=bool(reply.flags & dns.flags.AD),
        referral=referral,
        glue=glue,
        code=code,
    )


def _followed(
    reply: dns.message.Message, name: str, wanted: dns.rdatatype.RdataType
) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    """Return values, TTL and the CNAMEs on the way; a chain is as fresh as its oldest link."""
    owner, ttl = dns.name.from_text(name), 2**31
    chain: list[str] = []
    for _ in range(LONGEST_CHAIN):
        rrset = next((one for one in reply.answer if one.name == owner and one.rdtype == wanted), None)
        if rrset is not None:
            # Servers shuffle; two runs are to say the same in the same words.
            return tuple(sorted(_text(rdata) for rdata in rrset)), min(ttl, rrset.ttl), tuple(chain)
        alias = next((one for one in reply.answer if one.name == owner and one.rdtype == dns.rdatatype.CNAME), None)
        if alias is None:
            break
        owner, ttl = alias[0].target, min(ttl, alias.ttl)
        chain.append(_plain(owner))
    return (), ttl if chain else 0, tuple(chain)


def _is(rdata: dns.rdata.Rdata, *kinds: str) -> bool:
    return dns.rdatatype.to_text(rdata.rdtype) in kinds


def _text(rdata: dns.rdata.Rdata) -> str:
    if rdata.rdtype == dns.rdatatype.TXT:
        strings: Sequence[bytes] = rdata.strings  # type: ignore[attr-defined]
        return b"".join(strings).decode("utf-8", "backslashreplace")
    text = rdata.to_text()
    if rdata.rdtype in HOST_KINDS:
        text = text.lower()
        return text if text.endswith(" .") or text == "." else text.removesuffix(".")
    return text


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()
