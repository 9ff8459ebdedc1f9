"""What a change of DNS records can cost, read from the records that are published before and after."""

from collections.abc import Iterator, Mapping

from mailstack.diff.risks.model import Risk, listed, within
from mailstack.diff.risks.zones import zone_risks
from mailstack.dns import NULL_MX
from mailstack.dns.names import holder, lineage
from mailstack.dns.records import Address, Alias, MailExchanger, Record, Text
from mailstack.dns.spf_read import Spf, SpfError, Term, read_spf
from mailstack.dns.tags import tags_of
from mailstack.plan import Plan
from mailstack.settings.names import postal_dkim

__all__ = ["record_risks"]

POLICIES = ("none", "quarantine", "reject")
ENDINGS = ("", "+", "?", "~", "-")
DMARC_TAGS = {
    "p": "DMARC policy",
    "sp": "DMARC policy of subdomains",
    "np": "DMARC policy of names that do not exist",
}
DKIM_MARK = "._domainkey."
At = Mapping[tuple[str, str], tuple[Record, ...]]


def record_risks(before: Plan, after: Plan) -> Iterator[Risk]:
    """Yield them for two plans of one stack."""
    yield from zone_risks(before, after)
    old, new = _at(before), _at(after)
    names = {domain.name for domain in (*before.settings.domains, *after.settings.domains)}
    yield from _mx(old, new)
    yield from _spf(old, new, _flattened(before), _flattened(after))
    yield from _dkim(before, after, old, new)
    yield from _dmarc(old, new)
    yield from _mta_sts(old, new)
    yield from _policies(before, after, new)
    yield from _addresses(old, new)
    yield from _other(old, new, names)


def _at(plan: Plan) -> At:
    found: dict[tuple[str, str], tuple[Record, ...]] = {}
    for record in plan.dns.records:
        key = record.name, record.type
        found[key] = (*found.get(key, ()), record)
    return found


def _mx(old: At, new: At) -> Iterator[Risk]:
    for name, kind in dict.fromkeys([*old, *new]):
        was, now = old.get((name, kind), ()), new.get((name, kind), ())
        if kind != "MX" or {one.data for one in was} == {one.data for one in now}:
            continue
        hosts = [_exchangers(one) for one in (was, now)]
        if not was:
            yield Risk(
                level="low",
                rule="mx-added",
                what=f"{name} gets MX {listed(hosts[1])}",
                reason="its mail goes there as soon as the record is seen",
                advice="the mailboxes have to be there",
            )
        elif not now:
            yield Risk(
                level="high",
                rule="mx-removed",
                what=f"{name} has no MX any more",
                reason="mail to it goes to its A record, and bounces where there is none: bounces of its mail too",
                advice="keep it while anybody writes there, and while mail with it as MAIL FROM is under way",
            )
        elif NULL_MX in {one.data for one in now}:
            yield Risk(
                level="high",
                rule="mx-removed",
                what=f"{name} takes no mail any more (null MX)",
                reason="mail to it bounces at once (RFC 7505), and receivers may refuse mail from it",
                advice="only for a domain that neither gets nor sends mail",
            )
        elif set(hosts[0]) != set(hosts[1]):
            yield Risk(
                level="high" if not set(hosts[0]) & set(hosts[1]) else "medium",
                rule="mx-changed",
                what=f"mail to {name} goes to {listed(hosts[1])}, no more to {listed(hosts[0])}",
                reason="both get mail until the old record has expired; a server that does not know the domain "
                "refuses it",
                advice="have the new server take the domain before, and let the old one take it for a TTL after",
            )


def _exchangers(records: tuple[Record, ...]) -> list[str]:
    return sorted(one.data.exchange for one in records if isinstance(one.data, MailExchanger))


def _texts(at: At, name: str, start: str) -> str | None:
    values = (one.data.value for one in at.get((name, "TXT"), ()) if isinstance(one.data, Text))
    return next((value for value in values if value.lower().startswith(start)), None)


def _changed_texts(old: At, new: At, start: str) -> Iterator[tuple[str, str | None, str | None]]:
    for name in dict.fromkeys(name for name, kind in [*old, *new] if kind == "TXT"):
        was, now = _texts(old, name, start), _texts(new, name, start)
        if was != now:
            yield name, was, now


def _flattened(plan: Plan) -> Mapping[str, frozenset[str]]:
    """Return by domain the includes that stand in its record as addresses."""
    return {domain.name: frozenset(domain.spf.flatten) for domain in plan.settings.domains}


