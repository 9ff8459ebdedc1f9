"""DER values (ITU-T X.690 §10), as strict as verifiers of DKIM keys need: one way to write a value, nothing after it.

Only what keys consist of. A thousand domains have a thousand keys, and a general ASN.1 library takes half a
millisecond for each.
"""

__all__ = [
    "BIT_STRING",
    "INTEGER",
    "NULL",
    "OBJECT_IDENTIFIER",
    "OCTET_STRING",
    "SEQUENCE",
    "Value",
    "encode",
    "encode_integers",
    "read_integers",
    "read_sequence",
    "read_values",
]

INTEGER, BIT_STRING, OCTET_STRING, NULL, OBJECT_IDENTIFIER, SEQUENCE = 0x02, 0x03, 0x04, 0x05, 0x06, 0x30
_LONG_FORM = 0x80  # the lowest length octet that says how many length octets follow
_MULTI_BYTE_TAG = 0x1F

Value = tuple[int, bytes]  # tag and content


def read_values(data: bytes) -> tuple[Value, ...] | None:
    """Return tag and content of each of the values that stand one after another; None when they are not in DER."""
    values: list[Value] = []
    position, end = 0, len(data)
    while position < end:
        tag = data[position]
        if tag & _MULTI_BYTE_TAG == _MULTI_BYTE_TAG or position + 2 > end:
            return None
        size = data[position + 1]
        position += 2
        if size >= _LONG_FORM:
            octets = size - _LONG_FORM
            size = int.from_bytes(data[position : position + octets], "big")
            # Indefinite lengths, leading zeros and a long form that was not needed are BER only.
            if octets == 0 or position + octets > end or data[position] == 0 or size < _LONG_FORM:
                return None
            position += octets
        if position + size > end:
            return None
        values.append((tag, data[position : position + size]))
        position += size
    return tuple(values)


def read_sequence(der: bytes) -> tuple[Value, ...] | None:
    """Return tag and content of each value in a SEQUENCE; None unless the bytes are exactly one SEQUENCE in DER."""
    outer = read_values(der)
    if outer is None or len(outer) != 1 or outer[0][0] != SEQUENCE:
        return None
    return read_values(outer[0][1])


def read_integers(der: bytes) -> tuple[int, ...] | None:
    """Return the numbers of a SEQUENCE of INTEGERs; None unless the bytes are exactly that, in shortest form."""
    values = read_sequence(der)
    if values is None or not all(tag == INTEGER and _is_shortest(content) for tag, content in values):
        return None
    return tuple(int.from_bytes(content, "big", signed=True) for _, content in values)


def encode(tag: int, content: bytes) -> bytes:
    """Return one value."""
    size = len(content)
    if size < _LONG_FORM:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, _LONG_FORM | len(length)]) + length + content


def encode_integers(*numbers: int) -> bytes:
    """Return a SEQUENCE of INTEGERs; the numbers must not be negative."""
    return encode(
        SEQUENCE,
        b"".join(encode(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big")) for number in numbers),
    )


def _is_shortest(content: bytes) -> bool:
    # Two's complement: a first byte that only repeats the sign bit of the second is one too many.
    return len(content) == 1 or (
        len(content) > 1 and not (content[0] in {0x00, 0xFF} and (content[0] ^ content[1]) < _LONG_FORM)
    )
