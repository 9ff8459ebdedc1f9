"""The comment of a pull request: what its change does to one stack, with what needs a person first.

What comes from the preview, and could be read as more than words, is code (mailstack/markdown.py).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mailstack.markdown import block, code, row, sentence, shortened
from mailstack.pull_request.cost import WORKLOADS, Run, runs
from mailstack.pull_request.declared import Declared, read_declared
from mailstack.pull_request.preview import COMMAND, LAST_WORD, Preview, Step

__all__ = ["LONGEST", "comment", "declared_comment", "marker"]

# GitHub refuses a body of more than 65,536 characters; some room is for whoever posts it.
LONGEST = 65_000
RECORD = "cloudflare:index/dnsRecord:DnsRecord"
# A component whose zones are on a server of our own shows each record as an input of this name.
SERVER, ENTRY, PROVIDER = "mailstack:index:DnsRecords", "record/", "provider"
SIGNS = {"create": "+", "update": "~", "delete": "-", "replace": "±", "import": "→"}
WORDS = {
    "create": "to create",
    "update": "to change",
    "replace": "to replace",
    "delete": "to delete",
    "import": "to take over",
    "same": "unchanged",
}
RISKS = {"high": "🔴", "medium": "🟠", "low": "🔵"}
# Replaced and deleted things first.
URGENCY = ("delete", "replace", "update", "import", "create")
# So many things with one risk are named.
NAMED = 10
NOTE = "\n\n> **Shortened** by {count} lines, since GitHub takes 65,536 characters. {where} tells all.\n"
NOT_READ = "It has more than {most:,} bytes: the rest was not read, and is counted nowhere below."
# Inputs of a component that say which code a role has: the runs tell it already.
CODE = re.compile(r"(^|/)code of role ")


@dataclass(frozen=True)
class Section:
    """A part of a comment: whole lines, the last of which may be left out; ``folded`` ones are shown on a click."""

    title: str
    lines: tuple[str, ...]
    folded: bool = False
    fenced: bool = False


def marker(stack: str, kind: str = "preview") -> str:
    """Return what the one comment of a stack is found by. People do not see it.

    ``kind`` tells a preview's comment from the issue of the checks. Raises ValueError for a name that is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", stack):
        raise ValueError(f"--stack is {stack!r}: a stack's name has letters, digits, '-', '_' and '.'")
    return f"<!-- mailstack:{kind}:{stack} -->"


def comment(stack: str, preview: Preview, *, diff: str | None = None, commit: str | None = None) -> str:
    """Return the comment on ``preview`` of ``stack``, at most ``LONGEST`` characters.

    ``diff`` is what `mailstack diff` says of the same change, its JSON or any text; ``commit`` what was looked at.
    """
    steps = sorted(preview.steps, key=lambda step: URGENCY.index(_word(step)))
    head = [marker(stack), f"## {_sign(preview)} Preview of stack {code(stack)}", "", _counted(preview)]
    if commit:
        head += ["", f"Commit {code(commit[:12])}."]
    declared = Declared() if diff is None else read_declared(diff)
    if _shows(preview, declared.text):
        declared = Declared()
    told = [*_sections(preview, steps, declared), *_declared(declared.text)]
    return _within("\n".join(head), told, f"`pulumi preview --stack {stack} --diff`")


def _shows(preview: Preview, text: str) -> bool:
    """Tell whether the preview failed for each mistake that ``text`` lists: both read the same settings."""
    mistakes = [line.strip() for line in text.splitlines() if line.startswith("  - ")]
    errors = "\n".join(message.text for message in preview.messages if message.severity == "error")
    return bool(mistakes) and all(mistake in errors for mistake in mistakes)


