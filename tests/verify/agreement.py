"""What checkdmarc, pyspf and dkimpy say about the zones, what we say, and why that differs where it does."""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import dkim
import dns.resolver
import spf
from checkdmarc.dmarc import DMARCError, get_dmarc_record
from checkdmarc.spf import SPFError, get_spf_record
from checkdmarc.utils import DNSException

from mailstack.verify.around import Around
from mailstack.verify.asking import Dns
from mailstack.verify.dkim import key_name
from mailstack.verify.model import Finding, State
from mailstack.verify.spf_evaluation import Evaluation
from tests.verify.case import Filled

PYSPF, SPF, COUNT, DMARC, DKIM = (
    "pyspf result",
    "checkdmarc SPF",
    "checkdmarc SPF lookups",
    "checkdmarc DMARC",
    "dkimpy",
)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one tool and we said about one case."""

    tool: str
    case: str
    theirs: str
    ours: str


def resolver_of(around: Around) -> dns.resolver.Resolver:
    """Return dnspython's resolver, asking ours on loopback."""
    address, _, port = (around.own_resolver or "").rpartition(":")
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = [address], int(port), 5.0
    return resolver


def pyspf_lookup(dns_: Dns) -> Callable[..., list[object]]:
    """Return what pyspf asks DNS with, in its own shape."""

    def lookup(name: str, kind: str, *_: object, **__: object) -> list[object]:
        answer = dns_.follow(name, kind)
        if not answer.known:
            raise spf.TempError(answer.why)
        values: Iterable[object] = answer.values
        if kind == "MX":
            values = [(int(value.split()[0]), value.split()[1]) for value in answer.values]
        elif kind == "TXT":
            values = [(value.encode(),) for value in answer.values]
        return [((name, kind), value) for value in values]

    return lookup


def spf_results(cases: list[Filled], around: Around) -> list[Said]:
    """Return the result for every sender of every case, by pyspf and by us."""
    asked = Dns(around)
    spf.DNSLookup = pyspf_lookup(asked)
    found = []
    for case in cases:
        for address in (case.ip, case.ip6):
            theirs = spf.check2(i=address, s=f"postmaster@{case.name}", h=f"mx.{case.name}")[0]
            ours = Evaluation(
                address=ipaddress.ip_address(address),
                sender=f"postmaster@{case.name}",
                helo=f"mx.{case.name}",
                look=asked.follow,
            ).run(case.name)
            version = "IPv6" if ":" in address else "IPv4"
            found.append(Said(tool=f"{PYSPF}, {version}", case=case.case.name, theirs=theirs, ours=ours.result))
    return found


def judged(findings: tuple[Finding, ...], subject: str, *checks: str) -> str:
    """Return "wrong" where one of our checks fails for a subject, else "right"."""
    bad = any(one.check in checks and one.state is State.FAIL and one.subject == subject for one in findings)
    return "wrong" if bad else "right"


def records(case: Filled, findings: tuple[Finding, ...], around: Around) -> list[Said]:
    """Return what checkdmarc and dkimpy say about the records of a case, and what we do."""
    resolver, name = resolver_of(around), case.case.name
    found = []
    lookups = next((one.found for one in findings if (one.check, one.subject) == ("spf-lookups", case.name)), "")
    try:
        parsed = get_spf_record(case.name, resolver=resolver)
        # What is beyond a limit is not raised for a record as a whole, but told.
        theirs = "wrong" if parsed.get("error") else "right"
        number = str(parsed["dns_lookups"])
    except (SPFError, DNSException) as error:
        theirs, number = "wrong", str((getattr(error, "data", None) or {}).get("dns_lookups", ""))
    ours = judged(findings, case.name, "spf-record", "spf-lookups")
    found.append(Said(tool=SPF, case=name, theirs=theirs, ours=ours))
    if number and "lookups" in lookups and "nothing" not in lookups:
        found.append(Said(tool=COUNT, case=name, theirs=number, ours=lookups.split()[0]))
    try:
        get_dmarc_record(case.name, resolver=resolver)
        theirs = "right"
    except (DMARCError, DNSException):
        theirs = "wrong"
    ours = judged(findings, case.name, "dmarc-record", "dmarc-reports")
    found.append(Said(tool=DMARC, case=name, theirs=theirs, ours=ours))
    for key in case.target().domains[0].dkim:
        key_at = key_name(key.selector, case.target().domains[0].name)
        texts = Dns(around).follow(key_at, "TXT").values
        if key.revoked:
            continue
        try:
            dkim.load_pk_from_dns(key_at, dnsfunc=lambda *_, texts=texts, **__: texts[0].encode() if texts else None)
            theirs = "right"
        except (dkim.DKIMException, ValueError):
            theirs = "wrong"
        found.append(Said(tool=DKIM, case=name, theirs=theirs, ours=judged(findings, key_at, "dkim-key")))
    return found


