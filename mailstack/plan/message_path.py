"""From the settings to the way of a test message, there and back. It holds passwords, so it is in no output."""

from mailstack.plan.model import Plan
from mailstack.settings.message_way import message_way
from mailstack.verify.around import Around
from mailstack.verify.mailbox import ImapMailbox
from mailstack.verify.message import ApiSubmission, MessagePath, SmtpSubmission

__all__ = ["message_path"]


def message_path(plan: Plan, around: Around) -> MessagePath | None:
    """Return how the declared test message is sent and read back; None where none is declared."""
    declared = plan.settings.verify.message
    way = None if declared is None else message_way(plan.settings, declared.sender)
    if declared is None or way is None:
        return None
    secret, trust = None if way.secret is None else way.secret.get_secret_value(), around.authorities
    submission = (
        ApiSubmission(url=f"https://{way.host}", key=secret or "", authorities=trust)
        if way.api
        else SmtpSubmission(
            host=way.host,
            port=way.port,
            tls=way.tls,
            username=way.username,
            password=secret,
            authorities=trust,
            helo=around.helo or None,
        )
    )
    return MessagePath(
        sender=declared.sender,
        recipient=declared.recipient,
        submission=submission,
        mailbox=ImapMailbox(
            host=declared.imap.host,
            port=declared.imap.port,
            username=declared.imap.username,
            password=declared.imap.password.get_secret_value(),
            folder=declared.imap.folder,
            authorities=trust,
        ),
        told=way.told,
    )
