"""Asking a server for the SOA record of a zone, by UDP and by TCP (RFC 1035 section 4)."""

import os
import socket
import struct
from typing import Optional

__all__ = ["Answer", "ask", "parse_answer", "soa_question"]

SECONDS = 2.0
TYPE_SOA = 6
CLASS_IN = 1
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 9: "NOTAUTH"}


class Answer:
    """What the server said: ``serial`` (None without an SOA), ``authoritative``, ``recursive`` and ``rcode``.

    ``error`` is set, and nothing else, when no proper answer came.
    """

    def __init__(
        self,
        serial: Optional[int] = None,
        authoritative: bool = False,
        recursive: bool = False,
        rcode: str = "",
        error: str = "",
    ) -> None:
        """Hold the values."""
        self.serial = serial
        self.authoritative = authoritative
        self.recursive = recursive
        self.rcode = rcode
        self.error = error

    def __str__(self) -> str:
        """Say it in words."""
        if self.error:
            return self.error
        if self.serial is None:
            return self.rcode
        return f"serial {self.serial}" + ("" if self.authoritative else ", not authoritative")


def soa_question(zone: str, identity: int) -> bytes:
    """Return the query. Recursion is asked for, to see that it is not offered."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in zone.split("."))
    return (
        struct.pack("!HHHHHH", identity, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", TYPE_SOA, CLASS_IN)
    )


def parse_answer(data: bytes, identity: int) -> Answer:
    """Read the answer. Raises ValueError for bytes that are not an answer to that query."""
    try:
        found, flags, questions, answers = struct.unpack_from("!HHHH", data)
        if found != identity or not flags & 0x8000:
            raise ValueError("this is not the answer to the question")
        answer = Answer(
            authoritative=bool(flags & 0x0400),
            recursive=bool(flags & 0x0080),
            rcode=RCODES.get(flags & 0xF, f"rcode {flags & 0xF}"),
        )
        position = 12
        for _ in range(questions):
            position = _after_name(data, position) + 4
        for _ in range(answers):
            position = _after_name(data, position)
            kind, _, _, length = struct.unpack_from("!HHIH", data, position)
            position += 10
            struct.unpack_from(f"!{length}x", data, position)  # raises where the record is not all there
            if kind == TYPE_SOA:
                numbers = _after_name(data, _after_name(data, position))
                answer.serial = struct.unpack_from("!I", data, numbers)[0]
            position += length
    except (struct.error, IndexError):
        raise ValueError("the answer is cut short") from None
    return answer


def _after_name(data: bytes, position: int) -> int:
    """Return the position behind a domain name, which ends in a zero or in a pointer (RFC 1035 section 4.1.4)."""
    while True:
        length = data[position]
        if length >= 0xC0:
            return position + 2
        position += 1 + length
        if length == 0:
            return position


def ask(address: str, port: int, zone: str, protocol: str) -> Answer:
    """Ask for the SOA of ``zone``; ``protocol`` is "udp" or "tcp". Never raises: see ``Answer.error``."""
    identity = struct.unpack("!H", os.urandom(2))[0]
    question = soa_question(zone, identity)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    try:
        with socket.socket(family, kind) as connection:
            connection.settimeout(SECONDS)
            connection.connect((address, port))
            if protocol == "udp":
                connection.sendall(question)
                data = connection.recv(4096)
            else:
                connection.sendall(struct.pack("!H", len(question)) + question)
                data = _exactly(connection, struct.unpack("!H", _exactly(connection, 2))[0])
        return parse_answer(data, identity)
    except socket.timeout:
        return Answer(error=f"no answer by {protocol.upper()} within {SECONDS:g} seconds")
    except (OSError, ValueError) as error:
        return Answer(error=f"no answer by {protocol.upper()}: {error}")


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise ValueError("the server closed the connection")
        data += part
    return data
