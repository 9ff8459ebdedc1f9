"""The rule in Google Workspace's "SMTP relay service": what it says, how to enter it, what refusals mean.

No public API reads or writes this rule: the Cloud Identity Policy API lists Gmail settings, this one is not
among them. So the program renders the clicks with the values to paste, and a probe on the sending host finds
out whether they were made.

Sources: [2956491] support.google.com/a/answer/2956491 (the setting, its options and limits), [3726730]
support.google.com/a/answer/3726730 (reply texts), [6140680] support.google.com/a/answer/6140680 (relay
denied).
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

__all__ = [
    "ALLOWED_SENDERS_LABELS",
    "BROADEST_IPV4_PREFIX",
    "BROADEST_IPV6_PREFIX",
    "PROPAGATION_HOURS",
    "REPLIES",
    "AllowedSenders",
    "Explanation",
    "Problem",
    "RelayRule",
    "console_steps",
    "normalised",
    "probe_replies",
    "rule_problems",
    "translate",
]

AllowedSenders = Literal["registered-users", "domain-addresses", "any-address"]

# The labels of the Admin console, letter for letter [2956491].
ALLOWED_SENDERS_LABELS: dict[AllowedSenders, str] = {
    "registered-users": "Only registered Apps users in my domains",
    "domain-addresses": "Only addresses in my domains",
    "any-address": "Any addresses (not recommended)",
}

# Google's own figure for how long a change to a Gmail setting may take; most take minutes.
PROPAGATION_HOURS = 24

# Every address in a range may send as the company without a password. /24 is the smallest IPv4 block that is
# routed on the Internet by itself, so a broader range is certain to hold networks nobody chose. A /64 is one
# IPv6 link, inside which a host picks its own address (RFC 4862); a broader range holds other links.
BROADEST_IPV4_PREFIX = 24
BROADEST_IPV6_PREFIX = 64

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a reply means. ``pattern`` is a regular expression for the text ``normalised`` returns.

    ``curable`` tells whether the same attempt may succeed later with nothing changed on our side: a rule that
    has not spread yet, a limit that runs out, a server that was busy. ``stage`` is the command it answers,
    where it belongs to one only.
    """

    name: str
    pattern: str
    meaning: str
    cause: str
    fix: str
    curable: bool
    source: str
    stage: Literal["auth"] | None = None


_CONSOLE = "Admin console > Apps > Google Workspace > Gmail > Routing > SMTP relay service"
_WAIT = f"A change of the rule takes minutes as a rule and up to {PROPAGATION_HOURS} hours at worst."

