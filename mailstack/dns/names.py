"""Domain names as this package keeps them: absolute, lower case, A-labels, no final dot."""

import contextlib
import encodings.idna
import ipaddress
import re
from collections.abc import Container, Iterable, Iterator

from mailstack.dns.problems import Findings, RuleError, shown

__all__ = [
    "MAX_LABEL_BYTES",
    "MAX_NAME_BYTES",
    "WILDCARD",
    "NameRuleError",
    "holder",
    "is_normalised",
    "is_owner",
    "is_within",
    "lineage",
    "normalise_name",
    "normalise_owner",
    "read_name",
    "topmost",
]

WILDCARD = "*."
MAX_LABEL_BYTES = 63
MAX_NAME_BYTES = 253  # 255 on the wire, less the first length byte and the root label (RFC 1035 §2.3.4)

# Most names are as they should be. One match tells, and spares them the look at each label.
_PLAIN_NAME = re.compile(
    r"(?!.*(?:^|\.)xn--)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+(?![0-9]+\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SERVICE_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?")
# IDNA 2003, which the standard library speaks, turns these into something else than IDNA 2008 does
# (RFC 5894 §7.2), so the same text would name two different domains.
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d")


class NameRuleError(RuleError):
    """A domain name breaks a rule."""


def normalise_name(value: str, *, service: bool = False) -> str:
    """Return ``value`` as a lower-case A-label name of at least two labels, without the final dot.

    ``service`` permits underscores, for names below which something other than a host is published
    (``_dmarc.example.com``, ``_spf.example.com``). Raises ``NameRuleError``.
    """
    if len(value) <= MAX_NAME_BYTES and _PLAIN_NAME.fullmatch(value) and (service or "_" not in value):
        return value
    _refuse_what_is_no_name(value)
    labels = [_label(label, value, service=service) for label in value.removesuffix(".").split(".")]
    name = ".".join(labels)
    if len(name) > MAX_NAME_BYTES:
        raise NameRuleError(
            "name-length",
            found=f"{shown(name)} of {len(name)} bytes",
            expected=f"at most {MAX_NAME_BYTES} bytes in all",
            fix="use a shorter name",
        )
    if len(labels) < 2 or labels[-1].isdigit():
        raise NameRuleError(
            "name-qualified",
            found=shown(value),
            expected="a fully qualified domain name such as mail.example.com",
            fix="write the name with its registered domain",
        )
    return name


def read_name(value: str, record: str, findings: Findings, *, service: bool = False) -> str | None:
    """Normalise a name; a broken rule is noted in ``findings`` and None returned."""
    try:
        return normalise_name(value, service=service)
    except NameRuleError as error:
        findings.refuse(record, error)
        return None


def is_normalised(name: str, *, service: bool = True) -> bool:
    """Tell whether a name is already as ``normalise_name`` would write it."""
    try:
        return normalise_name(name, service=service) == name
    except NameRuleError:
        return False


def normalise_owner(value: str) -> str:
    """Return the name of a record of any kind, underscores permitted; its first label may be ``*`` (RFC 4592).

    Raises ``NameRuleError``.
    """
    rest = value.removeprefix(WILDCARD)
    return value[: len(value) - len(rest)] + normalise_name(rest, service=True)


def is_owner(name: str) -> bool:
    """Tell whether a name is already as ``normalise_owner`` would write it."""
    return is_normalised(name.removeprefix(WILDCARD))


def is_within(name: str, zone: str) -> bool:
    """Tell whether normalised ``name`` is ``zone`` or below it."""
    return name == zone or name.endswith(f".{zone}")


def topmost(names: Iterable[str]) -> list[str]:
    """Return those of normalised ``names`` that are not below another of them, each once, in their order."""
    once = dict.fromkeys(names)
    return [name for name in once if holder(name.partition(".")[2], once) is None]


def lineage(name: str) -> Iterator[str]:
    """Yield a normalised name and then each of its parents, up to the top-level domain."""
    while name:
        yield name
        name = name.partition(".")[2]


def holder(name: str, domains: Container[str]) -> str | None:
    """Return the longest of ``domains`` (a set, for speed) that a normalised name is in; None when there is none."""
    return next((parent for parent in lineage(name) if parent in domains), None)


def _refuse_what_is_no_name(value: str) -> None:
    """Give the common slips (blank, URL, mail address, IP address) a message of their own."""
    bare = value.removesuffix(".")
    expected = "a domain name such as mail.example.com"
    if not bare or any(c.isspace() for c in value):
        raise NameRuleError("name-syntax", found=shown(value), expected=expected, fix="write the name without blanks")
    if "/" in value or "@" in value or ":" in value:
        raise NameRuleError(
            "name-syntax",
            found=shown(value),
            expected=f"{expected}, not a URL, mail address or IP address",
            fix="keep only the domain name",
        )
    try:
        ipaddress.IPv4Address(bare)
    except ValueError:
        return
    raise NameRuleError(
        "name-syntax",
        found=f"the IP address {shown(value)}",
        expected=expected,
        fix="give a host name and declare its address with that host",
    )


def _label(label: str, name: str, *, service: bool) -> str:
    if not label:
        raise NameRuleError(
            "name-syntax",
            found=f"an empty label in {shown(name)}",
            expected=f"labels of 1 to {MAX_LABEL_BYTES} bytes between single dots",
            fix="remove the extra dot",
        )
    text = label.lower() if label.isascii() else _to_a_label(label, name)
    if len(text) > MAX_LABEL_BYTES:
        raise NameRuleError(
            "name-length",
            found=f"the label {shown(text)} of {len(text)} bytes",
            expected=f"labels of at most {MAX_LABEL_BYTES} bytes",
            fix="use a shorter label",
        )
    if "_" in text and not service:
        raise NameRuleError(
            "name-underscore",
            found=f"an underscore in {shown(name)}",
            expected="letters, digits and hyphens: only service labels such as _dmarc have an underscore",
            fix="use a hyphen instead",
        )
    if not (_SERVICE_LABEL if service else _HOST_LABEL).fullmatch(text):
        raise NameRuleError(
            "name-syntax",
            found=f"the label {shown(text)} in {shown(name)}",
            expected="letters, digits and hyphens, no hyphen first or last",
            fix="correct the label",
        )
    if text.startswith("xn--"):
        _check_a_label(text, name)
    return text


def _to_a_label(label: str, name: str) -> str:
    if not _DEVIATIONS.intersection(label):
        with contextlib.suppress(UnicodeError):
            return encodings.idna.ToASCII(label).decode("ascii").lower()
    raise NameRuleError(
        "name-idn",
        found=f"the label {shown(label)} in {shown(name)}",
        expected="a label with one clear A-label form in all versions of IDNA",
        fix="write the A-label (xn--...) that your registrar shows for the domain",
    )


def _check_a_label(label: str, name: str) -> None:
    try:
        decoded = label.removeprefix("xn--").encode("ascii").decode("punycode")
    except UnicodeError:
        decoded = ""
    if decoded.isascii():
        raise NameRuleError(
            "name-idn",
            found=f"the label {shown(label)} in {shown(name)}",
            expected="an A-label that decodes to a Unicode label",
            fix="copy the A-label from your registrar, or write the name in Unicode",
        )
