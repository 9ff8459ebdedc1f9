"""Reads the stack's configuration, once, and checks all of it before any resource is registered."""

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, get_config_secret_keys_env, is_config_secret

from components import OWN_PROCESS
from components.previous import read_previous
from mailstack.plan import Plan, load_plan
from mailstack.plan.deliverability import summaries
from mailstack.plan.first_day import Surroundings, first_day
from mailstack.plan.outside import Outside, spf_look
from mailstack.plan.relay_monitoring import SERVICE_MONITOR, plan_monitoring
from mailstack.reach.cloudflare import CLOUDFLARE_API
from mailstack.reach.environment import named_resolvers
from mailstack.settings.problems import SettingsError
from mailstack.settings.stackfile import PROJECT_FOLDER, StackFileError
from mailstack.settings.written import Written

__all__ = ["read_plan"]

# From about here on the engine's checkpoints take longer than everything else.
SLOW_FROM = 500


def read_plan() -> Plan:
    """Return the plan of the current stack.

    Secrets leave the program only inside ``Output.secret``.
    Raises pulumi.RunError with all mistakes at once. What was weakened on purpose is logged as a warning, and in a
    preview what each domain's records will say.
    """
    if OWN_PROCESS:
        _end_without_traceback()
        _without_debug_lines()
    prefix = f"{pulumi.get_project()}:"
    values = {**get_config_env(), **CONFIG.get()}
    raw = {
        key.removeprefix(prefix): parsed
        for key, value in values.items()
        # Pulumi.yaml gives optional sections an empty default: they count as absent.
        if key.startswith(prefix) and (parsed := _parsed(value)) not in ({}, [], "")
    }
    around = _surroundings()
    try:
        written = _written(raw, values, prefix)
        outside = Outside(today=datetime.now(UTC).date(), look=spf_look(around.resolvers))
        plan = load_plan(raw, PROJECT_FOLDER, written=written, outside=outside)
    except (SettingsError, StackFileError) as error:
        raise pulumi.RunError(str(error)) from None
    if (close := written[0].warning()) is not None:
        pulumi.log.warn(close)
    for sentence in plan.warnings:
        pulumi.log.warn(sentence)
    previous = read_previous()
    ours = previous.ours(plan.dns.zones)
    try:
        plan, notes = first_day(plan, ours, around)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    plan, unwatched = plan_monitoring(plan, watched=previous.has(SERVICE_MONITOR), environment=os.environ)
    notes += unwatched
    for sentence in (*notes, *_slow_back_end(len(plan.dns.records) if plan.dns.cloudflare is not None else 0)):
        pulumi.log.warn(sentence)
    if pulumi.runtime.is_dry_run():
        for text in summaries(plan, ours.zones, published=previous.published()):
            pulumi.log.info(text)
    return plan.continued(previous.placed(), previous.objects()).in_environment().versioned(previous.seen())


def _surroundings() -> Surroundings:
    """Return where to ask what zones hold. A rehearsal sets both: it asks nobody outside."""
    return Surroundings(
        cloudflare_url=os.environ.get("CLOUDFLARE_BASE_URL") or CLOUDFLARE_API,
        resolvers=named_resolvers(os.environ),
        recent=PROJECT_FOLDER / ".cache" / f"cloudflare-{pulumi.get_stack()}.json",
    )


def _written(raw: Mapping[str, Any], values: Mapping[str, str], prefix: str) -> list[Written]:
    """Return the configuration as the engine gave it, and the stack file of this folder, where it has one.

    The engine tells of a key only whether something below it is encrypted; the file shows what is not.
    """
    told = get_config_secret_keys_env()  # by the language host; an inline program is told by the SDK
    encrypted = {key for key in raw if f"{prefix}{key}" in told or is_config_secret(f"{prefix}{key}")}
    sealed = {key: {"secure": ""} if key in encrypted else value for key, value in raw.items()}
    found = [Written(stack=pulumi.get_stack(), sealed=sealed, config=values)]
    path = PROJECT_FOLDER / f"Pulumi.{pulumi.get_stack()}.yaml"
    if path.is_file():
        found.append(Written.in_file(path))
    return found


def _parsed(value: str) -> Any:
    """Return a structured value as Python data. Pulumi hands mappings and lists over as JSON."""
    return json.loads(value) if value[:1] in {"{", "["} else value


def _end_without_traceback() -> None:
    """Leave quietly when the engine interrupts the program because a resource failed.

    Python's own answer, two tracebacks of KeyboardInterrupt, would bury what the failed role said.
    """
    signal.signal(signal.SIGINT, lambda _number, _frame: sys.exit(1))


def _without_debug_lines() -> None:
    """Keep the SDK from telling the engine its debug lines, which nobody sees without `--debug`.

    It sends several for each resource and waits for an answer to each: with a thousand domains that is a third of a
    preview (pulumi/pulumi#7292). The program is not told of `--debug`, so whoever wants the lines says so.
    """
    if not os.environ.get("MAILSTACK_SDK_DEBUG"):
        pulumi.log.debug = _nothing


def _nothing(*_arguments: object, **_options: object) -> None:
    """Take the place of ``pulumi.log.debug``."""


def _slow_back_end(records: int) -> Iterator[str]:
    """Yield what helps where the state is a file or in a bucket: the engine writes all of it after every resource."""
    keeps_files = pulumi.get_organization() == "organization"  # Pulumi Cloud has names of its own
    if records > SLOW_FROM and keeps_files and not os.environ.get("PULUMI_SKIP_CHECKPOINTS"):
        yield (
            f"{records} records: with a file or a bucket for its state, the engine goes through all of it again after "
            "each of them, in a preview too. PULUMI_SKIP_CHECKPOINTS=true leaves that out; "
            "docs/how-to/many-domains.md says what it costs"
        )
