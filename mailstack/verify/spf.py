"""Checks of SPF: the record, what it costs receivers, and whether every sender passes."""

import ipaddress
import re
from collections.abc import Iterable, Iterator

from mailstack.dns.addresses import special_purpose
from mailstack.dns.problems import Findings, Problem
from mailstack.dns.spf_read import Spf, SpfError, read_spf, spf_records
from mailstack.dns.spf_terms import TermReader
from mailstack.dns.spf_tree import MAX_LOOKUPS, MAX_VOIDS, TYPES, Ask, Kind, Reply, SpfFault, expand
from mailstack.verify.answer import Answer
from mailstack.verify.context import Context
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.spf_evaluation import Evaluation, Lookup
from mailstack.verify.target import DomainTarget, Target

__all__ = ["evaluated", "lookup", "replies", "senders_of"]

LARGE = 450  # bytes of TXT at one name: more may not fit into a UDP answer (RFC 7208 §3.4)
ALMOST = re.compile(r"\W*v?\W{0,2}spf\s*[12]?\b", re.IGNORECASE)  # what was meant to be SPF
# Rules of ours that receivers do not have: they take the record, so that mail is not lost for these.
ADVICE = frozenset({"spf-address-public", "spf-host-bits", "spf-ptr", "spf-modifier", "txt-size"})


def lookup(context: Context, own: str, name: str, kind: str) -> Answer:
    """Look a name up: the domain's own at its servers, what others publish through our resolver."""
    return context.dns.look(name, kind) if name == own else context.dns.follow(name, kind)


def replies(look: Lookup) -> Ask:
    """Return what answers the walk through SPF records, which asks for addresses of both kinds at once."""

    def ask(name: str, kind: Kind) -> Reply:
        answers = [look(name, type_) for type_ in TYPES[kind]]
        why = next((answer.why for answer in answers if not answer.known), "")
        return Reply(why=why, values=() if why else tuple(value for answer in answers for value in answer.values))

    return ask


def evaluated(context: Context, domain: str, address: str, helo: str) -> Evaluation:
    """Return what a receiver answers for mail of ``domain`` from ``address``."""
    return Evaluation(
        address=ipaddress.ip_address(address),
        sender=f"postmaster@{domain}",
        helo=helo,
        look=lambda name, kind: lookup(context, domain, name, kind),
    ).run(domain)


def senders_of(context: Context, domain: DomainTarget) -> tuple[str, ...]:
    """Return the addresses that send for a domain: those declared, else those of all hosts that say HELO."""
    hosts = [address for host in context.target.hosts if host.helo for address in host.addresses]
    return domain.senders or tuple(dict.fromkeys(hosts))


def _record_of(context: Context, name: str) -> tuple[Answer, Spf | None]:
    """Return the answer, and the record where there is exactly one that can be read."""
    answer = context.dns.look(name, "TXT")
    records = spf_records(answer.values)
    try:
        return answer, read_spf(records[0]) if len(records) == 1 else None
    except SpfError:
        return answer, None


def _each_name(domain: DomainTarget) -> tuple[str, ...]:
    """Return From domain and return paths: the second is the one that receivers check."""
    return tuple(dict.fromkeys((domain.name, *domain.return_paths)))


@check(
    number=14,
    name="spf-record",
    group="C",
    title="One SPF record without mistakes, with an ending that refuses others",
    source="RFC 7208 §3.2, §4.5, §5.1",
    uses="mailstack.dns, which holds declared records to the same rules",
)
def spf_record(context: Context) -> Iterator[Finding]:
    """Read the record at every From domain and return path."""
    yield from context.domains(
        lambda domain: [found for name in _each_name(domain) for found in _judged(context, domain, name)]
    )


