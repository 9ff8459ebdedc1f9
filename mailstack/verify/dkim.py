"""Checks of DKIM keys in DNS."""

import binascii
from collections.abc import Iterator

import dkim

from mailstack.dns.dkim import GOOD_RSA_BITS, MAX_RSA_BITS
from mailstack.dns.dkim_values import MIN_RSA_BITS, KeyRuleError, check_ed25519, rsa_bits
from mailstack.dns.tags import tags_of
from mailstack.verify.answer import Answer, Outcome
from mailstack.verify.context import Context
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.target import DkimTarget, DomainTarget

__all__ = ["key_name"]

LONGEST_CHAIN = 2  # CNAMEs; each is one more thing that can break


def key_name(selector: str, domain: str) -> str:
    """Return where the key of a selector is."""
    return f"{selector}._domainkey.{domain}".lower()


@check(
    number=15,
    name="dkim-key",
    group="C",
    title="Every selector has one record, as declared, with a key that verifiers take",
    source="RFC 6376 §3.6, RFC 8301 §3, RFC 8463 §4",
    uses="dkimpy, and mailstack.dns for keys (RFC 8032, RFC 8017)",
)
def dkim_key(context: Context) -> Iterator[Finding]:
    """Look at the key of every selector."""
    yield from context.domains(lambda domain: _keys(context, domain))


def _keys(context: Context, domain: DomainTarget) -> Iterator[Finding]:
    if domain.dkim:
        for key in domain.dkim:
            yield from _key(context, domain, key)
        return
    parent = context.dns.look(f"_domainkey.{domain.name}", "TXT")
    if domain.parked:
        yield not_applicable(domain.name, "the domain is parked: nothing is signed in its name")
    elif parent.outcome is Outcome.NO_NAME:
        # There is no name below one that does not exist (RFC 8020 §2).
        yield warn(
            domain.name,
            "no DKIM key: there is nothing at or below _domainkey",
            str(parent),
            expected="the public key of whoever signs",
            fix="declare it in `domains[].dkim`, or publish the keys that your provider gives",
        )
    else:
        yield not_applicable(domain.name, "no selector is named, and DNS does not tell which there are")


def _key(context: Context, domain: DomainTarget, key: DkimTarget) -> Iterator[Finding]:
    name = key_name(key.selector, domain.name)
    answer = context.dns.look(name, "TXT")
    records = [value for value in answer.values if (tags_of(value) or {}).keys() & {"p", "v"}]
    details = (str(answer), *(f"-> {alias}" for alias in answer.chain))
    if not answer.known:
        yield unknown(name, answer.why)
        return
    found = list(_alias(name, key, answer))
    if not answer.values and not found and key.revoked:
        yield ok(name, "gone, as a revoked key may be", *details)
    elif not answer.values:
        yield from found or [
            fail(
                name,
                "no key" if not answer.chain else f"an alias of {answer.chain[-1]}, where there is no key",
                *details,
                expected="the public half of the signing key",
                fix="run `pulumi up`, or add the record that the signer shows",
            )
        ]
    elif len(answer.values) != 1 or not records:
        what = f"{len(answer.values)} TXT records" if records else "no DKIM record"
        yield fail(
            name,
            f"{what}: {' | '.join(value[:60] for value in answer.values)}",
            *details,
            expected="one TXT record, the key",
            fix="remove the others: which one is used is not defined (RFC 6376 §3.6.2.2)",
        )
    else:
        found += _content(name, key, records[0], alone=_only_ed25519(context, domain))
        yield from found or [ok(name, _summary(records[0]), *details)]


def _alias(name: str, key: DkimTarget, answer: Answer) -> Iterator[Finding]:
    if key.alias is not None and answer.chain[:1] != (key.alias,):
        yield fail(
            name,
            f"an alias of {answer.chain[0]}" if answer.chain else "no alias",
            str(answer),
            expected=f"CNAME {key.alias}: its owner changes the key",
            fix=f"add CNAME {key.alias} at {name}, and remove any other record there",
        )
    elif len(answer.chain) > LONGEST_CHAIN:
        yield warn(
            name,
            f"{len(answer.chain)} aliases in a row: {' -> '.join(answer.chain)}",
            expected=f"at most {LONGEST_CHAIN}",
            fix=f"let {name} point to {answer.chain[-1]}",
        )


def _only_ed25519(context: Context, domain: DomainTarget) -> bool:
    answers = [context.dns.look(key_name(key.selector, domain.name), "TXT") for key in domain.dkim if not key.revoked]
    kinds = {(tags_of(value) or {}).get("k", "rsa") for answer in answers for value in answer.values}
    return kinds == {"ed25519"}


