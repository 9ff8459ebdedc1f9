"""Checks of DMARC: the record, where reports go, what subdomains inherit, alignment."""

import re
from collections.abc import Iterable, Iterator

from checkdmarc.dmarc import DMARCError, parse_dmarc_record, parse_dmarc_report_uri

from mailstack.dns.names import is_within
from mailstack.dns.tags import tags_of
from mailstack.verify.context import Context
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.target import DomainTarget
from mailstack.verify.tree_walk import dmarc_records, organizational_domain, walk

__all__: list[str] = []

SETTING = "`domains[].dmarc`"
# Warnings of checkdmarc that we say ourselves, with a fix.
OURS = ("A p tag value of none", "An sp tag value of none", "rua tag (destination", "Policy (p=)", "Subdomain policy")
_REPORT_TAG = re.compile(r"(?:^|(?<=;))\s*ru[af]\s*=[^;]*;?", re.IGNORECASE)


def _parsed(record: str, name: str) -> list[str]:
    """Return what checkdmarc warns of. Raises ``DMARCError``.

    It gets the record without rua and ruf: for those it would ask DNS on its own, keep the answers for half an hour
    whatever we forget, and decide by the Public Suffix List who is external, which RFC 9990 §4 no longer does.
    """
    parsed = parse_dmarc_record(_REPORT_TAG.sub("", record).strip(), name)
    return [warning for warning in parsed["warnings"] if not warning.startswith(OURS)]


@check(
    number=16,
    name="dmarc-record",
    group="C",
    title="One DMARC record without mistakes, with a policy that is enforced and reports",
    source="RFC 9989 §4.7, §4.8",
    uses="checkdmarc",
)
def dmarc_record(context: Context) -> Iterator[Finding]:
    """Read the record at ``_dmarc``."""
    yield from context.domains(lambda domain: _record(context, domain))


def _record(context: Context, domain: DomainTarget) -> Iterator[Finding]:
    name = f"_dmarc.{domain.name}"
    answer = context.dns.look(name, "TXT")
    records = dmarc_records(answer.values)
    others = [value for value in answer.values if value not in records]
    if not answer.known:
        yield unknown(domain.name, answer.why)
    elif len(records) > 1:
        yield fail(
            domain.name,
            f"{len(records)} DMARC records: receivers act as if there were none",
            *records,
            expected="one",
            fix="remove the record that is not ours",
        )
    elif not records:
        yield _missing(context, domain, others)
    else:
        found = list(_content(domain, records[0]))
        if others:
            found.append(
                warn(
                    domain.name,
                    f"other TXT beside it: {others[0][:60]!r}",
                    expected=f"only the DMARC record at {name}",
                    fix="move the other text to the name it belongs to",
                )
            )
        yield from found or [ok(domain.name, records[0])]


def _missing(context: Context, domain: DomainTarget, others: list[str]) -> Finding:
    above = next((step for step in walk(context, domain.name)[1:] if step.tags), None)
    if above is not None and not others:
        return ok(domain.name, f"no record of its own: that of {above.name} counts", str(above.answer))
    return fail(
        domain.name,
        "no DMARC record" + (f": {others[0][:60]!r} is none" if others else ""),
        expected=f"TXT 'v=DMARC1; p=...' at _dmarc.{domain.name}: large receivers want one, and others can send as you",
        fix=f"set {SETTING}",
    )


def _content(domain: DomainTarget, record: str) -> Iterator[Finding]:
    tags = {tag.lower(): value for tag, value in (tags_of(record) or {}).items()}
    try:
        warnings = _parsed(record, domain.name)
    except DMARCError as error:
        yield fail(
            domain.name,
            " ".join(str(error).split()),
            record,
            expected="a record that receivers can read",
            fix=f"correct the record: set {SETTING}, and let nobody else write it",
        )
        return
    for warning in warnings:
        yield warn(
            domain.name,
            " ".join(warning.split()),
            record,
            expected="a record as RFC 9989 and receivers of RFC 7489 read it",
            fix=f"set {SETTING}, which writes neither",
        )
    policy = tags.get("p", "none").lower()
    if domain.parked and policy != "reject":
        yield warn(
            domain.name,
            f"p={policy}",
            record,
            expected="p=reject: the domain is parked",
            fix="set `domains[].dmarc.policy` to reject",
        )
    elif policy == "none":
        yield warn(
            domain.name,
            "p=none: mail that others send in its name is delivered",
            record,
            expected="quarantine or reject, once reports show that all senders are aligned",
            fix="set `domains[].dmarc.policy` to quarantine, then to reject",
        )
    if "rua" not in tags:
        yield warn(
            domain.name,
            "no rua: nobody hears who sends in its name",
            record,
            expected="an address for aggregate reports",
            fix="set `domains[].dmarc.aggregate_reports`",
        )