def _spf(
    old: At, new: At, was_flat: Mapping[str, frozenset[str]], is_flat: Mapping[str, frozenset[str]]
) -> Iterator[Risk]:
    for name, was, now in _changed_texts(old, new, "v=spf1"):
        if was is None:
            continue
        if now is None:
            yield Risk(
                level="medium",
                rule="spf-removed",
                what=f"{name} has no SPF record any more",
                reason="SPF says nothing then: mail that passed by it alone fails DMARC",
                advice="keep it while mail is sent from there",
            )
            continue
        before, after = _read(was), _read(now)
        if before is None or after is None:
            continue
        kept = {term.text.lower() for term in after.reached} | {str(after.redirect)}
        gone = [
            term.text
            for term in before.reached
            if term.kind != "all"
            and term.text.lower() not in kept
            and not _covered(term, after)
            # Written as the addresses behind it from now on.
            and not (term.kind == "include" and term.target in is_flat.get(name, ()))
        ]
        if was_flat.get(name, frozenset()) & {term.target for term in after.reached if term.kind == "include"}:
            # An include stands there itself again: which of the addresses were behind it is not known here.
            gone = [text for text in gone if not text.lower().startswith(("ip4:", "ip6:"))]
        gone += [f"redirect={before.redirect}"] if before.redirect and before.redirect != after.redirect else []
        if gone:
            yield Risk(
                level="high",
                rule="spf-sender-removed",
                what=f"SPF of {name} loses {listed(gone)}",
                reason="mail from there fails SPF, and is refused where DMARC or `-all` says so and DKIM does not "
                "carry it",
                advice="DMARC reports say who still sends from there (`mailstack dmarc report`)",
            )
        if ENDINGS.index(after.ending) > ENDINGS.index(before.ending):
            yield Risk(
                level="medium",
                rule="spf-stricter",
                what=f"SPF of {name} ends with {after.ending}all, before {before.ending or 'no '}all",
                reason="receivers judge mail from senders that are not listed more strictly, forwarded mail too",
                advice="DMARC reports say who would be hit (`mailstack dmarc report`)",
            )


def _covered(term: Term, by: Spf) -> bool:
    """Tell whether addresses of a mechanism are among those of another one that says the same of them."""
    wide = [str(one.network) for one in by.reached if one.network is not None and one.qualifier == term.qualifier]
    return term.network is not None and within(str(term.network), wide)


def _read(text: str) -> Spf | None:
    try:
        return read_spf(text)
    except SpfError:
        return None  # a macro of the settings' own rules may be beyond it; then nothing is said


def _dkim(before: Plan, after: Plan, old: At, new: At) -> Iterator[Risk]:
    signs, signed = _signed_by_postal(after), _signed_by_postal(before)
    yield from _signing_too_soon(signed, signs, old)
    signing, was_signing = set(signs.values()), set(signed.values())
    places = [key for key in dict.fromkeys([*old, *new]) if DKIM_MARK in key[0] and key[1] in {"TXT", "CNAME"}]
    for name in dict.fromkeys(name for name, _kind in places):
        was, now = ({one.data for kind in ("TXT", "CNAME") for one in at.get((name, kind), ())} for at in (old, new))
        if not was or was == now:
            continue
        emptied = any(isinstance(one, Text) and (tags_of(one.value) or {}).get("p") == "" for one in now)
        if not now or emptied:
            still = name in signing
            yield Risk(
                level="high" if still or name in was_signing else "medium",
                rule="dkim-key-removed",
                what=f"DKIM key {name} {'is emptied' if now else 'goes'}",
                reason="Postal still signs with it: every signature fails, and with DMARC the mail"
                if still
                else "mail under way that was signed with it fails DKIM; whoever still signs with it fails from then "
                "on",
                advice="let another key sign first, and keep this record for a week after (`mailstack rotate dkim`)",
            )
        else:
            yield Risk(
                level="high",
                rule="dkim-key-replaced",
                what=f"DKIM key {name} becomes another one below the same selector",
                reason="mail under way was signed with the old key, and resolvers keep the old record for its TTL: "
                "signatures fail until both have passed",
                advice="give the new key a selector of its own (`mailstack rotate dkim`)",
            )


