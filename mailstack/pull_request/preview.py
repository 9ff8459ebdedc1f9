"""Reads what the engine printed of a preview: the document of ``pulumi preview --json``, its event log, or both.

Sources: ``pkg/backend/display/json.go`` and ``sdk/go/common/apitype/events.go`` of Pulumi 3.274. The document says
nothing of policies ("we don't handle policy events in JSON serialization"); the event log does.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mailstack.markdown import SECRET, shown_value
from mailstack.pull_request.outputs import OutputChange, output_changes

__all__ = ["COMMAND", "LAST_WORD", "Message", "Preview", "PreviewError", "Step", "Violation", "read_preview"]

# How the engine marks a value as a secret where it was not blinded (sdk/go/common/resource/sig).
SIGNATURE, SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
# Steps that are parts of another one: a replacement shows once.
PARTS = frozenset({"create-replacement", "delete-replaced", "discard-replaced", "remove-pending-replace"})
UNTOUCHED = frozenset({"same", "read", "refresh", "read-discard"})
ERROR, WARNING = "error", "warning"
# What the engine says last where a preview fails, after the reasons: policies, or errors of their own.
LAST_WORD = "preview failed"
# The engine says for every plugin that it did not download itself where it is.
PLUGIN_PLACE = "warning: using pulumi-"
# What runs something on a host; without a text for its end nothing is run there.
COMMAND = "command:remote:Command"


class PreviewError(RuntimeError):
    """The file is no preview; the text names it, what was found, and how one is made."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing the engine would do.

    ``old`` and ``new`` are inputs by name, secrets hidden; ``reasons`` the inputs that changed, ``kind`` the type token
    and ``component`` the class of ours that holds the resource, empty where none does. ``stays``: where it is deleted,
    the engine only forgets it, by its own option or because nothing is run to take it away.
    """

    action: str
    urn: str
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    reasons: tuple[str, ...]
    protected: bool
    stays: bool = False

    @property
    def name(self) -> str:
        """Return the resource's name."""
        return self.urn.rpartition("::")[2]

    @property
    def kind(self) -> str:
        """Return the type token, such as ``command:remote:Command``."""
        return self._types[-1]

    @property
    def component(self) -> str:
        """Return the class of ours around it, such as ``PostfixRelay``."""
        ours = [token.rpartition(":")[2] for token in self._types if token.startswith("mailstack:")]
        return ours[-1] if ours else ""

    @property
    def _types(self) -> list[str]:
        return self.urn.split("::")[2].split("$")


@dataclass(frozen=True, kw_only=True)
class Message:
    """A line that was logged; ``severity`` as the engine spells it."""

    severity: str
    text: str
    resource: str = ""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A policy that a resource, or the stack, does not keep. One of level ``mandatory`` fails the preview."""

    level: str
    policy: str
    pack: str
    resource: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A preview as a whole; ``counts`` maps an action to how many resources it is for, ``same`` among them.

    ``policies`` are those that were looked at: None where no event log says so; ``outputs`` are there with one only.
    """

    steps: tuple[Step, ...]
    messages: tuple[Message, ...]
    counts: Mapping[str, int]
    violations: tuple[Violation, ...] = ()
    policies: int | None = None
    outputs: tuple[OutputChange, ...] = ()

    @property
    def ended(self) -> bool:
        """Tell whether the engine counted what it does: it does so last, even of a stack where nothing changes."""
        return bool(self.counts)

    @property
    def failed(self) -> bool:
        """Tell whether ``pulumi up`` would refuse, or nobody knows."""
        return (
            not self.ended
            or any(message.severity == ERROR for message in self.messages)
            or any(violation.level == "mandatory" for violation in self.violations)
        )

    @property
    def broken(self) -> bool:
        """Tell whether it ended before the whole program was seen; with a refusal by policies alone it did not."""
        return not self.ended or any(
            message.severity == ERROR and message.text != LAST_WORD for message in self.messages
        )

    @property
    def changes(self) -> bool:
        """Tell whether anything would be done."""
        return bool(self.steps or self.outputs)


