"""What a reviewer of a change wants to know of each domain: who may send, who signs, what receivers do with the rest.

Told from the records that are about to be published, so it is what the world will see. One text a domain.
"""

from collections.abc import Iterable, Mapping, Sequence

from mailstack.dns import NULL_MX, Record, rsa_bits
from mailstack.dns.names import holder
from mailstack.dns.records import MailExchanger, Text
from mailstack.dns.spf_tree import MAX_LOOKUPS
from mailstack.dns.tags import tags_of
from mailstack.plan.model import Plan
from mailstack.settings.domains_model import Domain
from mailstack.settings.model import Settings
from mailstack.settings.names import custom_return_path, postal_dkim, return_path_domain
from mailstack.words import listed

__all__ = ["summaries"]

# So many records of one kind of change are named; more would bury the rest.
NAMED = 4
# So many domains are told one by one; of more, those that change.
MANY = 20
# Hosts in other zones, and what was declared for a domain that is not declared any more.
NOWHERE = ""
UNPUBLISHED = (
    "dns.provider becomes none: every record goes with this update, and nobody publishes what follows until you do"
)

At = Mapping[str, Sequence[Record]]
Change = tuple[str, str]


def summaries(plan: Plan, before: Mapping[str, str], *, published: bool = False) -> tuple[str, ...]:
    """Return one text of a few lines for each domain; of more than 20 domains only those whose records change.

    ``before`` are the zones as the last update left them, in BIND format; ``published``: it published them, too.
    """
    ends = (UNPUBLISHED,) if published and plan.settings.dns.provider == "none" else ()
    at: dict[str, list[Record]] = {}
    for record in plan.dns.records:
        at.setdefault(record.name, []).append(record)
    changes = _changes(plan, before)
    elsewhere = [f"names of no domain\n  changes    {_told(changes[NOWHERE])}"] if NOWHERE in changes else []
    domains = plan.settings.domains
    if len(domains) <= MANY:
        return (*ends, *(_summary(plan, domain, at, changes.get(domain.name, ())) for domain in domains), *elsewhere)
    told = [domain for domain in domains if domain.name in changes]
    rest = [f"{len(domains) - len(told)} of {len(domains)} domains: nothing changes"]
    if len(told) > MANY:
        rest.append(f"{len(told) - MANY} further domains change; `pulumi preview --diff` shows each record")
    return (*ends, *(_summary(plan, domain, at, changes[domain.name]) for domain in told[:MANY]), *elsewhere, *rest)


def _summary(plan: Plan, domain: Domain, at: At, changes: Sequence[Change]) -> str:
    lines = {
        "may send": _senders(plan, domain, at),
        "signs": _signers(plan.settings, domain, at),
        "aligned": _alignment(plan.settings, domain),
        "policy": _policy(domain, at),
        "mail to it": _receiving(domain, at),
        "changes": _told(changes),
    }
    return "\n".join([domain.name, *(f"  {title:<11}{text}" for title, text in lines.items())])


def _text(at: At, name: str, start: str) -> str | None:
    values = (record.data.value for record in at.get(name, ()) if isinstance(record.data, Text))
    return next((value for value in values if value.lower().startswith(start)), None)


def _senders(plan: Plan, domain: Domain, at: At) -> str:
    record = _text(at, domain.name, "v=spf1")
    if record is None:
        return "nobody says: no SPF record"
    return f"{record.partition(' ')[2]} ({plan.dns.spf_lookups[domain.name]} of {MAX_LOOKUPS} lookups)"


def _signers(settings: Settings, domain: Domain, at: At) -> str:
    postal = settings.postal
    signing = None if postal is None else postal_dkim(postal, domain)
    found = []
    for key in domain.dkim:
        text = _text(at, f"{key.selector}._domainkey.{domain.name}", "v=dkim1") or ""
        public = (tags_of(text) or {}).get("p", "")
        kind = f"RSA {rsa_bits(public)}" if key.key_type == "rsa" and public else key.key_type
        who = "Postal signs" if key is signing else "ours" if key.ours else "another signer's"
        found.append(f"{key.selector} ({kind}, {who})")
    return ", ".join(found) or "nobody: no DKIM key is published"


def _alignment(settings: Settings, domain: Domain) -> str:
    """Say what of a message's names aligns with its From (RFC 9989, RFC 7489 §3.1)."""
    dmarc, postal = domain.dmarc, settings.postal
    found = [f"d={domain.name} ({dmarc.dkim_alignment})"] if domain.dkim else []
    if postal is not None and domain.name in postal.sending_domains:
        own = postal.custom_return_paths
        path = custom_return_path(domain.name) if own else return_path_domain(settings, postal)
        inside = path == domain.name if dmarc.spf_alignment == "strict" else holder(path, {domain.name}) is not None
        found.append(f"MAIL FROM {path} {'is' if inside else 'is not'} ({dmarc.spf_alignment})")
    else:
        found.append(f"MAIL FROM {domain.name}, where applications use it ({dmarc.spf_alignment})")
    return "; ".join(found)


def _policy(domain: Domain, at: At) -> str:
    record = _text(at, f"_dmarc.{domain.name}", "v=dmarc1")
    mta_sts = "MTA-STS " + ("is announced" if _text(at, f"_mta-sts.{domain.name}", "v=sts") else "none")
    return f"{record.partition(' ')[2] if record else 'its parent domain has it'}; {mta_sts}"


def _receiving(domain: Domain, at: At) -> str:
    exchangers = [record.data for record in at.get(domain.name, ()) if isinstance(record.data, MailExchanger)]
    if not exchangers:
        return "left as it is: no MX is declared"
    if NULL_MX in exchangers:
        return "none is taken (null MX)"
    listed = sorted(exchangers, key=lambda mx: (mx.preference, mx.exchange))
    return ", ".join(f"{mx.exchange} ({mx.preference})" for mx in listed)


# --- what changes ----------------------------------------------------------------------------------------------------


def _changes(plan: Plan, before: Mapping[str, str]) -> dict[str, list[Change]]:
    """Return, by domain, (sign, name and type) of records that come (+), go (-) or change (~)."""
    domains = {domain.name for domain in plan.settings.domains}
    old, new = _contents(before.values()), _contents(plan.dns.texts.values())
    found: dict[str, list[Change]] = {}
    for place in sorted(old.keys() | new.keys()):
        if old.get(place) == new.get(place):
            continue
        sign = "+" if place not in old else "-" if place not in new else "~"
        name, kind = place
        found.setdefault(holder(name, domains) or NOWHERE, []).append((sign, f"{kind} {name}"))
    return found


def _contents(texts: Iterable[str]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for text in texts:
        for line in text.splitlines():
            owner, ttl, _, kind, rest = line.split(" ", 4)
            found.setdefault((owner.rstrip("."), kind), set()).add(f"{ttl} {rest}")
    return found


def _told(changes: Sequence[Change]) -> str:
    if not changes:
        return "none"
    found = []
    for sign in "+~-":
        names = [what for its, what in changes if its == sign]
        if names:
            found.append(f"{sign} {listed(names, NAMED)}")
    return "; ".join(found)
