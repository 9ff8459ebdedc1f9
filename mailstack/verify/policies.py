"""Checks of the policies beside mail: MTA-STS, TLS reports."""

import re
from collections.abc import Iterable, Iterator

from checkdmarc.mta_sts import MTASTSError, mx_in_mta_sts_patterns, parse_mta_sts_policy, parse_mta_sts_record
from checkdmarc.smtp_tls_reporting import SMTPTLSReportingError, parse_smtp_tls_reporting_record

from mailstack.dns import mta_sts_id
from mailstack.dns.tags import tags_of
from mailstack.verify.answer import Answer
from mailstack.verify.context import Context
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.policy_fetch import PATH, fetch_policy
from mailstack.verify.target import DomainTarget

__all__: list[str] = []

# How such records begin, other versions and slips included: what is meant to be one and is none must be told.
STS, TLS_RPT = r"v\s*=\s*STS", r"v\s*=\s*TLS-?RPT"
SHORTEST_AGE = 86_400  # seconds; below a day an attacker needs little patience (RFC 8461 §3.2 speaks of weeks)
MTA_STS_FIX = "declare the policy in `caddy.mta_sts`, then `pulumi up`"


def _text(context: Context, name: str, prefix: str) -> tuple[Answer, list[str]]:
    answer = context.dns.look(name, "TXT")
    return answer, [value for value in answer.values if re.match(prefix, value.strip('" '), re.IGNORECASE)]


def _plain(error: Exception) -> str:
    return " ".join(str(error).split())


@check(
    number=34,
    name="mta-sts",
    group="F",
    title="The MTA-STS policy is announced, served over trusted HTTPS, and names every mail exchanger",
    source="RFC 8461 §3, §4.1",
    uses="checkdmarc (record and policy), ssl (certificate)",
)
def mta_sts(context: Context) -> Iterator[Finding]:
    """Read the record, fetch the policy, compare it with the MX records."""
    yield from context.domains(lambda domain: _mta_sts(context, domain))


def _mta_sts(context: Context, domain: DomainTarget) -> Iterable[Finding]:
    answer, records = _text(context, f"_mta-sts.{domain.name}", STS)
    if not answer.known:
        return [unknown(domain.name, answer.why)]
    if not records:
        if domain.mta_sts is None:
            return [not_applicable(domain.name, "no MTA-STS")]
        return [fail(domain.name, "no record", str(answer), expected="TXT 'v=STSv1; id=...'", fix=MTA_STS_FIX)]
    if len(records) > 1:
        what = f"{len(records)} records: senders act as if there were none"
        return [fail(domain.name, what, *records, expected="one", fix="remove the record that is not ours")]
    try:
        warnings = parse_mta_sts_record(records[0])["warnings"]
    except MTASTSError as error:
        return [fail(domain.name, _plain(error), records[0], expected="v=STSv1; id=...;", fix=MTA_STS_FIX)]
    found = [
        warn(domain.name, _plain_text(warning), records[0], expected="v=STSv1; id=...;", fix=MTA_STS_FIX)
        for warning in warnings
    ]
    found += _policy(context, domain)
    return found or [ok(domain.name, f"{records[0]}, and a policy that fits")]


def _plain_text(text: str) -> str:
    return " ".join(text.split())


def _policy(context: Context, domain: DomainTarget) -> Iterator[Finding]:
    fetched = fetch_policy(context, domain.name)
    if fetched.text is None:
        if fetched.late:
            yield unknown(domain.name, fetched.problem)
        else:
            yield fail(
                domain.name,
                f"no policy: {fetched.problem}",
                expected=f"https://mta-sts.{domain.name}{PATH} with a trusted certificate, status 200, text/plain",
                fix=f"{MTA_STS_FIX}; mta-sts.{domain.name} must lead to the host with Caddy",
            )
        return
    try:
        parsed = parse_mta_sts_policy(fetched.text)
    except MTASTSError as error:
        yield fail(domain.name, f"policy: {_plain(error)}", fetched.text, expected="RFC 8461 §3.2", fix=MTA_STS_FIX)
        return
    policy = parsed["policy"]
    for warning in parsed["warnings"]:
        yield warn(
            domain.name, f"policy: {_plain_text(warning)}", fetched.text, expected="known fields", fix=MTA_STS_FIX
        )
    declared = domain.mta_sts
    if declared is not None and declared.mode != policy["mode"]:
        yield fail(domain.name, f"mode {policy['mode']}", fetched.text, expected=declared.mode, fix=MTA_STS_FIX)
    if policy["mode"] == "none":
        return
    if policy["max_age"] < SHORTEST_AGE:
        yield warn(
            domain.name,
            f"max_age {policy['max_age']} seconds",
            expected="a week or more",
            fix="set `caddy.mta_sts[].max_age`",
        )
    exchangers = context.dns.look(domain.name, "MX")
    hosts = [value.split()[1] for value in exchangers.values]
    outside = [host for host in hosts if not mx_in_mta_sts_patterns(host, list(policy["mx"]))]
    if not exchangers.known:
        yield unknown(domain.name, exchangers.why)
    elif outside or not hosts:
        enforced = policy["mode"] == "enforce"
        what = f"the policy does not name {', '.join(outside)}" if hosts else "a policy, but no MX"
        yield (fail if enforced else warn)(
            domain.name,
            f"{what}{': senders refuse to deliver there' if enforced else ''}",
            *exchangers.values,
            fetched.text,
            expected="every MX named in the policy",
            fix="add it to `caddy.mta_sts[].mx`",
        )


