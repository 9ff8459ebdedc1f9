"""Hands a message to the relay of a rehearsal, as an application beside it would."""

from rehearsal.ground import Host
from rehearsal.site import Site

__all__ = ["submit"]

# Runs on the relay host, as an application there would. Arguments: address, port, EHLO, sender, recipient, token.
SUBMIT = """
import smtplib, sys
address, port, helo, sender, recipient, token = sys.argv[1:]
with smtplib.SMTP(address, int(port), local_hostname=helo, timeout=20) as smtp:
    try:
        smtp.sendmail(sender, [recipient], "From: <%s>\\r\\nTo: <%s>\\r\\nSubject: %s\\r\\n\\r\\n%s\\r\\n"
                      % (sender or "postmaster@" + helo, recipient, token, token))
    except smtplib.SMTPSenderRefused as error:
        print("refused %d %s" % (error.smtp_code, error.smtp_error.decode())); sys.exit(3)
    except smtplib.SMTPRecipientsRefused as error:
        code, text = list(error.recipients.values())[0]
        print("refused %d %s" % (code, text.decode())); sys.exit(3)
print("accepted")
"""


def submit(
    site: Site, sender: str, recipient: str, token: str, helo: str = "app.rehearsal.test", *, relay: Host | None = None
) -> str:
    """Hand a message to a relay, the first one unless told, from its own host or network.

    Return ``accepted`` or ``refused CODE TEXT``.
    """
    definition = site.plan.relay.definition
    address = definition.listen_addresses[0] if site.place is None else site.plan.relay.smtp_host
    place = "127.0.0.1" if address in {"0.0.0.0", "::"} else address
    arguments = [place, str(definition.listen_port), helo, sender, recipient, token]
    return site.ask(["python3", "-", *arguments], SUBMIT, relay).strip()
