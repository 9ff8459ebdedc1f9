"""Asking the running Postal, the way its users do: API keys, SMTP logins. Everything goes to this host's own ports."""

import base64
import http.client
import json
import smtplib
import ssl
from typing import Any, Dict, List

from rolelib.host import RoleError

__all__ = ["check_api", "check_smtp", "credentials_to_try"]

SECONDS = 10
# One of each kind and server shows that the way works; the database's own digest covers the rest.
TRIED_PER_SERVER = 1
LOOPBACK = "127.0.0.1"


def credentials_to_try(provision: Dict[str, Any], kind: str) -> List[str]:
    """Return ``organization/server/credential`` of the first credential of ``kind`` of every server."""
    found = []
    for organization, entry in sorted(provision.get("organizations", {}).items()):
        for server, declared in sorted(entry.get("servers", {}).items()):
            keys = [key for key, each in sorted(declared.get("credentials", {}).items()) if each["type"] == kind]
            found += [f"{organization}/{server}/{key}" for key in keys[:TRIED_PER_SERVER]]
    return found


def check_api(settings: Dict[str, Any], keys: Dict[str, str]) -> Dict[str, bool]:
    """Ask for message 0 with each API key. Raises RoleError where a key is refused.

    Postal answers everything with HTTP 200: a key that works gets the error MessageNotFound.
    """
    compose, host = settings["compose"], settings["config"]["postal"]["web_hostname"]
    results = {}
    for path in credentials_to_try(settings["provision"], "API"):
        headers = {"Host": host, "X-Server-API-Key": keys[path], "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(compose["web_publish"], compose["web_port"], timeout=SECONDS)
        try:
            connection.request("POST", "/api/v1/messages/message", json.dumps({"id": 0}), headers)
            answer = connection.getresponse()
            body = answer.read().decode(errors="replace")
            code = json.loads(body).get("data", {}).get("code") if answer.status == 200 else f"HTTP {answer.status}"
        except (OSError, ValueError, http.client.HTTPException) as error:
            code = str(error)
        finally:
            connection.close()
        if code != "MessageNotFound":
            raise RoleError("verify", f"Postal's API does not accept the key of credential {path}: {code}")
        results[path] = True
    return results


def check_smtp(settings: Dict[str, Any], keys: Dict[str, str]) -> Dict[str, bool]:
    """Log in to Postal's SMTP server with each SMTP key. Raises RoleError where the server or a key does not work."""
    published = settings["compose"]["smtp_publish"]
    address = published[0] if published and published[0] not in ("0.0.0.0", "::") else LOOPBACK  # noqa: S104
    results = {}
    for path in credentials_to_try(settings["provision"], "SMTP"):
        try:
            _log_in(address, settings["compose"]["smtp_port"], settings["smtp_certificate"], keys[path])
        except (OSError, smtplib.SMTPException) as error:
            raise RoleError("verify", f"Postal's SMTP server does not accept credential {path}: {error}") from None
        results[path] = True
    return results


def _log_in(address: str, port: int, tls: bool, key: str) -> None:
    with smtplib.SMTP(address, port, timeout=SECONDS) as client:
        client.ehlo("mailstack.invalid")
        if tls:
            # Which certificate it is, role caddy compares; here the connection never leaves the host.
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            client.starttls(context=context)
            client.ehlo("mailstack.invalid")
        token = base64.b64encode(f"\0mailstack\0{key}".encode()).decode()
        code, text = client.docmd("AUTH", "PLAIN " + token)
        if code != 235:
            raise smtplib.SMTPAuthenticationError(code, text)