# In order: the first pattern that matches explains the reply.
REPLIES: tuple[Explanation, ...] = (
    Explanation(
        name="relay-denied",
        pattern=r"^550 5\.7\.0 Mail relay denied",
        meaning="Google does not know this host as one of yours",
        cause=(
            "the address Google sees (in brackets in the reply) is in no rule of the account, or Google "
            "cannot tell the account from the EHLO name and the envelope sender"
        ),
        fix=(
            f"add the address in brackets to the rule in {_CONSOLE}, and use an EHLO name inside one of your "
            f"registered domains. {_WAIT}"
        ),
        curable=True,
        source="[3726730], [6140680]",
    ),
    Explanation(
        name="daily-limit-customer",
        pattern=r"^550 5\.7\.1 Daily SMTP relay (?:sending )?(?:limit|quota) exceeded for customer",
        meaning="the account has used up its recipients for 24 hours",
        cause="the whole organisation reached its limit, which depends on its number of licences",
        fix=(
            "wait: it clears within 24 hours although the code says permanent. Spread the sending, or ask "
            "Google for a higher limit"
        ),
        curable=True,
        source="[2956491], [3726730]",
    ),
    Explanation(
        name="daily-limit-user",
        pattern=r"^550 5\.4\.5 Daily (?:SMTP relay (?:sending )?(?:limit|quota) exceeded for user|"
        r"(?:user )?sending (?:limit|quota) exceeded)",
        meaning="this envelope sender has used up its messages for 24 hours",
        cause="a registered user may relay 10,000 messages in 24 hours, counted on the envelope sender",
        fix=(
            "wait: it clears within 24 hours although the code says permanent. For bulk mail use an envelope "
            "sender that is not a registered user"
        ),
        curable=True,
        source="[2956491], [3726730]",
    ),
    Explanation(
        name="invalid-credentials-for-relay",
        pattern=r"^550 5\.7\.1 Invalid credentials for relay",
        meaning="the address is registered, but not for the domain of this sender",
        cause=(
            "the address belongs to a rule of another account, or the envelope sender is outside the domains "
            "of the account and nothing else identifies it"
        ),
        fix=(
            "send with an envelope sender and an EHLO name inside a domain of the account that holds the "
            f"rule, or use SMTP AUTH; check that the rule is in the right account: {_CONSOLE}. {_WAIT}"
        ),
        curable=True,
        source="[3726730]",
    ),
    Explanation(
        name="sending-denied",
        pattern=r"^550 5\.7\.0 Mail Sending denied",
        meaning="this sender may not send",
        cause=("the user is suspended or not in the account's domain, while the rule admits registered users only"),
        fix=(
            f"activate the user, or choose “Only addresses in my domains” under Allowed senders in {_CONSOLE}. {_WAIT}"
        ),
        curable=True,
        source="[3726730]",
    ),
    Explanation(
        name="ehlo-refused",
        pattern=r"^421 4\.7\.0 Try again later, closing connection",
        meaning="Google closes the session at the greeting",
        cause=(
            "the EHLO name is a general one (localhost, an address, a container's name) whose limit others "
            "use up, or this host opens connections too fast"
        ),
        fix=("use the host's full name inside one of your registered domains as EHLO name, and reuse connections"),
        curable=True,
        source="[2956491], [3726730]",
    ),
    Explanation(
        name="recipient-domain-allow-list",
        pattern=r"^421 4\.7\.0 IP not in whitelist for RCPT domain",
        meaning="the recipient's domain accepts mail from listed addresses only",
        cause="a policy of the recipient's administrator",
        fix="probe with a recipient in your own domain; for the other domain ask its administrator",
        curable=False,
        source="[3726730]",
    ),
    Explanation(
        name="recipient-domain-tls",
        pattern=r"^421 4\.7\.0 TLS required for RCPT domain",
        meaning="the recipient's domain demands TLS",
        cause="the session was not encrypted",
        fix="keep TLS on for the upstream (port 587 with STARTTLS, or 465)",
        curable=False,
        source="[3726730]",
    ),
    Explanation(
        name="unsolicited-mail",
        pattern=r"^(?:421 4\.7\.\d+|550 5\.7\.\d+) Our system has detected an unusual rate of "
        r"unsolicited mail",
        meaning="Google holds back mail from this address as spam",
        cause="the reputation of the address or of the content",
        fix=("stop bulk sending, look for a compromised sender, follow Google's guidelines for senders, then wait"),
        curable=True,
        source="[3726730]",
    ),
    Explanation(
        name="unsolicited-message",
        pattern=r"^550 5\.7\.1 Our system has detected that this message is likely",
        meaning="Google takes this message for spam",
        cause="the content, or the reputation of the links in it",
        fix="look at the message: From inside your domain, SPF and DKIM passing, no suspect links",
        curable=False,
        source="[3726730]",
    ),
    Explanation(
        name="recipient-unknown",
        pattern=r"^550 5\.1\.1 ",
        meaning="there is no such recipient",
        cause="the probe's recipient is mistyped or has no mailbox",
        fix="set the probe's recipient to an address that exists",
        curable=False,
        source="[3726730]",
    ),
    Explanation(
        name="peak-limit-customer",
        pattern=r"^450 4\.2\.1 Peak SMTP relay limit exceeded for customer",
        meaning="too many recipients in ten minutes",
        cause="the account's ten-minute limit, which depends on its number of licences",
        fix="nothing: the relay tries again by itself. If it happens often, slow down bulk sending",
        curable=True,
        source="[2956491], [3726730]",
    ),
    Explanation(
        name="recipient-too-fast",
        pattern=r"^450 4\.2\.1 The user you are trying to contact is receiving mail",
        meaning="this recipient gets mail too fast",
        cause="a limit per mailbox",
        fix="nothing: the relay tries again by itself",
        curable=True,
        source="[3726730]",
    ),
    Explanation(
        name="several-domains",
        pattern=r"^451 4\.3\.0 Multiple destination domains per transaction",
        meaning="one transaction held recipients of several domains",
        cause="Google accepts one recipient domain per transaction here",
        fix="send to each domain by itself; Postfix does so when the recipient limit is 1",
        curable=False,
        source="[3726730]",
    ),
    Explanation(
        name="mailbox-full",
        pattern=r"^452 4\.2\.2 ",
        meaning="the recipient's mailbox is full",
        cause="the recipient's quota",
        fix="probe with another recipient",
        curable=True,
        source="[3726730]",
    ),
    Explanation(
        name="too-many-recipients",
        pattern=r"^452 4\.5\.3 ",
        meaning="too many recipients, or too large a policy, for one transaction",
        cause="smtp-relay.gmail.com takes 100 recipients in one transaction",
        fix="keep smtp_destination_recipient_limit at or below 100",
        curable=False,
        source="[2956491], [3726730]",
    ),
    Explanation(
        name="auth-temporary",
        pattern=r"^454 4\.7\.0 ",
        meaning="Google cannot check the password just now",
        cause="a fault at Google, or too many sign-ins at once",
        fix="nothing: try again later",
        curable=True,
        source="[3726730]",
        stage="auth",
    ),
    Explanation(
        name="starttls-first",
        pattern=r"^530 5\.7\.0 Must issue a STARTTLS command first",
        meaning="the rule demands TLS and the session had none",
        cause="TLS is off, or something on the way removes STARTTLS",
        fix="use port 587 with STARTTLS or 465, and take SMTP inspection off the firewall",
        curable=False,
        source="[3726730]",
    ),
    Explanation(
        name="auth-required",
        pattern=r"^530 5\.(?:5\.1|7\.0) Authentication Required",
        meaning="the rule demands SMTP AUTH and the relay did not sign in",
        cause="“Require SMTP Authentication” is ticked in the rule, the relay has no credentials",
        fix=(
            f"give the relay a full mailbox address and an app password, or take the tick away in {_CONSOLE}. {_WAIT}"
        ),
        curable=True,
        source="[3726730]",
    ),
    Explanation(
        name="auth-mechanism",
        pattern=r"^504 5\.7\.4 ",
        meaning="Google does not know this way to sign in",
        cause="the relay offered another mechanism than the server announced",
        fix="use PLAIN or LOGIN, over TLS",
        curable=False,
        source="[3726730]",
        stage="auth",
    ),
    Explanation(
        name="app-password-required",
        pattern=r"^534 5\.7\.9 ",
        meaning="the account's own password does not work here",
        cause="the mailbox has 2-step verification, and SMTP AUTH takes app passwords only",
        fix="make an app password at myaccount.google.com/apppasswords and give that to the relay",
        curable=False,
        source="[3726730]",
        stage="auth",
    ),
    Explanation(
        name="bad-credentials",
        pattern=r"^535 5\.7\.[18] ",
        meaning="user name or password is wrong",
        cause=("not the full mailbox address, a mistyped or revoked app password, or app passwords are switched off"),
        fix=("make a new app password for the mailbox and give that to the relay; the user name is the whole address"),
        curable=False,
        source="[3726730]",
        stage="auth",
    ),
    Explanation(
        name="system-problem",
        pattern=r"^(?:421 4\.(?:3\.0|4\.5|7\.0)|451 4\.(?:3\.0|4\.2)) ",
        meaning="Google is busy or has a fault",
        cause="temporary trouble at Google",
        fix="nothing: try again later",
        curable=True,
        source="[3726730]",
    ),
)

