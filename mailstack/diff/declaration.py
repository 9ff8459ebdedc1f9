"""A declaration as it is written: read from a folder, and planned with a stand-in for each encrypted value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from mailstack.diff.sealed import place_of, sealed_values, stand_in, texts
from mailstack.plan import Plan, load_plan
from mailstack.plan.outside import Outside
from mailstack.plan.relay_monitoring import plan_monitoring
from mailstack.settings.domains_file import with_domains_file
from mailstack.settings.initialise import SSH_KEY, missing_secrets
from mailstack.settings.problems import Location
from mailstack.settings.stackfile import (
    PROJECT,
    location_of,
    read_stack_file,
    sealed_config,
    secret_kind,
    section_at,
    stack_of,
)
from mailstack.settings.written import Written
from mailstack.settings.yaml_text import read_yaml

__all__ = ["Declaration", "read_declaration"]

# What a stack file says of the key its values are encrypted with.
KEY_FIELDS = ("encryptionsalt", "encryptedkey", "secretsprovider")


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What one stack file declares. ``where`` says, for people, what was read: a commit or the working tree.

    ``raw`` is the configuration with stand-ins, ``texts`` each text in it by its named place. ``secrets`` maps the
    place of each encrypted value to its ciphertext, ``key`` is what the file says of the key they are encrypted with.
    """

    stack: str
    where: str
    raw: Mapping[str, Any] = field(repr=False)
    texts: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    key: str = field(repr=False)
    plan: Plan = field(repr=False)


def read_declaration(
    path: Path,
    *,
    where: str,
    today: date | None = None,
    instead: Mapping[str, str] | None = None,
    check_written: bool = False,
) -> Declaration:
    """Read and plan ``Pulumi.<stack>.yaml``; beside it are looked for a domains file and ``spf.lock.json``.

    ``instead`` gives, by named place, what to plan with instead of what the file has there, encrypted or not: that
    tells what a declaration does beside its secrets. ``today`` None: no date in it counts as late.
    ``check_written``: secrets in clear and a file too large for the engine are mistakes, too.

    Raises StackFileError for a file that is none, SettingsError for a declaration that breaks rules.
    """
    sealed = sealed_config(path)
    places = {place_of(location, sealed): text for location, text in sealed_values(sealed)}
    raw = _with_stand_ins(path, places, instead or {})
    found = {place_of(location, raw): text for location, text in texts(raw)}
    written = [Written.in_file(path)] if check_written else []
    plan = _watched(load_plan(raw, path.parent, written=written, outside=Outside(today=today)))
    stack = stack_of(path.name)
    merged = with_domains_file(raw, path.parent)
    return Declaration(stack=stack, where=where, raw=merged, texts=found, secrets=places, key=_key(path), plan=plan)


def _watched(plan: Plan) -> Plan:
    """Return the plan with the objects for Prometheus where the settings want them; `auto` would ask the cluster."""
    asked = plan.settings.relay.kubernetes
    if asked is None or asked.monitoring is None or asked.monitoring.objects != "yes":
        return plan
    return plan_monitoring(plan, watched=False, environment={})[0]


def _with_stand_ins(path: Path, ciphertexts: Mapping[str, str], instead: Mapping[str, str]) -> dict[str, Any]:
    """Return the configuration with a stand-in for each encrypted value, and for each that is still to be made."""

    def made(location: Location, sealed: Mapping[str, Any]) -> str:
        return stand_in(secret_kind(location, sealed), ciphertexts[place_of(location, sealed)])

    raw = read_stack_file(path, made)
    if instead:
        for location, place in [(location, place_of(location, raw)) for location, _ in texts(raw)]:
            if place in instead:
                section_at(raw, location)[location[-1]] = instead[place]
    for step in missing_secrets(raw, path.parent):
        if step.make is None or step.path == SSH_KEY:
            continue
        location = location_of(step.path.removeprefix(f"{PROJECT}:"))
        # A new value each time it is made; until then the same on both sides.
        try:
            section = section_at(raw, location)
            section[location[-1]] = stand_in(secret_kind(location, raw), f"to be made: {place_of(location, raw)}")
        except (TypeError, LookupError):
            continue  # a number or a list stands where its section belongs: the rules say so
    return raw


def _key(path: Path) -> str:
    document = read_yaml(path.read_text())
    return "\n".join(str(document.get(name) or "") for name in KEY_FIELDS)