def declared_comment(stack: str, diff: str, *, commit: str | None = None, most: int | None = None) -> str:
    """Return the comment for a branch that no secret may reach, such as a fork's: what it declares otherwise.

    ``diff`` was written by the branch's own code, so it is shown as a text, whatever it says. ``most``: it is the
    beginning of a longer one, so many bytes.
    """
    at = f" Commit {code(commit[:12])}." if commit else ""
    head = [
        marker(stack),
        f"## Stack {code(stack)}: what this branch declares otherwise",
        "",
        f"Made without any secret, host or engine, by the branch's own code: read it as a claim of its author.{at}",
    ]
    if most is not None:
        head += ["", NOT_READ.format(most=most)]
    told = [Section("mailstack diff", tuple(diff.splitlines()) or ("(nothing)",), fenced=True)]
    return _within("\n".join(head), told, f"`mailstack diff --stack {stack}`")


def _sections(preview: Preview, steps: Sequence[Step], declared: Declared) -> Iterator[Section]:
    """Yield the parts in the order of how much they need a person."""
    found = runs(steps, declared.restarts)
    errors = [message.text for message in preview.messages if message.severity == "error"]
    if len(errors) > 1 or preview.violations:
        errors = [text for text in errors if text != LAST_WORD]
    if errors:
        yield Section("⛔ The preview failed", tuple("\n\n".join(errors).splitlines()), fenced=True)
    yield _listed("⛔ Deleted and replaced", (_gone(step) for step in steps if _word(step) in {"delete", "replace"}))
    yield _listed("What could lose or delay mail", _risks(declared))
    yield _listed(
        "🔒 Protected",
        (
            f"- {_named(step)} is protected, and `pulumi up` refuses to {_verb(step)} it"
            for step in steps
            if _stops(step)
        ),
    )
    yield _policies(preview)
    yield _listed("Restarts and interruptions", _interruptions(found, steps))
    yield _table("Roles that run", ("Host", "Role", "Why", "What happens"), _run_rows(found))
    yield _table("Records", ("", "Record", "Before", "After"), _records(steps))
    if not preview.broken:  # what was not told until then is not gone
        told = ((code(one.name), _value(one.old), _value(one.new)) for one in preview.outputs)
        yield _table("Outputs, for applications and other stacks", ("Output", "Before", "After"), told)
    summaries = [message.text for message in preview.messages if message.severity == "info"]
    yield Section("Deliverability", tuple("\n\n".join(summaries).splitlines()), fenced=True)
    warnings = (message for message in preview.messages if message.severity == "warning")
    yield _listed("⚠️ Warnings", (f"- {sentence(message.text)}" for message in warnings))
    components = [step for step in steps if step.kind.startswith("mailstack:")]
    yield _table("Settings", ("Where", "Setting", "Before", "After"), _settings(components), folded=True)
    others = [step for step in steps if step not in components and step.kind not in {RECORD, COMMAND}]
    yield _listed("Other resources", (f"- {SIGNS[_word(step)]} {_named(step)}" for step in others), folded=True)


def _policies(preview: Preview) -> Section:
    order = sorted(preview.violations, key=lambda violation: violation.level != "mandatory")
    rows = (
        f"- {'⛔' if found.level == 'mandatory' else '⚠️'} {code(found.level)} {code(found.policy)}"
        f"{f' at {code(found.resource)}' if found.resource else ''}: {sentence(found.text)}"
        for found in order
    )
    if preview.broken and preview.policies:
        return _listed("Policies", (*rows, "Asked only of what was seen until the preview failed."))
    if not preview.violations and preview.policies:
        return Section("Policies", (f"✅ {preview.policies} policies are kept.",))
    return _listed("Policies", rows)


