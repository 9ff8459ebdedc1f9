"""Sends mail through a mailstack stack, by Postal's HTTP API or by SMTP, and asks what became of it.

    mailstack env --stack prod --credential shop --out app.env         # holds keys: keep it out of git
    set -a; . ./app.env; set +a
    python send_mail.py --via api  --to someone@example.org
    python send_mail.py --via smtp --to someone@example.org

What it is told it reads from the environment, or from a file with the stack's outputs (first argument). Exit codes:
0 taken, 1 refused for good (by API also: taken, and then not delivered), 75 not taken until now, so try again later.

Needs Python 3.9 and `requests`. Copy what you need; nothing here is specific to this repository.
"""

import argparse
import base64
import json
import os
import random
import smtplib
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid, parseaddr
from pathlib import Path
from typing import Any, TypeVar

import requests

# Postal's own words for "this went out" and "this never will" (its message statuses).
SENT = {"Sent"}
FAILED = {"HardFail", "Held", "Bounced"}
TRY_LATER = 75  # EX_TEMPFAIL of sysexits.h
# Not now: request timeout, too many requests; besides these every 5xx.
BUSY = {408, 429}
TIMEOUT_SECONDS = 30
LONGEST_WAIT_SECONDS = 900.0
T = TypeVar("T")


class Refused(Exception):  # noqa: N818 - what happened, not a mistake of ours
    """The answer stays the same however often one asks: a person has to look."""


class NotNow(Exception):  # noqa: N818 - what happened, not a mistake of ours
    """Nobody took it this time; the same later may work, not before ``seconds`` where that was said."""

    def __init__(self, text: str, seconds: float = 0.0) -> None:
        """Keep how long to wait at least."""
        super().__init__(text)
        self.seconds = seconds


class PostalError(Refused):
    """Postal refused. ``code`` is its error code, such as UnauthenticatedFromAddress."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code: programs decide by it, people read the message."""
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True)
class Mail:
    """How mail is handed over. ``hosts`` are tried in turn; ``user`` empty: the relay asks for no login."""

    hosts: "tuple[str, ...]"
    port: int
    starttls: bool
    tls_from_start: bool
    user: str
    password: str
    api_url: str
    api_key: str
    from_email: str
    from_name: str


def from_environment(told: Mapping[str, str]) -> Mail:
    """Return what the variables of `mailstack env` say."""
    hosts = told.get("SMTP_HOSTS") or told.get("SMTP_HOST", "")
    return Mail(
        hosts=tuple(filter(None, hosts.split(","))),
        port=int(told.get("SMTP_PORT") or "25"),
        starttls=told.get("SMTP_USE_TLS") == "true",
        tls_from_start=told.get("SMTP_USE_SSL") == "true",
        user=told.get("SMTP_USER", ""),
        password=told.get("SMTP_PASSWORD", ""),
        api_url=told.get("MAIL_API_URL", ""),
        api_key=told.get("MAIL_API_KEY", ""),
        from_email=told.get("SMTP_FROM_EMAIL", ""),
        from_name=told.get("SMTP_FROM_NAME", ""),
    )


def from_outputs(outputs: Mapping[str, Any], name: str) -> Mail:
    """Return what the outputs of a stack say of Postal's mail server ``name`` (empty: the first). Raises Refused."""
    if not isinstance(outputs, Mapping):
        raise Refused("these are no outputs: write them with `pulumi stack output --json --show-secrets`")
    servers = outputs.get("mail_servers") or {}
    if "[secret]" in json.dumps(servers):
        raise Refused("the outputs hide their secrets: write them with `pulumi stack output --json --show-secrets`")
    server = servers.get(name or next(iter(servers), ""))
    if server is None:
        raise Refused(f"the outputs have no mail server {name or 'of Postal'}, but {', '.join(servers) or 'none'}")
    return Mail(
        hosts=(server["smtp_host"],),
        port=server["smtp_port"],
        starttls=server["smtp_starttls"],
        tls_from_start=False,
        user=server["smtp_user"],
        password=next(iter(server["smtp_keys"].values()), ""),
        api_url=server["api_url"],
        api_key=next(iter(server["api_keys"].values()), ""),
        from_email=f"noreply@{server['sender_domains'][0]}" if server["sender_domains"] else "",
        from_name="",
    )


# --- by API ---------------------------------------------------------------------------------------------------------


