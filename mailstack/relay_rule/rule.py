"""The rule itself, and everything that can be wrong with it.

Sources: [2956491] support.google.com/a/answer/2956491 (the setting, its options and limits), [6140680]
support.google.com/a/answer/6140680 (relay denied).
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mailstack.relay_rule.ranges import Network, not_public, overlap, read_range, spelling_fix

__all__ = [
    "BROADEST_IPV4_PREFIX",
    "BROADEST_IPV6_PREFIX",
    "PROPAGATION_HOURS",
    "AllowedSenders",
    "Problem",
    "RelayRule",
    "rule_problems",
]

AllowedSenders = Literal["registered-users", "domain-addresses", "any-address"]

# Google's own figure for how long a change to a Gmail setting may take; most take minutes.
PROPAGATION_HOURS = 24

# Every address in a range may send as the company without a password. /24 is the smallest IPv4 block that is
# routed on the Internet by itself, so a broader range is certain to hold networks nobody chose. A /64 is one
# IPv6 link, inside which a host picks its own address (RFC 4862); a broader range holds other links.
BROADEST_IPV4_PREFIX = 24
BROADEST_IPV6_PREFIX = 64


@dataclass(frozen=True, kw_only=True)
class RelayRule:
    """One entry of the SMTP relay service setting.

    ``ip_ranges`` are addresses or CIDR ranges as text; ``domains`` are the company's domains that mail is
    sent from, which the console does not ask for but the rule depends on.
    """

    name: str
    allowed_senders: AllowedSenders
    ip_ranges: tuple[str, ...]
    require_smtp_auth: bool
    require_tls: bool
    domains: tuple[str, ...]


class Problem(NamedTuple):
    """Why a rule is refused: the field, its value as text, the rule it breaks, and how to mend it."""

    field: str
    value: str
    rule: str
    fix: str


def rule_problems(
    rule: RelayRule,
    *,
    egress_addresses: Sequence[str],
    relay_has_credentials: bool,
    accepts_any_address: bool,
    rehearsal: bool = False,
) -> list[Problem]:
    """Return everything that is wrong with ``rule``; empty when it can be entered as it is.

    ``egress_addresses`` are the public addresses the relay sends from, both families where both are in use.
    ``accepts_any_address`` is the user's explicit word for ``any-address``. ``rehearsal`` admits addresses
    that are not public: throw-away hosts have no others.
    """
    problems: list[Problem] = []
    if not rule.name.strip() or "\n" in rule.name or "`" in rule.name:
        problems.append(
            Problem(
                "name",
                repr(rule.name),
                "the console needs a name, and it has to paste as one line",
                "give the rule a short name, such as “mailstack relay”",
            )
        )
    if not rule.domains:
        problems.append(
            Problem(
                "domains",
                "[]",
                "Google tells the account by the domain of the EHLO name and the envelope sender [6140680]",
                "list the domains of the account that this relay sends for",
            )
        )
    if rule.allowed_senders == "any-address" and not accepts_any_address:
        problems.append(
            Problem(
                "allowed_senders",
                rule.allowed_senders,
                "Google advises against it: whoever reaches the relay can send as anyone [2956491]",
                "use domain-addresses, or accept any-address explicitly",
            )
        )
    if not rule.require_tls:
        problems.append(
            Problem(
                "require_tls",
                "false",
                "mail to Google would be allowed in clear text, and SMTP AUTH needs TLS [2956491]",
                "set require_tls to true; the relay verifies Google's certificate anyway",
            )
        )
    if rule.require_smtp_auth and not relay_has_credentials:
        problems.append(
            Problem(
                "require_smtp_auth",
                "true",
                "the relay has no user name and password, so Google would refuse all its mail (530 5.5.1)",
                "give the relay credentials (auth: sasl), or set require_smtp_auth to false",
            )
        )
    if not rule.ip_ranges and not rule.require_smtp_auth:
        problems.append(
            Problem(
                "ip_ranges",
                "[]",
                "with neither addresses nor SMTP AUTH Google has no way to know the relay [2956491]",
                "list the addresses the relay sends from, or require SMTP AUTH",
            )
        )
    problems += _range_problems(rule, rehearsal)
    if rule.ip_ranges:
        problems += _egress_problems(rule, egress_addresses)
    return problems


def _range_problems(rule: RelayRule, rehearsal: bool) -> list[Problem]:
    problems: list[Problem] = []
    seen: list[tuple[str, Network]] = []
    for index, text in enumerate(rule.ip_ranges):
        field = f"ip_ranges[{index}]"
        network = read_range(text)
        if isinstance(network, str):
            problems.append(Problem(field, repr(text), network, spelling_fix(network)))
            continue
        broadest = BROADEST_IPV4_PREFIX if network.version == 4 else BROADEST_IPV6_PREFIX
        if network.prefixlen < broadest:
            problems.append(
                Problem(
                    field,
                    text,
                    f"every address in a range may send as the company; nothing broader than /{broadest} is accepted",
                    "list the single addresses the relay sends from",
                )
            )
        elif not rehearsal and (kind := not_public(network)):
            problems.append(
                Problem(
                    field,
                    text,
                    f"this is {kind}: Google never sees it as the source of a connection",
                    "list the public address the relay sends from, which is the one after NAT",
                )
            )
        for other_text, other in seen:
            if overlap(network, other):
                problems.append(
                    Problem(
                        field,
                        text,
                        f"it overlaps {other_text}, so removing one of them would not end the permission",
                        "keep one of the two",
                    )
                )
        seen.append((text, network))
    return problems


def _egress_problems(rule: RelayRule, egress_addresses: Sequence[str]) -> list[Problem]:
    problems = []
    networks = [network for network in map(read_range, rule.ip_ranges) if not isinstance(network, str)]
    if len(networks) < len(rule.ip_ranges):
        return []  # a range that cannot be read may be the one that is missed; it is reported already
    for text in egress_addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            problems.append(
                Problem(
                    "egress_addresses",
                    repr(text),
                    "an egress address is an IPv4 or IPv6 address",
                    "write the address itself, with no prefix length",
                )
            )
            continue
        if not any(address in network for network in networks):
            problems.append(
                Problem(
                    "ip_ranges",
                    ", ".join(rule.ip_ranges),
                    f"the relay sends from {address} (IPv{address.version}), which is in none of the ranges: "
                    "Google would answer 550 5.7.0 Mail relay denied",
                    f"add {address}"
                    + (", or pin the relay to IPv4 so that it never sends from it" if address.version == 6 else ""),
                )
            )
    return problems