def _risks(declared: Declared) -> Iterator[str]:
    """Yield each risk; those of many domains or records that differ in nothing else are one."""
    if declared.text.strip():
        yield "- ❔ Not judged: what `mailstack diff` said is below, as a text."
    alike: dict[tuple[str, bool, str, str], list[str]] = {}
    for risk in declared.risks:
        alike.setdefault((risk.level, risk.certain, risk.reason, risk.advice), []).append(risk.what)
    for (level, certain, reason, advice), whats in alike.items():
        sure = "" if certain is True else " (perhaps)"
        further = f"; and {len(whats) - NAMED} more" if len(whats) > NAMED else ""
        what = f"{'; '.join(whats[:NAMED])}{further}: {reason}"
        yield f"- {RISKS.get(level, '🔵')} {_level(level)}{sure} {sentence(what)}"
        yield f"  - {sentence(advice)}"


def _level(word: str) -> str:
    return f"**{word}**" if word in RISKS else code(word)


def _declared(diff: str) -> Iterator[Section]:
    if diff.strip():
        yield Section("What the branch declares otherwise", tuple(diff.splitlines()), folded=True, fenced=True)


def _word(step: Step) -> str:
    """Return the action in one of our words: the engine has several for parts of a replacement and an import."""
    if step.action in URGENCY:
        return step.action
    return next((word for word in URGENCY if word in step.action), "update")


def _sign(preview: Preview) -> str:
    if preview.failed:
        return "⛔"
    gone = any(_word(step) in {"delete", "replace"} for step in preview.steps)
    return "⚠️" if gone or preview.violations else "🔎" if preview.changes else "✅"


def _counted(preview: Preview) -> str:
    counts = {word: preview.counts.get(word, 0) for word in WORDS}
    told = " · ".join(f"**{count}** {WORDS[word]}" for word, count in counts.items() if count)
    if not preview.ended:
        return "The preview did not come to its end: what `pulumi up` would do is not known."
    if preview.failed:
        return "`pulumi up` would refuse this change." + (f" Seen until then: {told}." if told else "")
    nothing = ". Only outputs change." if preview.outputs else ". Nothing changes."
    return told + ("" if preview.steps else nothing)


def _named(step: Step) -> str:
    return f"{code(step.kind.rpartition(':')[2] or step.kind)} {code(step.name)}"


def _gone(step: Step) -> str:
    why = f", because of {', '.join(code(reason) for reason in step.reasons)}" if step.reasons else ""
    stays = ": Pulumi forgets it, and it stays as it is" if step.stays and _word(step) == "delete" else ""
    return f"- **{_word(step)}** {_named(step)}{why}{stays}"


def _stops(step: Step) -> bool:
    return step.protected and _word(step) in {"delete", "replace"}


def _verb(step: Step) -> str:
    return "delete" if _word(step) == "delete" else "replace"


def _interruptions(found: Iterable[Run], steps: Iterable[Step]) -> Iterator[str]:
    for run in found:
        if run.cost.interrupts:
            yield f"- {code(run.role)} on {code(run.host)}: {run.cost.text}"
    for step in steps:
        if step.kind in WORKLOADS and _word(step) in {"update", "replace"}:
            yield f"- {_named(step)}: {WORKLOADS[step.kind]}"


