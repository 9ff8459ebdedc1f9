"""One zone with what is wrong with it: the shape of the data in ``zones``, and what it becomes for a server.

Every case has a domain of its own (its name below ``example``) and addresses of its own, so that one server holds all.
``{d}`` stands for the domain, ``{n}`` for its number, ``{ip}`` and ``{ip6}`` for the addresses of its mail host,
``{first}`` and ``{second}`` for those of the name servers.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import dns.dnssec
import dns.name
import dns.rdata

from mailstack.dns import mta_sts_id
from mailstack.verify.model import State
from mailstack.verify.target import Target
from tests.unit.brand_marks import LOGO

FAIL, WARN, UNKNOWN = State.FAIL, State.WARN, State.UNKNOWN
# Public keys made once for these tests; their private halves were not kept.
KEY2048 = (
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA36gE1E44dX95DEHJRta6MK8Jx0IvNu5204xXTJfBcH5uDmO2mi9Af7nh"
    "VO7hXIqCTj7SeKtHcZhJX9FZCj/J63STx7Q5DvRbVjaZl8d8ZYPMkYCvG2DT1z/0cawmVjDD0+YcuNkyQl7T2HquxdbObNcW23ql"
    "aZdhTs0PjldmiVQE9VP3VJkPiDyqlzjfbkQuPKZX7LlE4hH1rkWfkp9eXXAMh4EabeUpI9Qw8f/mEZq/XMXKvJi/aftn5Opx0POT"
    "vlYqLexTiPUJgQQOoy/B7ZcdTQnzbrf6pvKJuZM950CUplkGLD9t7AszwfOaVJZKMXz3e00ICfihdatjiiu3MwIDAQAB"
)
KEY1024 = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCuc5QR9GXQezSdZjStDl7Ve5jOAFcaX+kj1bDPkAnOUAU/2s8uVcPULiUInhhP"
    "ejPSaz4UKCKGIsbfYXcqeICWqVnT2f8xUAFJY7dCnuWoPdYHuHe7j80ygDLcggDLMdas/eMdWSkuPPuKcUvJ3amLMVgkr5FeRW6l"
    "3rrcW41C4wIDAQAB"
)
KEY512 = (
    "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALKZD0nEffqM1ACuak0bijtqE2QrI/KLADv7l3kK3ppMyCuLKoF0fd7Ai2KW5ToIwzFo"
    "fvJcS/STa6HA5gQenRUCAwEAAQ=="
)
ED25519 = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8463 §A.2
# Of RFC 8080 §6.1 (Ed25519).
DNSKEY = "257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4="
LOGO_AT = "https://logo.{d}/logo.svg"
POLICY = "version: STSv1\nmode: enforce\nmx: mx.{d}\nmax_age: 604800\n"

GOOD: Mapping[str, str] = {
    "soa": "@ 300 IN SOA ns1 hostmaster 7 7200 3600 1209600 300",
    "ns": "@ 300 IN NS ns1\n@ 300 IN NS ns2",
    "ns1": "ns1 300 IN A {first}\nns1 300 IN AAAA ::ffff:{first}",
    "ns2": "ns2 300 IN A {second}",
    "mx": "@ 300 IN MX 10 mx",
    "host": "mx 300 IN A {ip}\nmx 300 IN AAAA {ip6}",
    "helo": 'mx 300 IN TXT "v=spf1 a -all"',
    "spf": '@ 300 IN TXT "v=spf1 ip4:{ip} ip6:{ip6} -all"',
    "dkim": 's1._domainkey 300 IN TXT "v=DKIM1; k=rsa; p={key}"',
    "dmarc": '_dmarc 300 IN TXT "v=DMARC1; p=reject; rua=mailto:dmarc@rua.{d}"',
    "rua": "rua 300 IN MX 10 mx",
    "rp": 'rp 300 IN MX 10 mx\nrp 300 IN TXT "v=spf1 ip4:{ip} ip6:{ip6} -all"',
    "track": "track 300 IN CNAME mx",
    "sts": '_mta-sts 300 IN TXT "v=STSv1; id={id}"\nmta-sts 300 IN A {ip}',
    "tls": '_smtp._tls 300 IN TXT "v=TLSRPTv1; rua=mailto:tls@{d}"',
    "caa": '@ 300 IN CAA 0 issue "letsencrypt.org"',
}
UNSIGNED = ("zone-dnssec", WARN, "not signed")


@dataclass(frozen=True, kw_only=True)
class Case:
    """``swap`` are other lines for a part of ``GOOD`` (None: no such part), ``add`` further lines. ``second`` is what
    the second server has instead (None: the zone is not there), ``late`` what the second resolver still has.

    ``domain``, ``host`` and ``whole`` change the target. ``reverse`` and ``reverse6`` are the names of the addresses
    (empty: none). ``delegation`` are the parent's lines. ``elsewhere`` are zones of others. ``policy`` is what HTTPS
    serves: a text of ``content_type``, or a status; ``logo`` is what it serves at ``LOGO_AT``. ``untrusted``: with a
    certificate nobody trusts. ``ds``: signed, with this DS; ``bogus``: and wrong. ``silent``: its servers do not
    answer; ``partly_silent``: one address of them does not. ``found`` is everything that is not in order, but for
    ``UNSIGNED``. ``only_here`` says why a real server cannot serve it.
    """

    name: str
    found: tuple[tuple[str, State, str], ...] = ()
    swap: Mapping[str, str | None] = field(default_factory=dict)
    add: str = ""
    second: Mapping[str, str | None] | None = field(default_factory=dict)
    late: Mapping[str, str | None] = field(default_factory=dict)
    domain: Mapping[str, Any] = field(default_factory=dict)
    host: Mapping[str, Any] | None = field(default_factory=dict)
    whole: Mapping[str, Any] = field(default_factory=dict)
    reverse: tuple[str, ...] = ("mx.{d}",)
    reverse6: tuple[str, ...] = ("mx.{d}",)
    delegation: str = (
        "{d}. 300 IN NS ns1.{d}.\n{d}. 300 IN NS ns2.{d}.\nns1.{d}. 300 IN A {first}\n"
        "ns1.{d}. 300 IN AAAA ::ffff:{first}\nns2.{d}. 300 IN A {second}\n"
    )
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    policy: str | int = POLICY
    content_type: str = "text/plain; charset=utf-8"
    logo: str = LOGO
    untrusted: bool = False
    ds: str = ""
    bogus: bool = False
    silent: bool = False
    partly_silent: bool = False
    only_here: str = ""

    def filled(self, number: int, first: str, second: str) -> "Filled":
        """Return it with its names and addresses."""
        return Filled(case=self, number=number, first=first, second=second)


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A case with number and name servers."""

    case: Case
    number: int
    first: str
    second: str

    @property
    def name(self) -> str:
        return f"{self.case.name}.example"

    @property
    def ip(self) -> str:
        return f"93.184.{self.number}.10"

    @property
    def ip6(self) -> str:
        return f"2606:2800:{self.number:x}::25"

    def text(self, template: str) -> str:
        """Fill in what stands in braces."""
        plain = {
            "{d}": self.name,
            "{n}": str(self.number),
            "{ip}": self.ip,
            "{ip6}": self.ip6,
            "{first}": self.first,
            "{second}": self.second,
            "{key}": KEY2048,
        }
        for placeholder, value in plain.items():
            template = template.replace(placeholder, value)
        for placeholder, digest in (("{ds}", "SHA256"), ("{sha1}", "SHA1")):
            if placeholder in template:  # it takes long to work out, and there are thousands of texts
                template = template.replace(placeholder, ds_of(self.name, digest))
        return template.replace("{id}", self.policy_id) if "{id}" in template else template

    @property
    def policy(self) -> str | int:
        policy = self.case.policy
        return policy if isinstance(policy, int) else self.text(policy)

    @property
    def policy_id(self) -> str:
        return mta_sts_id(self.policy) if isinstance(self.policy, str) else "1"

    def anything(self, value: Any) -> Any:
        """Fill in every text within a value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.anything(one) for key, one in value.items()}
        return type(value)(map(self.anything, value)) if isinstance(value, (tuple, list)) else value

    def zone(self, *changes: Mapping[str, str | None]) -> str:
        """Return the zone's text, with the case's changes and these."""
        parts: dict[str, str | None] = {**GOOD, **self.case.swap}
        for change in changes:
            parts.update(change)
        lines = "\n".join(part for part in (*parts.values(), self.case.add) if part)
        return quoted(self.text(lines)) + "\n"

    def zones(self) -> dict[str, str]:
        """Return every zone that the case needs, but for that of the parent."""
        head = "@ 300 IN SOA ns h 1 7200 3600 1209600 300\n@ 300 IN NS ns1.{d}.\n"
        found = {self.name: self.zone()}
        for address, names in ((self.ip, self.case.reverse), (self.ip6, self.case.reverse6)):
            pointer = ipaddress.ip_address(address).reverse_pointer
            origin = ".".join(pointer.split(".")[1:] if "." in address else pointer.split(".")[20:])
            lines = "".join(f"{pointer}. 300 IN PTR {name}.\n" for name in names)
            found[origin] = self.text(head + lines)
        for name, text in self.case.elsewhere.items():
            found[self.text(name)] = quoted(self.text(head + text + "\n"))
        return found

    def target(self) -> Target:
        """Return what is looked at."""
        domain = {
            "name": "{d}",
            "receives": True,
            "senders": ("{ip}", "{ip6}"),
            "return_paths": ("rp.{d}",),
            "dkim": ({"selector": "s1"},),
            "mta_sts": {"mode": "enforce", "mx": ("mx.{d}",), "policy_id": "{id}"},
            "tracking": ("track.{d}",),
            **self.case.domain,
        }
        host = {"name": "mx.{d}", "addresses": ("{ip}", "{ip6}"), "helo": True, "ports": ({"port": 25},)}
        hosts = () if self.case.host is None else ({**host, **self.case.host},)
        zones = {"{d}": ("ns1.{d}", "ns2.{d}")}
        whole = {"domains": (domain,), "hosts": hosts, "zones": zones, "issuers": ("letsencrypt.org",)}
        return Target.model_validate(self.anything({**whole, **self.case.whole}))

    def expected(self) -> list[tuple[str, State, str]]:
        """Return what must be found, and nothing else."""
        base = () if self.case.ds or any(check == "zone-dnssec" for check, _, _ in self.case.found) else (UNSIGNED,)
        return [(check, state, self.text(words)) for check, state, words in (*base, *self.case.found)]


@lru_cache
def ds_of(name: str, digest: str) -> str:
    """Return the DS of ``DNSKEY`` for a zone."""
    key = dns.rdata.from_text("IN", "DNSKEY", DNSKEY)
    return dns.dnssec.make_ds(dns.name.from_text(name), key, digest, policy=dns.dnssec.allow_all_policy).to_text()


def quoted(text: str) -> str:
    """Cut quoted strings of more than 255 bytes, as a zone file must have them."""
    lines = []
    for line in text.splitlines():
        head, quote, rest = line.partition('"')
        if quote and len(rest) > 256 and rest.count('"') == 1:
            value = rest.rstrip().removesuffix('"')
            rest = '" "'.join(value[start : start + 250] for start in range(0, len(value), 250)) + '"'
        lines.append(head + quote + rest)
    return "\n".join(lines)
