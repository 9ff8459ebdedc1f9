"""``mailstack dmarc report``: what aggregate reports say of the next stage of a domain's policy."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from rich.text import Text

from cli.common import in_dns, print_json, tell
from cli.operate_show import console_of, table_of
from mailstack.dmarc.reading import NotInstalledError, Row, read_reports
from mailstack.dmarc.verdict import Own, Verdict, judge
from mailstack.dns.dmarc_ramp import next_stage
from mailstack.plan import Plan, load_plan
from mailstack.plan.dated import stages
from mailstack.settings.initialise import rehearsal_config

__all__ = ["EXIT_NOT_SAFE", "report"]

EXIT_NOT_SAFE = 2
SHOWN_SOURCES = 20


def report(
    files: Sequence[Path],
    *,
    domain: str | None,
    stack: str | None,
    as_json: bool,
    root: Path,
    today: date,
    say: Callable[[str], None],
) -> int:
    """Judge ``files``. ``stack`` tells what is ours and where its ramp stands; ``domain`` picks one.

    Return 0 where the next stage is safe for every domain that is asked about, 2 where it is not, 1 where nothing
    could be read. With ``as_json`` standard output gets one document in each case, and people the rest.
    """
    said = tell if as_json else say

    def nothing(why: str) -> int:
        said(why)
        if as_json:
            print_json({"error": why})
        return 1

    try:
        found = read_reports(files)
    except NotInstalledError as error:
        return nothing(str(error))
    for name, why in found.refused.items():
        said(f"refused: {name} {why}")
    if not found.rows:
        return nothing("no report was read")
    plan = None if stack is None else load_plan(rehearsal_config(root / f"Pulumi.{stack}.yaml"), root)
    wanted = [in_dns(domain)] if domain is not None else _domains(found.rows, plan)
    if not wanted:
        return nothing("no report is about a domain of the stack")
    verdicts = [_judged(found.rows, name, plan, today) for name in wanted]
    if as_json:
        say(json.dumps([_plain(verdict) for verdict in verdicts], indent=2, default=str))
    else:
        for verdict in verdicts:
            _show(verdict, found.reports)
    return 0 if all(verdict.safe for verdict in verdicts) else EXIT_NOT_SAFE


def _domains(rows: Sequence[Row], plan: Plan | None) -> list[str]:
    told = dict.fromkeys(row.domain for row in rows)
    if plan is None:
        return list(told)
    return [domain.name for domain in plan.settings.domains if domain.name in told]


def _judged(rows: Sequence[Row], name: str, plan: Plan | None, today: date) -> Verdict:
    declared = None if plan is None else next((domain for domain in plan.settings.domains if domain.name == name), None)
    if plan is None or declared is None:
        newest = max((row for row in rows if row.domain == name), key=lambda row: row.end, default=None)
        following = _after("none" if newest is None else newest.policy)
        return judge(rows, name, following, Own(), earliest=None, today=today)
    ramp = stages(declared)
    stage = next_stage(ramp) if ramp else None
    return judge(
        rows,
        name,
        _after(declared.dmarc.stage),
        _own(plan, name),
        since=ramp[-1].since if ramp else None,
        earliest=None if stage is None else stage.since,
        today=today,
    )


def _after(policy: str) -> str | None:
    later = {"none": "quarantine", "quarantine": "reject"}
    return later.get(policy)


def _own(plan: Plan, name: str) -> Own:
    """Return what the plan publishes: networks in the domain's SPF records, its hosts, and its selectors."""
    texts = [
        text
        for zone in plan.dns.zones.values()
        for record in zone
        if (text := getattr(record.data, "value", "")).startswith("v=spf1")
        and (record.name == name or (record.name.startswith("_spf") and record.name.endswith(f".{name}")))
    ]
    terms = [term.lstrip("+") for text in texts for term in text.split()[1:]]
    networks = [term[4:] for term in terms if term.startswith(("ip4:", "ip6:"))]
    keys = next(domain for domain in plan.settings.domains if domain.name == name).dkim
    return Own(networks=(*networks, *plan.settings.egress_addresses), selectors=frozenset(key.selector for key in keys))


def _plain(verdict: Verdict) -> dict[str, object]:
    return {**dataclasses.asdict(verdict), "safe": verdict.safe}


def _show(verdict: Verdict, reports: int) -> None:
    console, limits = console_of(), verdict.thresholds

    def line(text: str) -> None:
        console.print(Text(text), soft_wrap=True)

    line(
        f"{verdict.domain}: p={verdict.policy or '?'}, {verdict.messages} messages in {reports} reports, "
        f"{verdict.begin} to {verdict.end} ({verdict.reported_days} days told of), {verdict.failed} fail DMARC"
    )
    if verdict.sources:
        table = table_of("source", "whose", "messages", "fail", "signed by", "MAIL FROM", "seen by")
        for one in verdict.sources[:SHOWN_SOURCES]:
            cells = [", ".join(names[:2]) for names in (one.signers, one.envelopes, one.reporters)]
            table.add_row(*(Text(cell) for cell in (str(one), one.kind, str(one.messages), str(one.failed), *cells)))
        console.print(table)
        if len(verdict.sources) > SHOWN_SOURCES:
            line(f"and {len(verdict.sources) - SHOWN_SOURCES} more sources; --json has all")
    for one in verdict.breaking[:SHOWN_SOURCES]:
        line(f"would break: {one}, {one.failed} of {one.messages}: {one.why()}")
    if verdict.safe:
        line(f"safe: {verdict.following} may be entered")
    else:
        for reason in verdict.reasons:
            line(f"not yet: {reason}")
    line(
        f"(limits: {limits.days} days, {limits.reported_days} told of, {limits.messages} messages, "
        f"failures: {limits.own_failures:.0%} of each own source, {limits.unknown_failures:.0%} of all from unknown)"
    )