def _run_rows(found: Iterable[Run]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each role; one that runs twice on a host, before and after others, has one."""
    rows: Counter[tuple[str, ...]] = Counter()
    for run in found:
        why = "; ".join(run.why) or {"create": "new", "delete": "not declared any more"}.get(run.action, "changed")
        rows[code(run.host), code(run.role), why, run.cost.text] += 1
    for (host, role, *rest), times in rows.items():
        yield (host, f"{role} ({times} times)" if times > 1 else role, *rest)


def _records(steps: Iterable[Step]) -> Iterator[tuple[str, ...]]:
    """Yield each record that changes: a resource at a provider, or an entry that a server of our own is shown with."""
    # The engine's order is another one each time. By name, what goes stands beside what comes in its place.
    at_provider = (step for step in steps if step.kind == RECORD)
    yield from map(_record_row, sorted(at_provider, key=lambda step: _owner(step.new or step.old)))
    for step in steps:
        if step.kind == SERVER:
            # What people publish elsewhere is shown like this too; where that begins or ends, no record comes or goes.
            moves = step.old.get(PROVIDER) != step.new.get(PROVIDER)
            before, after = ({} if moves and side.get(PROVIDER) == "none" else side for side in (step.old, step.new))
            for name in sorted(name for name in {*before, *after} if name.startswith(ENTRY)):
                old, new = before.get(name), after.get(name)
                if old != new:
                    sign = SIGNS["create" if old is None else "delete" if new is None else "update"]
                    yield sign, code(name.removeprefix(ENTRY)), _value(old), _value(new)


def _owner(inputs: Mapping[str, object]) -> tuple[list[str], str, str]:
    """Return what a record is sorted by: its name from the top, so that a domain's stand together; type and content."""
    name, kind, content = (str(inputs.get(key, "")) for key in ("name", "type", "content"))
    return name.split(".")[::-1], kind, content


def _record_row(step: Step) -> tuple[str, ...]:
    inputs = step.new or step.old
    before, after = (_record(side, other) for side, other in ((step.old, step.new), (step.new, step.old)))
    return SIGNS[_word(step)], code(f"{inputs.get('type', '?')} {inputs.get('name', '?')}"), before, after


def _record(inputs: Mapping[str, object], other: Mapping[str, object]) -> str:
    """Return a record's content, and whatever else differs from ``other``."""
    if not inputs:
        return ""
    content = str(inputs.get("content", inputs.get("data", "")))
    more = [
        f"{name}={inputs[name]}"
        for name in ("priority", "ttl", "proxied", "data")
        if name in inputs and (name == "priority" or (other and other.get(name) != inputs[name]))
    ]
    return code(" ".join([shortened(content), *more]))


def _settings(components: Iterable[Step]) -> Iterator[tuple[str, ...]]:
    """Yield what each component shows of its plan (mailstack/plan/shown.py), where it differs."""
    for step in components:
        if not (step.old and step.new):
            continue  # all of it is new, or gone
        for name in sorted({*step.old, *step.new}):
            old, new = step.old.get(name), step.new.get(name)
            if old != new and not CODE.search(name) and not (step.kind == SERVER and name.startswith(ENTRY)):
                yield code(step.name), code(name), _value(old), _value(new)


def _value(value: object) -> str:
    return "" if value is None else code(shortened(str(value)))


def _listed(title: str, lines: Iterable[str], *, folded: bool = False) -> Section:
    return Section(title, tuple(lines), folded)


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, folded: bool = False) -> Section:
    lines = [row(cells) for cells in rows]
    return Section(title, (row(heads), f"|{'---|' * len(heads)}", *lines) if lines else (), folded)


def _within(head: str, sections: Iterable[Section], where: str) -> str:
    """Return the comment, and where it is too long for GitHub with as many lines as fit of each part, in order.

    ``where``: the command that tells all of it.
    """
    left = LONGEST - len(head) - len(NOTE) - len(where) - 20
    parts, dropped = [head], 0
    for section in sections:
        if not section.lines:
            continue
        fitting = _fitting(section, left)
        part = _drawn(section, section.lines[:fitting]) if fitting else ""
        dropped += len(section.lines) - fitting
        left -= len(part)
        parts.append(part)
    text = "".join(parts)
    return text.rstrip() + (NOTE.format(count=dropped, where=where) if dropped else "\n")


def _fitting(section: Section, room: int) -> int:
    """Return how many of the section's first lines fit, by halving: a fence grows with what it holds."""
    fits: Callable[[int], bool] = lambda count: len(_drawn(section, section.lines[:count])) <= room  # noqa: E731
    low, high = 0, len(section.lines)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _drawn(section: Section, lines: Sequence[str]) -> str:
    body = block("\n".join(lines)) if section.fenced else "\n".join(lines)
    if section.folded:
        return f"\n\n<details><summary>{section.title}</summary>\n\n{body}\n\n</details>"
    return f"\n\n### {section.title}\n\n{body}"
