"""The JSON schema of a stack file, for editors (YAML language server) and reviews."""

import json
from typing import Any

from mailstack.settings.model import Settings
from mailstack.settings.stackfile import PROJECT

__all__ = ["settings_reference", "stack_file_schema"]

SECURE = {
    "type": "object",
    "description": "A value encrypted by Pulumi.",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}


def stack_file_schema() -> str:
    """Return the schema (JSON Schema 2020-12) of ``Pulumi.<stack>.yaml`` as indented JSON with a final newline."""
    model = Settings.model_json_schema(ref_template="#/$defs/{model}")
    definitions = model.pop("$defs")
    for definition in definitions.values():
        fields = definition.get("properties", {})
        # A file may lack its secrets until `mailstack init` has made them.
        definition["required"] = [name for name in definition.get("required", []) if not _is_secret(fields[name])]
        definition["properties"] = {name: _with_secure(field) for name, field in fields.items()}
    definitions["Secure"] = SECURE
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pulumi stack file of mailstack",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": {f"{PROJECT}:{key}": value for key, value in model["properties"].items()},
                "required": [f"{PROJECT}:{key}" for key in model["required"] if key != "domains"],  # or a domains_file
                "patternProperties": {f"^(?!{PROJECT}:)": {}},
                "additionalProperties": False,
            }
        },
        "required": ["config"],
        "$defs": definitions,
    }
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _with_secure(field: dict[str, Any]) -> dict[str, Any]:
    """Let a secret field hold either its value or what Pulumi made of it."""
    options = field.get("anyOf", [field])
    if not _is_secret(field):
        return field
    described = {key: value for key, value in field.items() if key in {"description", "title", "default"}}
    bare = [{key: value for key, value in option.items() if key not in described} for option in options]
    return {**described, "anyOf": [*bare, {"$ref": "#/$defs/Secure"}]}


def _is_secret(field: dict[str, Any]) -> bool:
    return any(option.get("format") == "password" for option in field.get("anyOf", [field]))


def settings_reference() -> str:
    """Return all settings as Markdown, one table for each section, in the order of the model."""
    model = Settings.model_json_schema(ref_template="{model}")
    about = "Every key of `Pulumi.<stack>.yaml`, below the prefix `mailstack:`. Made by `mailstack schema --write`."
    parts = [f"# Settings\n\n{about}\n", _table("Top level", model)]
    parts += [_table(name, definition) for name, definition in model["$defs"].items()]
    return "\n".join(parts)


def _table(title: str, definition: dict[str, Any]) -> str:
    required = definition.get("required", [])
    rows = [
        f"| `{name}` | {_type(field)} | {_default(name, field, required)} | {field.get('description', '')} |"
        for name, field in definition.get("properties", {}).items()
    ]
    about = definition.get("description", "")
    return "\n".join(
        [f"## {title}\n", f"{about}\n", "| Key | Type | Default | Meaning |", "|---|---|---|---|", *rows, ""]
    )


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"] if option.get("type") != "null")
    if "$ref" in field:
        return f"[{field['$ref']}](#{field['$ref'].lower()})"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if field.get("type") == "object":
        return f"mapping of name to {_type(field['additionalProperties'])}"
    if field.get("format") == "password":
        return "secret"
    limits = [f"{word} {field[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in field]
    return " ".join([str(field.get("type", "any")), *limits])


def _default(name: str, field: dict[str, Any], required: list[str]) -> str:
    if name in required:
        return "required"
    value = field.get("default")
    return f"`{json.dumps(value)}`" if value not in (None, {}, []) and not isinstance(value, dict) else ""
