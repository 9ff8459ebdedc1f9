"""Domain names and addresses: normal form and rules."""

import ipaddress
import re

from mailstack.maildns.problems import Problem

__all__ = ["absolute", "address_problems", "is_below", "name_problems"]

HOST_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
# An underscore marks a service label (RFC 8552); such names hold TXT records, never hosts.
SERVICE_LABEL = re.compile(r"_?(?!-)[a-z0-9-]{1,62}(?<!-)")
NAME_CHARACTERS = 253


def absolute(name: str) -> str:
    """Return ``name`` in lower case as A-labels, without its final dot. Raises ValueError where IDNA cannot."""
    text = name.strip().rstrip(".").lower()
    if text.isascii():
        return text
    try:
        return text.encode("idna").decode()
    except UnicodeError as error:
        raise ValueError(f"{name} has no ASCII form: {error}") from None


def is_below(name: str, parent: str) -> bool:
    """Tell whether ``name`` is ``parent`` or below it."""
    return name == parent or name.endswith(f".{parent}")


def name_problems(name: str, what: str, *, host: bool) -> list[Problem]:
    """Return what is wrong with ``name``. ``host`` forbids underscores (RFC 1123 §2.1)."""
    pattern = HOST_LABEL if host else SERVICE_LABEL
    labels = name.split(".")
    if len(name) <= NAME_CHARACTERS and len(labels) > 1 and all(pattern.fullmatch(label) for label in labels):
        return []
    return [
        Problem(
            record=what,
            rule="name-syntax",
            source="RFC 1035 §2.3.4, RFC 1123 §2.1",
            found=name or "an empty name",
            expected="labels of 1 to 63 letters, digits and inner hyphens, 253 characters in all",
            fix="correct the name; an underscore is only allowed in service labels such as _dmarc",
        )
    ]


def address_problems(ip: str, what: str, *, production: bool) -> list[Problem]:
    """Return what is wrong with an address to publish. Outside production any valid address will do."""
    source = "RFC 6890"
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return [
            Problem(
                record=what,
                rule="address-syntax",
                source="RFC 1035 §3.4.1",
                found=ip,
                expected="must be an IP address without a mask",
                fix="write 192.0.2.1 or 2001:db8::1",
            )
        ]
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    if not production or (address.is_global and not address.is_multicast and not mapped):
        return []
    return [
        Problem(
            record=what,
            rule="address-public",
            source=source,
            found=ip,
            expected="must be a public unicast address",
            fix="publish the address others reach the host at",
        )
    ]
