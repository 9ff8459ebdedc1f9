"""Whether the relay answers: its greeting, asked for from beside it. Nothing is said but QUIT."""

import smtplib
from typing import Any, List

from relay_operations.submission import ANYWHERE
from rolelib.protocol import Plan, Role

__all__ = ["look"]

SECONDS = 5


def look(role: Role) -> Plan:
    """Ask one of ``listen`` (address, port) after the other. Facts: ``greeting``, or None with the ``reason``."""
    errors: List[str] = []
    for address, port in role.settings["listen"]:
        try:
            role.facts.update(greeting=_greeting(ANYWHERE.get(address, address), int(port)), reason=None)
        except (smtplib.SMTPException, OSError) as error:
            errors.append("{} port {}: {}".format(address, port, error))
        else:
            return []
    role.facts.update(greeting=None, reason="; ".join(errors) or "it listens nowhere")
    return []


def _greeting(address: str, port: int) -> str:
    client: Any = smtplib.SMTP(timeout=SECONDS)
    code, text = client.connect(address, port)
    client.close()
    if code != 220:
        raise smtplib.SMTPConnectError(code, text)
    return "{} {}".format(code, text.decode("utf-8", "replace"))
