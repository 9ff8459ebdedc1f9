"""The reference page of the outputs and their JSON schema, made from the contract."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.outputs.contract import CONTRACT_VERSION, GROUPS, Outputs

__all__ = ["outputs_reference", "outputs_schema"]

ABOUT = (
    "What each stack tells, made from `mailstack/outputs/contract.py` by `mailstack schema --write`. What they promise "
    "and how to use them: [stack outputs](../outputs.md)."
)


def outputs_schema() -> str:
    """Return the schema (JSON Schema 2020-12) of the outputs with their secrets shown, as indented JSON, final newline.

    Readers keep a copy of it, and outputs are only ever added: what it does not know it lets pass.
    """
    schema = _open(Outputs.model_json_schema())
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Stack outputs of mailstack, as `pulumi stack output --json --show-secrets` prints them",
    }
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _open(schema: Any) -> Any:
    """Return the schema without the models' refusal of what they do not know."""
    if isinstance(schema, dict):
        refusal = ("additionalProperties", False)
        return {key: _open(value) for key, value in schema.items() if (key, value) != refusal}
    return [_open(value) for value in schema] if isinstance(schema, list) else schema


def outputs_reference() -> str:
    """Return all outputs as Markdown: one table for each group, then the mappings that have keys of their own."""
    schema = Outputs.model_json_schema(ref_template="{model}")
    parts = [f"# Outputs\n\n{ABOUT}\n\nVersion of the contract: {CONTRACT_VERSION}.\n"]
    for group, about in GROUPS.items():
        fields = {name: field for name, field in schema["properties"].items() if field["x-group"] == group}
        parts.append(_table(group, about, ("Output", "Type", "There with", "Meaning"), _rows(fields, there=True)))
    for name, model in schema["$defs"].items():
        about = f"{model['description']} In `{'`, `'.join(_users(schema, name))}`."
        parts.append(_table(name, about, ("Key", "Type", "Meaning"), _rows(model["properties"], there=False)))
    return "\n".join(parts)


def _table(title: str, about: str, columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join([f"## {title}\n", f"{about}\n", *(f"| {' | '.join(line)} |" for line in lines), ""])


def _rows(fields: Mapping[str, Any], *, there: bool) -> Iterator[tuple[str, ...]]:
    for name, field in fields.items():
        rest = (field["x-there-with"],) if there else ()
        yield (f"`{name}`", _type(field), *rest, field["description"])


def _users(schema: Mapping[str, Any], model: str) -> list[str]:
    return [name for name, field in schema["properties"].items() if f'"{model}"' in json.dumps(field)]


def _type(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        options = [_type(option) for option in field["anyOf"] if option.get("type") != "null"]
        # An output that has nothing to tell is not there; a key of a mapping may be null.
        return " or ".join(options if "x-group" in field else [*options, "null"])
    if "$ref" in field:
        return f"[{field['$ref']}](#{field['$ref'].lower()})"
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    if field["type"] == "object":
        inner = field.get("additionalProperties")
        return f"mapping to {_type(inner)}" if isinstance(inner, Mapping) else "mapping"
    return "string, **secret**" if field.get("format") == "password" else str(field["type"])
