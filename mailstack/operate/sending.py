"""Sends a message the way the stack's applications do, and says what came of it: SMTP or HTTP API of Postal."""

import base64
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any, Literal

import requests

from mailstack.verify.message import SmtpSubmission, SubmissionError

__all__ = ["NoWayError", "Sending", "Sent", "Way", "choose", "compose", "in_lines", "message_id_of", "send"]

SECONDS = 30.0
PAUSE_SECONDS = 0.5
# Postal's statuses of a message: delivered; and those after which nothing more happens by itself.
DELIVERED = "Sent"
FINAL = frozenset({DELIVERED, "HardFail", "Held", "Bounced"})


class NoWayError(RuntimeError):
    """The outputs tell no way for this message; the text says what they do tell and what to say."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """A mail server of Postal and a key of it: ``server`` and ``credential`` by name, ``told`` its output."""

    via: Literal["smtp", "api"]
    server: str
    credential: str
    told: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Return the secret."""
        keys: Mapping[str, str] = self.told["smtp_keys" if self.via == "smtp" else "api_keys"]
        return keys[self.credential]


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What came of it for one recipient.

    ``outcome``: accepted (Postal has it), delivered or waiting or failed (what Postal has said of it since), refused
    (it would not take it), unreachable. ``number`` is Postal's own of the message, ``said`` the other side's words.
    """

    outcome: Literal["accepted", "delivered", "waiting", "failed", "refused", "unreachable"]
    recipient: str
    message_id: str
    said: str
    number: int | None = None
    cause: str | None = None
    fix: str | None = None

    @property
    def fine(self) -> bool:
        """Tell whether it is on its way."""
        return self.outcome in {"accepted", "delivered"}


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A message: envelope sender, recipients, and its bytes."""

    sender: str
    recipients: Sequence[str]
    message: bytes


def choose(
    servers: Mapping[str, Mapping[str, Any]],
    via: Literal["smtp", "api"],
    sender: str,
    server: str | None,
    credential: str | None,
) -> Way:
    """Return the way of a message from ``sender``: what is named, else the only one that fits, by name the first.

    Raises NoWayError.
    """
    if server is not None and server not in servers:
        raise NoWayError(f"--server {server}: the stack's mail servers are {', '.join(servers) or 'none'}")
    domain = sender.rpartition("@")[2].lower()
    fitting = [name for name, told in servers.items() if domain in told["sender_domains"]]
    chosen = server or next(iter(fitting), None)
    if chosen is None:
        known = "; ".join(f"{name}: {', '.join(told['sender_domains'])}" for name, told in servers.items())
        raise NoWayError(f"no mail server of the stack sends for {domain or sender!r} ({known or 'there is none'})")
    keys = servers[chosen]["smtp_keys" if via == "smtp" else "api_keys"]
    name = credential if credential is not None else next(iter(sorted(keys)), None)
    if name is None or name not in keys:
        kind = "SMTP" if via == "smtp" else "API"
        has = ", ".join(sorted(keys)) or "none"
        raise NoWayError(
            f"mail server {chosen} has {'no' if name is None else f'no {kind} credential {name!r} among its'} {kind} "
            f"credentials: {has}. Declare one under postal.organizations and run `pulumi up`"
        )
    return Way(via=via, server=chosen, credential=name, told=servers[chosen])


def compose(sender: str, recipients: Sequence[str], subject: str, body: str) -> bytes:
    """Return a plain message with a Message-ID of its own."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = sender, ", ".join(recipients), subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or None)
    message.set_content(body)
    return message.as_bytes()


def in_lines(message: bytes) -> bytes:
    """Return a message with lines that end as those of mail do (RFC 5321 §2.3.8): files mostly end theirs with LF."""
    return re.sub(rb"\r\n|\r|\n", b"\r\n", message)


def message_id_of(message: bytes) -> str:
    """Return a message's Message-ID, "" where it has none: then the server that takes it makes one."""
    return str(message_from_bytes(message).get("Message-ID", "")).strip()


def send(way: Way, what: Sending, *, wait_seconds: float = 0.0, authorities: Path | None = None) -> list[Sent]:
    """Send it to each recipient. By API, with ``wait_seconds``, also ask what became of it until that is final."""
    one_by_one = _by_smtp if way.via == "smtp" else _by_api
    return [one_by_one(way, what, recipient, wait_seconds, authorities) for recipient in what.recipients]


def _by_smtp(way: Way, what: Sending, recipient: str, _wait: float, authorities: Path | None) -> Sent:
    told, identity = way.told, message_id_of(what.message)
    submission = SmtpSubmission(
        host=told["smtp_host"],
        port=int(told["smtp_port"]),
        tls="starttls" if told["smtp_starttls"] else "none",
        username=told["smtp_user"],
        password=way.key,
        authorities=authorities,
    )
    try:
        said = submission.submit(what.sender, recipient, what.message)
    except SubmissionError as error:
        cause, fix = _why(str(error), way, what.sender)
        outcome: Literal["refused", "unreachable"] = "refused" if error.refused else "unreachable"
        return Sent(
            outcome=outcome, recipient=recipient, message_id=identity, said=str(error), cause=cause, fix=fix
        )  # fmt: skip
    return Sent(outcome="accepted", recipient=recipient, message_id=identity, said=said)