@check(
    number=35,
    name="mta-sts-id",
    group="F",
    title="The id of the MTA-STS record is that of the policy that is served",
    source="RFC 8461 §3.1",
)
def mta_sts_follows(context: Context) -> Iterator[Finding]:
    """Make the id anew of the bytes that are served."""
    yield from context.domains(lambda domain: _id(context, domain))


def _id(context: Context, domain: DomainTarget) -> Iterator[Finding]:
    answer, records = _text(context, f"_mta-sts.{domain.name}", STS)
    if not answer.known:
        yield unknown(domain.name, answer.why)
        return
    if len(records) != 1:
        yield not_applicable(domain.name, "no single MTA-STS record")
        return
    there = (tags_of(records[0]) or {}).get("id", "")
    fetched = fetch_policy(context, domain.name)
    if fetched.text is None:
        why = f"no policy to compare with: {fetched.problem}"
        yield unknown(domain.name, why) if fetched.late else not_applicable(domain.name, why)
        return
    made = mta_sts_id(fetched.text)
    declared = None if domain.mta_sts is None else domain.mta_sts.policy_id
    if there == made:
        yield ok(domain.name, f"id {there}")
    elif declared is None:
        yield not_applicable(domain.name, f"id {there} is not made our way: whether it is new is not to be seen")
    else:
        yield fail(
            domain.name,
            f"id {there}",
            f"served policy: {made}",
            f"declared: {declared}",
            expected=f"{made}: with an old id senders keep the old policy",
            fix="run `pulumi up`; until the record and the policy are of one run, restart nothing",
        )


@check(
    number=36,
    name="tls-rpt",
    group="F",
    title="Senders are told where to report TLS failures",
    source="RFC 8460 §3",
    uses="checkdmarc",
)
def tls_rpt(context: Context) -> Iterator[Finding]:
    """Read the record at ``_smtp._tls``."""
    yield from context.domains(lambda domain: _tls_rpt(context, domain))


def _tls_rpt(context: Context, domain: DomainTarget) -> Iterable[Finding]:
    name = f"_smtp._tls.{domain.name}"
    answer, records = _text(context, name, TLS_RPT)
    expected, fix = "TXT 'v=TLSRPTv1; rua=mailto:...'", f"correct the record at {name}"
    if not answer.known:
        return [unknown(domain.name, answer.why)]
    if not records:
        if domain.tls_rpt is not None:
            return [fail(domain.name, "no record", str(answer), expected=domain.tls_rpt, fix="run `pulumi up`")]
        _, policies = _text(context, f"_mta-sts.{domain.name}", STS)
        if policies:
            what = "an MTA-STS policy without TLS reports: nobody hears of mail that it stops"
            return [warn(domain.name, what, expected=expected, fix=f"add the record at {name}")]
        return [not_applicable(domain.name, "no TLS reports are asked for")]
    if len(records) > 1:
        what = f"{len(records)} records: senders act as if there were none"
        return [fail(domain.name, what, *records, expected="one", fix="remove the record that is not ours")]
    try:
        warnings = parse_smtp_tls_reporting_record(records[0])["warnings"]
    except SMTPTLSReportingError as error:
        return [fail(domain.name, _plain(error), records[0], expected=expected, fix=fix)]
    return [
        warn(domain.name, _plain_text(warning), records[0], expected=expected, fix=fix) for warning in warnings
    ] or [ok(domain.name, records[0])]
