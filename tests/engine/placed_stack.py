"""A stack of nothing but a relay in containers or pods, with a login at the upstream, on the real engine."""

import copy
import json
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

from rehearsal.engine import Engine, EngineError
from rehearsal.rehearse import Rehearsal
from rehearsal.submitting import submit
from tests.engine.stage import DONE

__all__ = ["PASSWORD", "PlacedStack", "with_login"]

ROOT = Path(__file__).resolve().parents[2]
# The folder of the stack stands for the checkout's, which has stacks of its own.
COMMAND = (
    "import sys, pathlib, cli.common; cli.common.ROOT = pathlib.Path(sys.argv.pop(1)); "
    "from cli.main import main; sys.exit(main(sys.argv[1:]))"
)
USER, PASSWORD = "relay@mailstack.test", "planted-first-81c2"


def with_login(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration without DNS and hosts; its relay logs in."""
    raw["relay"]["upstream"] |= {"auth": "sasl", "username": USER, "password": PASSWORD}
    del raw["dns"]["server"], raw["relay_rule"], raw["hosts"]
    raw["dns"]["provider"] = "none"
    return raw


class PlacedStack:
    """A stack of the checkout with a login, and what a test changes of it."""

    user = USER

    def __init__(self, rehearsal: Rehearsal, folder: Path) -> None:
        self.rehearsal = rehearsal
        self.lines: list[str] = []
        self.engine = Engine(rehearsal.stack, folder, self.lines.append)
        self.raw = rehearsal.raw
        self.engine.configure(self.raw)
        self.engine.select()

    def changed(self, **relay: Any) -> dict[str, Any]:
        raw = copy.deepcopy(self.raw)
        raw["relay"] |= relay
        return raw

    def run(self, command: str, raw: dict[str, Any], *arguments: str) -> tuple[int, str]:
        self.lines.clear()
        self.engine.configure(raw)
        code = 0
        try:
            self.engine.run(
                command, "--stack", self.engine.stack, "--config-file", str(self.engine.config_file), *arguments
            )
        except EngineError:
            code = 1
        return code, "\n".join(self.lines)

    def up(self, raw: dict[str, Any]) -> dict[str, str]:
        code, text = self.run("up", raw, "--yes", "--skip-preview")
        assert code == 0, text
        return {name: what for _, name, what in DONE.findall(text)}

    def command(self, *arguments: str) -> tuple[int, Any]:
        """Run a `mailstack` command for this stack, as its user would; its exit code, and the document of --json."""
        asked = (*arguments, "--stack", self.engine.stack, "--json")
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, str(self.engine.folder), *asked],
            cwd=ROOT, env=self.engine.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def join(self, password: str) -> None:
        """Bring relay and upstream together; the upstream wants this password."""
        rehearsal = self.rehearsal
        assert rehearsal.place is not None
        rule = {**rehearsal._granted, "smtp_auth_users": {USER: password}, "require_smtp_auth": True}
        rehearsal.place.join(rehearsal.plan, rehearsal.google, rule)

    def submit(self) -> str:
        """Hand a message to the relay and return its subject."""
        token = f"placed-{secrets.token_hex(8)}"
        site = self.rehearsal._site({})
        assert submit(site, "app@mailstack.test", "someone@recipient.test", token) == "accepted"
        return token

    def arrives(self, token: str, seconds: float = 120) -> bool:
        """Tell whether a message arrives in time."""
        return self.rehearsal.google.wait_for_subject(token, timeout_seconds=seconds) is not None
