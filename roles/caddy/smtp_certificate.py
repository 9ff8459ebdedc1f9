"""Bring the current certificate to Postal's SMTP server: ``python3 -m caddy.smtp_certificate``.

Started by systemd when Caddy's storage changes and by a timer. Postal reads its certificate once, so a new pair
means: verify it, exchange the files, restart the SMTP container, look at what port 25 really serves, and go back to
the pair before when it is not that. Exit code 0: served, or nothing to serve it yet; 1: failed, the text says why.
"""

import contextlib
import fcntl
import json
import os
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from caddy.pairs import Certificate, problems, read_certificate, read_text, split
from caddy.smtp_pair import SmtpPair
from caddy.smtp_server import ask, containers, restart, wait_for
from rolelib.commands import CommandError

__all__ = ["CONFIG", "DeliveryError", "deliver", "findings", "forget_refusal", "source_pair"]

CONFIG = "/etc/mailstack/smtp-certificate.json"
LOCK = "/run/lock/mailstack-smtp-certificate.lock"
REFUSED = "/var/lib/mailstack/caddy/smtp-refused.json"
# Caddy writes certificate, key and notes one after the other.
SETTLE_SECONDS = 20
# From the restart of the container to its first answer on port 25.
SERVE_SECONDS = 90
# A refused pair is not tried again at every start of the timer: each try is two restarts.
RETRY_SECONDS = 6 * 3600
MOST_ROUNDS = 3
PROJECT, SERVICE = "postal", "smtp"

Say = Callable[[str], None]


class DeliveryError(Exception):
    """The pair could not be brought to the server; the text says why and what is in force now."""


def source_pair(config: Dict[str, Any], now: float) -> Tuple[str, str, Certificate]:
    """Return chain, key and leaf as they are at the source. Raises DeliveryError when they cannot be used."""
    chain, key = read_text(config["certificate"]), read_text(config["key"])
    if chain is None or key is None:
        raise DeliveryError(f"there is no certificate for {config['name']} yet: {config['certificate']} is missing")
    found = problems(chain, key, [config["name"]], now, None)
    if found:
        raise DeliveryError("{} is not used: {}".format(config["certificate"], "; ".join(found)))
    return chain, key, read_certificate(split(chain)[0])


def deliver(config: Dict[str, Any], say: Say, settle: float = SETTLE_SECONDS, serve: float = SERVE_SECONDS) -> None:
    """Do all of it once. Raises DeliveryError; whatever happens, the pair in force is a matching one."""
    chain, key, leaf = _settled_source(config, settle)
    place = SmtpPair(config["directory"], config["uid"], config["gid"])
    fault = place.fault(chain, key)
    current = place.current()
    changed = current != (chain, key)
    alive = containers(PROJECT, SERVICE)
    before = ask(config["address"], config["port"]) if alive else None
    if alive and before is not None and before.sha256 != leaf.sha256:
        _stop_when_refused(leaf)
    previous = place.put(chain, key) if fault else place.earlier()
    if fault:
        say(f"{fault}: put the certificate {leaf.sha256[:16]} for {config['name']} there")
    if before is None:
        place.clean()
        say("no SMTP container of Postal runs: the pair is there for when it does")
        return
    if before.plain:
        place.clean()
        say("Postal's SMTP server offers no STARTTLS: the pair is there for when it does")
        return
    if before.sha256 != leaf.sha256:
        if before.trouble is None or changed:
            say(f"port {config['port']} served {before}: restarting the SMTP container")
            restart(alive)
        after = wait_for(config["address"], config["port"], leaf.sha256, serve)
        if after.sha256 != leaf.sha256:
            _go_back(config, place, previous if before.trouble is None else None, leaf, str(after), say)
    forget_refusal()
    place.clean()
    what = f"the certificate {leaf.sha256[:16]} for {config['name']}"
    say(f"port {config['port']} serves {what}, {leaf.days_left(time.time())} days left")


def _settled_source(config: Dict[str, Any], seconds: float) -> Tuple[str, str, Certificate]:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return source_pair(config, time.time())
        except DeliveryError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(1)


def _go_back(
    config: Dict[str, Any], place: SmtpPair, previous: Optional[str], leaf: Certificate, after: str, say: Say
) -> None:
    """Put the generation before back, and fail."""
    what = f"after the restart port {config['port']} served {after}, not the certificate {leaf.sha256[:16]}"
    _remember_refusal(leaf)
    if previous is None:
        raise DeliveryError(f"{what}. There is no earlier pair that worked: the new one stays. See docker logs")
    say(f"{what}: going back to the pair before")
    place.switch(previous)
    restart(containers(PROJECT, SERVICE))
    again = wait_for(config["address"], config["port"], None, SERVE_SECONDS)
    raise DeliveryError(f"{what}. The pair before is back, and port {config['port']} serves {again}")


def _remember_refusal(leaf: Certificate) -> None:
    os.makedirs(os.path.dirname(REFUSED), mode=0o700, exist_ok=True)
    with open(REFUSED, "w", encoding="ascii") as handle:
        json.dump({"sha256": leaf.sha256, "at": time.time()}, handle)


def forget_refusal() -> None:
    """Try a refused pair again at the next start."""
    with contextlib.suppress(OSError):
        os.unlink(REFUSED)


def _stop_when_refused(leaf: Certificate) -> None:
    refused = json.loads(read_text(REFUSED) or "{}")
    left = refused.get("at", 0) + RETRY_SECONDS - time.time()
    if refused.get("sha256") == leaf.sha256 and 0 < left <= RETRY_SECONDS:
        raise DeliveryError(
            f"the server did not serve the certificate {leaf.sha256[:16]} before; the next try is in {left / 60:.0f} "
            f"minutes. To try now: rm {REFUSED}, then systemctl start mailstack-smtp-certificate"
        )


def findings(config: Dict[str, Any]) -> Tuple[List[str], Dict[str, Any]]:
    """Return what :func:`deliver` would change, in words, and facts about the certificate. Changes nothing."""
    try:
        chain, key, leaf = source_pair(config, time.time())
    except DeliveryError as error:
        return [str(error)], {"name": config["name"], "sha256": None, "not_after": None, "served": None}
    facts: Dict[str, Any] = {
        "name": config["name"],
        "sha256": leaf.sha256,
        "not_after": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(leaf.not_after)),
        "served": None,
    }
    fault = SmtpPair(config["directory"], config["uid"], config["gid"]).fault(chain, key)
    found = [fault] if fault else []
    if containers(PROJECT, SERVICE):
        served = ask(config["address"], config["port"])
        if served.sha256:
            facts["served"] = served.sha256 == leaf.sha256
            if not facts["served"]:
                found.append(f"port {config['port']} serves {served}, not {leaf.sha256[:16]}, the current one")
    return found, facts


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    os.makedirs(os.path.dirname(LOCK), exist_ok=True)
    with open(LOCK, "a", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run once with the configuration of the host."""
    with open(CONFIG, encoding="utf-8") as handle:
        config = json.load(handle)
    try:
        with _alone():
            for _ in range(MOST_ROUNDS):
                deliver(config, _say)
                # systemd starts nothing for a change that came while this was running.
                if not findings(config)[0]:
                    break
    except (DeliveryError, CommandError, OSError) as error:
        _say(f"FAILED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
