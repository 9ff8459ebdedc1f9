"""The first flight of TLS 1.2 and older by hand: what would a server agree to, whatever the local OpenSSL still knows?

A ClientHello (RFC 5246 §7.4.1.2) with a chosen version and chosen cipher suites, then ServerHello and Certificate are
read, which are in clear, and the connection ends. No library offers RC4, 3DES, EXPORT or compression any more.
"""

import ipaddress
import secrets
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = [
    "ANY_SIGNATURE",
    "CBC",
    "FORWARD_SECRET",
    "SHA_1",
    "STATIC_RSA",
    "TLS_1_1",
    "TLS_1_2",
    "WEAK",
    "ServerHello",
    "say_hello",
]

TLS_1_1, TLS_1_2 = 0x0302, 0x0303
HANDSHAKE, ALERT, SERVER_HELLO, CERTIFICATE = 22, 21, 2, 11
WARNING, CLOSE = b"\x01", b"\x00"
SERVER_NAME, GROUPS, POINT_FORMATS, SIGNATURES, EXTENDED_MASTER_SECRET, RENEGOTIATION = 0, 10, 11, 13, 23, 0xFF01
NO_COMPRESSION, DEFLATE = 0, 1
# IANA's TLS SignatureScheme: with SHA-2, and the two with SHA-1.
SHA_1 = (0x0203, 0x0201)
ANY_SIGNATURE = (0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, *SHA_1)
# A chain of certificates is far below this; more is no TLS server.
MOST_BYTES = 1 << 17

# IANA's TLS Cipher Suites. Authenticated encryption with forward secrecy: what one wants.
FORWARD_SECRET = {
    0xC02B: "ECDHE-ECDSA-AES128-GCM-SHA256",
    0xC02F: "ECDHE-RSA-AES128-GCM-SHA256",
    0xC02C: "ECDHE-ECDSA-AES256-GCM-SHA384",
    0xC030: "ECDHE-RSA-AES256-GCM-SHA384",
    0xCCA9: "ECDHE-ECDSA-CHACHA20-POLY1305",
    0xCCA8: "ECDHE-RSA-CHACHA20-POLY1305",
    0x009E: "DHE-RSA-AES128-GCM-SHA256",
    0x009F: "DHE-RSA-AES256-GCM-SHA384",
}
CBC = {
    0xC013: "ECDHE-RSA-AES128-SHA",
    0xC009: "ECDHE-ECDSA-AES128-SHA",
    0xC014: "ECDHE-RSA-AES256-SHA",
    0xC00A: "ECDHE-ECDSA-AES256-SHA",
    0x0033: "DHE-RSA-AES128-SHA",
    0x0039: "DHE-RSA-AES256-SHA",
}
STATIC_RSA = {
    0x009C: "AES128-GCM-SHA256",
    0x009D: "AES256-GCM-SHA384",
    0x002F: "AES128-SHA",
    0x0035: "AES256-SHA",
    0x003C: "AES128-SHA256",
    0x003D: "AES256-SHA256",
}
WEAK = {
    0x0001: "NULL-MD5",
    0x0002: "NULL-SHA",
    0x003B: "NULL-SHA256",
    0xC006: "ECDHE-ECDSA-NULL-SHA",
    0xC010: "ECDHE-RSA-NULL-SHA",
    0x0003: "EXP-RC4-MD5",
    0x0006: "EXP-RC2-CBC-MD5",
    0x0008: "EXP-DES-CBC-SHA",
    0x0014: "EXP-DHE-RSA-DES-CBC-SHA",
    0x0004: "RC4-MD5",
    0x0005: "RC4-SHA",
    0xC007: "ECDHE-ECDSA-RC4-SHA",
    0xC011: "ECDHE-RSA-RC4-SHA",
    0x0009: "DES-CBC-SHA",
    0x0015: "DHE-RSA-DES-CBC-SHA",
    0x000A: "DES-CBC3-SHA",
    0x0016: "DHE-RSA-DES-CBC3-SHA",
    0xC008: "ECDHE-ECDSA-DES-CBC3-SHA",
    0xC012: "ECDHE-RSA-DES-CBC3-SHA",
}


@dataclass(frozen=True, kw_only=True)
class ServerHello:
    """What a server chose. ``certificates`` are those it sent, DER, its own first."""

    version: int
    cipher: int
    compressed: bool
    extensions: frozenset[int]
    certificates: tuple[bytes, ...] = ()

    @property
    def secure_renegotiation(self) -> bool:
        """Tell whether it knows RFC 5746."""
        return RENEGOTIATION in self.extensions

    @property
    def extended_master_secret(self) -> bool:
        """Tell whether it knows RFC 7627."""
        return EXTENDED_MASTER_SECRET in self.extensions