_FIRST = re.compile(r"\s*(\d{3})(?:[- ]|$)\s*(?:([245]\.\d{1,3}\.\d{1,3})(?:\s|$))?")


def normalised(reply: str) -> str:
    """Return a reply on one line: code, enhanced status code where there is one, text.

    Takes the reply as the server sent it (several lines, each with its code) or as Postfix logs it (one line,
    codes still inside).
    """
    first = _FIRST.match(reply)
    if not first:
        return " ".join(reply.split())
    code, status = first.groups()
    text = " ".join(line for line in (part.strip() for part in reply.splitlines()) if line)
    again = rf"(?:{re.escape(status)}(?=\s|$))?" if status else ""
    prefix = rf"(?:(?<=\s)|^){code}(?:[- ]|$){again}"
    text = re.sub(prefix, " ", text)
    return " ".join(part for part in (code, status or "", " ".join(text.split())) if part)


def translate(reply_text: str) -> Explanation | None:
    """Return what a reply of smtp-relay.gmail.com means; None for a reply that is not in the table."""
    line = normalised(reply_text)
    for explanation in REPLIES:
        if re.search(explanation.pattern, line, re.IGNORECASE):
            return explanation
    return None


def probe_replies() -> list[dict[str, Any]]:
    """Return the table as the relay_probe role takes it under ``replies``."""
    return [
        {
            "name": explanation.name,
            "pattern": explanation.pattern,
            "stage": explanation.stage,
            "cause": f"{explanation.meaning}: {explanation.cause}",
            "fix": explanation.fix,
            "curable": explanation.curable,
        }
        for explanation in REPLIES
    ]


