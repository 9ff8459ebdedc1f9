"""From typed settings to the text of main.cf, master.cf and maps, and back for comparisons.

The role carries this module to the host, so it keeps to Python 3.6 and the standard library. Formats:
postconf(5), master(5), postmap(1), regexp_table(5).
"""

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from mailstack.postfix.platforms import REFERENCES

__all__ = [
    "Reference",
    "RenderError",
    "Service",
    "Value",
    "decode_value",
    "differences",
    "encode_value",
    "parse_main_cf",
    "parse_master_cf",
    "render_indexed_map",
    "render_main_cf",
    "render_master_cf",
    "render_regexp_map",
    "resolve",
    "service_from",
    "value_text",
]

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
SERVICE_NAME = re.compile(r"[A-Za-z0-9.:_\[\]-]+\Z")
SERVICE_TYPES = ("inet", "unix", "unix-dgram", "fifo", "pass")
# Everything below a blank, DEL, and what Unicode counts as a line end.
CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")
CONTINUATION = "\n    "
MASTER_COLUMNS = (16, 10, 7, 7, 7, 7, 7)
# Package upgrades ("postfix upgrade-configuration") add these services, switched off, where no line names them.
SWITCHED_OFF = (
    "#smtp      inet  n  -  n  -  1  postscreen",
    "#smtpd     pass  -  -  n  -  -  smtpd",
    "#dnsblog   unix  -  -  n  -  0  dnsblog",
)
# Differences shown in one message; a distribution's main.cf differs in everything.
SHOWN_DIFFERENCES = 12


class RenderError(ValueError):
    """A value would not mean in the file what it means in the settings."""


class Reference(NamedTuple):
    """Stands for a value only the host knows; ``name`` is one of platforms.REFERENCES."""

    name: str


Value = Union[str, int, bool, Tuple[str, ...], Reference]


class Service(NamedTuple):
    """One line of master.cf, see master(5). ``options`` become ``-o name=value``."""

    name: str
    type: str
    command: str
    private: str = "-"
    unprivileged: str = "-"
    chroot: str = "n"
    wakeup: str = "-"
    process_limit: str = "-"
    options: Mapping[str, Value] = {}


def encode_value(value: Value) -> Any:
    """Return ``value`` as JSON can hold it."""
    if isinstance(value, Reference):
        return {"platform": value.name}
    return list(value) if isinstance(value, tuple) else value


def decode_value(data: Any) -> Value:
    """Return the value that ``encode_value`` gave ``data`` for. Raises RenderError for anything else."""
    if isinstance(data, dict) and list(data) == ["platform"] and data["platform"] in REFERENCES:
        return Reference(data["platform"])
    if isinstance(data, list) and all(isinstance(item, str) for item in data):
        return tuple(data)
    if isinstance(data, (str, int, bool)):
        return data
    raise RenderError(f"{data!r} is no value of a Postfix parameter")


def service_from(data: Mapping[str, Any]) -> Service:
    """Return the service that was sent as the JSON object ``data``."""
    options = {name: decode_value(value) for name, value in data.get("options", {}).items()}
    return Service(**dict(data, options=options))


def resolve(
    parameters: Mapping[str, Value], references: Mapping[str, Optional[str]]
) -> Tuple[Dict[str, Value], List[str]]:
    """Put the host's values in place of references; also return the names that have none and are left out."""
    resolved: Dict[str, Value] = {}
    left_out: List[str] = []
    for name, value in parameters.items():
        actual: Optional[Value] = references[value.name] if isinstance(value, Reference) else value
        if actual is None:
            left_out.append(name)
        else:
            resolved[name] = actual
    return resolved, left_out


def value_text(name: str, value: Value) -> str:
    """Return what stands after ``name =``. Raises RenderError where a reader would see something else."""
    if not NAME.match(name):
        raise RenderError(f"{name!r} is no parameter name: letters, digits and _ only, see postconf(5)")
    if isinstance(value, Reference):
        raise RenderError(f"{name} still refers to {value.name} of the platform")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        for item in value:
            _check_text(name, item)
            if not item or "," in item or item.startswith("#"):
                raise RenderError(f"{name}: {item!r} cannot be an entry of a list: empty, with a comma, or a comment")
        # One entry needs no line of its own; several read better one per line.
        return value[0] if len(value) == 1 else "".join(CONTINUATION + item + "," for item in value)[:-1]
    _check_text(name, value)
    return value


def _check_text(name: str, text: str) -> None:
    if CONTROL.search(text):
        raise RenderError(f"{name}: the value holds a line end or control character, it could set other parameters")
    if text != text.strip():
        raise RenderError(f"{name}: the value {text!r} starts or ends with a blank, Postfix would drop it")


