"""Each sending domain held against the rest of the declaration: exchangers, DMARC, DKIM, hosts."""

from mailstack.dns.dmarc import REPORT_PERMISSION, report_permission_name
from mailstack.dns.mta_sts import MtaStsRecord
from mailstack.dns.names import lineage
from mailstack.dns.parts import Parts, ReadDomain, ReadHost
from mailstack.dns.records import NULL_MX

__all__ = ["check_domains", "check_exchange"]

MAX_CHAIN = 2  # CNAMEs from a selector to its key: a provider may have one of its own; resolvers give up at some point
TREE_LABELS = 7  # a policy further down is found by no name below it (RFC 9989 §4.10)


def check_domains(parts: Parts) -> None:
    """Note what is wrong with each domain together with the other parts."""
    # A signer may keep its keys in its own zone, behind a CNAME.
    delegated = frozenset(name.partition("._domainkey.")[2] for name in parts.cnames)
    _check_aliases(parts)
    greeting = [host for host in parts.hosts.values() if host.source.helo]
    for domain in parts.domains.values():
        _check_exchangers(parts, domain)
        _check_dmarc_cover(parts, domain)
        _check_dkim(parts, domain, delegated)
        _check_hosts_of_domain(parts, domain, greeting)
    for name, policy in parts.mta_sts:
        _check_mta_sts(parts, name, policy)


def _check_aliases(parts: Parts) -> None:
    """Note keys behind CNAMEs that lead nowhere, or so far that verifiers give up."""
    keys = {place for domain in parts.domains.values() for place, key in domain.keys if key.alias is None}
    for place in (place for domain in parts.domains.values() for place, key in domain.keys if key.alias is not None):
        chain = [place]
        while chain[-1] in parts.cnames and len(chain) <= MAX_CHAIN + 1:
            chain.append(parts.cnames[chain[-1]])
        if len(chain) > MAX_CHAIN + 1:
            parts.findings.error(
                f"{place} DKIM",
                "dkim-alias",
                found=f"a chain of CNAMEs: {' -> '.join(chain)}",
                expected=f"at most {MAX_CHAIN}, ending at a key",
                fix="name the last one in `dkim.alias`",
            )
        elif chain[-1] not in keys and parts.is_missing(chain[-1]):
            parts.findings.error(
                f"{place} DKIM",
                "dkim-alias",
                found=f"an alias of {chain[-1]}, which has no key in its zone",
                expected="the name of a key: to verifiers the mail is unsigned",
                fix="publish it there with `dkim.tenant`, or correct `dkim.alias`",
            )


def _check_mta_sts(parts: Parts, name: str, policy: MtaStsRecord) -> None:
    exchangers = parts.domains[name].exchangers
    note = parts.findings.error if policy.mode == "enforce" else parts.findings.warn
    if exchangers == (NULL_MX,):
        note(
            f"{name} MTA-STS",
            "mta-sts-no-mail",
            found="a policy for mail to a domain with a null MX",
            expected="a domain that takes mail",
            fix="give the domain an `mx`, or remove its entry of `caddy.mta_sts`",
        )
        return
    missing = [mx.exchange for mx in exchangers if policy.mx and not policy.covers(mx.exchange)]
    if missing and policy.mode != "none":
        note(
            f"{name} MTA-STS",
            "mta-sts-mx",
            found=f"the exchanger {', '.join(missing)}, which the policy does not name",
            expected="every exchanger of the domain in the policy: with mode enforce senders keep mail from others",
            fix="add it to `mx` of the entry in `caddy.mta_sts`, or remove it from the domain's `mx`",
        )


def _check_exchangers(parts: Parts, domain: ReadDomain) -> None:
    label = f"{domain.name} MX"
    if domain.exchangers == (NULL_MX,):
        if domain.source.profile == "parked" or domain.source.bounces_elsewhere:
            return
        parts.findings.warn(
            label,
            "mx-null-sender",
            found="a null MX on a domain that sends",
            expected="a place for bounces: receivers may refuse mail from a domain that takes none",
            fix="give the `mx` of the mailboxes, unless another domain stands in MAIL FROM",
        )
    elif not domain.source.mx:
        parts.findings.warn(
            label,
            "mx-none",
            found="no MX declared",
            expected="MX records, or a null MX: without either, bounces go to the address of the web site",
            fix="give `mx`, unless it is published outside this stack",
        )
    for mx in domain.exchangers:
        check_exchange(parts, mx.exchange, label)