def call(mail: Mail, path: str, body: "dict[str, Any]") -> Any:
    """POST to the API and return ``data``.

    Postal answers HTTP 200 to every known call, refusals included: only ``status`` in the body tells. Another HTTP
    status means a wrong address, a malformed value or trouble in front of Postal.

    Raises PostalError, Refused, NotNow.
    """
    url = f"{mail.api_url}/{path}"
    if not mail.api_url or not mail.api_key:
        raise Refused("MAIL_API_URL or MAIL_API_KEY is not set: this credential has no API key, or --via smtp is meant")
    try:
        # No redirects: `requests` would take the key along, to whatever host they lead to.
        response = requests.post(
            url,
            json=body,
            headers={"X-Server-API-Key": mail.api_key},
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )
    except requests.exceptions.SSLError as error:
        if "EOF" in str(error):
            raise NotNow(f"the connection was lost: {error}") from None
        # Never without verifying: the key goes to whoever answers.
        raise Refused(f"the certificate is not trusted: {error}") from None
    except requests.RequestException as error:
        if isinstance(error, ValueError):
            # Its text may hold the key.
            raise Refused(f"MAIL_API_URL or MAIL_API_KEY cannot be used ({type(error).__name__})") from None
        # Not reached, silent or lost. Lost late it may have been taken: then the message comes twice.
        raise NotNow(f"no answer: {error}") from None
    if response.status_code in BUSY or response.status_code >= requests.codes.server_error:
        asked = response.headers.get("Retry-After", "")
        raise NotNow(f"HTTP {response.status_code}", float(asked) if asked.isdigit() else 0.0)
    if response.status_code != requests.codes.ok:
        raise Refused(f"HTTP {response.status_code}: {response.text[:200]}")
    answer = _parsed(response.text)
    if "status" not in answer:
        raise Refused(f"{url} does not answer like Postal: {response.text[:200]}")
    if answer["status"] == "success":
        return answer["data"]
    data = answer.get("data") or {}
    raise PostalError(data.get("code", answer["status"]), data.get("message", "no reason given"))


def _parsed(text: str) -> "dict[str, Any]":
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def send_by_api(mail: Mail, message: EmailMessage) -> int:
    """Send a message and return Postal's number of it.

    ``send/raw`` keeps its Message-ID; ``send/message`` gives it another at every try.
    """
    recipient = str(message["To"])
    body = {
        "mail_from": parseaddr(str(message["From"]))[1],
        "rcpt_to": [recipient],
        "data": base64.b64encode(message.as_bytes(policy=policy.SMTP)).decode(),
    }
    return int(call(mail, "send/raw", body)["messages"][recipient]["id"])


