"""The protocol between a role and whoever started it.

Standard input: one JSON object ``{"settings": {...}, "secrets": {...}}``. Actions: ``--apply`` (the default),
``--check`` and ``--remove``. Standard error: progress lines ``[role] step: what``. Standard output: one line,
a JSON summary (see ``Summary``). Exit code: 0 fine, 2 drift found by ``--check``, 1 failed.

A role that tells a secret prints one line more, before the summary: ``{"secret": "..."}``. Only ``--apply`` does, and
only when nothing has failed: whoever runs a command that fails shows what it printed.
"""

import contextlib
import errno
import fcntl
import json
import os
import sys
import time
import traceback
from typing import Any, Callable, Dict, Iterator, List, Optional, TextIO

from rolelib.commands import CommandError, redact, remember_secret
from rolelib.host import RoleError

__all__ = ["Change", "Plan", "Role", "RoleError", "main"]

EXIT_DRIFT = 2
# Two roles on one host must not both drive the package manager or Postfix.
LOCK_PATH = "/run/lock/mailstack.lock"
LOCK_SECONDS = 900
STATE_DIRECTORY = "/var/lib/mailstack"


class Change:
    """One step of a plan: what differs (for people) and what mends it."""

    def __init__(self, step: str, what: str, mend: Callable[[], None]) -> None:
        """``mend`` raises RoleError or CommandError when it cannot do its work."""
        self.step = step
        self.what = what
        self.mend = mend


Plan = List[Change]


class Role:
    """Base of a role. A role overrides ``plan`` and, where they make sense, ``remove`` and ``verify``."""

    name = ""
    # A role that only looks does not hold up the others on its host, however long it waits.
    exclusive = True

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        """Hold what came on standard input. ``warnings`` and ``facts`` end up in the summary.

        ``secret_output`` is told beside it; only a run whose standard output is a secret may set it (docs/adr/0015).
        """
        self.settings = settings
        self.secrets = secrets
        self.warnings: List[str] = []
        self.facts: Dict[str, Any] = {}
        self.secret_output: Optional[str] = None

    def say(self, step: str, what: str) -> None:
        """Print one progress line."""
        _print(sys.stderr, redact(f"[{self.name}] {step}: {what}\n"))

    def state_directory(self) -> str:
        """Return the role's own directory on the host, made on first use, readable by root only."""
        path = os.path.join(STATE_DIRECTORY, self.name)
        os.makedirs(path, mode=0o700, exist_ok=True)
        return path

    def plan(self) -> Plan:
        """Compare the host with the settings. Changes nothing. Empty means the host is as declared."""
        raise NotImplementedError

    def apply(self, plan: Plan) -> None:
        """Carry out the plan in order. A role that needs a transaction overrides this."""
        for change in plan:
            self.say(change.step, change.what)
            change.mend()

    def verify(self) -> None:
        """Prove after an apply, changed or not, that the service really works. Raises RoleError if not."""

    def remove(self) -> List[str]:
        """Undo the role; return what was done, in words."""
        raise RoleError("remove", "this role leaves nothing behind to remove")


def main(role_class: Callable[[Dict[str, Any], Dict[str, Any]], Role], arguments: List[str]) -> int:
    """Run a role by the protocol and return the exit code. ``arguments`` is at most one action."""
    action = arguments[0] if arguments else "--apply"
    if action not in ("--apply", "--check", "--remove") or len(arguments) > 1:
        sys.stderr.write("usage: python3 -m ROLE [--apply|--check|--remove] < input.json\n")
        return 1
    document = json.loads(sys.stdin.read())
    for secret in _strings(document.get("secrets", {})):
        remember_secret(secret)
    role = role_class(document.get("settings", {}), document.get("secrets", {}))
    summary: Dict[str, Any] = {
        "role": role.name,
        "status": "failed",
        "changed": [],
        "facts": role.facts,
        "warnings": role.warnings,
        "error": None,
    }
    try:
        with _lock(role):
            _ACTIONS[action](role, summary)
    except (RoleError, CommandError) as error:
        step = error.step if isinstance(error, RoleError) else "command"
        _fail(role, summary, step, str(error), "")
    except Exception as error:  # noqa: BLE001 - whatever happens, the caller gets a summary
        _fail(role, summary, "internal", repr(error), traceback.format_exc())
    if action == "--apply" and summary["status"] != "failed" and role.secret_output is not None:
        _print(sys.stdout, json.dumps({"secret": role.secret_output}) + "\n")
    _print(sys.stdout, redact(json.dumps(summary, sort_keys=True)) + "\n")
    if summary["status"] == "failed":
        return 1
    return EXIT_DRIFT if summary["status"] == "drift" else 0


def _apply(role: Role, summary: Dict[str, Any]) -> None:
    plan = role.plan()
    role.apply(plan)
    role.verify()
    summary["changed"] = [redact(change.what) for change in plan]
    summary["status"] = "changed" if plan else "unchanged"
    role.say("done", f"{len(plan)} changes" if plan else "nothing to change")


def _check(role: Role, summary: Dict[str, Any]) -> None:
    plan = role.plan()
    for change in plan:
        role.say("drift", change.what)
    summary["changed"] = [redact(change.what) for change in plan]
    summary["status"] = "drift" if plan else "unchanged"


def _remove(role: Role, summary: Dict[str, Any]) -> None:
    summary["changed"] = role.remove()
    summary["status"] = "removed"
    with contextlib.suppress(OSError):
        os.rmdir(STATE_DIRECTORY)  # empty only after the last role of this host


_ACTIONS = {"--apply": _apply, "--check": _check, "--remove": _remove}


def _fail(role: Role, summary: Dict[str, Any], step: str, message: str, detail: str) -> None:
    summary["status"] = "failed"
    summary["error"] = {"step": step, "message": redact(message), "detail": redact(detail)}
    _print(sys.stderr, redact(f"[{role.name}] FAILED in step '{step}' (exit 1): {message}\n{detail}"))


def _print(stream: TextIO, text: str) -> None:
    """Print at once. Nobody may listen any more: a connection that ends must not end what changes the host halfway."""
    try:
        stream.write(text)
        stream.flush()
    except ConnectionError:
        # What is still in the stream's buffer would be tried again, and fail, at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        for line in value.splitlines():  # a key is logged line by line, if ever
            yield line
    elif isinstance(value, dict):
        for item in value.values():
            for text in _strings(item):
                yield text
    elif isinstance(value, list):
        for item in value:
            for text in _strings(item):
                yield text


@contextlib.contextmanager
def _lock(role: Role) -> Iterator[None]:
    """Hold the host's one lock. The kernel drops it when the process dies, so no lock can be left behind."""
    handle = _open_lock() if role.exclusive else None
    if handle is None:  # nothing will be changed: a role that only looks, or a check by an ordinary user
        yield
        return
    deadline = time.monotonic() + LOCK_SECONDS
    waiting = False
    with handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                if time.monotonic() >= deadline:
                    raise RoleError(
                        "lock", f"another mailstack role has run for {LOCK_SECONDS} s on this host"
                    ) from None
                if not waiting:
                    role.say("lock", "waiting for another mailstack role on this host")
                    waiting = True
                time.sleep(0.2)
        yield


def _open_lock() -> "Optional[Any]":
    try:
        os.makedirs(os.path.dirname(LOCK_PATH), exist_ok=True)
        return open(LOCK_PATH, "a")
    except PermissionError:
        return None
