"""A declaration without faults, and the means to break one thing in it."""

import base64
import ipaddress
from typing import Any

from hypothesis import strategies as st
from pyasn1.codec.der import encoder
from pyasn1.type import namedtype, univ

from mailstack.dns import (
    NULL_MX,
    Address,
    Caa,
    Declared,
    DkimKey,
    DmarcPolicy,
    DnsDeclaration,
    DnsRuleError,
    MailExchanger,
    MailHost,
    NameServer,
    Problem,
    Record,
    RecordSet,
    SendingDomain,
    SpfInclude,
    SpfPolicy,
    Srv,
    Text,
    Tlsa,
    declare,
)

# What is declared, the rule it breaks, what the message shows of it, and what the fix says.
Mistake = tuple[DnsDeclaration, str, str, str]

GOOGLE_MX = (MailExchanger(preference=1, exchange="smtp.google.com"),)
GOOGLE_SPF = SpfPolicy(includes=(SpfInclude(domain="_spf.google.com", lookups=4),))
ED25519_KEY = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8463 appendix A.2
RSA_ENCRYPTION = "1.2.840.113549.1.1.1"


def integers(*numbers: int) -> bytes:
    """Return the DER of a SEQUENCE of integers, which is what an RSAPublicKey is."""
    sequence = univ.Sequence()
    for position, number in enumerate(numbers):
        sequence.setComponentByPosition(position, univ.Integer(number))
    return bytes(encoder.encode(sequence))


def public_key_info(key: bytes, algorithm: str = RSA_ENCRYPTION, parameters: bytes = b"\x05\x00") -> str:
    """Return a base64 SubjectPublicKeyInfo around ``key``."""
    identifier = univ.Sequence(
        componentType=namedtype.NamedTypes(
            namedtype.NamedType("algorithm", univ.ObjectIdentifier()),
            namedtype.OptionalNamedType("parameters", univ.Any()),
        )
    )
    identifier["algorithm"] = algorithm
    if parameters:
        identifier["parameters"] = univ.Any(parameters)
    info = univ.Sequence()
    info.setComponentByPosition(0, identifier)
    info.setComponentByPosition(1, univ.BitString.fromOctetString(key))
    return base64.b64encode(encoder.encode(info)).decode("ascii")


def rsa_key(bits: int, salt: int = 1) -> str:
    """Return a base64 public key of exactly ``bits`` bits. Nobody signs with it, so it needs no prime factors."""
    return public_key_info(integers((1 << (bits - 1)) + 2 * salt + 1, 65537))


def domain(**changes: Any) -> SendingDomain:
    """Return a faultless example.com with some fields changed."""
    fields: dict[str, Any] = {
        "name": "example.com",
        "mx": GOOGLE_MX,
        "spf": GOOGLE_SPF,
        "dkim": (DkimKey(selector="s1", public_key=rsa_key(2048)),),
        "dmarc": DmarcPolicy(policy="quarantine", aggregate_reports=("dmarc@example.com",)),
    }
    return SendingDomain(**{**fields, **changes})


def host(**changes: Any) -> MailHost:
    """Return a faultless relay.example.com with some fields changed."""
    fields: dict[str, Any] = {"name": "relay.example.com", "ipv4": ("93.184.216.34",), "helo": True}
    return MailHost(**{**fields, **changes})


def declaration(*domains: SendingDomain, **changes: Any) -> DnsDeclaration:
    """Return a declaration for production of these domains (one faultless domain when there are none)."""
    fields: dict[str, Any] = {"domains": domains or (domain(),), "hosts": (host(),), "production": True}
    return DnsDeclaration(**{**fields, **changes})


def errors_of(broken: DnsDeclaration) -> tuple[Problem, ...]:
    """Return the broken rules of a declaration; none when it is accepted."""
    try:
        declare(broken)
    except DnsRuleError as error:
        return error.problems
    return ()


def declared(*domains: SendingDomain, **changes: Any) -> Declared:
    """Declare what ``declaration`` makes of the arguments."""
    return declare(declaration(*domains, **changes))


def spf(*mechanisms: str, **changes: Any) -> SendingDomain:
    """Return example.com with these mechanisms beside Google's include."""
    return domain(spf=SpfPolicy(**{"includes": GOOGLE_SPF.includes, "mechanisms": mechanisms, **changes}))


def dkim(public_key: str, **changes: Any) -> SendingDomain:
    """Return example.com with one DKIM key."""
    return domain(dkim=(DkimKey(**{"selector": "s1", "public_key": public_key, **changes}),))


def dmarc(**changes: Any) -> SendingDomain:
    """Return example.com with a changed DMARC policy."""
    fields: dict[str, Any] = {"policy": "quarantine", "aggregate_reports": ("dmarc@example.com",)}
    return domain(dmarc=DmarcPolicy(**{**fields, **changes}))


def mx(*exchangers: tuple[Any, str]) -> SendingDomain:
    """Return example.com with these exchangers."""
    return domain(mx=tuple(MailExchanger(preference=number, exchange=name) for number, name in exchangers))


def b64(data: bytes) -> str:
    """Return bytes as base64."""
    return base64.b64encode(data).decode("ascii")


def includes(*names: str, **changes: int) -> DnsDeclaration:
    """Return a declaration of example.com with these includes alone."""
    return declaration(domain(spf=SpfPolicy(includes=tuple(SpfInclude(domain=name, **changes) for name in names))))


def hosts(**changes: object) -> DnsDeclaration:
    """Return a declaration with relay.example.com changed."""
    return declaration(hosts=(host(**changes),))


# Any records below example.com. Texts are repeated pieces: long ones are needed, and drawn whole they are slow.
_PIECES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
_TEXTS = st.builds(lambda piece, times: Text(value=piece * times), _PIECES, st.sampled_from([1, 1, 13, 40]))
_ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address), st.integers(2**120, 2**128 - 1).map(ipaddress.IPv6Address)
).map(lambda address: Address(ip=str(address)))
_EXCHANGERS = st.builds(
    MailExchanger, preference=st.integers(0, 65535), exchange=st.sampled_from(["a.example.net", "b.test.org"])
)
_NUMBERS = st.integers(0, 65535)
_SERVICES = st.builds(
    Srv, priority=_NUMBERS, weight=_NUMBERS, port=_NUMBERS, target=st.sampled_from([".", "a.example.net", "b.test.org"])
)
_SMALL = st.integers(0, 255)
_KEYS = st.builds(
    Tlsa,
    usage=_SMALL,
    selector=_SMALL,
    matching_type=_SMALL,
    certificate=st.binary(min_size=1, max_size=64).map(bytes.hex),
)
_AUTHORITIES = st.builds(
    Caa, flags=st.sampled_from([0, 128]), tag=st.sampled_from(["issue", "issuewild", "iodef"]), value=_PIECES
)
_SERVERS = st.sampled_from([NameServer(host="ns1.example.net"), NameServer(host="ns2.test.org")])
_NAMES = st.sampled_from(
    ["example.com", "_dmarc.example.com", "a.example.com", "s1._domainkey.b.example.com", "*._domainkey.example.com"]
)
_DATA = st.one_of(_TEXTS, _ADDRESSES, _EXCHANGERS, st.just(NULL_MX), _SERVICES, _KEYS, _AUTHORITIES)
_DELEGATIONS = st.tuples(st.just("b.example.com"), _SERVERS)
RECORD_SETS = st.lists(st.one_of(st.tuples(_NAMES, _DATA), _DELEGATIONS), max_size=6).map(
    lambda pairs: RecordSet.of(Record.of(name, 3600, data) for name, data in pairs)
)