def read_preview(text: str, events: str | None = None, *, name: str = "--preview") -> Preview:
    """Return the preview in ``text``: a document, or an event log. ``events`` is the log of the same run.

    Raises PreviewError, which calls the first file ``name``.
    """
    found = _parsed(text, name)
    log = list(found) if isinstance(found, list) else None
    document = _of_events(log) if log is not None else found
    assert isinstance(document, dict)  # noqa: S101 - tells the type checker what _parsed and _of_events give
    if events is not None:
        second = _parsed(events, "--events")
        if not isinstance(second, list):
            raise PreviewError("--events is one document: it has to be the log of `pulumi preview --event-log FILE`")
        log = second
    try:
        return Preview(
            steps=tuple(_steps(document)),
            messages=tuple(_messages(document)),
            counts={str(key): int(count) for key, count in (document.get("changeSummary") or {}).items()},
            violations=tuple(_violations(log or ())),
            policies=_policies(log),
            outputs=tuple(output_changes(_hidden(list(log or ())))),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise PreviewError(
            f"{name} is JSON, but not what `pulumi preview --json` prints ({type(error).__name__}: {error})"
        ) from None


def _parsed(text: str, name: str) -> dict[str, Any] | list[dict[str, Any]]:
    """Return a document as a mapping, an event log as a list."""
    start = text.find("{")
    if start < 0:
        raise PreviewError(
            f"{name} holds no JSON. Fix: make it by `pulumi preview --json > FILE`; nothing else goes in"
        )
    decoder = json.JSONDecoder()
    found: list[dict[str, Any]] = []
    try:
        while start >= 0:
            value, end = decoder.raw_decode(text, start)
            if not isinstance(value, dict):
                raise PreviewError(f"{name} holds {type(value).__name__}; a preview is a mapping, an event one a line")
            found.append(value)
            start = text.find("{", end)
    except json.JSONDecodeError as error:
        raise PreviewError(
            f"{name} is no whole JSON: {error.msg} at line {error.lineno}. Fix: read it once `pulumi preview` has ended"
        ) from None
    if len(found) == 1 and "events" in found[0]:
        return list(found[0]["events"])
    if len(found) == 1 and "sequence" not in found[0]:
        return found[0]
    return found


def _of_events(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the document that the same preview would have printed."""
    steps: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    counts: Mapping[str, int] = {}
    for event in events:
        if (pre := event.get("resourcePreEvent")) is not None:
            told = pre["metadata"]
            steps.append(
                {
                    **{key: told.get(key) for key in ("op", "urn", "detailedDiff")},
                    "oldState": told.get("old"),
                    "newState": told.get("new"),
                    "diffReasons": told.get("diffs"),
                }
            )
        elif (logged := event.get("diagnosticEvent")) is not None and not logged.get("ephemeral"):
            messages.append({**logged, "message": logged.get("prefix", "") + logged["message"]})
        elif (summary := event.get("summaryEvent")) is not None:
            counts = summary.get("resourceChanges") or {}
    return {"steps": steps, "diagnostics": messages, "changeSummary": counts}


def _steps(document: Mapping[str, Any]) -> Iterator[Step]:
    for step in document.get("steps") or ():
        if step["op"] in PARTS | UNTOUCHED:
            continue
        old, new = step.get("oldState") or {}, step.get("newState") or {}
        reasons = step.get("diffReasons") or step.get("replaceReasons") or sorted(step.get("detailedDiff") or ())
        yield Step(
            action=str(step["op"]),
            urn=str(step["urn"]),
            old=_hidden(old.get("inputs") or {}),
            new=_hidden(new.get("inputs") or {}),
            reasons=tuple(str(reason) for reason in reasons),
            protected=bool(old.get("protect") or new.get("protect")),
            stays=bool(old.get("retainOnDelete") or _is_only_forgotten(str(step["urn"]), old.get("inputs") or {})),
        )


def _is_only_forgotten(urn: str, inputs: Mapping[str, Any]) -> bool:
    return urn.split("::")[2].endswith(COMMAND) and not inputs.get("delete")


def _hidden(value: Any) -> Any:
    """Return ``value`` with a secret that was not blinded replaced as the engine would."""
    if isinstance(value, Mapping):
        if value.get(SIGNATURE) == SECRET_SIGNATURE:
            return SECRET
        return {str(key): _hidden(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_hidden(entry) for entry in value]
    return shown_value(value) if isinstance(value, str) else value


def _messages(document: Mapping[str, Any]) -> Iterator[Message]:
    told: set[str] = set()
    for logged in document.get("diagnostics") or ():
        severity, text = str(logged["severity"]), shown_value(str(logged["message"])).strip()
        core = text.removeprefix("error: ").removeprefix("an unhandled error occurred: ")
        if severity not in {ERROR, WARNING, "info"} or text.startswith(PLUGIN_PLACE) or not core or core in told:
            continue
        told.add(core)
        yield Message(severity=severity, text=core.removeprefix("warning: "), resource=str(logged.get("urn") or ""))


def _violations(events: Iterable[Mapping[str, Any]]) -> Iterator[Violation]:
    for event in events:
        if (found := event.get("policyEvent")) is not None and not found.get("exceptions"):
            yield Violation(
                level=str(found["enforcementLevel"]),
                policy=str(found["policyName"]),
                pack=str(found["policyPackName"]),
                resource=str(found.get("resourceUrn") or "").rpartition("::")[2],
                text=shown_value(str(found["message"])).strip(),
            )


def _policies(events: list[dict[str, Any]] | None) -> int | None:
    """Return how many policies were looked at; None without a pack."""
    if events is None:
        return None
    seen: set[tuple[str, str]] = set()
    for event in events:
        for kind in ("policyAnalyzeSummaryEvent", "policyAnalyzeStackSummaryEvent"):
            told = event.get(kind) or {}
            seen |= {(told["policyPackName"], name) for part in ("passed", "failed") for name in told.get(part) or ()}
    return len(seen) or None
