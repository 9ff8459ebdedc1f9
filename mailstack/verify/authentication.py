"""What a received message proves: the receiver's Authentication-Results, and its DKIM signatures against DNS.

Uses authres (RFC 8601) and dkimpy (RFC 6376, RFC 8463).
"""

import email
import email.policy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parseaddr

import authres
import dkim

from mailstack.verify.asking import Dns

__all__ = ["Received", "Signature", "aligned", "read", "signatures"]


@dataclass(frozen=True, kw_only=True)
class Received:
    """Headers of a message. ``results`` maps spf, dkim and dmarc to each result and its properties.

    ``authserv_id`` is who judged, empty where nobody did.
    """

    author: str
    received: tuple[str, ...]
    authserv_id: str
    results: Mapping[str, tuple[tuple[str, Mapping[str, str]], ...]]
    unsubscribe: str


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A DKIM signature. ``valid`` None: it cannot be judged, and ``why``."""

    domain: str
    selector: str
    headers: tuple[str, ...]
    valid: bool | None
    why: str = ""


def read(raw: bytes, authserv_id: str | None) -> Received:
    """Read a message. Only the topmost Authentication-Results counts, or those of ``authserv_id``: any below may be
    the sender's own invention (RFC 8601 §7.1).
    """
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    texts = [str(value) for value in message.get_all("Authentication-Results", [])]
    judged = [parsed for text in texts if (parsed := _parsed(text)) is not None]
    if authserv_id is None:
        judged = judged[:1]
    counted = [one for one in judged if authserv_id is None or one.authserv_id == authserv_id]
    results: dict[str, tuple[tuple[str, Mapping[str, str]], ...]] = {}
    for result in (result for one in counted for result in one.results):
        properties = {f"{one.type}.{one.name}": str(one.value) for one in result.properties if one.value is not None}
        method = str(result.method).lower()
        results[method] = (*results.get(method, ()), (str(result.result).lower(), properties))
    return Received(
        author=_domain(str(message.get("From", ""))),
        received=tuple(str(value) for value in message.get_all("Received", [])),
        authserv_id=counted[0].authserv_id if counted else "",
        results=results,
        unsubscribe=" ".join(str(message.get("List-Unsubscribe", "")).split()),
    )


def _parsed(text: str) -> "authres.AuthenticationResultsHeader | None":
    try:
        return authres.AuthenticationResultsHeader.parse("Authentication-Results: " + " ".join(text.split()))
    except authres.AuthResError:
        return None


def _domain(text: str) -> str:
    return parseaddr(text)[1].rpartition("@")[2].lower().rstrip(".")


def aligned(domain: str, author: str) -> bool:
    """Tell whether two domains have one organizational domain (DMARC's relaxed alignment)."""
    # It reads the whole list of public suffixes when it is imported.
    from checkdmarc.utils import get_base_domain  # noqa: PLC0415

    return bool(domain) and get_base_domain(domain.lower()) == get_base_domain(author.lower())


def signatures(raw: bytes, dns: Dns) -> Iterator[Signature]:
    """Verify every signature of a message with the keys that DNS holds now."""
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    for index, header in enumerate(str(value) for value in message.get_all("DKIM-Signature", [])):
        try:
            tags = dkim.util.parse_tag_value(" ".join(header.split()).encode())
        except dkim.util.InvalidTagValueList as error:
            yield Signature(domain="", selector="", headers=(), valid=False, why=f"no tags: {error}")
            continue
        shown = {key.decode(): value.decode("utf-8", "replace") for key, value in tags.items()}
        yield _verified(raw, index, shown, dns)


def _verified(raw: bytes, index: int, tags: Mapping[str, str], dns: Dns) -> Signature:
    domain, selector = tags.get("d", ""), tags.get("s", "")
    answer = dns.look(f"{selector}._domainkey.{domain}", "TXT")
    why, valid = "", None
    if not answer.known:
        why = f"the key is not known: {answer}"
    elif not answer.values:
        valid, why = False, f"there is no key at {answer.name}"
    else:
        try:
            verifier = dkim.DKIM(raw)
            valid = bool(verifier.verify(idx=index, dnsfunc=lambda *_, **__: answer.values[0].encode()))
            why = "" if valid else "the signature does not fit the message and the key in DNS"
        except dkim.DKIMException as error:
            valid, why = False, str(error)
        except ImportError as error:  # Ed25519 needs a further library
            why = f"{tags.get('a', '')}: {error}"
    headers = tuple(name.strip().lower() for name in tags.get("h", "").split(":"))
    return Signature(domain=domain, selector=selector, headers=headers, valid=valid, why=why)