# (tool, case): why we differ. Exactly these: one that is no longer there must go.
DIFFERENCES = {
    (
        f"{PYSPF}, IPv6",
        "spf-mail-hosts-without-ipv6",
    ): "pyspf counts every mail host of an mx term that has no address of "
    "the sender's family as a void lookup. RFC 7208 §4.6.4 limits the number of terms, and this one finds hosts.",
    (SPF, "spf-include-with-equals"): "A receiver ignores `include=` as a modifier it does not know (RFC 7208 §6), so "
    "the sender that was meant is not let through: to us that is a mistake.",
    (SPF, "spf-plus-all"): "`+all` is well-formed, and checkdmarc warns of it. It lets anybody send, so we fail it.",
    (SPF, "parked-badly"): "Right in itself. The domain is declared as parked, and so must have `v=spf1 -all` alone.",
    (DMARC, "dmarc-beside-other"): "Receivers discard TXT that is not a DMARC record (RFC 9989 §4.10), so the policy "
    "works. checkdmarc fails it; we warn.",
    (DMARC, "dmarc-not-authorised"): "checkdmarc warns. No report is sent (RFC 9990 §4), so to us that is a failure.",
    (DMARC, "dmarc-reports-without-mx"): "checkdmarc warns. No report arrives, so to us that is a failure.",
    (DKIM, "dkim-two"): "dkimpy takes the first of the records it is given. Which one a receiver takes is not defined "
    "(RFC 6376 §3.6.2.2).",
    (
        DKIM,
        "dkim-other-key",
    ): "The key is good, but not the one that is declared: what we sign cannot be checked by it.",
    (DKIM, "dkim-other-tags"): "The key is good, but Postal compares the whole record with the one that it shows.",
    (
        DKIM,
        "dkim-short",
    ): "dkimpy reads the key, and refuses it only with a signature: below 1024 bits (RFC 8301 §3.2).",
    (
        DKIM,
        "dkim-sha1",
    ): "dkimpy looks at h= nowhere. Receivers must not take sha1 (RFC 8301 §3.1), so nothing is left.",
    (DKIM, "dkim-not-for-mail"): "dkimpy notes that the key is for TLS reports and goes on. It is not for mail "
    "(RFC 6376 §3.6.1, RFC 8460 §3).",
    (DKIM, "dkim-alias-missing"): "The key is good, but the name is declared as an alias, whose owner changes the key.",
}
# dkimpy reads Ed25519 keys only with PyNaCl, which is not installed here: mailstack.dns checks them (RFC 8032 §5.1.3).
NOT_COMPARED = {(DKIM, "dkim-ed25519-alone"), (DKIM, "dkim-ed25519-beside")}
HEAD = """\
# Where `mailstack verify` judges otherwise than others

The zones of tests/verify are judged by checkdmarc (SPF, with its count of lookups, and DMARC), by pyspf (the result for
every sender) and by dkimpy (keys) as well. They agree on all but the following. tests/verify/test_agreement.py
makes this page from what it finds, and fails where there is a difference that is not explained here, or one less.
"""


def differences_page(said: list[Said]) -> str:
    """Return the page of all differences; raises KeyError for one that nobody explained."""
    rows = [
        f"| {one.tool} | `{one.case}` | {one.theirs} | {one.ours} | {DIFFERENCES[one.tool, one.case]} |"
        for one in sorted(said, key=lambda one: (one.tool, one.case))
    ]
    return "\n".join([HEAD, "| Tool | Zone | It says | We say | Why |", "| --- | --- | --- | --- | --- |", *rows, ""])