def _by_api(way: Way, what: Sending, recipient: str, wait: float, authorities: Path | None) -> Sent:
    identity = message_id_of(what.message)
    body = {
        "mail_from": what.sender,
        "rcpt_to": [recipient],
        "data": base64.b64encode(what.message).decode(),
    }
    try:
        data = _call(way, "send/raw", body, authorities)
        number = int(data["messages"][recipient]["id"])
        if wait <= 0:
            return Sent(
                outcome="accepted", recipient=recipient, message_id=identity, said="success", number=number
            )  # fmt: skip
        return _followed(way, number, recipient, identity, wait, authorities)
    except SubmissionError as error:
        cause, fix = _why(str(error), way, what.sender)
        outcome: Literal["refused", "unreachable"] = "refused" if error.refused else "unreachable"
        return Sent(
            outcome=outcome, recipient=recipient, message_id=identity, said=str(error), cause=cause, fix=fix
        )  # fmt: skip


def _followed(way: Way, number: int, recipient: str, identity: str, seconds: float, authorities: Path | None) -> Sent:
    """Ask until it is final or the time is up. Postal has it by now, so a question that fails is put again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            message = _call(way, "messages/message", {"id": number, "_expansions": ["status"]}, authorities)
            status = str(message["status"]["status"])
            deliveries = _call(way, "messages/deliveries", {"id": number}, authorities)
        except SubmissionError as error:
            status, said = None, str(error)
        else:
            last = deliveries[-1] if deliveries else {}
            said = " ".join(f"{status}: {last.get('details') or ''} {last.get('output') or ''}".split())
        if status in FINAL or time.monotonic() >= deadline:
            break
        time.sleep(PAUSE_SECONDS)
    if status == DELIVERED:
        return Sent(outcome="delivered", recipient=recipient, message_id=identity, said=said, number=number)
    cause, fix = _after(status)
    return Sent(
        outcome="failed" if status in FINAL else "waiting", recipient=recipient, message_id=identity, said=said,
        number=number, cause=cause, fix=fix,
    )  # fmt: skip


def _after(status: str | None) -> tuple[str, str]:
    """Return why a message that Postal took is not delivered; ``status`` is None where it does not say."""
    if status is None:
        return (
            "Postal has it, and could not be asked what became of it",
            "do not send it again: `mailstack postal queue --stack <stack>` tells whether it waits",
        )
    if status == "Held":
        return (
            "Postal holds it: its credential or mail server holds all, or the recipient is on the suppression list",
            "release it in the web UI, or change `hold` and `mode` in the stack file and run `pulumi up`",
        )
    if status in FINAL:
        return (
            "it will not be tried again, for the reason above",
            "see the reason; `mailstack postal queue --stack <stack>` has others",
        )
    return (
        "it waits for its next try",
        "`mailstack postal queue --stack <stack>` and `mailstack relay queue list --stack <stack>` say what for",
    )


def _call(way: Way, path: str, body: Mapping[str, Any], authorities: Path | None) -> Any:
    """Ask Postal's API; return ``data``. It answers HTTP 200 for refusals too. Raises SubmissionError."""
    url = f"{str(way.told['api_url']).rstrip('/')}/{path}"
    try:
        reply = requests.post(
            url, json=body, headers={"X-Server-API-Key": way.key}, timeout=SECONDS,
            verify=True if authorities is None else str(authorities),
        )  # fmt: skip
    except requests.RequestException as error:
        raise SubmissionError(f"{url}: {_short(error)}", refused=False) from None
    try:
        answer = reply.json()
        status, data = str(answer["status"]), answer.get("data")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise SubmissionError(f"{url}: HTTP {reply.status_code}, no answer of Postal's API", refused=False) from None
    if status == "success":
        return data
    told = data if isinstance(data, dict) else {}
    words = " ".join(str(told[name]) for name in ("code", "message") if told.get(name))
    raise SubmissionError(f"{words or status}", refused=True)


def _short(error: requests.RequestException) -> str:
    """Return an error without the chain of objects that urllib3 prints."""
    text = str(error)
    inner = re.search(r"\(Caused by (\w+)\(.*?(?:: |, )(?:'|\")?([^'\"]*?)(?:'|\")?\)+\Z", text)
    return f"{inner[1]}: {inner[2]}" if inner else type(error).__name__


def _why(said: str, way: Way, sender: str) -> tuple[str, str]:
    """Return cause and fix of what was said."""
    name = f"{way.server}, credential {way.credential}"
    if re.search(r"^535|InvalidServerAPIKey|AccessDenied|Denied", said):
        return (
            f"Postal does not know the key of {name}",
            "the key was changed since the last update: run `pulumi up`, which tells the new one",
        )
    if re.search(r"^530 .*From|UnauthenticatedFromAddress|From address", said):
        domains = ", ".join(way.told["sender_domains"])
        return (
            f"{way.server} may not send as {sender}: the From of a message has to be in one of its domains",
            f"send from {domains}, or add the domain under postal.organizations and run `pulumi up`",
        )
    if "not sent without TLS" in said:
        return (
            "Postal's SMTP server offers no TLS here, and a key is not sent in clear",
            "set postal.smtp_tls: true and run `pulumi up`, or use --via api",
        )
    if re.search(r"[Cc]ertificate|SSL|TLS", said):
        return (
            "the server's certificate does not prove its name to this machine",
            "`mailstack verify --stack <stack> --only certificate` shows which; an authority of your own: --ca FILE",
        )
    if re.search(r"^5\d\d|^4\d\d", said):
        return (
            "Postal refuses it in its own words",
            "see the reply; `mailstack postal logs smtp --stack <stack>` has more",
        )
    if re.search(r"refused|timed out|unreachable|ConnectionError|NewConnection|Timeout|getaddrinfo|Name|lookup", said):
        return (
            "no connection comes about from this machine",
            "check the name in DNS and the firewall: `mailstack verify --stack <stack>`",
        )
    return (
        "Postal refuses it in its own words",
        "see what it said; `mailstack postal logs web --stack <stack>` has more",
    )
