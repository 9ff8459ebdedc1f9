"""Reads the stack's configuration, once, and checks all of it before any resource is registered."""

import json
import os
import signal
import sys
from typing import Any

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env

from mailstack.plan import Plan, load_plan
from mailstack.settings.problems import SettingsError

__all__ = ["read_plan"]


def read_plan() -> Plan:
    """Return the plan of the current stack.

    Secrets leave the program only inside ``Output.secret``.
    Raises pulumi.RunError with all mistakes at once. What was weakened on purpose is logged as a warning.
    """
    _end_without_traceback()
    prefix = f"{pulumi.get_project()}:"
    values = {**get_config_env(), **CONFIG.get()}
    parsed = {key.removeprefix(prefix): _parsed(value) for key, value in values.items() if key.startswith(prefix)}
    # Pulumi.yaml gives optional sections an empty default: they count as absent.
    raw = {key: value for key, value in parsed.items() if value != {}}
    try:
        plan = load_plan(raw)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    for sentence in plan.warnings:
        pulumi.log.warn(sentence)
    return plan


def _parsed(value: str) -> Any:
    """Return a structured value as Python data. Pulumi hands mappings and lists over as JSON."""
    return json.loads(value) if value[:1] in {"{", "["} else value


def _end_without_traceback() -> None:
    """Leave quietly when the engine interrupts the program because a resource failed.

    Python's own answer, two tracebacks of KeyboardInterrupt, would bury what the failed role said.
    """
    if "PULUMI_CONFIG" in os.environ:  # a process of the engine's, not a test or a program around this one
        signal.signal(signal.SIGINT, lambda _number, _frame: sys.exit(1))