def _judged(context: Context, domain: DomainTarget, name: str) -> Iterator[Finding]:
    answer = context.dns.look(name, "TXT")
    if not answer.known:
        yield unknown(name, answer.why)
        return
    records = spf_records(answer.values)
    where = "declare it in `domains[].spf`" if name == domain.name else "publish that of whoever takes the bounces"
    if not records:
        meant = next((value for value in answer.values if ALMOST.match(value)), None)
        yield fail(
            name,
            "no SPF record" if meant is None else f"no SPF record: {meant!r} is none",
            str(answer),
            expected="one TXT record that begins with 'v=spf1 '",
            fix=f"{where}, or add TXT 'v=spf1 -all' where nothing sends",
        )
    elif len(records) > 1:
        yield fail(
            name,
            f"{len(records)} SPF records: receivers answer permerror",
            *records,
            expected="one",
            fix="merge them: name the other senders in `domains[].spf.include`, and remove the record that is not ours",
        )
    else:
        size = sum(map(len, answer.values))
        yield from _content(context, domain, name, records[0], size) or [ok(name, records[0])]


def _content(context: Context, domain: DomainTarget, name: str, text: str, size: int) -> list[Finding]:
    problems = list(_problems(text, name, context, domain))
    try:
        record = read_spf(text)
    except SpfError as error:
        said = [problem for problem in problems if problem[1]][:1]
        wrong, expected, fix = (
            (said[0][0].found, said[0][0].expected, said[0][0].fix)
            if said
            else (str(error), "terms as in RFC 7208 §5", "correct or remove the term")
        )
        return [fail(name, f"permerror: {wrong}", text, expected=expected, fix=fix)]
    found = [
        (fail if serious else warn)(name, problem.found, text, expected=problem.expected, fix=problem.fix)
        for problem, serious in problems
    ]
    found += _ending(domain, name, record)
    if size > LARGE:
        found.append(
            warn(
                name,
                f"{size} bytes of TXT at the name",
                expected=f"at most {LARGE}: larger answers need TCP, and some receivers give up",
                fix="move verification texts to names of their own, or remove those no longer needed",
            )
        )
    return found


def _problems(text: str, name: str, context: Context, domain: DomainTarget) -> Iterator[tuple[Problem, bool]]:
    """Yield what our rules for declared records say, and whether receivers mind."""
    notes = Findings()
    inside = context.once("private hosts", lambda: _private(context.target)) or _special(domain.senders)
    reader = TermReader(f"{name} SPF", notes, production=not inside)
    for word in text.split(" ")[1:]:
        if word and word.lower().lstrip("+-~?") != "all":
            reader.term(word)
    yield from ((problem, problem.rule not in ADVICE) for problem in notes.errors)
    yield from ((problem, False) for problem in notes.warnings)


def _private(target: Target) -> bool:
    """Tell whether hosts have private addresses, as in a rehearsal: they are right in its SPF."""
    return _special(address for host in target.hosts for address in host.addresses)


def _special(addresses: Iterable[str]) -> bool:
    return any(special_purpose(ipaddress.ip_network(address)) for address in addresses)


def _ending(domain: DomainTarget, name: str, record: Spf) -> list[Finding]:
    fix = "set `domains[].spf.all` to '~all' or '-all'"
    if domain.parked and name == domain.name and (record.ending != "-" or len(record.terms) > 1):
        return [fail(name, record.text, expected="'v=spf1 -all': the domain is parked", fix="remove all other terms")]
    if record.ending == "+":
        return [fail(name, "ends with +all: anybody may send", record.text, expected="~all or -all", fix=fix)]
    found: list[Finding] = []
    if record.ending == "?" or not (record.ending or record.redirect):
        what = "ends with ?all" if record.ending else "has no all at its end"
        found.append(warn(name, f"{what}: nothing is said about others", record.text, expected="~all or -all", fix=fix))
    after = record.terms[len(record.reached) :]
    if after or (record.ending and record.has_redirect):
        ignored = ", ".join(term.text for term in after) or "redirect="
        found.append(
            warn(
                name,
                f"receivers ignore {ignored}, because of all",
                record.text,
                expected="all as the last term, or redirect without it",
                fix="move all to the end, or remove what is ignored",
            )
        )
    return found


