"""What smtp-relay.gmail.com's replies mean: cause, fix, and whether waiting helps.

Sources: [2956491] support.google.com/a/answer/2956491 (limits), [3726730] support.google.com/a/answer/3726730
(reply texts), [6140680] support.google.com/a/answer/6140680 (relay denied).
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from mailstack.relay_rule.rule import PROPAGATION_HOURS

__all__ = ["REPLIES", "Explanation", "normalised", "probe_replies", "translate"]


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