def render_main_cf(parameters: Mapping[str, Value], reasons: Mapping[str, str], header: str) -> str:
    """Return main.cf: ``header`` as a comment, then each parameter below its reason, in the order given."""
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    for name, value in parameters.items():
        text = value_text(name, value)
        if name in reasons:
            lines.append("")
            lines.extend(f"# {line}" for line in _wrapped(reasons[name]))
        lines.append(f"{name} ={text}" if text.startswith("\n") else f"{name} = {text}".rstrip())
    return "\n".join(lines) + "\n"


def _wrapped(text: str, width: int = 100) -> List[str]:
    if CONTROL.search(text):
        raise RenderError("a reason must be one line")
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines


def render_master_cf(services: Sequence[Service], header: str) -> str:
    """Return master.cf: ``header`` as a comment, then one service per line with its options below it."""
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    lines.append("# name          type      private unpriv  chroot wakeup maxproc command")
    for service in services:
        if not SERVICE_NAME.match(service.name):
            raise RenderError(f"{service.name!r} is no service name of master.cf, see master(5)")
        if service.type not in SERVICE_TYPES:
            raise RenderError(f"{service.name}: {service.type!r} is none of {', '.join(SERVICE_TYPES)}")
        columns = (
            service.name,
            service.type,
            service.private,
            service.unprivileged,
            service.chroot,
            service.wakeup,
            service.process_limit,
        )
        for text in (*columns[2:], service.command):
            if not re.match(r"[A-Za-z0-9?_-]+\Z", text):
                raise RenderError(f"{service.name}: {text!r} cannot stand in master.cf")
        padded = [text.ljust(width) for text, width in zip(columns, MASTER_COLUMNS)]
        lines.append(" ".join(padded) + " " + service.command)
        for name, value in service.options.items():
            text = ",".join(value) if isinstance(value, tuple) else value_text(name, value)
            value_text(name, value)
            if re.search(r"\s", text):
                text = "{ %s = %s }" % (name, text)
                lines.append(f"    -o {text}")
            else:
                lines.append(f"    -o {name}={text}")
    return "\n".join(lines + list(SWITCHED_OFF)) + "\n"


def render_indexed_map(entries: Mapping[str, str], comment: str) -> str:
    """Return postmap(1) input: one ``key value`` line each, sorted by key.

    A key may hold no blank. A value may: only its ends are trimmed by postmap, so those are refused.
    """
    lines = [f"# {comment}"]
    for key in sorted(entries):
        value = entries[key]
        if not key or re.search(r"\s", key) or CONTROL.search(key) or key.startswith(("#", '"')):
            raise RenderError(f"{key!r} cannot be the key of a Postfix map: it has a blank, or reads as a comment")
        if not value or CONTROL.search(value) or value != value.strip():
            raise RenderError(f"the map value for {key} is empty, starts or ends with a blank, or has a line end")
        lines.append(f"{key} {value}")
    return "\n".join(lines) + "\n"


def render_regexp_map(rules: Sequence[Tuple[str, str]], comment: str) -> str:
    """Return regexp_table(5) text: one ``/pattern/ result`` line each, in order. A / in a pattern is escaped."""
    lines = [f"# {comment}"]
    for pattern, result in rules:
        for text in (pattern, result):
            if not text or CONTROL.search(text) or text != text.strip():
                raise RenderError(f"{text!r} is empty, starts or ends with a blank, or has a line end")
        lines.append("/{}/ {}".format(re.sub(r"(?<!\\)((?:\\\\)*)/", r"\1\\/", pattern), result))
    return "\n".join(lines) + "\n"


def _logical_lines(text: str) -> List[str]:
    """Join continuation lines, drop comments and empty lines, as postconf(5) describes."""
    lines: List[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and lines:
            lines[-1] += " " + line.strip()
        else:
            lines.append(line.strip())
    return lines


def parse_main_cf(text: str) -> Dict[str, str]:
    """Return name → value as Postfix reads the file: the last setting of a name wins, blanks are folded."""
    settings: Dict[str, str] = {}
    for line in _logical_lines(text):
        name, _, value = line.partition("=")
        settings[name.strip()] = " ".join(value.split())
    return settings


def parse_master_cf(text: str) -> Dict[str, str]:
    """Return ``name/type`` → the rest of the line, blanks folded."""
    services: Dict[str, str] = {}
    for line in _logical_lines(text):
        fields = line.split()
        if len(fields) >= 2:
            services[f"{fields[0]}/{fields[1]}"] = " ".join(fields[2:])
    return services


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> List[str]:
    """Say what turns ``old`` into ``new``: ``name: a → b``, ``name: added``, ``name: removed``, a dozen at most."""
    lines = []
    for name in sorted(set(old) | set(new)):
        if name not in new:
            lines.append(f"{name}: removed")
        elif name not in old:
            lines.append(f"{name}: added")
        elif old[name] != new[name]:
            lines.append(f"{name}: {old[name] or '(empty)'} -> {new[name] or '(empty)'}")
    if len(lines) > SHOWN_DIFFERENCES:
        rest = len(lines) - SHOWN_DIFFERENCES
        lines = [*lines[:SHOWN_DIFFERENCES], f"and {rest} more"]
    return lines
