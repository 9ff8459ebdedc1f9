"""From raw configuration to checked settings, with every mistake found in one pass."""

import copy
import difflib
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mailstack.settings.model import Settings
from mailstack.settings.problems import Location, Problem, dotted

__all__ = ["Shape", "read_shape"]

SECRET_FIELDS = frozenset(
    {
        "api_token",
        "dns_token",
        "key",
        "passphrase",
        "password",
        "private_key",
        "root_password",
        "secret_key",
        "signing_key",
        "token",
    }
)

# Rule and fix for what pydantic finds by itself; {} holds the error's context.
STANDARD_ERRORS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("must be {ge} or more", "choose a larger number"),
    "less_than_equal": ("must be {le} or less", "choose a smaller number"),
    "int_parsing": ("must be a whole number", "write digits only"),
    "int_type": ("must be a whole number", "write digits only"),
    "int_from_float": ("must be a whole number", "write digits only"),
    "bool_parsing": ("must be true or false", "write true or false"),
    "bool_type": ("must be true or false", "write true or false"),
    "string_type": ("must be text", "put it in quotes"),
    "string_too_short": ("must not be empty", "write a value, or leave the key out"),
    "string_too_long": ("must have {max_length} characters at most", "shorten it"),
    "string_pattern_mismatch": ("must match {pattern}", "correct the value"),
    "too_short": ("must have at least one entry", "add an entry, or leave the key out where it is optional"),
    "tuple_type": ("must be a list", "write one `- entry` per line below the key"),
    "dict_type": ("must be a mapping", "write `key: value` lines below it"),
    "model_type": ("must be a mapping", "write `key: value` lines below it"),
    "model_attributes_type": ("must be a mapping", "write `key: value` lines below it"),
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a configuration amounts to, field by field.

    ``settings`` lack what has the wrong shape; None when too little is left. ``left_out`` are the fields they lack.
    """

    settings: Settings | None
    problems: tuple[Problem, ...] = ()
    left_out: frozenset[str] = frozenset()

    def left_out_touches(self, field: str) -> bool:
        """Tell whether ``field`` is, holds or is inside something that was left out."""
        return any(
            field == part or field.startswith((f"{part}.", f"{part}[")) or part.startswith((f"{field}.", f"{field}["))
            for part in self.left_out
        )


def read_shape(raw: Mapping[str, Any]) -> Shape:
    """Return the settings described by ``raw`` (configuration key without the project prefix to value), as far as
    they can be read, with a problem for every field of the wrong shape."""
    try:
        return Shape(settings=Settings.model_validate(raw))
    except ValidationError as error:
        problems = tuple(_problem(raw, detail) for detail in _errors(error))
        salvaged, left_out = _salvage(raw, error)
        return Shape(settings=salvaged, problems=problems, left_out=frozenset(left_out))


def _errors(error: ValidationError) -> list[ErrorDetails]:
    """Return the errors without those that only follow from others: a list whose entries are wrong is not short."""
    details = error.errors(include_url=False)
    places = [detail["loc"] for detail in details]
    return [
        detail
        for detail in details
        if detail["type"] != "too_short"
        or not any(len(place) > len(detail["loc"]) and place[: len(detail["loc"])] == detail["loc"] for place in places)
    ]


def _problem(raw: Mapping[str, Any], detail: ErrorDetails) -> Problem:
    location = detail["loc"]
    kind, context = detail["type"], detail.get("ctx", {})
    if location and location[-1] == "[key]":  # the name of an entry is wrong, not its value
        location = location[:-1]
        value = json.dumps(location[-1])
    else:
        value = "" if kind in {"missing", "extra_forbidden"} else _shown(raw, location)
    if kind == "rule":
        rule, fix = context["rule"], context["fix"]
    elif kind == "missing":
        told, init = _description(location), "`mailstack init`"
        made = location[-1] in SECRET_FIELDS and init not in told
        way = f"{init} makes it, or names the command for it" if made else "add it"
        rule, fix = "is required", f"{way}. {told}".rstrip(". ")
    elif kind == "extra_forbidden":
        rule, fix = "is not a known key", _nearest_key(location)
    elif kind == "literal_error":
        rule, fix = f"must be one of {context['expected'].replace(' or ', ', ')}", "write one of these"
    elif kind in STANDARD_ERRORS:
        rule, fix = STANDARD_ERRORS[kind]
        rule = rule.format(**context)
    else:
        rule, fix = detail["msg"], "correct the value"
    return Problem(field=dotted(location), value=value, rule=rule, fix=fix)


def _shown(raw: Any, location: Location) -> str:
    """Return the value at ``location`` as a person wrote it, unless it is or may hold a secret."""
    value = raw
    for part in location:
        if part in SECRET_FIELDS:
            return "[secret]"
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return ""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return "[secret]" if "PRIVATE KEY" in text else text


def _model_at(location: Location) -> type[BaseModel] | None:
    """Return the settings class that the last part of ``location`` is a field of."""
    annotation: Any = Settings
    for part in location[:-1]:
        annotation = _not_none(annotation)
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in {tuple, dict}:  # ``part`` is an index or a key
            annotation = arguments[0] if origin is tuple else arguments[1]
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel) and part in annotation.model_fields:
            annotation = annotation.model_fields[str(part)].annotation
        else:
            return None
    annotation = _not_none(annotation)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _not_none(annotation: Any) -> Any:
    """Return X for the annotation ``X | None``."""
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return next(argument for argument in typing.get_args(annotation) if argument is not type(None))
    return annotation


def _description(location: Location) -> str:
    model = _model_at(location)
    field = model.model_fields.get(str(location[-1])) if model else None
    return (field.description if field else None) or ""


def _nearest_key(location: Location) -> str:
    model = _model_at(location)
    known = sorted(model.model_fields) if model else []
    section = re.match(r"[a-z_]+(?=[.\[])", str(location[-1])) if len(location) == 1 else None
    if section is not None and section[0] in known:
        # `pulumi config set` without --path makes the whole path one key.
        path = f"mailstack:{location[-1]}"
        return f"`pulumi config rm '{path}'`, then set it with --path: `pulumi config set --path '{path}'`"
    nearest = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    if nearest:
        return f"did you mean {nearest[0]}? Known here: {', '.join(known)}"
    return f"remove it. Known here: {', '.join(known)}"


def _salvage(raw: Mapping[str, Any], error: ValidationError) -> tuple[Settings | None, set[str]]:
    """Leave out what has the wrong shape until the rest is valid; None when too little is left."""
    rest: Any = copy.deepcopy(dict(raw))
    left_out: set[str] = set()
    for _ in range(10):
        for detail in _errors(error):
            location = tuple(part for part in detail["loc"] if part != "[key]")
            left_out.add(dotted(location))
            if detail["type"] == "missing":
                if not _fill(rest, location):
                    _remove(rest, location[:-1])
            else:
                _remove(rest, location)
        try:
            return Settings.model_validate(rest), left_out
        except ValidationError as next_error:
            error = next_error
    return None, left_out


def _fill(rest: dict[str, Any], location: Location) -> bool:
    """Put a harmless value where a required one is missing, so that the other rules can be tried."""
    if location == ("environment",):
        rest["environment"] = "local"
    elif not isinstance(rest.get("relay"), dict):
        return False  # taken out, because more than these two is wrong with it
    elif location == ("relay", "host") and isinstance(rest.get("hosts"), dict) and rest["hosts"]:
        rest["relay"]["host"] = next(iter(rest["hosts"]))
    elif location == ("relay", "hostname"):
        rest["relay"]["hostname"] = "relay.missing.invalid"
    else:
        return False
    return True


def _remove(rest: Any, location: Location) -> None:
    if not location:
        return
    for part in location[:-1]:
        try:
            rest = rest[part]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(rest, dict):
        rest.pop(location[-1], None)
    elif isinstance(rest, list) and isinstance(location[-1], int) and location[-1] < len(rest):
        # Keep the place, so that the later entries keep their numbers in messages.
        rest[location[-1]] = rest[0] if location[-1] else rest[-1]