@check(
    number=16,
    name="dmarc-reports",
    group="C",
    title="Whoever gets DMARC reports has agreed, and can receive mail",
    source="RFC 9990 §4, RFC 9989 §4.7",
    uses="checkdmarc (report URIs)",
)
def dmarc_reports(context: Context) -> Iterator[Finding]:
    """Look at every address in rua and ruf."""
    yield from context.domains(lambda domain: _reports(context, domain))


def _reports(context: Context, domain: DomainTarget) -> Iterable[Finding]:
    answer = context.dns.look(f"_dmarc.{domain.name}", "TXT")
    records = dmarc_records(answer.values)
    tags = {tag.lower(): value for tag, value in (tags_of(records[0]) or {}).items()} if len(records) == 1 else {}
    if not answer.known:
        return [unknown(domain.name, answer.why)]
    uris = [(tag, uri.strip()) for tag in ("rua", "ruf") for uri in tags.get(tag, "").split(",") if uri.strip()]
    if not uris:
        return [not_applicable(domain.name, "no report addresses")]
    found = [finding for tag, uri in uris for finding in _report_address(context, domain.name, tag, uri)]
    return found or [ok(domain.name, ", ".join(uri for _, uri in uris))]


def _report_address(context: Context, domain: str, tag: str, uri: str) -> Iterator[Finding]:
    fix = f"set `domains[].dmarc.{'aggregate' if tag == 'rua' else 'failure'}_reports`"
    try:
        parsed = parse_dmarc_report_uri(uri)
    except DMARCError:
        yield fail(domain, f"{tag}={uri}", expected="mailto: and an address", fix=fix)
        return
    if parsed["scheme"] != "mailto":
        yield warn(domain, f"{tag}={uri}", expected="mailto:, the only kind receivers must serve", fix=fix)
        return
    if parsed["size_limit"]:
        yield warn(domain, f"{tag}={uri} with a size limit", expected="an address alone (RFC 9989 §4.7)", fix=fix)
    receiver = parsed["address"].rpartition("@")[2].lower()
    yield from _mailbox(context, domain, f"{tag}={uri}", receiver, fix)
    if is_within(receiver, domain) or is_within(domain, receiver):
        return
    if organizational_domain(context, receiver) == organizational_domain(context, domain):
        return
    name = f"{domain}._report._dmarc.{receiver}"
    answer = context.dns.follow(name, "TXT")
    if not answer.known:
        yield unknown(domain, f"{name}: {answer.why}")
    elif not dmarc_records(answer.values):
        yield fail(
            domain,
            f"{receiver} does not say that it takes reports about {domain}: none are sent",
            str(answer),
            expected=f"TXT 'v=DMARC1;' at {name}",
            fix=f"ask {receiver} to add it, or {fix} to an address of the domain itself",
        )


def _mailbox(context: Context, domain: str, what: str, receiver: str, fix: str) -> Iterator[Finding]:
    mx = context.dns.follow(receiver, "MX")
    addresses = [context.dns.follow(receiver, kind) for kind in ("A", "AAAA")] if mx.void else []
    if not mx.known:
        yield unknown(domain, f"{receiver} MX: {mx.why}")
    elif mx.values == ("0 .",) or (mx.void and all(answer.void for answer in addresses)):
        yield fail(domain, f"{what}: {receiver} takes no mail", str(mx), expected="an MX there", fix=fix)


