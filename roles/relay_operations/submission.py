"""A test message, handed to the relay from beside it: what a program of this host may do."""

import functools
import re
import smtplib
from typing import Any, Dict, List, Sequence

from rolelib.host import RoleError
from rolelib.protocol import Change, Plan, Role

__all__ = ["submit"]

SECONDS = 60
QUEUED = re.compile(r"queued as (?P<id>\w+)")
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - names to look up


def submit(role: Role) -> Plan:
    """Hand ``message`` from ``sender`` to ``recipient`` to one of ``listen`` (address, port); tell what the relay said.

    Facts: ``accepted``, ``reply``, ``at`` (what it answered: mail, rcpt or data), and the ``queue_id`` it then has.
    """
    settings = role.settings
    what = f"send a test message from {settings['sender'] or '<>'} to {settings['recipient']}"
    return [Change("submit", what, functools.partial(_submit, role.facts, settings))]


def _submit(facts: Dict[str, Any], settings: Dict[str, Any]) -> None:
    with _connected(settings["listen"]) as client:
        client.ehlo_or_helo_if_needed()
        steps = (
            ("mail", lambda: client.mail(settings["sender"])),
            ("rcpt", lambda: client.rcpt(settings["recipient"])),
            ("data", lambda: client.data(settings["message"].encode())),
        )
        for name, step in steps:
            try:
                code, text = step()
            except smtplib.SMTPResponseException as error:
                code, text = error.smtp_code, error.smtp_error
            except (smtplib.SMTPException, OSError) as error:
                raise RoleError("submit", f"the relay ended the conversation: {error}") from None
            words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
            facts.update(accepted=200 <= code < 300, at=name, reply=f"{code} {' '.join(words.split())}")
            if not facts["accepted"]:
                return
    queued = QUEUED.search(facts["reply"])
    facts["queue_id"] = queued.group("id") if queued else None


def _connected(listen: Sequence[Sequence[Any]]) -> smtplib.SMTP:
    errors: List[str] = []
    for address, port in listen:
        try:
            return smtplib.SMTP(ANYWHERE.get(address, address), int(port), timeout=SECONDS)
        except (smtplib.SMTPException, OSError) as error:
            errors.append(f"{address} port {port}: {error}")
    raise RoleError("submit", "the relay does not answer: " + "; ".join(errors))
