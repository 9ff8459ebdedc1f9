"""Check of CAA: may the certificate authorities in use issue for the names that need certificates?"""

import re
from collections.abc import Iterable, Iterator

from mailstack.dns.names import lineage
from mailstack.verify.answer import Answer
from mailstack.verify.context import Context
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn

__all__ = ["certificate_names"]

# RFC 8659 §4, RFC 9495, BIMI's VMC requirements, CA/Browser Forum Baseline Requirements appendix A.
TAGS = frozenset({"issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"})
CRITICAL = 128
_RECORD = re.compile(r'(\d+) ([A-Za-z0-9]+) "(.*)"')


def certificate_names(context: Context) -> list[str]:
    """Return the names that need a certificate: of listeners with TLS, of web sites, of tracking, of MTA-STS."""
    target = context.target
    names = [
        listener.name or host.name for host in target.hosts for listener in host.ports or () if listener.tls != "none"
    ]
    names += target.web
    for domain in target.domains:
        names += domain.tracking
        names += [f"mta-sts.{domain.name}"] if domain.mta_sts is not None else []
    return list(dict.fromkeys(names))


@check(
    number=31,
    name="caa",
    group="E",
    title="CAA lets the certificate authorities in use issue",
    source="RFC 8659 §3, §4",
    uses="dnspython",
)
def caa(context: Context) -> Iterator[Finding]:
    """Find the CAA records that count for each name, and read them."""
    names = certificate_names(context)
    if names:
        yield from context.each(names, lambda name: _judged(context, name, context.target.issuers))
    elif context.target.domains:
        # Without names with certificates there is still the syntax of what the domains have.
        yield from context.domains(lambda domain: _judged(context, domain.name, ()))
    else:
        yield not_applicable("", "no name with a certificate is known")


def _closest(context: Context, name: str) -> Answer:
    """Return the answer of the closest name, going up, that has any (RFC 8659 §3); CNAMEs are followed."""
    answer = context.dns.look(name, "CAA")
    for parent in lineage(name.partition(".")[2]):
        if not answer.void or "." not in parent:
            break
        answer = context.dns.follow(parent, "CAA")
    return answer


def _judged(context: Context, name: str, issuers: tuple[str, ...]) -> Iterable[Finding]:
    answer = _closest(context, name)
    if not answer.known:
        # An authority that gets no answer must not issue either (RFC 8659 §3), but that is its view, not ours.
        return [unknown(name, answer.why)]
    if not answer.values:
        return [ok(name, "no CAA: every authority may issue")]
    found: list[Finding] = []
    records = [match for value in answer.values if (match := _RECORD.fullmatch(value)) is not None]
    for flags, tag, _ in (match.groups() for match in records):
        if tag.lower() not in TAGS:
            serious = int(flags) & CRITICAL
            found.append(
                (fail if serious else warn)(
                    name,
                    f"the unknown tag {tag}{', marked critical: no authority may issue' if serious else ''}",
                    str(answer),
                    expected=", ".join(sorted(TAGS)),
                    fix=f"correct the CAA record at {answer.name}",
                )
            )
        elif int(flags) not in {0, CRITICAL}:
            found.append(
                warn(
                    name,
                    f"flags {flags}",
                    str(answer),
                    expected=f"0, or {CRITICAL} for critical",
                    fix=f"correct the CAA record at {answer.name}",
                )
            )
    allowed = [value.partition(";")[0].strip().lower() for _, tag, value in map(_groups, records) if tag == "issue"]
    refused = [issuer for issuer in issuers if allowed and issuer.lower() not in allowed]
    if refused:
        wanted = " and ".join(f'0 issue "{issuer}"' for issuer in refused)
        found.append(
            fail(
                name,
                f"{answer.name} lets only {', '.join(filter(None, allowed)) or 'nobody'} issue, not"
                f" {', '.join(refused)}: the certificate will not be renewed",
                str(answer),
                expected=wanted,
                fix=f"add CAA {wanted} at {answer.name}, or use another authority (`caddy`)",
            )
        )
    return found or [ok(name, f"{', '.join(filter(None, allowed)) or 'every authority'} may issue", str(answer))]


def _groups(match: re.Match[str]) -> tuple[str, str, str]:
    return match[1], match[2].lower(), match[3]
