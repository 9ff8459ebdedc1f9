"""``mailstack dns flatten``: looks up the addresses behind SPF includes, and keeps them in a file beside the stack."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from mailstack.dns.spf_lock import SPF_LOCK, Flattened, SpfLockError, read_lock, write_lock
from mailstack.dns.spf_tree import NOT_ASKED
from mailstack.plan.flatten import addresses_behind, flattened_names
from mailstack.reach.spf_look import look_at_spf
from mailstack.settings.domains_file import with_domains_file
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.load import read_shape
from mailstack.settings.problems import SettingsError

__all__ = ["flatten"]

SECONDS = 30.0


def flatten(
    stack: str, *, root: Path, today: date, say: Callable[[str], None], resolvers: Sequence[str] | None = None
) -> int:
    """Write the addresses behind every include in the stack's ``spf.flatten`` to ``spf.lock.json``.

    Says what came and went. Return 0 where all were found; 1 where one was not: its entry stays as it was. Raises
    SettingsError or StackFileError for a stack file that cannot be read.
    """
    with_domains = with_domains_file(rehearsal_config(root / f"Pulumi.{stack}.yaml"), root)
    shape = read_shape(with_domains)
    if shape.settings is None or shape.problems:
        raise SettingsError(shape.problems)
    names = flattened_names(shape.settings)
    if not names:
        say("no domain of the stack has `spf.flatten`: nothing to look up")
        return 0
    path = root / SPF_LOCK
    try:
        entries = read_lock(path.read_text()) if path.is_file() else {}
    except SpfLockError as error:
        say(f"{SPF_LOCK} {error}; remove it, and run this again")
        return 1
    records = {"": " ".join(["v=spf1", *(f"include:{name}" for name in names)])}
    answers = look_at_spf(records, lambda _name, _kind: NOT_ASKED, seconds=SECONDS, resolvers=resolvers)
    failed = False
    for name in names:
        found = addresses_behind(name, answers)
        if not found:
            say(f"{name}: not found, or more than addresses (a macro, ptr or exists): it cannot be flattened now")
            failed = True
            continue
        before = entries[name].networks if name in entries else ()
        entries[name] = Flattened(seen=today, networks=found)
        for network in sorted(set(found) - set(before)):
            say(f"{name}: + {network}")
        for network in sorted(set(before) - set(found)):
            say(f"{name}: - {network}")
        say(f"{name}: {len(found)} networks")
    path.write_text(write_lock(entries))
    say(f"wrote {SPF_LOCK}; commit it")
    return 1 if failed else 0
