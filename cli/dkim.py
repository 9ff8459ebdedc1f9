"""``mailstack rotate dkim``: says the next step of a domain's key rotation, and takes it where it may be taken."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from mailstack.dns.rotation import KeyDates, Step, next_step
from mailstack.plan import Plan, load_plan
from mailstack.plan.dated import POSTAL_KEYS, key_dates, pace
from mailstack.plan.dkim_keys import published_keys
from mailstack.reach.drift import decrypted_config
from mailstack.settings.initialise import Run, rehearsal_config, run_pulumi
from mailstack.settings.rotate import changes, fresh_selector
from mailstack.settings.stackfile import new_dkim_key, new_ed25519_key, sealed_config
from mailstack.verify.asking import Dns
from mailstack.verify.dkim_seen import not_seen

__all__ = ["EXIT_NOT_YET", "rotate"]

EXIT_NOT_YET = 2
DATED = re.compile(r"(.*?)20\d{4}[a-z]?")
MEANING = {
    "publish": "publish a new key",
    "sign": "sign with the new key",
    "revoke": "empty the record of the old key",
    "remove": "take the revoked key away",
}


def rotate(
    stack: str,
    domain: str,
    *,
    check: bool,
    root: Path,
    today: date,
    say: Callable[[str], None],
    asking: Callable[[], Dns] | None,
    key_type: str = "rsa",
    run: Run | None = None,
    opened: Callable[[str, Path], Mapping[str, Any]] = decrypted_config,
) -> int:
    """Say the next step for the keys of ``domain``, and write it into the stack file unless ``check``.

    ``asking`` asks DNS whether a new record is seen everywhere before it signs, and ``opened`` opens the stack's
    secrets for that; None: nobody is asked, which is for ``check`` only. Return 0 where the step was taken (or may be,
    with ``check``), 2 where it may not be yet, 1 where there is nothing to rotate here. Raises SettingsError for
    settings with mistakes, InitError from the Pulumi CLI.
    """
    path = root / f"Pulumi.{stack}.yaml"
    raw = rehearsal_config(path)
    plan = load_plan(raw, root)
    found = [(number, one) for number, one in enumerate(plan.settings.domains) if one.name == domain]
    if not found:
        say(f"{domain} is none of the stack's domains")
        return 1
    number, declared = found[0]
    keys = key_dates(plan.settings, declared)
    group = _group(keys, key_type)
    postal = plan.settings.postal
    prefix = f"{postal.dkim_identifier}-" if postal is not None and group == POSTAL_KEYS else _prefix(keys, group)
    fresh = fresh_selector(declared, prefix, today)
    step = None if group is None else next_step(keys, group, today, pace(plan.settings), fresh)
    if step is None or group is None:
        say(f"{domain} has no {key_type} key of ours to rotate: add one to its `dkim`, and run `mailstack init`")
        return 1
    say(f"{domain}: next is to {MEANING[step.action]}, selector {step.selector}: {step.why}")
    if not step.allowed(today):
        say(f"not yet: allowed from {step.earliest} on (today is {today})")
        return EXIT_NOT_YET
    if step.action == "sign" and asking is not None:
        missing = _missing(load_plan(opened(stack, root), root), number, step, asking())
        for line in missing:
            say(f"not seen: {line}")
        if missing:
            return EXIT_NOT_YET
    if check:
        say("it may be taken now")
        return 0
    if "domains" not in sealed_config(path):
        say(f"its entry stands in {raw.get('domains_file')}: write the step there, with the day {today}")
        return 1
    _write(stack, root, list(changes(number, declared, step, key_type, today)), key_type, run)
    say(_after(step, stack, group))
    return 0


def _group(keys: Sequence[KeyDates], key_type: str) -> str | None:
    """Return which keys are meant: those of Postal where it signs for the domain, else ours of that kind."""
    groups = [key.group for key in keys]
    wanted = [POSTAL_KEYS, "our rsa"] if key_type == "rsa" else [f"our {key_type}"]
    return next((group for group in wanted if group in groups), None)


def _prefix(keys: Sequence[KeyDates], group: str | None) -> str:
    """Return what the newest selector begins with, before its month; "mail" where it has none, or is a bare number.

    Pulumi would store a selector of digits as a number.
    """
    selectors = [key.selector for key in keys if key.group == group]
    dated = DATED.fullmatch(selectors[-1]) if selectors else None
    return "mail" if dated is None else dated[1] or "mail"


def _missing(plan: Plan, number: int, step: Step, asking: Dns) -> tuple[str, ...]:
    """Return which servers and resolvers lack the new record, made of the real key."""
    domain = plan.settings.domains[number]
    (key,) = (key for key in published_keys(plan.settings, domain) if key.selector == step.selector and not key.tenant)
    return not_seen(asking, f"{step.selector}._domainkey.{domain.name}", key.text)


def _write(
    stack: str, root: Path, steps: Sequence[tuple[tuple[str, ...], str | None]], key_type: str, run: Run | None
) -> None:
    start = run or (lambda argv, stdin: run_pulumi(argv, stdin, root))
    for arguments, value in steps:
        made = (new_ed25519_key() if key_type == "ed25519" else new_dkim_key()) if value is None else value
        start(["config", *arguments, "--stack", stack], made)


def _after(step: Step, stack: str, group: str) -> str:
    signer = "Postal signs with it then" if group == POSTAL_KEYS else "switch the signer to it after that"
    told = {
        "publish": "written; `pulumi up` publishes it",
        "sign": f"written; run `pulumi up`: {signer}",
        "revoke": "written; `pulumi up` empties the record",
        "remove": "written; `pulumi up` takes the record away",
    }
    return f"{told[step.action]}. Commit the change of Pulumi.{stack}.yaml"
