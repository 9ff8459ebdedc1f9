"""Sends mail through a mailstack stack, by Postal's HTTP API or by SMTP, and asks what became of it.

    pulumi stack output --json --show-secrets > outputs.json     # holds keys: keep it out of git
    python send_mail.py outputs.json --via api  --from app@example.com --to someone@example.org
    python send_mail.py outputs.json --via smtp --from app@example.com --to someone@example.org

Needs Python 3.9 and `requests`. Copy what you need; nothing here is specific to this repository.
"""

import argparse
import json
import smtplib
import ssl
import sys
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import requests

# Postal's own words for "this went out" and "this never will" (its message statuses).
SENT = {"Sent"}
FINAL = SENT | {"HardFail", "Held", "Bounced"}


class PostalError(Exception):
    """Postal refused. ``code`` is its error code, such as UnauthenticatedFromAddress."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code: programs decide by it, people read the message."""
        super().__init__(f"{code}: {message}")
        self.code = code


def call(server: dict[str, Any], key: str, path: str, body: dict[str, Any]) -> Any:
    """POST to the API and return ``data``.

    Postal answers HTTP 200 to every known call, refusals included: only ``status`` in the body tells. Another HTTP
    status means a wrong address, a malformed value or trouble in front of Postal.

    Raises PostalError, requests.RequestException.
    """
    response = requests.post(f"{server['api_url']}/{path}", json=body, headers={"X-Server-API-Key": key}, timeout=30)
    response.raise_for_status()
    answer = response.json()
    if answer["status"] == "success":
        return answer["data"]
    data = answer.get("data") or {}
    raise PostalError(data.get("code", answer["status"]), data.get("message", "no reason given"))


def send_by_api(server: dict[str, Any], key: str, sender: str, recipient: str, subject: str, text: str) -> int:
    """Send a message and return Postal's number of it."""
    body = {"from": sender, "to": [recipient], "subject": subject, "plain_body": text}
    return int(call(server, key, "send/message", body)["messages"][recipient]["id"])


def wait_until_done(server: dict[str, Any], key: str, number: int, seconds: float) -> tuple[str, list[Any]]:
    """Return (status, deliveries) of a message once it is final, or as it is when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        message = call(server, key, "messages/message", {"id": number, "_expansions": ["status"]})
        status = str(message["status"]["status"])
        if status in FINAL or time.monotonic() > deadline:
            return status, call(server, key, "messages/deliveries", {"id": number})
        time.sleep(0.5)


def send_by_smtp(server: dict[str, Any], key: str, sender: str, recipient: str, subject: str, text: str) -> None:
    """Send a message over SMTP with STARTTLS. Raises smtplib.SMTPException; a refusal names the reason."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipient, subject
    message.set_content(text)
    with smtplib.SMTP(server["smtp_host"], server["smtp_port"], timeout=30) as smtp:
        if server["smtp_starttls"]:
            # Postal takes a login in clear too. A client that insists on TLS is what protects the key.
            smtp.starttls(context=ssl.create_default_context())
        smtp.login(server["smtp_user"], key)
        smtp.send_message(message)


def main() -> int:
    """Run the command line; return 0 when Postal took the message and, by API, has handed it on."""
    parser = argparse.ArgumentParser(description="Send one message through a mailstack stack.")
    parser.add_argument("outputs", type=Path, help="stack outputs as JSON, with secrets")
    parser.add_argument("--server", help="full name of the mail server, such as company/apps; default: the first")
    parser.add_argument("--via", choices=["api", "smtp"], default="api")
    parser.add_argument("--from", dest="sender", required=True)
    parser.add_argument("--to", dest="recipient", required=True)
    parser.add_argument("--subject", default="Hello from an application")
    parser.add_argument("--wait", type=float, default=60, help="seconds to wait for the result (api only)")
    options = parser.parse_args()

    servers = json.loads(options.outputs.read_text())["mail_servers"]
    server = servers[options.server or next(iter(servers))]
    keys = server["api_keys" if options.via == "api" else "smtp_keys"]
    key = next(iter(keys.values()))
    text = "This message was sent by docs/examples/send_mail.py.\n"
    try:
        if options.via == "smtp":
            send_by_smtp(server, key, options.sender, options.recipient, options.subject, text)
            print("accepted")
            return 0
        number = send_by_api(server, key, options.sender, options.recipient, options.subject, text)
        status, deliveries = wait_until_done(server, key, number, options.wait)
    except PostalError as error:
        print(f"Postal refused: {error}", file=sys.stderr)
        return 1
    except smtplib.SMTPException as error:
        print(f"SMTP failed: {error}", file=sys.stderr)
        return 1
    except (OSError, requests.RequestException) as error:
        print(f"not reached: {error}", file=sys.stderr)
        return 1
    print(f"message {number}: {status}")
    for delivery in deliveries:
        print(f"  {delivery['status']}: {delivery['details']} {delivery['output']}".rstrip())
    return 0 if status in SENT else 1


if __name__ == "__main__":
    sys.exit(main())
