"""Writes settings as a stack file with a comment on every value: its description in the model, the same as in the
reference and in editors.
"""

import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from mailstack.settings.model import Settings
from mailstack.settings.stackfile import PROJECT

__all__ = ["SCHEMA_LINE", "stack_text"]

# The YAML language server of editors completes and checks the file by it.
SCHEMA_LINE = "# yaml-language-server: $schema=docs/reference/stack.schema.json"
WIDTH = 120
Model = type[BaseModel] | None


def stack_text(settings: Mapping[str, Any], notes: Mapping[str, str], header: Sequence[str]) -> str:
    """Return the file. ``notes`` maps a dotted place to a sentence that goes before the description."""
    lines = [SCHEMA_LINE, *(f"# {line}".rstrip() for line in header), "config:"]
    for key, value in settings.items():
        lines += _entry(f"{PROJECT}:{key}", value, key, Settings, key, notes, 2)
    return "\n".join(lines) + "\n"


def _entry(
    shown: str, value: Any, key: str, model: Model, place: str, notes: Mapping[str, str], indent: int
) -> Iterator[str]:
    """Yield the lines of one key of a mapping; ``model`` describes the mapping it stands in."""
    field = None if model is None else model.model_fields.get(key)
    inner = None if field is None else _model_in(field.annotation)
    if inner is not None and _is_by_name(field.annotation if field else None) and isinstance(value, Mapping):
        yield from _by_name(shown, value, inner, place, notes, indent, field.description if field else None)
        return
    note = notes.get(place)
    said = [None if note is None else note[:1].upper() + note[1:], None if field is None else field.description]
    comment = ". ".join(part.rstrip(".") for part in said if part) + "." if any(said) else ""
    yield from _lines(shown, value, inner, place, notes, indent, comment)


def _by_name(
    shown: str, value: Mapping[str, Any], model: Model, place: str, notes: Mapping[str, str], indent: int,
    about: str | None,
) -> Iterator[str]:  # fmt: skip
    """Yield a mapping whose keys are names of a person's choice."""
    pad = " " * indent
    yield from _commented(f"{pad}{shown}:", about or "", pad)
    for name, item in value.items():
        yield from _lines(name, item, model, f"{place}.{name}", notes, indent + 2, "")


def _lines(
    shown: str, value: Any, model: Model, place: str, notes: Mapping[str, str], indent: int, comment: str
) -> Iterator[str]:
    pad = " " * indent
    if isinstance(value, Mapping):
        yield from _commented(f"{pad}{shown}:", comment, pad)
        for key, item in value.items():
            yield from _entry(key, item, key, model, f"{place}.{key}", notes, indent + 2)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        yield from _commented(f"{pad}{shown}:", comment, pad)
        for number, item in enumerate(value):
            yield from _item(item, model, f"{place}.{number}", notes, indent + 2)
    elif isinstance(value, str) and "\n" in value:
        yield from _commented(f"{pad}{shown}: |", comment, pad)
        yield from (f"{pad}  {line}" for line in value.splitlines())
    else:
        yield from _commented(f"{pad}{shown}: {_scalar(value)}", comment, pad)


def _item(item: Mapping[str, Any], model: Model, place: str, notes: Mapping[str, str], indent: int) -> Iterator[str]:
    """Yield the lines of a mapping in a list: its first key behind the dash."""
    lines = [line for key, value in item.items() for line in _entry(
        key, value, key, model, f"{place}.{key}", notes, indent + 2
    )]  # fmt: skip
    dash = next(number for number, line in enumerate(lines) if not line.lstrip().startswith("#"))
    lines[dash] = f"{' ' * indent}- {lines[dash].lstrip()}"
    yield from lines


def _commented(line: str, comment: str, pad: str) -> Iterator[str]:
    """Yield the line with its comment behind it, above it where the line would be too long."""
    if not comment:
        yield line
    elif len(f"{line} # {comment}") <= WIDTH:
        yield f"{line} # {comment}"
    else:
        yield from _wrapped(comment, pad)
        yield line


def _wrapped(comment: str, pad: str) -> Iterator[str]:
    line = f"{pad}#"
    for word in comment.split():
        if len(line) + 1 + len(word) > WIDTH:
            yield line
            line = f"{pad}#"
        line += f" {word}"
    yield line


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        quoted = json.dumps(value, ensure_ascii=False)
        plain = yaml.safe_dump(value, width=10_000, allow_unicode=True).removesuffix("...\n").strip()
        return quoted if plain.startswith("'") else plain
    if isinstance(value, list):
        return f"[{', '.join(_scalar(item) if not _flow(item) else json.dumps(item) for item in value)}]"
    return json.dumps(value)


def _flow(item: Any) -> bool:
    """Tell whether a text means something else inside of brackets."""
    return isinstance(item, str) and any(sign in item for sign in ",[]{}#:")


def _is_by_name(annotation: Any) -> bool:
    return typing.get_origin(annotation) is dict or any(_is_by_name(part) for part in typing.get_args(annotation))


def _model_in(annotation: Any) -> Model:
    """Return the section that an annotation holds: itself, in a list, or as the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := _model_in(part)) is not None), None)