def console_steps(rule: RelayRule) -> str:
    """Return the clicks that enter ``rule`` in the Admin console, as Markdown; equal rules, equal text."""
    senders = ALLOWED_SENDERS_LABELS[rule.allowed_senders]
    lines = [
        f"# Google Workspace: SMTP relay rule “{rule.name}”",
        "",
        "Google offers no way to set this by program. Enter it once by hand; the probe then checks it.",
        "",
        (
            "1. Sign in at <https://admin.google.com> with an administrator account that has the Gmail "
            "Settings privilege."
        ),
        (
            "2. Open **Menu > Apps > Google Workspace > Gmail > Routing**. Stay at the top-level "
            "organization: the setting exists there only."
        ),
        (
            "3. Scroll to **SMTP relay service**. Click **Configure**, or **Add another** beside an existing "
            f"rule. If a rule named `{rule.name}` is there already, click **Edit** and make it equal to "
            "what follows."
        ),
        "4. Name (the field at the top):",
        "",
        *_paste([rule.name]),
        f"5. **Allowed senders**: choose **{senders}**.",
        *(
            ["   This lets anyone who reaches the relay send as any domain. Go on only if that is meant."]
            if rule.allowed_senders == "any-address"
            else [f"   Your domains in use here: {', '.join(f'`{name}`' for name in sorted(rule.domains))}."]
        ),
        "6. **Authentication**:",
    ]
    if rule.ip_ranges:
        lines += [
            (
                "   - Tick **Only accept mail from the specified IP addresses**. For each line below click "
                f"**Add**, paste the address, write `{rule.name}` as description, tick **Enabled**, and "
                "click **Save**. Remove addresses that are not in this list:"
            ),
            "",
            *_paste([_as_entered(text) for text in rule.ip_ranges], indent=5),
        ]
    else:
        lines.append("   - Leave **Only accept mail from the specified IP addresses** without a tick.")
    lines.append(
        "   - Tick **Require SMTP Authentication**. The relay signs in with a full mailbox address and an app password."
        if rule.require_smtp_auth
        else "   - Leave **Require SMTP Authentication** without a tick."
    )
    lines += [
        "7. **Encryption**: "
        + (
            "tick **Require TLS encryption**."
            if rule.require_tls
            else "leave **Require TLS encryption** without a tick."
        ),
        (
            "8. Click **Add setting** (or **Save** when editing), then **Save** at the bottom of the page "
            "if it is shown."
        ),
        "",
        (
            f"A change usually works within minutes; Google says it can take up to {PROPAGATION_HOURS} "
            "hours. Then run the stack again: the probe connects from the sending host, goes as far as "
            "RCPT TO and sends no message."
        ),
        "",
    ]
    return "\n".join(lines)


