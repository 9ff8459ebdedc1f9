"""Writing, sending and checking messages in tests."""

import smtplib
import ssl
from email.message import EmailMessage

import dkim

from tests.rehearsal.postal_site import PostalSite

__all__ = ["client", "header", "mail", "signature_is_valid"]


def mail(recipient: str, sender: str = "news@signed.example") -> EmailMessage:
    """Return a message with the things DKIM implementations trip over: encoded words, runs of blanks, empty lines."""
    message = EmailMessage()
    message["From"] = f"News <{sender}>"
    message["To"] = recipient
    message["Subject"] = "Grüße   mit  Abständen"
    message.set_content("Hello  \n.a line with a dot\n\n\n")
    return message


def client(site: PostalSite, *, tls: bool = False) -> smtplib.SMTP:
    """Connect to Postal's SMTP server; with ``tls`` its certificate must be the configured one."""
    connection = smtplib.SMTP(site.smtp.address, 25, timeout=20)
    if tls:
        context = ssl.create_default_context(cafile=str(site.folder / "ca.pem"))
        connection._host = "mx.example.com"  # type: ignore[attr-defined] # the name in the certificate
        connection.starttls(context=context)
    connection.ehlo("app.example.com")
    return connection


def header(raw: str, name: str) -> str:
    """Return the unfolded value of a header field that must be there exactly once."""
    head = raw.split("\r\n\r\n", 1)[0].replace("\r\n\t", " ").replace("\r\n ", " ")
    found = [line for line in head.split("\r\n") if line.lower().startswith(f"{name.lower()}:")]
    assert len(found) == 1, found
    return found[0].split(":", 1)[1].strip()


def signature_is_valid(raw: str, records: dict[str, str]) -> bool:
    """Verify with dkimpy; ``records``: name to TXT record, all there is in the DNS."""
    published = {f"{name}.".encode(): text.encode() for name, text in records.items()}
    valid: bool = dkim.verify(raw.encode("latin-1"), dnsfunc=lambda name, timeout=5: published.get(name))
    return valid
