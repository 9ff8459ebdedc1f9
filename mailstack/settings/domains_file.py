"""Domains and zones in a reviewed file beside the stack file.

The engine hands a stack's whole configuration over in one environment variable (``config_size``), so a thousand
domains do not fit into it. This file is read by the program itself. It holds no secret: keys are named there and
stand, encrypted, under ``dkim_keys`` of the stack file.

    defaults:                # what a domain has that does not say otherwise, key by key
      dkim: [{selector: mail202611, key: common}]
    zones:                   # of Cloudflare, name to ID; leave it out and the IDs are looked up
      example.com: 0123456789abcdef0123456789abcdef
    domains:
      - example.com
      - {name: example.org, mx: []}
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from mailstack.settings.problems import Problem, SettingsError
from mailstack.settings.yaml_text import read_yaml

__all__ = ["with_domains_file"]

FIELD = "domains_file"
KEYS = ("defaults", "domains", "zones")
SECRET_KEYS = frozenset({"private_key", "secure"})


def with_domains_file(raw: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return ``raw`` with the domains and zones of the file it names in ``domains_file``, relative to ``folder``.

    Without that key ``raw`` comes back as it is. Raises SettingsError for a file that cannot be used.
    """
    name = raw.get(FIELD)
    if not name or not isinstance(name, str):
        return dict(raw)
    if "domains" in raw:
        raise _refused(name, "stands beside `domains`, and only one of them can be", "move the domains into the file")
    document = _read(name, folder)
    problems = [*_shape_problems(name, document), *_secret_problems(name, document)]
    if problems:
        raise SettingsError(problems)
    defaults = document.get("defaults") or {}
    merged = {**raw, "domains": [_entry(defaults, entry) for entry in document["domains"]]}
    zones, dns = document.get("zones"), raw.get("dns")
    if zones and isinstance(dns, Mapping) and isinstance(dns.get("cloudflare"), Mapping):
        cloudflare = {**dns["cloudflare"], "zones": {**zones, **(dns["cloudflare"].get("zones") or {})}}
        merged["dns"] = {**dns, "cloudflare": cloudflare}
    return merged


def _entry(defaults: Mapping[str, Any], entry: Any) -> Any:
    if isinstance(entry, str):
        return {**defaults, "name": entry}
    return {**defaults, **entry} if isinstance(entry, Mapping) else entry


def _read(name: str, folder: Path) -> Any:
    try:
        path = (folder / name).resolve()
    except (OSError, ValueError):  # no name of a file at all: too long, or with a null character
        raise _refused(name, "is no name of a file", "name a file beside the stack file") from None
    if not path.is_relative_to(folder.resolve()):
        raise _refused(
            name, "must be a file inside the project: it is reviewed with it", "move it beside the stack file"
        )
    try:
        return read_yaml(path.read_text())
    except FileNotFoundError:
        raise _refused(name, "does not exist", "write it beside the stack file, or correct the name") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _refused(name, f"is not YAML: {' '.join(str(error).split())}", "correct it at that place") from None
    except OSError as error:
        raise _refused(name, f"cannot be read: {error.strerror}", "name a file beside the stack file") from None


def _shape_problems(name: str, document: Any) -> Iterator[Problem]:
    if not isinstance(document, Mapping) or not isinstance(document.get("domains"), list) or not document["domains"]:
        yield _problem(name, "must be a mapping with a list `domains`", "write one `- example.com` per line below it")
        return
    for key in document:
        if key not in KEYS:
            yield _problem(f"{name}: {key}", "is not a known key of the file", f"remove it. Known: {', '.join(KEYS)}")
    for key in ("defaults", "zones"):
        if not isinstance(document.get(key) or {}, Mapping):
            yield _problem(f"{name}: {key}", "must be a mapping", "write `key: value` lines below it")


def _secret_problems(name: str, value: Any, where: str = "") -> Iterator[Problem]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in SECRET_KEYS:
                yield _problem(
                    f"{name}: {where}{key}",
                    "this file holds no secret, encrypted or not",
                    "name the key (`key: common`) and encrypt it with "
                    "`pulumi config set --secret --path 'mailstack:dkim_keys.common.private_key'`",
                )
            else:
                yield from _secret_problems(name, item, f"{where}{key}.")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _secret_problems(name, item, f"{where.rstrip('.')}[{number}].")


def _problem(value: str, rule: str, fix: str) -> Problem:
    return Problem(field=FIELD, value=value, rule=rule, fix=fix)


def _refused(name: str, rule: str, fix: str) -> SettingsError:
    return SettingsError([_problem(name, rule, fix)])
