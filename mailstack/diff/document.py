"""A comparison for machines: JSON, with a schema (docs/reference/diff.schema.json). All of it is safe to show."""

import json
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mailstack.diff.changes import Change
from mailstack.diff.comparison import Comparison
from mailstack.diff.declaration import Declaration
from mailstack.diff.hidden import Hidden
from mailstack.diff.operations import Operation, Word
from mailstack.diff.resources import COMMAND
from mailstack.diff.restarts import How
from mailstack.diff.risks import LEVELS, Level

__all__ = ["Document", "diff_schema", "document", "json_document"]

# So many changed inputs of one resource are named; a manifest has hundreds.
NAMED_INPUTS = 8
Differs = Literal["added", "removed", "changed"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Side(_Part):
    """One of the two declarations."""

    stack: str = Field(description="Name of the stack.")
    where: str = Field(description="What was read: the working tree, or a commit.")


class _Counts(_Part):
    """How many entries each list has."""

    changes: int = Field(ge=0)
    secrets: int = Field(ge=0)
    resources: int = Field(ge=0)
    restarts: int = Field(ge=0)
    high: int = Field(ge=0, description="Risks: mail can be lost, bounced or refused.")
    medium: int = Field(ge=0, description="Risks: mail can be delayed, or judged otherwise by receivers.")
    low: int = Field(ge=0, description="Risks: worth knowing.")
    settings: int = Field(ge=0, description="Settings of two environments that differ and are not expected to.")


class _Change(_Part):
    """A fact of the plan that differs."""

    section: str = Field(description="Such as records, main.cf, postal, certificates, firewall, kubernetes, container.")
    subject: str = Field(description="Zone, host or component that it is about.")
    name: str = Field(description="Record, parameter, object or rule.")
    change: Differs
    before: str | None = Field(description="Null where it was not there, and for a secret.")
    after: str | None = Field(description="Null where it is not there any more, and for a secret.")
    secret: bool = Field(description="Its value is never shown.")
    certain: bool = Field(description="False: it follows from an encrypted value that may be the same after all.")


class _Secret(_Part):
    """An encrypted value that came, went, or has another ciphertext. It was not opened."""

    place: str = Field(description="Where it is, list entries by their names.")
    change: Differs
    known: str = Field(description="What that tells.")


class _Resource(_Part):
    """What the engine does with a resource."""

    name: str = Field(description="Its name in Pulumi.")
    what: str = Field(description="What it is: a role, a record, an object, a container.")
    host: str | None = Field(description="Host that a role runs on.")
    operation: Word
    because: tuple[str, ...] = Field(description="Inputs that differ, by name.")
    certain: bool = Field(description="False: only where an encrypted value is really another one.")
    stays: bool = Field(description="Of one that is deleted: only Pulumi forgets it, what it stands for stays.")


class _Restart(_Part):
    """What restarts, reloads, rolls or runs."""

    what: str
    how: How
    where: str = Field(description="Host, cluster or Docker engine.")
    means: str = Field(description="What is seen of it.")
    resource: str = Field(description="Name of the resource that does it.")
    certain: bool


class _Risk(_Part):
    """What could lose or delay mail."""

    level: Level
    rule: str = Field(description="Stable name of the rule that found it.")
    what: str
    reason: str
    advice: str
    certain: bool


class _Setting(_Part):
    """A setting of two environments that differs, defaults included."""

    path: str
    before: str | None
    after: str | None
    expected: str = Field(description="Why it may differ; empty where it should be looked at.")


class _Code(_Part):
    """Code that differs between the base and the working tree."""

    files: tuple[str, ...] = Field(description="All that could matter to what is applied.")
    renderers: tuple[str, ...] = Field(description="Of these, what turns settings into plans: its effect is not told.")
    roles: tuple[str, ...] = Field(description="Roles whose code differs: they run again.")
    image: bool = Field(description="The relay's image is built of other files.")


class Document(_Part):
    """What differs between two declarations. Keys are only ever added; `version` counts breaking changes."""

    version: Literal[1] = Field(description="Version of this schema.")
    kind: Literal["change", "environments"] = Field(description="One stack at two times, or two stacks.")
    before: _Side | None = Field(description="Null: the stack file is new.")
    after: _Side | None = Field(description="Null: the stack file is gone.")
    different: bool = Field(description="Whether anything differs; the exit code is 2 then.")
    counts: _Counts
    risks: tuple[_Risk, ...] = Field(description="The worst first.")
    changes: tuple[_Change, ...]
    secrets: tuple[_Secret, ...]
    resources: tuple[_Resource, ...] = Field(description="Of kind change only.")
    restarts: tuple[_Restart, ...] = Field(description="Of kind change only.")
    settings: tuple[_Setting, ...] = Field(description="Of kind environments only.")
    names: dict[str, str] = Field(description="Of kind environments: domains that stand for each other.")
    code: _Code


def document(comparison: Comparison) -> Document:
    """Return the comparison as plain data without secrets."""
    sides = [side for side in (comparison.before, comparison.after) if side is not None]
    hidden = Hidden(sides)
    risks = [
        {"level": risk.level, "rule": risk.rule, "what": risk.what, "reason": risk.reason, "advice": risk.advice,
         "certain": risk.certain}
        for risk in comparison.risks
    ]  # fmt: skip
    levels = {level: sum(risk.level == level for risk in comparison.risks) for level in LEVELS}
    found: dict[str, Any] = {
        "version": 1,
        "kind": comparison.kind,
        "before": _side(comparison.before),
        "after": _side(comparison.after),
        "different": comparison.different,
        "counts": {
            "changes": len(comparison.changes),
            "secrets": len(comparison.secrets),
            "resources": len(comparison.operations),
            "restarts": len(comparison.restarts),
            "settings": sum(not one.expected for one in comparison.settings),
            **levels,
        },
        "risks": risks,
        "changes": [_change(one) for one in comparison.changes],
        "secrets": [{"place": one.place, "change": one.word, "known": one.known} for one in comparison.secrets],
        "resources": list(_resources(comparison)),
        "restarts": list(_restarts(comparison)),
        "settings": [
            {"path": one.path, "before": one.before, "after": one.after, "expected": one.expected}
            for one in comparison.settings
        ],
        "names": dict(comparison.names),
        "code": {
            "files": comparison.code.files,
            "renderers": comparison.code.renderers,
            "roles": comparison.code.roles,
            "image": comparison.code.image,
        },
    }
    return Document.model_validate(hidden.data(found))


def _side(declaration: Declaration | None) -> dict[str, str] | None:
    return None if declaration is None else {"stack": declaration.stack, "where": declaration.where}


def _change(change: Change) -> dict[str, Any]:
    section, subject, _ = change.key
    return {
        "section": section,
        "subject": subject,
        "name": change.label,
        "change": change.word,
        "before": None if change.secret else change.before,
        "after": None if change.secret else change.after,
        "secret": change.secret,
        "certain": change.certain,
    }


def _resources(comparison: Comparison) -> Iterator[dict[str, Any]]:
    for name, one in comparison.operations.items():
        yield {
            "name": name,
            "what": one.resource.what,
            "host": one.resource.host,
            "operation": one.word,
            "because": _because(one),
            "certain": name not in comparison.uncertain,
            "stays": one.stays,
        }


def _because(one: Operation) -> list[str]:
    if one.resource.type == COMMAND:
        return list(one.inputs)
    more = len(one.inputs) - NAMED_INPUTS
    return [*one.inputs[:NAMED_INPUTS], *([f"{more} more"] if more > 0 else [])]


def _restarts(comparison: Comparison) -> Iterator[dict[str, Any]]:
    for one in comparison.restarts:
        yield {
            "what": one.what,
            "how": one.how,
            "where": one.where,
            "means": one.means,
            "resource": one.because,
            "certain": one not in comparison.maybe,
        }


def json_document(found: Document) -> str:
    """Return the document as indented JSON with a final newline."""
    return json.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def diff_schema() -> str:
    """Return the schema (JSON Schema 2020-12) of ``json_document`` as indented JSON with a final newline."""
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Answer of mailstack diff"}
    text = json.dumps({**Document.model_json_schema(), **about}, indent=2, sort_keys=True)
    for part in (_Side, _Counts, _Change, _Secret, _Resource, _Restart, _Risk, _Setting, _Code):
        text = text.replace(f'"{part.__name__}"', f'"{part.__name__[1:]}"')
        text = text.replace(f"defs/{part.__name__}", f"defs/{part.__name__[1:]}")
    return text + "\n"