def say_hello(
    connection: socket.socket,
    name: str,
    version: int,
    ciphers: Sequence[int],
    signatures: Sequence[int] = ANY_SIGNATURE,
) -> ServerHello | None:
    """Offer ``ciphers`` of ``version``, and compression; return the choice, None where the server declined.

    ``signatures`` are the algorithms it may sign its part of the key exchange with. Raises TimeoutError where it says
    nothing.
    """
    try:
        connection.sendall(_client_hello(name, version, ciphers, signatures))
        return _read(connection)
    except TimeoutError:
        raise
    except (OSError, struct.error, IndexError):
        return None  # hung up, or said something that is not TLS


def _client_hello(name: str, version: int, ciphers: Sequence[int], signatures: Sequence[int]) -> bytes:
    body = struct.pack("!H", version) + secrets.token_bytes(32) + b"\0"
    body += _sized(2, b"".join(struct.pack("!H", cipher) for cipher in ciphers))
    body += _sized(1, bytes([DEFLATE, NO_COMPRESSION]))
    body += _sized(
        2, b"".join(struct.pack("!H", kind) + _sized(2, data) for kind, data in _extensions(name, version, signatures))
    )
    message = b"\x01" + _sized(3, body)
    return bytes([HANDSHAKE]) + struct.pack("!H", min(version, TLS_1_1)) + _sized(2, message)


def _extensions(name: str, version: int, signatures: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    if not _is_address(name):
        yield SERVER_NAME, _sized(2, b"\0" + _sized(2, name.encode()))
    yield GROUPS, _sized(2, struct.pack("!5H", 29, 23, 24, 25, 256))  # x25519, the three NIST curves, ffdhe2048
    yield POINT_FORMATS, b"\x01\x00"
    if version >= TLS_1_2:
        yield SIGNATURES, _sized(2, struct.pack(f"!{len(signatures)}H", *signatures))
    yield EXTENDED_MASTER_SECRET, b""
    yield RENEGOTIATION, b"\0"


def _read(connection: socket.socket) -> ServerHello | None:
    messages = b""
    hello: ServerHello | None = None
    total = 0
    while total < MOST_BYTES:
        kind, _, length = struct.unpack("!BHH", _exactly(connection, 5))
        data = _exactly(connection, length)
        total += length
        if kind == ALERT and data[:1] == WARNING and data[1:] != CLOSE:
            continue  # such as that it has no certificate of this name; the handshake goes on
        if kind != HANDSHAKE:
            return hello  # an alert that ends it: no
        messages += data
        while len(messages) >= 4 and len(messages) >= 4 + int.from_bytes(messages[1:4], "big"):
            end = 4 + int.from_bytes(messages[1:4], "big")
            message, body, messages = messages[0], messages[4:end], messages[end:]
            if message == SERVER_HELLO:
                hello = _server_hello(body)
            elif hello is None:
                return None
            elif message == CERTIFICATE:
                return _with_certificates(hello, body)
            else:
                return hello  # an anonymous key exchange has no certificate
    return hello


def _server_hello(body: bytes) -> ServerHello:
    session = body[34]
    version, (cipher, compression) = body[:2], struct.unpack_from("!HB", body, 35 + session)
    rest, extensions = body[38 + session + 2 :], set()
    while len(rest) >= 4:
        kind, length = struct.unpack_from("!HH", rest)
        extensions.add(kind)
        rest = rest[4 + length :]
    return ServerHello(
        version=int.from_bytes(version, "big"),
        cipher=cipher,
        compressed=compression != NO_COMPRESSION,
        extensions=frozenset(extensions),
    )


def _with_certificates(hello: ServerHello, body: bytes) -> ServerHello:
    rest, found = body[3:], []
    while len(rest) >= 3:
        length = int.from_bytes(rest[:3], "big")
        found.append(rest[3 : 3 + length])
        rest = rest[3 + length :]
    return ServerHello(
        version=hello.version,
        cipher=hello.cipher,
        compressed=hello.compressed,
        extensions=hello.extensions,
        certificates=tuple(found),
    )


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise ConnectionResetError("the server hung up")
        data += more
    return data


def _sized(octets: int, data: bytes) -> bytes:
    return len(data).to_bytes(octets, "big") + data


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