def check_exchange(parts: Parts, exchange: str, label: str) -> None:
    """Note what is wrong with the host that an MX record names."""
    if exchange in parts.aliases or exchange in parts.cnames:
        parts.findings.error(
            label,
            "mx-alias",
            found=f"{exchange}, which is a CNAME",
            expected="a name with addresses of its own",
            fix="name the target of the CNAME",
        )
    elif exchange not in parts.hosts and exchange not in parts.external_hosts and parts.is_ours(exchange):
        note = parts.findings.error if parts.declaration.complete else parts.findings.warn
        note(
            label,
            "mx-address",
            found=f"{exchange}, which has no address in this declaration",
            expected="an A or AAAA record for every exchanger",
            fix="name a host of this stack, or one outside the zone"
            if parts.declaration.complete
            else "publish its address, unless that is done already",
        )


def _check_dmarc_cover(parts: Parts, domain: ReadDomain) -> None:
    label = f"{domain.name} DMARC"
    if not any(
        parent in parts.domains and parts.domains[parent].source.dmarc is not None for parent in lineage(domain.name)
    ):
        parts.findings.error(
            label,
            "dmarc-missing",
            found="no DMARC policy",
            expected="a policy here or at a declared parent domain",
            fix='set `dmarc`; start with `dmarc.policy` "none" and `dmarc.aggregate_reports`',
        )
    declared = (name for name in lineage(domain.name) if name in parts.domains)
    cover = next((name for name in declared if parts.domains[name].source.dmarc is not None), domain.name)
    if cover != domain.name and cover.count(".") >= TREE_LABELS:
        parts.findings.error(
            label,
            "dmarc-tree-walk",
            found=f"no policy of its own, and that of {cover}, which has {cover.count('.') + 1} labels",
            expected=f"a policy at a name of {TREE_LABELS} labels or fewer, or here: the walk leaves out the others",
            fix="set `dmarc` for the domain itself",
        )
    for receiver in domain.dmarc.report_domains if domain.dmarc is not None else ():
        _check_receiver(parts, domain, receiver, label)


def _check_receiver(parts: Parts, domain: ReadDomain, receiver: str, label: str) -> None:
    known = parts.domains.get(receiver)
    if known is not None and known.exchangers == (NULL_MX,):
        parts.findings.error(
            label,
            "dmarc-report-mailbox",
            found=f"reports to {receiver}, which has a null MX",
            expected="a domain that takes mail",
            fix=f"give {receiver} an `mx`, or send reports elsewhere",
        )
    permission = report_permission_name(domain.name, receiver, parts.domains)
    if permission is not None and not parts.is_ours(receiver):
        parts.findings.warn(
            label,
            "dmarc-report-authorisation",
            found=f"reports to {receiver}, outside the declared domains",
            expected=f'{permission} TXT "{REPORT_PERMISSION}" in the DNS of {receiver}: without it none are sent',
            fix="ask them to publish it; report services usually do so with a wildcard",
        )


def _check_dkim(parts: Parts, domain: ReadDomain, delegated: frozenset[str]) -> None:
    if domain.name in delegated or domain.source.profile == "parked":
        return
    covered_subdomain = domain.source.dmarc is None
    own = [key for _, key in domain.keys if key.tenant is None]
    if not any(key.tenant is None for key in domain.source.dkim) or (own and all(key.revoked for key in own)):
        if covered_subdomain:
            return
        parts.findings.warn(
            f"{domain.name} DKIM",
            "dkim-missing",
            found="no key in use" if domain.source.dkim else "no key",
            expected="a signature of the domain: without it forwarded mail fails DMARC",
            fix="name the signer's public key in `dkim`; for Google Workspace the console shows it",
        )


def _check_hosts_of_domain(parts: Parts, domain: ReadDomain, greeting: list[ReadHost]) -> None:
    """Warn when SPF lets only some addresses of a sending host pass: the others fail now and then."""
    record = parts.spf[domain.name]
    for host in greeting:
        passed = [address for address in host.addresses if record.covers(address)]
        named = any(
            not term.qualifier and term.kind == "a" and term.target(domain.name) == host.name for term in record.terms
        )
        missing = [str(address) for address in host.addresses if address not in passed]
        if passed and missing and not named:
            parts.findings.warn(
                f"{domain.name} SPF",
                "spf-host-partial",
                found=f"only {', '.join(map(str, passed))} of the host {host.name}",
                expected=f"all addresses it may send from: {', '.join(missing)} would fail",
                fix=f"add a:{host.name}, or the missing addresses, to `spf.mechanisms`",
            )
