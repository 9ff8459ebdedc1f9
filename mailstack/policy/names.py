"""Rules about DNS records, wherever they are served from."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mailstack.dns.tags import tags_of
from mailstack.policy.model import EVERYWHERE, Level, Policy, Resource, Seen, Unclear
from mailstack.policy.wire import UNKNOWN, has_unknown, text_of

__all__ = ["DMARC", "NOT_PROXIED", "TTL"]

AT_CLOUDFLARE = re.compile(r"cloudflare:index/(dnsRecord:DnsRecord|record:Record)")
# Of these Cloudflare shows its own addresses, where they are proxied.
PROXIABLE = frozenset({"A", "AAAA", "CNAME"})
ENFORCED = frozenset({"quarantine", "reject"})
# What `dns.records` and the domains' settings write: `record/NAME-txt-dmarc` to `TTL "text" "text"`.
SHOWN = "record/"
DMARC_NAME = "_dmarc"
# Cloudflare's "automatic".
AUTOMATIC, AUTOMATIC_SECONDS = 1, 300


@dataclass(frozen=True, kw_only=True)
class _Record:
    what: str
    name: str
    ttl: Any
    text: Any


def _records(resource: Resource) -> Iterator[_Record]:
    inputs = resource.inputs
    if AT_CLOUDFLARE.fullmatch(resource.type):
        name, kind, ttl = str(inputs.get("name")), str(inputs.get("type")), inputs.get("ttl")
        # Before version 6 of the provider a record's text was its `value`.
        text = inputs.get("content", inputs.get("value", ""))
        yield _Record(
            what=f"{name} {kind}",
            name=name.lower().rstrip("."),
            ttl=AUTOMATIC_SECONDS if ttl == AUTOMATIC else ttl,
            text=_joined(text) if isinstance(text, str) else text,
        )
    if resource.is_component("DnsRecords"):
        for key, value in inputs.items():
            if key.startswith(SHOWN) and isinstance(value, str):
                ttl, _, text = value.partition(" ")
                name = re.sub(r"-txt(-[a-z-]+)?$", "", key.removeprefix(SHOWN))
                yield _Record(what=key.removeprefix(SHOWN), name=name, ttl=ttl, text=_joined(text))


def _joined(text: str) -> str:
    """Return a TXT record's strings as the one that readers make of them."""
    return text.replace('" "', "").strip('"')


def _not_proxied(resource: Resource, _seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    inputs = resource.inputs
    kind = inputs.get("type")
    if not AT_CLOUDFLARE.fullmatch(resource.type) or (kind is not UNKNOWN and text_of(kind) not in PROXIABLE):
        return
    if has_unknown(inputs.get("proxied")):
        yield Unclear("proxied")
    elif inputs.get("proxied") and kind is UNKNOWN:
        yield Unclear("type")
    elif inputs.get("proxied"):
        yield f"{inputs.get('name')} {kind} is proxied: Cloudflare's proxy takes no mail"


def _dmarc(resource: Resource, seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    for record in _records(resource):
        if record.name != DMARC_NAME and not record.name.startswith(f"{DMARC_NAME}."):
            continue
        if record.text is UNKNOWN:
            yield Unclear("content")
            continue
        # Spaces may stand around each equals sign (RFC 9989 §4.8).
        if not re.match(r"\s*v\s*=\s*dmarc1\b", str(record.text).lower()):
            continue
        # A name without its zone is one below it.
        domain = record.name.removeprefix(DMARC_NAME).removeprefix(".") or "the zone"
        tags = tags_of(record.text.lower()) or {}
        if domain in seen.ramps:
            continue  # on its way, with dates that `mailstack validate` holds it to
        for tag in ("p", "sp", "np"):
            if tags.get(tag, "none" if tag == "p" else "reject") not in ENFORCED:
                yield f"{record.name} says {tag}={tags.get(tag, '(nothing)')}: mail in {domain}'s name by others passes"
        if tags.get("t") == "y" or tags.get("pct") == "0":
            yield f"{record.name} is only a test (t=y or pct=0): receivers do not apply its policy"
        elif tags.get("pct", "100") != "100":
            yield f"{record.name} has pct={tags['pct']}: to the other messages many receivers do not apply it"


def _ttl(resource: Resource, _seen: Seen, config: Mapping[str, Any]) -> Iterator[str]:
    least, most = int(config["min_seconds"]), int(config["max_seconds"])
    for record in _records(resource):
        if record.ttl is UNKNOWN:
            yield Unclear("ttl")
        if not re.fullmatch(r"\d+(\.\d+)?", str(record.ttl)):
            continue
        seconds = int(float(record.ttl))
        if not least <= seconds <= most:
            yield f"{record.what} has a TTL of {seconds} seconds, outside {least} to {most}"


NOT_PROXIED = Policy(
    name="mail-hosts-are-not-proxied",
    description="No record of the mail stack hides behind Cloudflare's proxy.",
    level=Level.MANDATORY,
    source="https://developers.cloudflare.com/dns/proxy-status/",
    remedy="set proxied to false; a web site gets a name of its own, and that record stands in the policy's `except`",
    check=_not_proxied,
)
DMARC = Policy(
    name="dmarc-is-enforced",
    description="In production receivers are told to quarantine or reject mail that fails DMARC.",
    level=Level.MANDATORY,
    environments=frozenset({"prod"}),
    source="RFC 9989 §4.7 (DMARC policies), Google's sender guidelines",
    remedy="set domains[].dmarc.policy to quarantine or reject, or declare a ramp with dates in domains[].dmarc.ramp",
    check=_dmarc,
)
TTL = Policy(
    name="ttl-has-bounds",
    description="Records live long enough to be cached and short enough to be corrected within a day.",
    level=Level.ADVISORY,
    environments=EVERYWHERE,
    source="RFC 1912 §2.2, RFC 8767 §4",
    remedy="set dns.ttl, or the record's own ttl, to 300 to 86400 seconds",
    check=_ttl,
    settings={"min_seconds": 60, "max_seconds": 86_400},
)