def _paste(values: Sequence[str], indent: int = 3) -> list[str]:
    """A fenced block has a copy button in most viewers and keeps the value free of formatting."""
    space = " " * indent
    return [f"{space}```text", *(f"{space}{value}" for value in values), f"{space}```", ""]


def _as_entered(text: str) -> str:
    """A range of one address is entered as an address; anything else as given, spelt the canonical way."""
    network = _network(text)
    if isinstance(network, str):
        return text
    return str(network.network_address) if network.num_addresses == 1 else str(network)


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
        network = _network(text)
        if isinstance(network, str):
            problems.append(Problem(field, repr(text), network, _SPELLING.get(network, _SPELL_IT)))
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
        elif not rehearsal and (kind := _not_public(network)):
            problems.append(
                Problem(
                    field,
                    text,
                    f"this is {kind}: Google never sees it as the source of a connection",
                    "list the public address the relay sends from, which is the one after NAT",
                )
            )
        for other_text, other in seen:
            if _overlap(network, other):
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
    networks = [network for network in map(_network, rule.ip_ranges) if not isinstance(network, str)]
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


_HOST_BITS = "it has bits set to the right of its prefix length, so it is neither an address nor a range"
_SPELL_IT = "write an address (198.51.100.7) or a range in CIDR form (198.51.100.0/28)"
_SPELLING = {_HOST_BITS: "write the first address of the range, or /32 (IPv6: /128) for a single host"}


def _network(text: str) -> Network | str:
    """Return the range, or what is wrong with its spelling."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "it is neither an IP address nor a CIDR range (RFC 4632, RFC 4291)"
    return _HOST_BITS


# RFC 6890 and the IANA special-purpose registries. Later Python releases changed their answer for some of
# these (is_private, is_global), so the ones that matter are named here.
_SPECIAL: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("a private range (RFC 1918)", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),
    ("a range shared behind carrier NAT (RFC 6598)", ("100.64.0.0/10",)),
    ("a loopback address", ("127.0.0.0/8", "::1/128")),
    ("a link-local range", ("169.254.0.0/16", "fe80::/10")),
    (
        "a range reserved for documentation (RFC 5737, RFC 3849, RFC 9637)",
        ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    ),
    ("a unique local range (RFC 4193)", ("fc00::/7",)),
    ("a range for benchmarks (RFC 2544, RFC 5180)", ("198.18.0.0/15", "2001:2::/48")),
    ("an IPv4 address in IPv6 clothing", ("::ffff:0:0/96",)),
    ("a multicast, reserved or unspecified range", ("0.0.0.0/8", "224.0.0.0/3", "ff00::/8", "::/128")),
)
_SPECIAL_NETWORKS = [(kind, ipaddress.ip_network(text)) for kind, texts in _SPECIAL for text in texts]


def _not_public(network: Network) -> str | None:
    for kind, special in _SPECIAL_NETWORKS:
        if _overlap(network, special):
            return kind
    return None


def _overlap(one: Network, other: Network) -> bool:
    if isinstance(one, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and one.overlaps(other)
    return isinstance(other, ipaddress.IPv6Network) and one.overlaps(other)
