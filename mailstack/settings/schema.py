"""The JSON schema of a stack file, for editors (YAML language server) and reviews."""

import json
from typing import Any

from mailstack.settings.model import Settings
from mailstack.stackfile import PROJECT

__all__ = ["stack_file_schema"]

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
        for name, field in definition.get("properties", {}).items():
            definition["properties"][name] = _with_secure(field)
    definitions["Secure"] = SECURE
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pulumi stack file of mailstack",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": {f"{PROJECT}:{key}": value for key, value in model["properties"].items()},
                "required": [f"{PROJECT}:{key}" for key in model["required"]],
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
    if not any(option.get("format") == "password" for option in options):
        return field
    described = {key: value for key, value in field.items() if key in {"description", "title", "default"}}
    bare = [{key: value for key, value in option.items() if key not in described} for option in options]
    return {**described, "anyOf": [*bare, {"$ref": "#/$defs/Secure"}]}
