"""``mailstack rotate dkim``: says the next step of a domain's key rotation, and takes it where it may be taken."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from mailstack.dns.rotation import KeyDates, Step, next_step
from mailstack.plan import Plan, load_plan
from mailstack.plan.dated import POSTAL_KEYS, key_dates, pace
from mailstack.plan.dkim_keys import published_keys
from mailstack.reach.drift import decrypted_config
from mailstack.reach.files import write_whole
from mailstack.settings.domains_model import Domain
from mailstack.settings.initialise import Run, rehearsal_config, run_pulumi
from mailstack.settings.model import Settings
from mailstack.settings.rotate import changes, fresh_selector
from mailstack.settings.rotate_file import fresh_key, place_of, with_step
from mailstack.settings.stackfile import PROJECT, new_dkim_key, new_ed25519_key, sealed_config
from mailstack.settings.whole_step import all_or_nothing
from mailstack.verify.asking import Dns
from mailstack.verify.dkim_seen import not_seen

__all__ = ["EXIT_NOT_YET", "rotate"]

EXIT_NOT_YET = 2
MOST_SHOWN = 5
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
    in_file = None if "domains" in sealed_config(path) else _InFile(root / str(raw["domains_file"]), domain)
    numbers = [number]
    if in_file is not None:
        say(in_file.told())
        if key_type != "rsa":
            say("a file of domains names keys of `dkim_keys`, and those are RSA: move the domain into the stack file")
            return 1
        numbers = [place for place, one in enumerate(plan.settings.domains) if one.name in in_file.place.domains]
    if not step.allowed(today):
        say(f"not yet: allowed from {step.earliest} on (today is {today})")
        return EXIT_NOT_YET
    if step.action == "sign" and asking is not None:
        opened_plan, dns = load_plan(opened(stack, root), root), asking()
        missing = [line for one in numbers for line in _missing(opened_plan, one, step, dns)]
        for line in missing[:MOST_SHOWN]:
            say(f"not seen: {line}")
        if len(missing) > MOST_SHOWN:
            say(f"not seen: and {len(missing) - MOST_SHOWN} more")
        if missing:
            return EXIT_NOT_YET
    if check:
        say("it may be taken now")
        return 0
    files = [path, *([in_file.path] if in_file is not None else [])]
    with all_or_nothing(*files):
        if in_file is None:
            _write(stack, root, list(changes(number, declared, step, key_type, today)), key_type, run)
        else:
            key, secrets = in_file.key(plan.settings, declared, step, today)
            _write(stack, root, secrets, key_type, run)
            in_file.write(step, today, key)
    say(_after(step, group, [one.name for one in files]))
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


class _InFile:
    """The file of domains that a domain's entry stands in."""

    def __init__(self, path: Path, domain: str) -> None:
        self.path, self.domain = path, domain
        self._text = path.read_text(encoding="utf-8")
        self.place = place_of(yaml.safe_load(self._text), domain)

    def told(self) -> str:
        """Say where the step is written, and for whom."""
        if not self.place.shared:
            return f"its keys stand in {self.path.name}, in its own entry"
        return (
            f"its keys stand in {self.path.name} under `defaults`: the step is that of {_domains(self.place.domains)}"
        )

    def key(
        self, settings: Settings, declared: Domain, step: Step, today: date
    ) -> tuple[str | None, list[tuple[tuple[str, ...], str | None]]]:
        """Return the name of the key to publish, and what the stack file's ``dkim_keys`` need, for `pulumi config`."""
        named = [key for key in declared.dkim if key.key is not None]
        made: list[tuple[tuple[str, ...], str | None]] = []
        key = None
        if step.action == "publish":
            key = fresh_key(str(named[-1].key), frozenset(str(one.key) for one in named), today)
            if key not in settings.dkim_keys:
                made = [(("set", "--secret", "--path", f"{PROJECT}:dkim_keys.{key}.private_key"), None)]
        elif step.action == "remove":
            old = next(one.key for one in named if one.selector == step.selector)
            others = [one for one in settings.domains if one.name not in self.place.domains]
            if old is not None and not any(one.key == old for each in others for one in each.dkim):
                made = [(("rm", "--path", f"{PROJECT}:dkim_keys.{old}"), "")]
        return key, made

    def write(self, step: Step, today: date, key: str | None) -> None:
        """Take the step in the file."""
        text = with_step(self._text, self.domain, step, today, key=key)
        write_whole(self.path, text, mode=self.path.stat().st_mode & 0o777)


def _domains(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_SHOWN])
    return f"{len(names)} domains ({shown}{', …' if len(names) > MOST_SHOWN else ''})"


def _after(step: Step, group: str, files: Sequence[str]) -> str:
    signer = "Postal signs with it then" if group == POSTAL_KEYS else "switch the signer to it after that"
    told = {
        "publish": "written; `pulumi up` publishes it",
        "sign": f"written; run `pulumi up`: {signer}",
        "revoke": "written; `pulumi up` empties the record",
        "remove": "written; `pulumi up` takes the record away",
    }
    return f"{told[step.action]}. Commit the change of {' and '.join(files)}"
