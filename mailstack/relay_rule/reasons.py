"""Why Postfix put a message off or gave it back, from its own words: cause and fix.

Postfix's reasons are those of smtp(8) and of TLS_README, SASL_README. What Google's relay says is in ``replies``.
"""

import re
from dataclasses import dataclass

from mailstack.relay_rule.replies import translate

__all__ = ["Cause", "explain"]

SAID = re.compile(
    r"(?:host (?P<host>\S+?)(?:\[[^\]]*\])? )?(?:refused to talk to me|said): (?P<words>\d{3}.*?)"
    r"(?: \(in reply to (?P<command>.*?) command\))?\)?\Z",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why, and what to do. ``curable``: the same may go well later with nothing changed by us."""

    name: str
    cause: str
    fix: str
    curable: bool


_NETWORK = "allow outgoing connections to the upstream in the firewall of the host and of its provider"
# In order: the first pattern that matches explains the reason.
CAUSES: tuple[tuple[str, Cause], ...] = (
    (
        r"SASL authentication failed|535 |534 ",
        Cause(
            name="login-refused",
            cause="the upstream does not take the relay's user name or password",
            fix="set the right one and apply it: `mailstack rotate relay-password --stack <stack>`, then `pulumi up`",
            curable=False,
        ),
    ),
    (
        r"TLS is required, but was not offered",
        Cause(
            name="no-starttls",
            cause="the upstream offers no TLS here, or something on the way takes it out",
            fix="check port and name of the upstream; take SMTP inspection off the firewall",
            curable=False,
        ),
    ),
    (
        r"[Cc]ertificate|TLS|SSL",
        Cause(
            name="tls-not-verified",
            cause="the server cannot prove that it is the upstream, so nothing was said to it",
            fix="check relay.upstream host and ca_file, the clock of the host, and whether a firewall inspects TLS",
            curable=False,
        ),
    ),
    (
        r"Host or domain name not found|Host not found|name service error|Name service error",
        Cause(
            name="name-not-found",
            cause="the upstream's name is not found by the resolver of the relay",
            fix="check relay.upstream and the resolver there: `mailstack relay show-config --stack <stack>` shows "
            "relayhost",
            curable=True,
        ),
    ),
    (
        r"Connection refused",
        Cause(
            name="connection-refused",
            cause="nobody listens at the upstream's address and port: it is down, or a firewall answers for it",
            fix="nothing if it is down: the relay tries again by itself. If it stays so, " + _NETWORK,
            curable=True,
        ),
    ),
    (
        r"timed out|No route to host|Network is unreachable|lost connection|unreachable",
        Cause(
            name="not-reached",
            cause="no connection to the upstream comes about, or it breaks off",
            fix="nothing if it is down: the relay tries again by itself. If it stays so, " + _NETWORK,
            curable=True,
        ),
    ),
    (
        r"Sender address rejected",
        Cause(
            name="sender-not-allowed",
            cause="the sender's domain is none that this relay sends for",
            fix="send from a declared domain, or add it to `domains` in the stack file and run `pulumi up`",
            curable=False,
        ),
    ),
    (
        r"Client host rejected|Relay access denied|Access denied",
        Cause(
            name="client-not-allowed",
            cause="this client is in no network that may send through the relay",
            fix="add its network to relay.client_networks in the stack file and run `pulumi up`",
            curable=False,
        ),
    ),
    (
        r"User unknown|[Nn]o such user|mailbox unavailable|5\.1\.1|Recipient address rejected",
        Cause(
            name="recipient-refused",
            cause="there is no such recipient, or its server does not take mail for it",
            fix="use an address that exists",
            curable=False,
        ),
    ),
)
UPSTREAM_TEMPORARY = Cause(
    name="temporary-reply",
    cause="the upstream put the message off in its own words",
    fix="nothing: the relay tries again by itself. If it goes on, look the reply up at the provider",
    curable=True,
)
UPSTREAM_PERMANENT = Cause(
    name="permanent-reply",
    cause="the upstream refuses the message for good, in its own words",
    fix="look the reply up at the provider",
    curable=False,
)
UNKNOWN = Cause(
    name="unknown",
    cause="this reason is in no table of known ones; it is shown as it came",
    fix="look at the lines around it: `mailstack relay logs --stack <stack> --id <queue id>`",
    curable=False,
)


def reply_in(reason: str) -> str | None:
    """Return the other server's own words in a reason, None where there are none."""
    found = SAID.search(reason.strip())
    return None if found is None else " ".join(found["words"].split())


def explain(reason: str, *, google: bool) -> Cause:
    """Return why a message waits or came back. ``google``: the upstream is Google's relay service."""
    reply = reply_in(reason)
    if google and reply is not None and (known := translate(reply)) is not None:
        return Cause(name=known.name, cause=f"{known.meaning}: {known.cause}", fix=known.fix, curable=known.curable)
    for pattern, cause in CAUSES:
        if re.search(pattern, reason):
            return cause
    if reply is not None:
        return UPSTREAM_TEMPORARY if reply.startswith("4") else UPSTREAM_PERMANENT
    return UNKNOWN