def _summary(text: str) -> str:
    tags = tags_of(text) or {}
    if not tags.get("p"):
        return "revoked"
    return "ed25519" if tags.get("k") == "ed25519" else f"RSA of {rsa_bits(tags['p'])} bits"


def _content(name: str, key: DkimTarget, text: str, *, alone: bool) -> Iterator[Finding]:
    tags = tags_of(text) or {}
    if key.text is not None and tags != tags_of(key.text):
        what = "another key" if tags.get("p") != (tags_of(key.text) or {}).get("p") else "other tags"
        yield fail(
            name,
            f"{what} than declared: {_short(text)}",
            expected=_short(key.text),
            fix="run `pulumi up`; where the signer has a new key, declare that in `domains[].dkim`",
        )
    if not tags.get("p"):
        if not key.revoked:
            yield fail(
                name,
                "revoked: p is empty" if "p" in tags else "no p",
                text,
                expected="the public half of the signing key",
                fix="publish the key again, or let the signer use another selector",
            )
        return
    if key.revoked:
        yield warn(
            name,
            "a key that is declared as revoked is still there",
            text,
            expected="p= empty, or no record",
            fix="run `pulumi up`: whoever has the old private key can sign until then",
        )
    yield from _tags(name, tags, text)
    yield from _value(name, tags, text)
    if alone:
        yield warn(
            name,
            "only ed25519 keys",
            expected="an RSA key beside it: many receivers cannot check ed25519 (RFC 8463 §3)",
            fix="add a selector with an RSA key of 2048 bits, and sign with both",
        )


def _tags(name: str, tags: dict[str, str], text: str) -> Iterator[Finding]:
    fix = "publish the record that the signer shows, unchanged"
    if "v" in tags and (tags["v"] != "DKIM1" or not text.lstrip().startswith("v")):
        yield fail(name, f"v={tags['v']}", text, expected="v=DKIM1, first", fix=fix)
    if "sha256" not in {one.strip() for one in tags.get("h", "sha256").split(":")}:
        yield fail(name, f"h={tags['h']}", text, expected="sha256: sha1 must not be used (RFC 8301 §3.1)", fix=fix)
    if not {"*", "email"} & {one.strip() for one in tags.get("s", "*").split(":")}:
        yield fail(name, f"s={tags['s']}", text, expected="s=* or s=email: the key is not for mail", fix=fix)
    if "y" in {one.strip() for one in tags.get("t", "").split(":")}:
        yield warn(
            name,
            "t=y: testing",
            text,
            expected="no t=y: receivers treat the mail as if it were not signed",
            fix="remove y from t once signatures are right",
        )


def _value(name: str, tags: dict[str, str], text: str) -> Iterator[Finding]:
    kind = tags.get("k", "rsa")
    try:
        if kind == "ed25519":
            check_ed25519(tags["p"])
            return
        bits = rsa_bits(tags["p"]) if kind == "rsa" else 0
    except KeyRuleError as error:
        yield fail(name, error.found, text, expected=error.expected, fix=error.fix)
        return
    refused = "" if kind not in {"rsa", "ed25519"} else _refused(name, text)
    if kind != "rsa" or refused:
        why = refused or f"k={kind}"
        yield fail(name, f"verifiers refuse it: {why}", text, expected="k=rsa or k=ed25519", fix="make a new key")
    elif bits < MIN_RSA_BITS:
        what = f"receivers must refuse less than {MIN_RSA_BITS}"
        yield fail(name, f"an RSA key of {bits} bits", text, expected=f"{GOOD_RSA_BITS}: {what}", fix="make a new key")
    elif bits < GOOD_RSA_BITS or bits > MAX_RSA_BITS:
        yield warn(
            name,
            f"an RSA key of {bits} bits",
            expected=f"{GOOD_RSA_BITS}: less can be broken, and verifiers need not take more than {MAX_RSA_BITS}",
            fix="add a selector with a key of 2048 bits, switch the signer, then revoke this one",
        )


def _refused(name: str, text: str) -> str:
    """Return why dkimpy, which many receivers run, does not take the record."""
    try:
        dkim.evaluate_pk(name.encode(), text.encode())
    except (dkim.DKIMException, ValueError, binascii.Error) as error:
        return str(error)
    return ""


def _short(text: str) -> str:
    """Return a record with the middle of its key left out."""
    key = (tags_of(text) or {}).get("p", "")
    return text.replace(key, f"{key[:12]}…{key[-12:]}") if len(key) > 40 else text