def _signing_too_soon(was: Mapping[str, str], signing: Mapping[str, str], old: At) -> Iterator[Risk]:
    """Yield the risk of keys that Postal begins to sign with before anybody has seen their records."""
    published = {name for name, _kind in old}
    unseen = [name for domain, name in signing.items() if domain in was and name not in published]
    if unseen:
        yield Risk(
            level="high",
            rule="dkim-signing-too-soon",
            what=f"Postal signs with {listed(unseen)} from this update on, and its record is as new",
            reason="until a receiver finds the record, each signature fails, and with DMARC the mail; who has asked in "
            "vain keeps that answer for the zone's negative TTL",
            advice="publish the key in an update of its own, and let it sign after a TTL (`mailstack rotate dkim`)",
        )


def _signed_by_postal(plan: Plan) -> dict[str, str]:
    """Return by domain the name of the key that Postal signs with."""
    postal = plan.settings.postal
    if postal is None:
        return {}
    sending = [domain for domain in plan.settings.domains if domain.name in postal.sending_domains]
    keys = ((domain, postal_dkim(postal, domain)) for domain in sending)
    return {domain.name: key.record_name(domain.name) for domain, key in keys if key is not None}


def _dmarc(old: At, new: At) -> Iterator[Risk]:
    for name, was, now in _changed_texts(old, new, "v=dmarc1"):
        if not name.startswith("_dmarc."):
            continue  # where another domain's reports may go: no policy
        domain = name.removeprefix("_dmarc.")
        (before, of_before), (after, of_after) = _in_force(old, domain), _in_force(new, domain)
        policies = before.get("p", "none"), after.get("p", "none")
        if was is not None and now is None and _stage(policies[1]) <= _stage(policies[0]):
            yield Risk(
                level="low",
                rule="dmarc-removed",
                what=f"{domain} has no DMARC record of its own any more",
                reason=f"{of_after} has p={policies[1]} for it from then on"
                if of_after
                else "its parent's policy holds, or none: anybody can send as it",
                advice="keep it while the domain is yours",
            )
            continue
        source = f" (that of {of_after})" if now is None else "" if was is not None else " (its first record)"
        for tag, title in DMARC_TAGS.items():
            stages = before.get(tag, policies[0]), after.get(tag, policies[1])
            if tag != "p" and tag not in before and tag not in after:
                continue
            if _stage(stages[1]) > _stage(stages[0]):
                yield Risk(
                    level="high" if stages[1] == "reject" else "medium",
                    rule="dmarc-stricter",
                    what=f"{title} of {domain}: {stages[0]} becomes {stages[1]}{source}",
                    reason="receivers reject, or put into spam, mail as this domain that passes neither SPF nor DKIM "
                    "in alignment: senders you forgot, and forwarders",
                    advice="DMARC reports say who would be hit (`mailstack dmarc report`)",
                )
        if _stage(policies[0]) > _stage(policies[1]) == 0:
            parent = f" (that of {of_before})" if was is None else ""
            yield Risk(
                level="low",
                rule="dmarc-off",
                what=f"DMARC policy of {domain}: {policies[0]}{parent} becomes none",
                reason="receivers let mail of anybody pass that is sent as this domain",
                advice="for the time of a mistake in SPF or DKIM only",
            )
        for tag, title in (("adkim", "DKIM"), ("aspf", "SPF")):
            if was is not None and before.get(tag, "r") == "r" and after.get(tag) == "s":
                yield Risk(
                    level="medium",
                    rule="dmarc-alignment-stricter",
                    what=f"DMARC of {domain} wants {title} in strict alignment",
                    reason="what passed with a subdomain, such as a return path of Postal's, does not pass any more",
                    advice="DMARC reports show the names that mail passes with",
                )


def _in_force(at: At, domain: str) -> tuple[Mapping[str, str], str]:
    """Return the tags of the DMARC record that holds for a domain, and whose it is: a domain above's where it has none.

    Of one above the policy is that for subdomains (RFC 9989 §4.7). Empty where none of these is declared here.
    """
    for name in lineage(domain):
        for record in at.get((f"_dmarc.{name}", "TXT"), ()):
            tags = (tags_of(record.data.value) if isinstance(record.data, Text) else None) or {}
            if str(tags.get("v", "")).lower() == "dmarc1":
                return (tags if name == domain else {"p": tags.get("sp", tags.get("p", "none"))}), name
    return {}, ""


def _stage(word: str) -> int:
    return POLICIES.index(word) if word in POLICIES else 0


