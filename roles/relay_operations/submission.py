"""A test message, handed to the relay from beside it: what a program of this host may do."""

import contextlib
import functools
import re
import smtplib
from typing import Any, Callable, Dict, List, Sequence, Tuple

from rolelib.host import RoleError
from rolelib.protocol import Change, Plan, Role

__all__ = ["submit"]

SECONDS = 60
QUEUED = re.compile(r"queued as (?P<id>\w+)")
Step = Callable[[], Tuple[int, bytes]]
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - names to look up


def submit(role: Role) -> Plan:
    """Hand ``message`` from ``sender`` to ``recipient`` to one of ``listen`` (address, port); tell what the relay said.

    Facts: ``accepted``, ``reply``, ``at`` (what it answered: mail, rcpt or data), and the ``queue_id`` it then has.
    """
    settings = role.settings
    what = f"send a test message from {settings['sender'] or '<>'} to {settings['recipient']}"
    return [Change("submit", what, functools.partial(_submit, role.facts, settings))]


def _submit(facts: Dict[str, Any], settings: Dict[str, Any]) -> None:
    client = _connected(settings["listen"])
    try:
        _hand_over(client, facts, settings)
    finally:
        # What the relay has taken stays taken, whatever it says to the farewell.
        with contextlib.suppress(smtplib.SMTPException, OSError):
            client.quit()


def _hand_over(client: smtplib.SMTP, facts: Dict[str, Any], settings: Dict[str, Any]) -> None:
    client.ehlo_or_helo_if_needed()
    steps: Sequence[Tuple[str, Step]] = (
        ("mail", lambda: client.mail(settings["sender"])),
        ("rcpt", lambda: client.rcpt(settings["recipient"])),
        # What is no UTF-8 came as surrogates, and goes as it was.
        ("data", lambda: client.data(settings["message"].encode("utf-8", "surrogateescape"))),
    )
    for name, step in steps:
        code, words = _answer(step)
        facts.update(accepted=200 <= code < 300, at=name, reply=f"{code} {' '.join(words.split())}")
        if not facts["accepted"]:
            return
    queued = QUEUED.search(facts["reply"])
    facts["queue_id"] = queued.group("id") if queued else None


def _answer(step: Step) -> Tuple[int, str]:
    try:
        code, text = step()
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error
        return error.smtp_code, said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    except (smtplib.SMTPException, OSError) as error:
        raise RoleError("submit", f"the relay ended the conversation: {error}") from None
    return code, text.decode("utf-8", "replace")


def _connected(listen: Sequence[Sequence[Any]]) -> smtplib.SMTP:
    errors: List[str] = []
    for address, port in listen:
        try:
            return smtplib.SMTP(ANYWHERE.get(address, address), int(port), timeout=SECONDS)
        except (smtplib.SMTPException, OSError) as error:
            errors.append(f"{address} port {port}: {error}")
    raise RoleError("submit", "the relay does not answer: " + "; ".join(errors))
