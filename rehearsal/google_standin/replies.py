"""The refusals of smtp-relay.gmail.com, one named entry each.

Codes and wording follow the vendor's table (support.google.com/a/answer/3726730) and, where the real thing
breaks a text over several lines, public logs. What follows a text's first sentence is partly rebuilt from memory:
match on the first sentence. ``evidence`` tells how sure we are of the *stage*:
``documented`` (the help page or the protocol fixes it), ``observed`` (a public log shows it) or ``assumed``.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["REPLIES", "Evidence", "Reply", "Stage"]


class Stage(StrEnum):
    """The point of an SMTP session at which a reply is given."""

    CONNECT = "connect"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END_OF_DATA = "end-of-data"
    ANY = "any"


class Evidence(StrEnum):
    """Where our knowledge of a reply's stage comes from."""

    DOCUMENTED = "documented"
    OBSERVED = "observed"
    ASSUMED = "assumed"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One refusal. ``text`` may hold ``{ip}``, ``{domains}`` and line breaks (a multi-line reply)."""

    name: str
    code: int
    enhanced: str
    text: str
    meaning: str
    stage: Stage
    evidence: Evidence = Evidence.ASSUMED

    @property
    def closes(self) -> bool:
        """Whether the server closes the connection after it (RFC 5321 section 3.8: always with 421)."""
        return self.code == 421 or self.name == "timeout"

    def render(self, token: str, *, ip: str = "", domains: str = "") -> bytes:
        """The reply as sent: every line carries both codes, the last one Google's ``<token> - gsmtp``."""
        filled = self.text.format(ip=ip, domains=domains)
        lines = [f"{self.enhanced} {line}" for line in filled.split("\n")]
        lines[-1] += f" {token} - gsmtp"
        parts = [f"{self.code}{'-' if i < len(lines) - 1 else ' '}{line}" for i, line in enumerate(lines)]
        return ("\r\n".join(parts) + "\r\n").encode("utf-8", "replace")


_HELP = "https://support.google.com/a/answer/6140680"

