"""The contract as a flat record, kept in the repository: what a breaking change is seen against.

A path names one value: ``smtp_host``, ``mail_servers.*.smtp_keys.*`` (``*`` stands for every key of a mapping, ``[]``
for every item of a list). What consumers rely on is its type, whether it may be missing, and whether it is secret.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from mailstack.outputs.contract import CONTRACT_VERSION, Outputs

__all__ = ["ContractError", "Record", "Value", "breaking", "parse_record", "record", "record_text"]


class Value(TypedDict):
    """What is promised of one value. ``type`` is JSON's: string, integer, boolean, array, object, any."""

    type: str
    optional: bool
    secret: bool


Record = dict[str, Value]


class ContractError(RuntimeError):
    """A breaking change without a new contract version; the text lists what breaks."""


def record() -> Record:
    """Return the contract as it is in the models."""
    schema = Outputs.model_json_schema(ref_template="{model}")
    return dict(_values(schema, schema.get("$defs", {}), ""))


def _values(schema: Mapping[str, Any], models: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Value]]:
    required = set(schema.get("required", ()))
    for name, field in schema["properties"].items():
        yield from _value(field, models, f"{prefix}{name}", optional=name not in required)


def _value(
    field: Mapping[str, Any], models: Mapping[str, Any], path: str, *, optional: bool = False
) -> Iterator[tuple[str, Value]]:
    options = field.get("anyOf", [field])
    told = [option for option in options if option.get("type") != "null"]
    if len(told) != 1:
        raise TypeError(f"{path} has several types; consumers in other languages want one")
    found = models[told[0]["$ref"]] if "$ref" in told[0] else told[0]
    kind, secret = found.get("type", "any"), found.get("format") == "password"
    yield path, {"type": kind, "optional": optional or len(options) > 1, "secret": secret}
    if "properties" in found:
        yield from _values(found, models, f"{path}.")
    elif kind == "object" and isinstance(found.get("additionalProperties"), Mapping):
        yield from _value(found["additionalProperties"], models, f"{path}.*")
    elif kind == "array":
        yield from _value(found["items"], models, f"{path}[]")


def breaking(before: Mapping[str, Value], now: Mapping[str, Value]) -> list[str]:
    """Return what a consumer of ``before`` trips over with ``now``, one sentence each. What is new is no break."""
    found = []
    for path, old in before.items():
        new = now.get(path)
        if new is None:
            found.append(f"{path} is gone")
            continue
        if new["type"] != old["type"]:
            found.append(f"{path} was {old['type']} and is {new['type']}")
        if old["secret"] and not new["secret"]:
            found.append(f"{path} was secret and is told in clear")
        if new["secret"] and not old["secret"]:
            found.append(f"{path} was told in clear and is secret: who reads it without --show-secrets gets [secret]")
        if new["optional"] and not old["optional"]:
            found.append(f"{path} was always there and may be missing")
    return found


def record_text(kept: str | None = None) -> str:
    """Return the record as JSON. ``kept`` is the one of before.

    Raises ContractError where something breaks and CONTRACT_VERSION is not higher than that of ``kept``.
    """
    now = record()
    if kept is not None:
        version, before = parse_record(kept)
        found = breaking(before, now)
        if found and version >= CONTRACT_VERSION:
            raise ContractError(
                f"stack outputs change in a way that breaks consumers: {'; '.join(found)}. Keep what was there and add "
                f"a new name, or raise CONTRACT_VERSION of mailstack/outputs/contract.py to {version + 1}"
            )
    return json.dumps({"contract_version": CONTRACT_VERSION, "outputs": now}, indent=1) + "\n"


def parse_record(text: str) -> tuple[int, Record]:
    """Return version and contract of a record."""
    document = json.loads(text)
    return document["contract_version"], document["outputs"]
