"""A mail relay that keeps what it gets. Runs in a container of its own, with aiosmtpd from its distribution.

Usage: relay_sink.py CERTIFICATE KEY. Every message becomes a line of JSON in /kept.jsonl.

Ports: 2525 offers STARTTLS; 2526 does not; 2527 offers STARTTLS and then cannot; 4650 speaks TLS at once. Recipients
starting with ``hard`` get 550, ``soft`` 451, ``slow`` an answer after some seconds.
"""

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

KEPT = Path("/kept.jsonl")
SLOW_SECONDS = 4


class Sink:
    """aiosmtpd handler; one instance for all ports."""

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, _options: list[str]) -> str:  # noqa: N802
        """Refuse by the name of the recipient."""
        if address.startswith("hard"):
            return "550 5.1.1 No such user"
        if address.startswith("soft"):
            return "451 4.3.0 Try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Keep the message."""
        line = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "helo": session.host_name,
            "tls": session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None,
            "raw": envelope.content.decode("latin-1"),
        }
        with KEPT.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if any(address.startswith("slow") for address in envelope.rcpt_tos):
            await asyncio.sleep(SLOW_SECONDS)
        return "250 2.0.0 kept"


async def main(certificate: str, key: str) -> None:
    """Listen until the process is ended."""
    KEPT.touch()
    good = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    good.load_cert_chain(certificate, key)
    without_certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    sink = Sink()
    loop = asyncio.get_running_loop()
    for port, offered, implicit in (
        (2526, None, None),
        (2527, without_certificate, None),
        (4650, None, good),
        (2525, good, None),
    ):
        await loop.create_server(
            lambda offered=offered: SMTP(sink, tls_context=offered, enable_SMTPUTF8=False),
            host="0.0.0.0",
            port=port,
            ssl=implicit,
        )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