_TABLE: tuple[Reply, ...] = (
    Reply(
        name="ehlo-refused",
        code=421,
        enhanced="4.7.0",
        text="Try again later, closing connection. (EHLO)",
        meaning="The EHLO name is generic or misused: say a unique FQDN under a registered domain.",
        stage=Stage.EHLO,
        evidence=Evidence.OBSERVED,
    ),
    Reply(
        name="try-again-later",
        code=421,
        enhanced="4.7.0",
        text="Try again later, closing connection.",
        meaning="A limit against denial of service was hit: open fewer connections, reuse them.",
        stage=Stage.CONNECT,
        evidence=Evidence.DOCUMENTED,
    ),
    Reply(
        name="rcpt-domain-ip-not-listed",
        code=421,
        enhanced="4.7.0",
        text="IP not in whitelist for RCPT domain, closing connection.",
        meaning="The recipient's domain takes mail from listed addresses only.",
        stage=Stage.RCPT,
    ),
    Reply(
        name="rcpt-domain-requires-tls",
        code=421,
        enhanced="4.7.0",
        text="TLS required for RCPT domain, closing connection.",
        meaning="The recipient's domain takes mail over TLS only.",
        stage=Stage.RCPT,
    ),
    Reply(
        name="temporary-system-problem",
        code=421,
        enhanced="4.3.0",
        text="Temporary System Problem. Try again later.",
        meaning="A fault on Google's side: retry.",
        stage=Stage.MAIL,
    ),
    Reply(
        name="server-busy",
        code=421,
        enhanced="4.4.5",
        text="Server busy, try again later.",
        meaning="Google is overloaded: retry.",
        stage=Stage.CONNECT,
    ),
    Reply(
        name="unusual-rate-temporary",
        code=421,
        enhanced="4.7.28",
        text="Our system has detected an unusual rate of unsolicited mail originating\n"
        "from your IP address. To protect our users from spam, mail sent from your\n"
        "IP address has been temporarily rate limited.",
        meaning="Reputation: stop the unwanted mail, then slow down.",
        stage=Stage.END_OF_DATA,
    ),
    Reply(
        name="peak-limit-customer",
        code=450,
        enhanced="4.2.1",
        text="Peak SMTP relay limit exceeded for customer. This is a temporary\n"
        "error. For more information on SMTP relay limits, please contact your\n"
        f"administrator or visit {_HELP}",
        meaning="Too many recipients in ten minutes for the whole account: slow down.",
        stage=Stage.DATA,
    ),
    Reply(
        name="recipient-too-fast",
        code=450,
        enhanced="4.2.1",
        text="The user you are trying to contact is receiving mail too quickly.\n"
        "Please resend your message at a later time.",
        meaning="One recipient is throttled: retry later.",
        stage=Stage.RCPT,
    ),
    Reply(
        name="mail-temporarily-rejected",
        code=451,
        enhanced="4.3.0",
        text="Mail server temporarily rejected message.",
        meaning="A fault on Google's side: retry.",
        stage=Stage.END_OF_DATA,
    ),
    Reply(
        name="multiple-destination-domains",
        code=451,
        enhanced="4.3.0",
        text="Multiple destination domains per transaction is unsupported. Please try\nagain.",
        meaning="Send one transaction for each recipient domain.",
        stage=Stage.RCPT,
    ),
    Reply(
        name="timeout",
        code=451,
        enhanced="4.4.2",
        text="Timeout - closing connection.",
        meaning="The session was idle too long.",
        stage=Stage.ANY,
        evidence=Evidence.DOCUMENTED,
    ),
    Reply(
        name="mailbox-full",
        code=452,
        enhanced="4.2.2",
        text="The email account that you tried to reach is over quota.",
        meaning="The recipient's mailbox is full: retry.",
        stage=Stage.RCPT,
    ),
    Reply(
        name="too-many-recipients",
        code=452,
        enhanced="4.5.3",
        text="Your message has too many recipients. For more information regarding\n"
        "Google's sending limits go to\nhttps://support.google.com/mail/?p=TooManyRecipientsError",
        meaning="More than 100 recipients in one transaction: lower the recipient limit.",
        stage=Stage.RCPT,
        evidence=Evidence.DOCUMENTED,
    ),
    Reply(
        name="policy-size",
        code=452,
        enhanced="4.5.3",
        text="Domain policy size per transaction exceeded, please try this recipient\nin a separate transaction.",
        meaning="The recipients' domains have too much policy for one transaction: split it.",
        stage=Stage.RCPT,
        evidence=Evidence.DOCUMENTED,
    ),
    Reply(
        name="pipelined-after-starttls",
        code=454,
        enhanced="4.5.0",
        text="SMTP protocol violation, no commands allowed to pipeline after\nSTARTTLS, see RFC 3207.",
        meaning="The client (or somebody between) sent commands in clear behind STARTTLS.",
        stage=Stage.STARTTLS,
        evidence=Evidence.DOCUMENTED,
    ),
    Reply(
        name="auth-temporary-problem",
        code=454,
        enhanced="4.7.0",
        text="Cannot authenticate due to temporary system problem. Try again later.",
        meaning="A fault on Google's side while checking the password: retry.",
        stage=Stage.AUTH,
        evidence=Evidence.DOCUMENTED,
    ),
    Reply(
        name="unknown-auth-type",
        code=504,
        enhanced="5.7.4",
        text="Unrecognized Authentication Type",
        meaning="The client asked for a mechanism that is not offered.",
        stage=Stage.AUTH,
        evidence=Evidence.DOCUMENTED,
    ),
    Reply(
        name="starttls-required",
        code=530,
        enhanced="5.7.0",
        text="Must issue a STARTTLS command first.",
        meaning="The rule asks for TLS and the session is in clear.",
        stage=Stage.MAIL,
        evidence=Evidence.DOCUMENTED,
    ),
    Reply(
        name="auth-required",
        code=530,
        enhanced="5.5.1",
        text="Authentication Required. For more information, go to\nhttps://support.google.com/mail/?p=WantAuthError",
        meaning="The rule asks for SMTP AUTH and the session has none.",
        stage=Stage.MAIL,
        evidence=Evidence.DOCUMENTED,
    ),
    Reply(
        name="bad-credentials",
        code=535,
        enhanced="5.7.8",
        text="Username and Password not accepted. For more information, go to\n"
        "https://support.google.com/mail/?p=BadCredentials",
        meaning="Wrong user or password, or an account password where an app password is needed.",
        stage=Stage.AUTH,
        evidence=Evidence.OBSERVED,
    ),
    Reply(
        name="bad-credentials-old",
        code=535,
        enhanced="5.7.1",
        text="Username and Password not accepted. Learn more at\nhttps://support.google.com/mail/?p=BadCredentials",
        meaning="The same refusal with the older enhanced code.",
        stage=Stage.AUTH,
        evidence=Evidence.DOCUMENTED,
    ),
    Reply(
        name="mail-relay-denied",
        code=550,
        enhanced="5.7.0",
        text="Mail relay denied [{ip}]. Invalid credentials for relay for\n"
        "one of the domains in: {domains} (as\n"
        "obtained from HELO and MAIL FROM). Email is being sent from a domain or IP\n"
        "address which isn't registered in your Workspace account. Please login to\n"
        "your Workspace account and verify that your sending device IP address has\n"
        "been registered within the Workspace SMTP Relay Settings. For more\n"
        f"information, please visit {_HELP}#maildenied",
        meaning="Neither the source address nor a domain belongs to an account.",
        stage=Stage.RCPT,
    ),
    Reply(
        name="mail-sending-denied",
        code=550,
        enhanced="5.7.0",
        text="Mail sending denied.",
        meaning="The envelope sender is not in the domains or users the rule allows, or is suspended.",
        stage=Stage.RCPT,
    ),
    Reply(
        name="invalid-credentials-for-relay",
        code=550,
        enhanced="5.7.1",
        text="Invalid credentials for relay [{ip}]. The IP address you've\n"
        "registered in your Workspace SMTP Relay service doesn't match domain of\n"
        "the account this email is being sent from. If you are trying to relay\n"
        "mail from a domain that isn't registered under your Workspace account or\n"
        "has empty envelope-from, you must configure your mail server either to\n"
        "use SMTP AUTH to identify the sending domain or to present one of your\n"
        "domain names in the HELO or EHLO command. For more information, please\n"
        f"visit {_HELP}#invalidcred",
        meaning="Only one of source address and domain belongs to the account.",
        stage=Stage.RCPT,
    ),
    Reply(
        name="daily-limit-customer",
        code=550,
        enhanced="5.7.1",
        text="Daily SMTP relay limit exceeded for customer. For more information on\n"
        "SMTP relay sending limits please contact your administrator or visit\n"
        f" {_HELP}#dailylimit",
        meaning="The account's daily limit. A permanent code for a state that ends within 24 hours.",
        stage=Stage.DATA,
        evidence=Evidence.OBSERVED,
    ),
    Reply(
        name="daily-limit-user",
        code=550,
        enhanced="5.4.5",
        text="Daily SMTP relay limit exceeded for user. For more information on\n"
        "SMTP relay sending limits please contact your administrator or visit\n"
        f" {_HELP}#userlimit",
        meaning="The sender's daily limit. A permanent code for a state that ends within 24 hours.",
        stage=Stage.DATA,
    ),
    Reply(
        name="daily-sending-quota",
        code=550,
        enhanced="5.4.5",
        text="Daily user sending quota exceeded.",
        meaning="The older wording of the sender's daily limit.",
        stage=Stage.DATA,
    ),
    Reply(
        name="unusual-rate",
        code=550,
        enhanced="5.7.28",
        text="Our system has detected an unusual rate of unsolicited mail originating\n"
        "from your IP address. To protect our users from spam, mail sent from your\n"
        "IP address has been blocked.",
        meaning="Reputation: the address is blocked.",
        stage=Stage.END_OF_DATA,
    ),
    Reply(
        name="unsolicited-mail-blocked",
        code=550,
        enhanced="5.7.1",
        text="Our system has detected that this message is likely unsolicited mail.\n"
        "To reduce the amount of spam sent to Gmail, this message has been blocked.",
        meaning="Reputation: this message is blocked.",
        stage=Stage.END_OF_DATA,
    ),
    Reply(
        name="user-unknown",
        code=550,
        enhanced="5.1.1",
        text="The email account that you tried to reach does not exist. Please try\n"
        "double-checking the recipient's email address for typos or unnecessary\nspaces.",
        meaning="No such recipient: a permanent refusal that must stay permanent.",
        stage=Stage.RCPT,
        evidence=Evidence.DOCUMENTED,
    ),
    Reply(
        name="message-too-large",
        code=552,
        enhanced="5.3.4",
        text="Your message exceeded Google's message size limits. To view our message\n"
        "size guidelines, go to https://support.google.com/mail/?p=MaxSizeError",
        meaning="The message is larger than the advertised SIZE.",
        stage=Stage.MAIL,
        evidence=Evidence.DOCUMENTED,
    ),
)

REPLIES: dict[str, Reply] = {reply.name: reply for reply in _TABLE}