def wait_until_done(mail: Mail, number: int, seconds: float) -> "tuple[str, list[Any]]":
    """Return (status, deliveries) of a message once it is final, or as it is when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        message = call(mail, "messages/message", {"id": number, "_expansions": ["status"]})
        status = str(message["status"]["status"])
        if status in SENT | FAILED or time.monotonic() > deadline:
            return status, call(mail, "messages/deliveries", {"id": number})
        time.sleep(0.5)


# --- by SMTP --------------------------------------------------------------------------------------------------------


def send_by_smtp(mail: Mail, message: EmailMessage) -> str:
    """Send a message to the first host that takes it and return that host. Raises Refused, NotNow."""
    said = []
    for host in mail.hosts:
        try:
            _hand_over(mail, host, message)
        except NotNow as error:
            # A host that is being changed is away for a moment. All have the same rules, so a refusal is final.
            said.append(f"{host}: {error}")
        else:
            return host
    if not said:
        raise Refused("SMTP_HOST is not set: this credential has no SMTP key, or --via api is meant")
    raise NotNow("; ".join(said))


def _hand_over(mail: Mail, host: str, message: EmailMessage) -> None:
    """Raises Refused for a 5xx and for TLS that cannot be trusted, NotNow for the rest."""
    try:
        with closing(_connected(mail, host)) as smtp:
            if mail.starttls:
                # Postal takes a login in clear too. A client that insists on TLS is what protects the key.
                smtp.starttls(context=ssl.create_default_context())
            if mail.user and mail.password:
                smtp.login(mail.user, mail.password)
            smtp.send_message(message)
            # It is taken. `with smtp` would raise what a server that stops answers to QUIT, and send it again.
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        raise NotNow(f"the connection was lost: {error}") from None
    except ssl.SSLCertVerificationError as error:
        raise Refused(f"the certificate of {host} is not trusted: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise Refused(f"{host} speaks no TLS that is good enough: {error.reason}") from None
    except smtplib.SMTPNotSupportedError as error:
        raise Refused(f"{host} offers no TLS or no login: {error}") from None
    except smtplib.SMTPRecipientsRefused as error:
        code, text = next(iter(error.recipients.values()))
        raise _answered(code, text) from None
    except smtplib.SMTPResponseException as error:
        raise _answered(error.smtp_code, error.smtp_error) from None
    except (OSError, smtplib.SMTPException) as error:
        # Refused, silent or lost. Lost after the last dot it may have been taken: then the message comes twice.
        raise NotNow(str(error) or type(error).__name__) from None


def _connected(mail: Mail, host: str) -> smtplib.SMTP:
    if mail.tls_from_start:
        return smtplib.SMTP_SSL(host, mail.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context())
    return smtplib.SMTP(host, mail.port, timeout=TIMEOUT_SECONDS)


def _answered(code: int, text: "bytes | str") -> Exception:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    if code < 0:
        return Refused(f"does not answer like an SMTP server: {words}")
    return (NotNow if 400 <= code < 500 else Refused)(f"{code} {words}")


# --- again ----------------------------------------------------------------------------------------------------------


def again(attempt: Callable[[], T], tries: int, first_wait: float) -> T:
    """Return what ``attempt`` returns, tried at most ``tries`` times with waits that double. Raises what it raises.

    The waits vary: many clients that failed together must not come back together. In an application the message stays
    in a queue of its own between tries, and tries go on for hours.
    """
    for number in range(tries):
        try:
            return attempt()
        except NotNow as error:
            if number + 1 == tries:
                raise
            wait = min(first_wait * 2**number, LONGEST_WAIT_SECONDS) * random.uniform(0.5, 1)  # noqa: S311 - no secret
            wait = max(wait, min(error.seconds, LONGEST_WAIT_SECONDS))
            print(f"not yet: {error}; again in {wait:.1f} s", file=sys.stderr)
            time.sleep(wait)
    raise NotNow("no try was asked for")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Send one message through a mailstack stack.")
    parser.add_argument("outputs", type=Path, nargs="?", help="stack outputs as JSON, with secrets")
    parser.add_argument("--server", default="", help="with outputs: full name of the mail server, such as company/apps")
    parser.add_argument("--via", choices=["api", "smtp"], default="api")
    parser.add_argument("--from", dest="sender", help="default: SMTP_FROM_EMAIL")
    parser.add_argument("--to", dest="recipient", required=True)
    parser.add_argument("--subject", default="Hello from an application")
    parser.add_argument("--wait", type=float, default=60, help="seconds to wait for the result (api only)")
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--first-wait", type=float, default=2, help="seconds before the second try; later ones double")
    options = parser.parse_args()

    try:
        told = None if options.outputs is None else json.loads(options.outputs.read_text())
        mail = from_environment(os.environ) if told is None else from_outputs(told, options.server)
    except (OSError, ValueError) as error:
        parser.error(f"{options.outputs or 'SMTP_PORT'} cannot be used: {error}")
    except Refused as error:
        parser.error(str(error))
    sender = options.sender or mail.from_email
    if not sender:
        parser.error("--from ADDRESS is needed, or SMTP_FROM_EMAIL")  # without one it would be a bounce
    message = EmailMessage()
    message["From"] = formataddr(("" if options.sender else mail.from_name, sender))
    message["To"], message["Subject"] = options.recipient, options.subject
    message["Date"] = formatdate()
    # The same for every try: receivers see by it that a second one is no second message.
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message.set_content("This message was sent by docs/examples/send_mail.py.\n")
    try:
        if options.via == "smtp":
            host = again(lambda: send_by_smtp(mail, message), options.tries, options.first_wait)
            print(f"accepted by {host}")
            return 0
        number = again(lambda: send_by_api(mail, message), options.tries, options.first_wait)
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    except NotNow as error:
        print(f"not taken: {error}", file=sys.stderr)
        return TRY_LATER
    return follow(mail, number, options.wait)


def follow(mail: Mail, number: int, seconds: float) -> int:
    """Say what became of a message that Postal has. Whatever fails here, it is taken: nobody is to send it again."""
    try:
        status, deliveries = wait_until_done(mail, number, seconds)
    except (Refused, NotNow) as error:
        print(f"message {number}: taken")
        print(f"what became of it nobody says: {error}", file=sys.stderr)
        return 0
    print(f"message {number}: {status}")
    for delivery in deliveries:
        print(f"  {delivery['status']}: {delivery['details']} {delivery['output']}".rstrip())
    return 1 if status in FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
