"""What is wrong with a declaration: one shape for errors and warnings, and the table of rules behind them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

__all__ = ["RULES", "DnsRuleError", "Findings", "Problem", "RuleError", "sentences", "shown"]

# Rule id -> where the rule comes from. Ids are stable: people search and suppress by them.
RULES: Mapping[str, str] = MappingProxyType(
    {
        # Names
        "name-syntax": "RFC 1123 §2.1",
        "name-length": "RFC 1035 §2.3.4",
        "name-underscore": "RFC 8552 §1.1",
        "name-qualified": "RFC 5321 §2.3.5",
        "name-idn": "RFC 5891 §4.4",
        # The set
        "ttl-range": "Cloudflare DNS records API, field ttl",
        "rrset-ttl": "RFC 2181 §5.2",
        "domain-duplicate": "RFC 7208 §3.2",
        "cname-exclusive": "RFC 1034 §3.6.2",
        "record-type": "IANA registry of resource record types",
        "record-data": "RFC 1035 §5.1",
        "record-duplicate": "RFC 2181 §5",
        "record-owned": "RFC 2181 §5",
        "wildcard-mail": "RFC 4592 §2.2",
        "ns-declared-domain": "RFC 1034 §4.2.1",
        "ns-delegation": "RFC 1034 §4.2.1",
        # Hosts and addresses
        "host-duplicate": "RFC 2181 §5",
        "host-address": "RFC 5321 §4.1.4",
        "address-syntax": "RFC 1035 §3.4.1, RFC 3596 §2.2",
        "address-family": "RFC 3596 §2.1",
        "address-public": "RFC 6890 and the IANA special-purpose registries",
        "address-duplicate": "RFC 2181 §5",
        # MX
        "mx-preference": "RFC 1035 §3.3.9",
        "mx-target": "RFC 5321 §5.1",
        "mx-address": "RFC 5321 §5.1",
        "mx-alias": "RFC 2181 §10.3",
        "mx-duplicate": "RFC 2181 §5",
        "mx-null": "RFC 7505 §3",
        "mx-null-sender": "RFC 7505 §4.2",
        "mx-none": "RFC 5321 §5.1",
        # TXT
        "txt-characters": "RFC 1035 §5.1",
        "txt-length": "Cloudflare record size limit of 4,096 bytes",
        "txt-size": "RFC 7208 §3.4",
        "txt-place": "RFC 6376 §3.6.2.1, RFC 7489 §6.1, RFC 8461 §3.1, RFC 8460 §3",
        "txt-duplicate": "RFC 2181 §5",
        "txt-single": "RFC 6376 §3.6.2.2, RFC 7489 §6.6.3, RFC 8460 §3",
        # SPF
        "spf-single": "RFC 7208 §3.2",
        "spf-version": "RFC 7208 §4.5",
        "spf-sender-id": "RFC 6686 §6",
        "spf-syntax": "RFC 7208 §4.6.1",
        "spf-mechanism": "RFC 7208 §4.6.1",
        "spf-modifier": "RFC 7208 §6",
        "spf-separator": "RFC 7208 §4.6.1",
        "spf-ip": "RFC 7208 §5.6",
        "spf-ip-family": "RFC 7208 §5.6",
        "spf-prefix": "RFC 7208 §5.6",
        "spf-host-bits": "RFC 7208 §5.6",
        "spf-broad": "RFC 7208 §11.4",
        "spf-address-public": "RFC 6890 and the IANA special-purpose registries",
        "spf-target": "RFC 7208 §7.1",
        "spf-macro": "RFC 7208 §7",
        "spf-ptr": "RFC 7208 §5.5",
        "spf-all": "RFC 7208 §5.1",
        "spf-all-position": "RFC 7208 §5.1",
        "spf-redirect": "RFC 7208 §6.1",
        "spf-repeated-modifier": "RFC 7208 §6",
        "spf-include-loop": "RFC 7208 §5.2",
        "spf-include-target": "RFC 7208 §5.2",
        "spf-include-cost": "RFC 7208 §4.6.4",
        "spf-lookups": "RFC 7208 §4.6.4",
        "spf-stated": "RFC 7208 §4.6.4",
        "spf-unknown": "RFC 7208 §4.6.4",
        "spf-mx-hosts": "RFC 7208 §4.6.4",
        "spf-void": "RFC 7208 §4.6.4",
        "spf-mx-empty": "RFC 7208 §5.4",
        "spf-empty": "RFC 7208 §5.1",
        "spf-conflict": "RFC 7208 §4.6.2",
        "spf-host-partial": "RFC 7208 §4.1",
        # DKIM
        "dkim-selector": "RFC 6376 §3.1",
        "dkim-selector-duplicate": "RFC 6376 §3.6.2.2",
        "dkim-key-type": "RFC 6376 §3.6.1, RFC 8463 §4.2",
        "dkim-key": "RFC 6376 §3.6.1",
        "dkim-key-private": "RFC 6376 §8.3",
        "dkim-key-size": "RFC 8301 §3.2",
        "dkim-key-reused": "RFC 6376 §3.1",
        "dkim-revoked": "RFC 6376 §3.6.1",
        "dkim-testing": "RFC 6376 §3.6.1",
        "dkim-ed25519-alone": "RFC 8463 §6",
        "dkim-alias": "RFC 6376 §3.6.2, RFC 1034 §3.6.2",
        "dkim-missing": "RFC 7489 §3.1",
        # DMARC
        "dmarc-policy": "RFC 9989, RFC 7489 §6.3",
        "dmarc-missing": "RFC 9989, RFC 7489 §6.1",
        "dmarc-weaker-subdomains": "RFC 9989, RFC 7489 §6.3",
        "dmarc-psd": "RFC 9989",
        "dmarc-tree-walk": "RFC 9989",
        "dmarc-alignment": "RFC 9989, RFC 7489 §6.3",
        "dmarc-no-reports": "RFC 9989, RFC 7489 §6.3",
        "dmarc-failure-options": "RFC 9989, RFC 7489 §6.3",
        "dmarc-failure-reports": "RFC 9991",
        "dmarc-report-address": "RFC 9990, RFC 7489 §6.2",
        "dmarc-report-size": "RFC 9990, RFC 7489 §6.2",
        "dmarc-report-count": "RFC 9990, RFC 7489 §6.2",
        "dmarc-report-duplicate": "RFC 9990, RFC 7489 §6.2",
        "dmarc-report-mailbox": "RFC 7505 §3",
        "dmarc-report-authorisation": "RFC 9990, RFC 7489 §7.1",
        # MTA-STS
        "mta-sts-domain": "RFC 8461 §3.1",
        "mta-sts-duplicate": "RFC 8461 §3.1",
        "mta-sts-id": "RFC 8461 §3.1",
        "mta-sts-no-mail": "RFC 7505 §3",
        "mta-sts-mx": "RFC 8461 §4.1",
        # TLS reports
        "tls-rpt-destination": "RFC 8460 §3",
        "tls-rpt-duplicate": "RFC 8460 §3",
        "tls-rpt-no-mail": "RFC 7505 §3",
        "tls-rpt-mailbox": "RFC 7505 §3",
        # BIMI
        "bimi-url": "draft-brand-indicators-for-message-identification",
        "bimi-format": "draft-brand-indicators-for-message-identification",
        "bimi-policy": "draft-brand-indicators-for-message-identification",
        # CAA
        "caa-flags": "RFC 8659 §4.1",
        "caa-tag": "RFC 8659 §4.1",
        "caa-value": "RFC 8659 §4.2",
        "caa-parameter": "RFC 8659 §4.2",
        "caa-account": "RFC 8657 §3",
        "caa-methods": "RFC 8657 §4",
        "caa-iodef": "RFC 8659 §4.4",
        "caa-duplicate": "RFC 2181 §5",
        "caa-default": "RFC 8659 §4.2",
        "caa-issuer": "RFC 8659 §3",
        # Sending services
        "ses-tokens": "docs.aws.amazon.com/ses: Easy DKIM",
        "ses-region": "docs.aws.amazon.com/ses: Regions and Amazon SES",
        "sendgrid-host": "twilio.com/docs/sendgrid: domain authentication",
        "sendgrid-links": "twilio.com/docs/sendgrid: link branding",
        "mailgun-region": "documentation.mailgun.com: domain verification",
        "provider-name": "docs.aws.amazon.com/ses: custom MAIL FROM",
        "provider-domain": "RFC 7208 §3.2",
        "provider-mx": "docs.aws.amazon.com/ses: custom MAIL FROM, documentation.mailgun.com: domain verification",
        "provider-alignment": "RFC 9989, RFC 7489 §3.1",
        # SRV
        "srv-name": "RFC 2782",
        "srv-port": "RFC 2782",
        "srv-target": "RFC 2782",
        # TLSA
        "tlsa-usage": "RFC 7672 §3.1.3",
        "tlsa-parameters": "RFC 6698 §2.1",
        "tlsa-length": "RFC 6698 §2.1.4",
        "tlsa-preferred": "RFC 7672 §3.1.1",
        "tlsa-rollover": "RFC 7671 §8.1",
        "tlsa-renewal": "RFC 7671 §8.1",
        "tlsa-duplicate": "RFC 2181 §5",
        "tlsa-dnssec": "RFC 7672 §2.1",
        "tlsa-alias": "RFC 7672 §2.1",
        # Zone files
        "zone-scope": "RFC 1035 §5.2",
        "zone-nameservers": "RFC 1035 §5.2",
        "zone-nameserver-address": "RFC 1035 §5.2",
        "zone-hostmaster": "RFC 1035 §8",
        "zone-serial": "RFC 1982 §3",
    }
)

_SHOWN_CHARACTERS = 120  # enough to recognise a value; a whole key would bury the message
_SINGLY = 3  # so many records with the same problem are named one by one


def shown(value: object) -> str:
    """Render a value for a message: quoted, on one line, cut at 120 characters, never a private key."""
    if isinstance(value, str) and "PRIVATE" in value:
        return "a PEM private key (not shown)"
    text = f'"{value}"' if isinstance(value, str) and value.isascii() and value.isprintable() else repr(value)
    if len(text) > _SHOWN_CHARACTERS:
        return f"{text[:_SHOWN_CHARACTERS]}… ({len(text)} characters)"
    return text


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One broken rule, or one warning.

    ``record`` is what it is about ("example.com SPF"), ``rule`` the stable id (a key of ``RULES``), ``source``
    the RFC section or vendor page. ``found``, ``expected`` and ``fix`` are plain English.
    """

    record: str
    rule: str
    source: str
    found: str
    expected: str
    fix: str

    def __str__(self) -> str:
        """Return one line: record, found, expected, fix, rule and source."""
        return (
            f"{self.record}: found {self.found}; expected {self.expected}. "
            f"Fix: {self.fix}. [{self.rule}; {self.source}]"
        )


