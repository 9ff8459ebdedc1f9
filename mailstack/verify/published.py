"""Check of what is declared against what is served: by every server of the zone, then by resolvers."""

from collections.abc import Iterable, Iterator

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.rdtypes.ANY.TXT import TXT

from mailstack.dns.spf_read import spf_records
from mailstack.verify.answer import Answer, Outcome
from mailstack.verify.context import Context
from mailstack.verify.dkim import key_name
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.target import DomainTarget
from mailstack.verify.tree_walk import dmarc_records

__all__: list[str] = []


@check(
    number=44,
    name="published",
    group="G",
    title="What is declared is served, by every server and to everybody",
    source="RFC 1034 §4.3.5 (transfers), §3.6; declared records",
    uses="dnspython",
)
def published(context: Context) -> Iterator[Finding]:
    """Compare servers with the declaration, with each other, and with resolvers."""
    yield from context.domains(lambda domain: _published(context, domain))


def _questions(domain: DomainTarget) -> list[tuple[str, str]]:
    """Return the names and types that mail depends on, and those declared beside them."""
    asked = [(domain.name, "MX"), (domain.name, "TXT"), (f"_dmarc.{domain.name}", "TXT")]
    asked += [(key_name(key.selector, domain.name), "TXT") for key in domain.dkim if key.alias is None]
    asked += [(f"_mta-sts.{domain.name}", "TXT")] if domain.mta_sts is not None else []
    asked += [(f"_smtp._tls.{domain.name}", "TXT")] if domain.tls_rpt is not None else []
    asked += [(name, kind.upper()) for name, kind, _ in domain.records]
    return list(dict.fromkeys(asked))


def _published(context: Context, domain: DomainTarget) -> Iterable[Finding]:
    found: list[Finding] = []
    questions = _questions(domain)
    for name, kind in questions:
        answers = context.dns.authoritative(name, kind)
        known = [answer for answer in answers if answer.known]
        if not known:
            found.append(unknown(f"{name} {kind}", answers[0].why, *map(str, answers)))
            continue
        declared = list(_declared(domain, name, kind, known[0]))
        found += declared or _everywhere(context, name, kind, known)
    if found:
        return found
    if domain.spf is None and domain.dmarc is None and domain.mx is None and not domain.records:
        return [not_applicable(domain.name, "nothing is declared; servers and resolvers agree")]
    return [ok(domain.name, f"{len(questions)} record sets as declared, everywhere")]


def _declared(domain: DomainTarget, name: str, kind: str, answer: Answer) -> Iterator[Finding]:
    """Yield what differs from the declaration. What is missing altogether is told by the check of that record."""
    if (name, kind) == (domain.name, "TXT") and domain.spf is not None and (there := spf_records(answer.values)):
        yield from _text(f"{name} SPF", domain.spf, there, answer)
    if name == f"_dmarc.{domain.name}" and domain.dmarc is not None and (there := dmarc_records(answer.values)):
        yield from _text(f"{name} DMARC", domain.dmarc, there, answer)
    if name == f"_smtp._tls.{domain.name}" and domain.tls_rpt is not None and answer.values:
        yield from _text(f"{name} TLS-RPT", domain.tls_rpt, list(answer.values), answer)
    if kind == "MX" and name == domain.name and domain.mx and answer.values:
        wanted = {f"{preference} {host}" for preference, host in domain.mx}
        if set(answer.values) != wanted:
            yield _differs(f"{name} MX", ", ".join(sorted(answer.values)), ", ".join(sorted(wanted)), answer)
    texts = [text for other, type_, text in domain.records if (other, type_.upper()) == (name, kind)]
    for text in texts:
        wanted_text = _canonical(kind, text)
        if wanted_text not in {_canonical(kind, _quoted(kind, value)) for value in answer.values + answer.chain}:
            there_now = ", ".join(answer.values or answer.chain) or answer.outcome.value
            yield _differs(f"{name} {kind}", there_now, text, answer)


def _text(subject: str, wanted: str, there: list[str], answer: Answer) -> Iterator[Finding]:
    if wanted.rstrip("; ") not in {text.rstrip("; ") for text in there}:
        yield _differs(subject, there[0], wanted, answer)


def _differs(subject: str, there: str, wanted: str, answer: Answer) -> Finding:
    return fail(
        subject,
        there,
        str(answer),
        expected=wanted,
        fix="run `pulumi up`; where somebody changed it on purpose, declare that",
    )


def _quoted(kind: str, value: str) -> str:
    return '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"')) if kind in {"TXT", "SPF"} else value


def _canonical(kind: str, text: str) -> str:
    """Return rdata in one form; what cannot be read stays as it is, and is then found to differ."""
    if kind in {"TXT", "SPF"} and len(text) > 255 and '" "' not in text:
        return text.strip('"')
    try:
        rdata = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), text)
    except (dns.exception.DNSException, ValueError):
        return text
    if isinstance(rdata, TXT):
        return b"".join(rdata.strings).decode("utf-8", "backslashreplace")
    return rdata.to_text().lower().removesuffix(".")


def _everywhere(context: Context, name: str, kind: str, known: list[Answer]) -> list[Finding]:
    """Compare the servers with each other, and the resolvers with them."""
    values = [frozenset(answer.values + answer.chain) for answer in known]
    details = tuple(map(str, known))
    if len(set(values)) > 1:
        return [
            warn(
                f"{name} {kind}",
                "not yet everywhere: the zone's servers differ",
                *details,
                expected="the same on all servers",
                fix="wait for the transfer; if it stays, look why a server does not get the zone",
            )
        ]
    resolved = context.dns.resolved(name, kind)
    late = [answer for answer in resolved if answer.known and not _same(answer, known[0])]
    if not late:
        return []
    longest = max(answer.ttl for answer in late)
    return [
        warn(
            f"{name} {kind}",
            f"not yet everywhere: {', '.join(answer.server for answer in late)} still have another answer",
            *details,
            *map(str, resolved),
            expected="what the zone's servers say",
            fix=f"wait until it is forgotten: {longest} seconds" if longest else "wait for the negative TTL of the SOA",
        )
    ]


def _same(answer: Answer, served: Answer) -> bool:
    if served.chain:
        return answer.chain[:1] == served.chain[:1]
    if served.outcome is not Outcome.FOUND:
        return not answer.values and not answer.chain
    return set(answer.values) == set(served.values)
