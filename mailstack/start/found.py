"""What DNS has of a domain already, as settings: it is kept, and what the settings refuse is left out and told."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mailstack.dns.tags import tags_of
from mailstack.settings.problems import Problem
from mailstack.start.answers import Answers, InDns
from mailstack.start.compose_postal import Notes
from mailstack.upstreams import PRESETS

__all__ = ["FOUND", "dmarc_settings", "exchanger_settings", "spf_settings", "takes_no_mail", "without_refused"]

FOUND = "found in DNS"
ALLS = ("~all", "-all", "?all")
POLICIES = ("none", "quarantine", "reject")
# Where a problem is, and what it is about: a setting, or a record that its value begins with.
PLACE = re.compile(r"domains\[(\d+)\](?:\.(mx|spf|dmarc)\b)?")
NOTHING: dict[str, Any] = {"mx": (), "spf": None, "dmarc": None}


def takes_no_mail(found: InDns | None) -> bool:
    """Tell whether a domain says that it has no mailboxes, by a null MX (RFC 7505)."""
    return found is not None and [host.strip(".") for _, host in found.mx] == [""]


def exchanger_settings(answers: Answers, place: int, found: InDns, notes: Notes) -> dict[str, Any]:
    """Return where a domain's mail goes, where that is not as usual with the upstream."""
    if takes_no_mail(found):
        notes[f"domains.{place}.profile"] = f"{FOUND}, as a null MX"
        return {"profile": "send-only"}
    usual = {(one.preference, one.exchange) for one in PRESETS[answers.upstream].mx}
    there = sorted((preference, host.lower()) for preference, host in found.mx)
    if not there or set(there) == usual:
        return {}
    notes[f"domains.{place}.mx"] = f"{FOUND}: mailboxes stay where they are"
    return {"mx": [{"preference": preference, "exchange": host} for preference, host in there]}


def spf_settings(answers: Answers, text: str | None) -> dict[str, Any]:
    """Return the terms of a record of before that the stack does not bring itself."""
    source = PRESETS[answers.upstream].spf
    ours = {f"include:{source.domain}", f"redirect={source.domain}"} if source is not None else set()
    ours |= {f"ip4:{one}" for one in _addresses(answers)} | {f"ip6:{one}" for one in _addresses(answers)}
    terms = [term for term in (text or "").split()[1:] if term.lower().removeprefix("+") not in ours]
    spf: dict[str, Any] = {}
    for term in (term.removeprefix("+") for term in terms):
        kind, colon, target = term.partition(":")
        if kind.lower() == "include" and colon:
            spf.setdefault("include", []).append(target)
        elif term.lower().startswith("redirect="):
            spf["redirect"] = term.partition("=")[2]
        elif term.lower() in ALLS:
            spf["all"] = term.lower()
        elif term.lower() != "all" and "=" not in term:  # `+all` lets everybody send: nobody wants that back
            spf.setdefault("mechanisms", []).append(term)
    return {} if set(spf) == {"all"} and spf["all"] == "~all" else spf


def _addresses(answers: Answers) -> Sequence[str]:
    return [one for one in (answers.public_ipv4, answers.public_ipv6, *answers.egress) if one is not None]


def dmarc_settings(answers: Answers, place: int, name: str, found: InDns, notes: Notes) -> dict[str, Any]:
    """Return the policy: that of before with all its tags that still count, else the usual one."""
    tags = {tag.lower(): value for tag, value in (tags_of(found.dmarc or "") or {}).items()}
    policy = tags.get("p", "").lower()
    where = f"domains.{place}.dmarc"
    dmarc: dict[str, Any] = {"policy": policy if policy in POLICIES else "quarantine"}
    if policy == "none":
        # Alone it is what the policies refuse in prod; as the first stage of a ramp it has a way on.
        dmarc = {"ramp": [{"policy": policy, "since": f"{answers.today:%Y-%m-%d}"}]}
        notes[f"{where}.ramp"] = f"{FOUND}; docs/how-to/dmarc-ramp.md has the next stage"
        notes[f"{where}.ramp.0.since"] = "the day of this file, since DNS does not say"
    elif policy in POLICIES:
        stricter = "" if policy == "reject" else "; docs/how-to/dmarc-ramp.md makes it stricter"
        partly = tags.get("pct", "100")
        lost = "" if partly == "100" else f" with pct={partly}, which counts no more and is not kept"
        notes[f"{where}.policy"] = f"{FOUND}{lost}{stricter}"
    for tag, key in (("sp", "subdomain_policy"), ("np", "nonexistent_policy")):
        if (value := tags.get(tag, "").lower()) in POLICIES:
            dmarc[key] = value
            refused = "; `mailstack policy` refuses it in prod" if value == "none" and policy != "none" else ""
            notes[f"{where}.{key}"] = f"{FOUND}{refused}"
    dmarc["aggregate_reports"] = _mailboxes(tags.get("rua")) or [_report_mailbox(answers, name, found)]
    if failures := _mailboxes(tags.get("ruf")):
        dmarc["failure_reports"] = failures
    for tag, key in (("adkim", "dkim_alignment"), ("aspf", "spf_alignment")):
        if tags.get(tag, "").lower() == "s":
            dmarc[key] = "strict"
    return dmarc


def _mailboxes(text: str | None) -> list[str]:
    """Return the mailboxes of a list of URIs, without their limits of size."""
    uris = [one.strip().partition("!")[0] for one in (text or "").split(",")]
    return [one[len("mailto:") :] for one in uris if one.lower().startswith("mailto:")]


def _report_mailbox(answers: Answers, name: str, found: InDns) -> str:
    """Return who gets reports: the contact where it is near the domain, or where the domain has no mailbox."""
    at = answers.contact.rpartition("@")[2]
    near = at == name or at.endswith(f".{name}") or name.endswith(f".{at}")
    return answers.contact if near or takes_no_mail(found) else f"postmaster@{name}"


def without_refused(answers: Answers, problems: Iterable[Problem]) -> tuple[Answers, list[str]]:
    """Return the answers without what the settings refuse of the records of before, and a sentence on each record."""
    told: dict[tuple[str, str], str] = {}
    in_dns: dict[str, InDns] = dict(answers.in_dns)
    for problem in problems:
        place = PLACE.match(problem.field)
        if place is None:
            continue
        name = answers.domains[int(place[1])]
        label = re.match(rf"{re.escape(name)} (MX|SPF|DMARC)\b", problem.value)
        about = place[2] or (label[1].lower() if label else "")
        if about and name in in_dns and getattr(in_dns[name], about) != NOTHING[about]:
            in_dns[name] = _without(in_dns[name], about)
            told[name, about] = (
                f"{name}: {about.upper()} of before is not in the file, for it cannot stand there: {problem} "
                "The file has what a new domain gets: decide on that before the first `pulumi up`"
            )
    return replace(answers, in_dns=in_dns), list(told.values())


def _without(found: InDns, about: str) -> InDns:
    changes: Mapping[str, Any] = {about: NOTHING[about]}
    return replace(found, **changes)
