"""Running a role on a host of the rehearsal ground, by the same bytes the program sends."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailstack.reach.bundle import Action, command_line, payload
from rehearsal.ground import Ground, Host

__all__ = ["Run", "run_role"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """Exit code, summary (empty where the role never started) and standard error of a role."""

    code: int
    summary: Mapping[str, Any]
    progress: str

    @property
    def status(self) -> str:
        """The summary's status."""
        return str(self.summary.get("status"))

    @property
    def error(self) -> str:
        """The text of the summary's error."""
        return str((self.summary.get("error") or {}).get("message", ""))


def run_role(
    ground: Ground,
    host: Host,
    role: str,
    settings: Mapping[str, Any],
    secrets: Mapping[str, Any] | None = None,
    *,
    action: Action = "apply",
    over_ssh: bool = False,
) -> Run:
    """Run ``role`` on ``host`` as root, or over SSH as the host's user."""
    command = ["bash", "-c", command_line(action)]
    document = payload(role, settings, secrets or {})
    if over_ssh:
        done = ground.ssh(host, command, input=document, check=False)
    else:
        done = ground.exec(host, command, input=document, check=False)
    lines = done.stdout.splitlines()
    summary = json.loads(lines[-1]) if lines else {}
    return Run(code=done.returncode, summary=summary, progress=done.stderr)
