"""Our reading of DER, held against pyasn1."""

from hypothesis import example, given
from hypothesis import strategies as st
from pyasn1.codec.der import decoder, encoder
from pyasn1.error import PyAsn1Error
from pyasn1.type import univ

from mailstack.dns import der
from tests.unit.dns.dns_examples import integers

NUMBERS = st.lists(st.integers(0, 2**600), max_size=9)


@given(NUMBERS)
@example([0, 127, 128, 255, 256, 2**1023, 2**1024 - 1])
def test_numbers_are_written_and_read_like_a_library_does(numbers: list[int]) -> None:
    assert der.encode_integers(*numbers) == integers(*numbers)
    assert der.read_integers(integers(*numbers)) == tuple(numbers)


def shortest(*numbers: int) -> bytes:
    """Return the one DER form of a SEQUENCE of INTEGERs. pyasn1 writes -128 with a byte too many."""
    contents = [n.to_bytes((n if n >= 0 else n + 1).bit_length() // 8 + 1, "big", signed=True) for n in numbers]
    return der.encode(der.SEQUENCE, b"".join(der.encode(der.INTEGER, content) for content in contents))


@given(st.lists(st.integers(-(2**80), 2**80), max_size=4))
@example([-128, -129, -1, -256, -257])
def test_negative_numbers_are_read(numbers: list[int]) -> None:
    assert der.read_integers(shortest(*numbers)) == tuple(numbers)


@given(st.binary(max_size=40))
@example(bytes.fromhex("3080020101" + "0000"))  # indefinite length
@example(bytes.fromhex("308103020101"))  # long form where the short one does
@example(bytes.fromhex("300402020001"))  # a leading zero too many
@example(bytes.fromhex("30040202ff80"))
@example(bytes.fromhex("3003020180"))
@example(bytes.fromhex("30020200"))  # a number of no bytes
@example(bytes.fromhex("3003020101" + "00"))  # something behind it
@example(bytes.fromhex("3005020101"))  # cut off
@example(bytes.fromhex("30"))
@example(bytes.fromhex("3082"))
@example(bytes.fromhex("30048201" + "0101"))
@example(b"")
def test_what_is_read_is_written_the_same(raw: bytes) -> None:
    numbers = der.read_integers(raw)
    if numbers is None:
        return
    assert shortest(*numbers) == raw


@given(st.binary(max_size=24))
def test_sequence_that_is_read_is_written_the_same(raw: bytes) -> None:
    values = der.read_sequence(raw)
    if values is None:
        return
    assert der.encode(der.SEQUENCE, b"".join(der.encode(tag, content) for tag, content in values)) == raw


@given(st.lists(st.one_of(st.integers(0, 2**64).map(univ.Integer), st.binary(max_size=300).map(univ.OctetString))))
def test_sequence_of_a_library_is_read(items: list[univ.Integer | univ.OctetString]) -> None:
    sequence = univ.Sequence()
    for position, item in enumerate(items):
        sequence.setComponentByPosition(position, item)
    values = der.read_sequence(bytes(encoder.encode(sequence))) if items else ()
    assert values == tuple((bytes(encoder.encode(item))[0], _content(item)) for item in items)


def _content(item: univ.Integer | univ.OctetString) -> bytes:
    try:
        decoded, _ = decoder.decode(encoder.encode(item))
    except PyAsn1Error as error:
        raise AssertionError from error
    if isinstance(decoded, univ.OctetString):
        return bytes(decoded)
    number = int(decoded)
    return number.to_bytes(number.bit_length() // 8 + 1, "big")