def sentences(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Return one line for each problem, and one for all records that have the same where these are many."""
    same: dict[Problem, list[Problem]] = {}
    for problem in problems:
        same.setdefault(replace(problem, record=""), []).append(problem)
    found: list[str] = []
    for group in same.values():
        if len(group) <= _SINGLY:
            found += map(str, group)
        else:
            names = ", ".join(problem.record for problem in group[:_SINGLY])
            found.append(str(replace(group[0], record=f"{names} and {len(group) - _SINGLY} more")))
    return tuple(found)


class DnsRuleError(ValueError):
    """The declaration breaks at least one rule; ``problems`` lists all of them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep all problems; the text lists one a line."""
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{count} DNS {'rule is' if count == 1 else 'rules are'} broken:"
        super().__init__("\n".join([head, *(f"  - {problem}" for problem in self.problems)]))


class RuleError(ValueError):
    """One value breaks a rule; carries the rule id and the texts of a ``Problem``, for whoever knows the record."""

    def __init__(self, rule: str, *, found: str, expected: str, fix: str) -> None:
        """Keep the parts, so that a caller can put them into its own report."""
        self.rule = rule
        self.found = found
        self.expected = expected
        self.fix = fix
        super().__init__(f"found {found}; expected {expected}. Fix: {fix}. [{rule}]")


class Findings:
    """Collects errors and warnings while a declaration is read; each is kept once."""

    def __init__(self) -> None:
        """Start with nothing found."""
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []
        self._noted: set[tuple[bool, Problem]] = set()

    def error(self, record: str, rule: str, *, found: str, expected: str, fix: str) -> None:
        """Note a broken rule: the declaration will be refused."""
        self._note(self.errors, record, rule, found, expected, fix)

    def refuse(self, record: str, broken: RuleError) -> None:
        """Note a rule that a value of the record breaks."""
        self.error(record, broken.rule, found=broken.found, expected=broken.expected, fix=broken.fix)

    def warn(self, record: str, rule: str, *, found: str, expected: str, fix: str) -> None:
        """Note something legal that is likely a mistake."""
        self._note(self.warnings, record, rule, found, expected, fix)

    def raise_errors(self) -> None:
        """Raise ``DnsRuleError`` with every error noted so far; do nothing when there is none."""
        if self.errors:
            raise DnsRuleError(self.errors)

    def _note(self, where: list[Problem], record: str, rule: str, found: str, expected: str, fix: str) -> None:
        problem = Problem(record=record, rule=rule, source=RULES[rule], found=found, expected=expected, fix=fix)
        key = (where is self.errors, problem)
        if key not in self._noted:
            self._noted.add(key)
            where.append(problem)
