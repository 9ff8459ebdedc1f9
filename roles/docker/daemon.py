"""The running daemon: validate a configuration, put it in place, make the daemon read it, go back if it does not."""

import os
import tempfile
import time
from typing import Any, Callable, Dict

from docker import paths
from docker.daemon_json import changed_keys, needs_restart, parse, render
from docker.facts import Facts, engine_version
from rolelib.commands import CommandError, run
from rolelib.files import DesiredFile, Transaction
from rolelib.host import RoleError, systemctl, unit_log

__all__ = ["configure", "text", "validate", "wait_until_it_answers"]

ANSWER_SECONDS = 60
RELOAD_SECONDS = 10
POLL_SECONDS = 0.2


def text(configuration: Dict[str, Any]) -> str:
    """Return the content of daemon.json."""
    return render(configuration)


def validate(content: str) -> None:
    """Let dockerd read a copy where it can (since 23.0). Raises RoleError with its complaint."""
    if "--validate" not in run(["dockerd", "--help"], check=False).out:
        return
    handle, path = tempfile.mkstemp(prefix="mailstack-daemon-", suffix=".json")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(content)
        result = run(["dockerd", "--validate", "--config-file", path], check=False)
    finally:
        os.unlink(path)
    if not result.ok:
        raise RoleError("daemon", f"dockerd refuses the new configuration, nothing was changed: {result.err.strip()}")


def wait_until_it_answers(seconds: int = ANSWER_SECONDS) -> None:
    """Wait for the daemon; raises RoleError with its last log lines."""
    deadline = time.monotonic() + seconds
    while engine_version() is None:
        if time.monotonic() >= deadline:
            raise RoleError("daemon", f"Docker does not answer after {seconds} s\n{unit_log('docker.service')}")
        time.sleep(POLL_SECONDS)


def configure(facts: Facts, wanted: Dict[str, Any], transaction: Transaction, say: Callable[[str, str], None]) -> None:
    """Make the daemon use ``wanted``. The previous file is back, and used, when it cannot. Raises RoleError."""
    current = parse(facts.daemon_json, paths.DAEMON_JSON)
    if not changed_keys(current, wanted):
        return
    content = render(wanted)
    validate(content)
    mode = os.stat(paths.DAEMON_JSON).st_mode & 0o777 if os.path.exists(paths.DAEMON_JSON) else 0o644
    transaction.write(DesiredFile(paths.DAEMON_JSON, content, mode))
    try:
        _make_it_read(facts, current, wanted, say)
    except (RoleError, CommandError) as error:
        say("roll back", f"put {paths.DAEMON_JSON} back")
        transaction.restore()
        back = _return_to_previous(facts)
        transaction.close()
        raise RoleError("daemon", f"{error}\n{back}") from None
    transaction.close()


def _make_it_read(
    facts: Facts, current: Dict[str, Any], wanted: Dict[str, Any], say: Callable[[str, str], None]
) -> None:
    if not facts.active:
        return  # the start that follows reads it
    if wanted.get("live-restore") and not current.get("live-restore"):
        # With this read first, a restart leaves the containers running.
        systemctl("reload", "docker.service")
        _wait_for_live_restore()
    if needs_restart(current, wanted):
        say("daemon", "restart Docker with the new configuration")
        run(["systemctl", "reset-failed", "docker.service"], check=False)
        systemctl("restart", "docker.service")
    else:
        systemctl("reload", "docker.service")
    wait_until_it_answers()


def _wait_for_live_restore() -> None:
    """A reload is only a signal: dockerd says nothing when it is done, and nothing when it refuses."""
    deadline = time.monotonic() + RELOAD_SECONDS
    while run(["docker", "info", "--format", "{{.LiveRestoreEnabled}}"], check=False).out.strip() != "true":
        if time.monotonic() >= deadline:
            raise RoleError("daemon", f"Docker does not take the configuration\n{unit_log('docker.service')}")
        time.sleep(POLL_SECONDS)


def _return_to_previous(facts: Facts) -> str:
    if not facts.active:
        run(["systemctl", "stop", "docker.service"], check=False)
        return "the previous configuration is back; Docker did not run before and does not run now"
    run(["systemctl", "reset-failed", "docker.service"], check=False)
    try:
        systemctl("restart", "docker.service")
        wait_until_it_answers()
    except (RoleError, CommandError) as error:
        return f"the previous configuration is back, but Docker does not run with it: {error}"
    return "the previous configuration is back and Docker runs with it"