@check(
    number=17,
    name="dmarc-inherited",
    group="C",
    title="Subdomains, there or not, are not open to forgery",
    source="RFC 9989 §4.7, §4.10.1",
)
def dmarc_inherited(context: Context) -> Iterator[Finding]:
    """Say which policy counts for the domain, for its subdomains, and for names that do not exist."""
    yield from context.domains(lambda domain: _inherited(context, domain))


def _inherited(context: Context, domain: DomainTarget) -> Iterator[Finding]:
    walked = walk(context, domain.name)
    own = walked[0]
    step = next((one for one in walked if one.tags), None)
    if step is None:
        missing = [one for one in walked if not one.answer.known]
        why = "no DMARC record at the domain or above"
        yield unknown(domain.name, missing[0].answer.why) if missing else not_applicable(domain.name, why)
        return
    tags = {tag: value.lower() for tag, value in step.tags.items()}
    policy = tags.get("p", "none")
    below = tags.get("sp", policy)
    absent = tags.get("np", below)
    applied = policy if step is own else below
    details = tuple(str(one.answer) for one in walked)
    found: list[Finding] = []
    if step is not own and applied == "none":
        found.append(
            warn(
                domain.name,
                f"sp=none of {step.name} counts for it: nothing is enforced",
                *details,
                expected="quarantine or reject",
                fix=f"add a record at _dmarc.{domain.name}: set {SETTING}",
            )
        )
    if step is own:
        found += _weaker(domain.name, policy, {"sp": below, "np": absent}, tags, details)
    yield from found or [ok(domain.name, f"p={applied}; subdomains {below}, names not there {absent}", *details)]


def _weaker(
    name: str, policy: str, values: dict[str, str], tags: dict[str, str], details: tuple[str, ...]
) -> Iterator[Finding]:
    settings = {"sp": "subdomain_policy", "np": "nonexistent_policy"}
    for tag, value in values.items():
        if tag in tags and value == "none" and policy != "none":
            yield warn(
                name,
                f"{tag}=none under p={policy}: any such subdomain can be forged",
                *details,
                expected=f"{tag}={policy}, or no {tag}",
                fix=f"set `domains[].dmarc.{settings[tag]}` to {policy}, or leave it out",
            )


@check(
    number=18,
    name="dmarc-alignment",
    group="C",
    title="The return path and the signatures are of the From domain",
    source="RFC 9989 §4.4",
)
def dmarc_alignment(context: Context) -> Iterator[Finding]:
    """Compare the return paths with the From domain; our keys are at the From domain, and so aligned."""
    yield from context.domains(lambda domain: _alignment(context, domain))


def _alignment(context: Context, domain: DomainTarget) -> Iterable[Finding]:
    signed = any(not key.revoked for key in domain.dkim)
    if domain.parked or not (domain.return_paths or signed):
        why = "the domain is parked" if domain.parked else "neither a return path nor a selector is named"
        return [not_applicable(domain.name, why)]
    walked = walk(context, domain.name)
    step = next((one for one in walked if one.tags), None)
    if step is None and not walked[0].answer.known:
        return [unknown(domain.name, walked[0].answer.why)]
    strict = step is not None and step.tags.get("aspf", "r").lower() == "s"
    found: list[Finding] = []
    for path in domain.return_paths:
        if path == domain.name or (not strict and _same_organization(context, path, domain.name)):
            continue
        found.append(
            (warn if signed else fail)(
                domain.name,
                f"the return path {path} is not aligned{' (aspf=s)' if strict else ''}"
                + (": DMARC passes by the signature alone" if signed else ": DMARC fails"),
                expected=f"a return path {'that is' if strict else 'within'} {domain.name}",
                fix=f"set `domains[].dmarc.spf_alignment` to relaxed, or use a name within {domain.name}"
                if strict
                else f"use a return path within {domain.name} (Postal: `postal.custom_return_paths`)",
            )
        )
    ways = [*(f"return path {path}" for path in domain.return_paths), *(f"d={domain.name}" for _ in domain.dkim[:1])]
    return found or [ok(domain.name, ", ".join(ways))]


def _same_organization(context: Context, one: str, other: str) -> bool:
    if is_within(one, other):
        return True
    return organizational_domain(context, one) == organizational_domain(context, other)