@check(
    number=14,
    name="spf-lookups",
    group="C",
    title="A receiver needs at most ten DNS lookups for the SPF record, two of which may find nothing",
    source="RFC 7208 §4.6.4",
)
def spf_lookups(context: Context) -> Iterator[Finding]:
    """Count what the records cost, with everything that they include."""
    yield from context.domains(
        lambda domain: [found for name in _each_name(domain) for found in _counted(context, name)]
    )


def _counted(context: Context, name: str) -> Iterator[Finding]:
    answer, record = _record_of(context, name)
    if record is None:
        yield unknown(name, answer.why) if not answer.known else not_applicable(name, "no record that can be read")
        return
    tree = expand(name, record.text, replies(lambda other, kind: lookup(context, name, other, kind)))
    details = tuple(map(str, sorted(tree.nodes, key=lambda node: -node.lookups)))
    wrong = [fault for fault in tree.faults if fault.kind != "unknown"]
    found = [
        fail(
            name,
            _said(fault),
            record.text,
            expected="includes that exist, with one record each, and end: else receivers answer permerror",
            fix="remove the term from `domains[].spf.include`, or correct it",
        )
        for fault in dict.fromkeys(wrong)
    ]
    if tree.lookups > MAX_LOOKUPS:
        found.append(
            fail(
                name,
                f"{tree.lookups} DNS lookups, most of them for {', '.join(details[:3])}",
                *details,
                expected=f"at most {MAX_LOOKUPS}: above that receivers answer permerror",
                fix="remove senders no longer used from `domains[].spf.include`, write own hosts as ip4:/ip6:",
            )
        )
    told = {fault.path for fault in wrong}
    voids = [" -> ".join(path) for node in tree.nodes for path in node.empty() if path not in told]
    if voids:
        found.append(
            (fail if tree.voids > MAX_VOIDS else warn)(
                name,
                f"{tree.voids} lookups that find nothing: {', '.join(voids)}",
                record.text,
                expected=f"none; with more than {MAX_VOIDS} receivers answer permerror",
                fix="remove the terms whose names no longer exist",
            )
        )
    unseen = [str(fault) for fault in tree.faults if fault.kind == "unknown"]
    if unseen:
        found.append(unknown(name, f"not counted to the end: {'; '.join(unseen[:3])}", *details))
    yield from found or [ok(name, f"{tree.lookups} of {MAX_LOOKUPS} lookups, {len(voids)} void", *details)]


def _said(fault: SpfFault) -> str:
    return f"a loop: {fault.detail}" if fault.kind == "loop" else str(fault)


@check(
    number=14,
    name="spf-senders",
    group="C",
    title="SPF passes for every address that sends, for the From domain and the return path",
    source="RFC 7208 §4, §2.6",
)
def spf_senders(context: Context) -> Iterator[Finding]:
    """Evaluate the records for every sender as a receiver would."""
    yield from context.domains(lambda domain: _senders(context, domain))


def _senders(context: Context, domain: DomainTarget) -> Iterable[Finding]:
    addresses = senders_of(context, domain)
    if domain.parked:
        yield not_applicable(domain.name, "the domain is parked: nothing sends for it")
        return
    if not addresses:
        yield not_applicable(domain.name, "no sending address is known (name hosts that send)")
        return
    helos = {address: host.name for host in context.target.hosts for address in host.addresses if host.helo}
    for name in _each_name(domain):
        results = [(one, evaluated(context, name, one, helos.get(one, name))) for one in addresses]
        details = tuple(f"{one}: {found.result} ({found.why})" for one, found in results)
        lost = [(one, found) for one, found in results if found.result not in {"pass", "temperror"}]
        if lost:
            first, found = lost[0]
            what = f"{found.result} for {', '.join(one for one, _ in lost)}: {found.why}"
            yield fail(
                name,
                what,
                *details,
                expected="pass for every address that sends",
                fix=f"add ip{ipaddress.ip_address(first).version}:{first} to `domains[].spf.mechanisms`, or the"
                " upstream's name to `domains[].spf.include`",
            )
        elif any(found.result == "temperror" for _, found in results):
            why = next(found.why for _, found in results if found.result == "temperror")
            yield unknown(name, why, *details)
        else:
            yield ok(name, f"pass for {', '.join(addresses)}", *details)