def _mta_sts(old: At, new: At) -> Iterator[Risk]:
    for name, was, now in _changed_texts(old, new, "v=stsv1"):
        domain = name.removeprefix("_mta-sts.")
        if was is not None and now is None:
            yield Risk(
                level="high",
                rule="mta-sts-removed",
                what=f"MTA-STS of {domain} is not announced any more",
                reason="senders keep the last policy for its max_age: with mode enforce they hold mail back that "
                "does not fit it",
                advice="set mode none first, and wait for max_age (RFC 8461 §2.6)",
            )


def _policies(before: Plan, after: Plan, new: At) -> Iterator[Risk]:
    """Yield what senders that keep an MTA-STS policy make of the change."""
    known, now = (
        {one.domain: one for one in plan.settings.caddy.mta_sts} if plan.settings.caddy else {}
        for plan in (before, after)
    )
    for domain, policy in known.items():
        if policy.mode != "enforce":
            continue
        strange = [
            name
            for name in _exchangers(new.get((domain, "MX"), ()))
            if not any(_covers(pattern, name) for pattern in policy.mx)
        ]
        if strange:
            yield Risk(
                level="high",
                rule="mta-sts-mx-changed",
                what=f"MX {listed(strange)} of {domain} is not in the MTA-STS policy of before",
                reason=f"senders keep that policy for {policy.max_age} seconds, and hold mail back from servers that "
                "it does not name",
                advice="name the new server in the policy first, and change MX once max_age has passed (RFC 8461 §2.6)",
            )
    for domain, policy in now.items():
        if policy.mode == "enforce" and (domain not in known or known[domain].mode != "enforce"):
            yield Risk(
                level="medium",
                rule="mta-sts-enforced",
                what=f"MTA-STS of {domain} is enforced",
                reason="senders hold mail back from servers whose certificate is not valid for the name in MX",
                advice="with mode testing, TLS reports say who would be hit (`tls_rpt`)",
            )


def _covers(pattern: str, name: str) -> bool:
    """Tell whether an entry of a policy names a server; a star stands for one label (RFC 8461 §4.1)."""
    pattern, name = pattern.lower(), name.lower().rstrip(".")
    return name == pattern or (pattern.startswith("*.") and name.partition(".")[2] == pattern[2:])


def _addresses(old: At, new: At) -> Iterator[Risk]:
    for name, kind in dict.fromkeys([*old, *new]):
        if kind not in {"A", "AAAA"}:
            continue
        was = sorted(one.data.ip for one in old.get((name, kind), ()) if isinstance(one.data, Address))
        now = sorted(one.data.ip for one in new.get((name, kind), ()) if isinstance(one.data, Address))
        gone = [address for address in was if address not in now]
        if gone:
            yield Risk(
                level="medium",
                rule="address-changed" if now else "address-removed",
                what=f"{kind} of {name}: {listed(was)} becomes {listed(now) or 'nothing'}",
                reason="who has the old answer connects there for its TTL; a sending address that is new has no PTR "
                "record and no reputation yet",
                advice="lower dns.ttl a TTL before, keep the old machine up for a TTL after, and set the PTR record",
            )


def _other(old: At, new: At, names: set[str]) -> Iterator[Risk]:
    for name, kind in new:
        if kind == "TLSA" and (name, kind) not in old:
            yield Risk(
                level="medium",
                rule="tlsa-added",
                what=f"TLSA {name} is new",
                reason="senders that check DANE hold mail back where certificate and record differ (RFC 7672)",
                advice="compare it with what the server shows (`mailstack verify`), and know who renews that",
            )
    for (name, kind), records in old.items():
        if kind not in {"CNAME", "TLSA"} or DKIM_MARK in name:
            continue
        now = new.get((name, kind), ())
        was, still = ({one.data for one in some} for some in (records, now))
        # One association that fits is enough (RFC 6698 §2.1): a further one beside the old is the safe step.
        if was == still or (kind == "TLSA" and was < still):
            continue
        if kind == "TLSA" and now:
            yield Risk(
                level="high",
                rule="tlsa-changed",
                what=f"TLSA {name} changes",
                reason="senders that check DANE hold mail back while record and certificate do not fit (RFC 7672)",
                advice="publish old and new together for two TTLs around the change of certificate",
            )
        elif kind == "CNAME":
            target = listed(one.data.target for one in records if isinstance(one.data, Alias))
            about = holder(name, names) or name
            yield Risk(
                level="medium",
                rule="alias-changed",
                what=f"{name} is no alias of {target} any more",
                reason="links in mail that was sent, or bounces to it, lead nowhere or elsewhere",
                advice=f"keep it while mail of {about} with it is read or under way",
            )
