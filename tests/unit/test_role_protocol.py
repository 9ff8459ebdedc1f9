"""A role on a host ends what it has begun, whether or not somebody still listens."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROLES = Path(__file__).resolve().parents[2] / "roles"
# Two changes; the second fails and is undone, as a role with a transaction does.
ROLE = """
import os, sys
from rolelib.protocol import Change, Role, RoleError, main

class Two(Role):
    name, exclusive = "two", False

    def plan(self):
        return [Change(one, one, lambda one=one: self.make(one)) for one in ("first", "second")]

    def make(self, one):
        self.say(one, "made")
        open(one, "w").close()
        if one == self.settings["breaks"]:
            raise RoleError(one, "broken")

    def apply(self, plan):
        try:
            super().apply(plan)
        except RoleError:
            self.say("undo", "taking everything back")
            for one in plan:
                os.unlink(one.what)
            open("undone", "w").close()
            raise

sys.exit(main(Two, ["--apply"]))
"""


def run_unheard(folder: Path, breaks: str) -> int:
    """Run the role with a connection that has ended: what it writes on is closed at the other end."""
    there, here = os.pipe()
    os.close(there)
    try:
        done = subprocess.run(
            [sys.executable, "-c", ROLE], cwd=folder, stdout=here, stderr=here, check=False, text=True, timeout=30,
            input=json.dumps({"settings": {"breaks": breaks}}), env={**os.environ, "PYTHONPATH": str(ROLES)},
        )  # fmt: skip
    finally:
        os.close(here)
    return done.returncode


def test_a_role_ends_what_it_has_begun_when_the_connection_is_gone(tmp_path: Path) -> None:
    assert run_unheard(tmp_path, breaks="nothing") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second"}


def test_a_role_takes_a_failure_back_when_the_connection_is_gone(tmp_path: Path) -> None:
    assert run_unheard(tmp_path, breaks="second") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"undone"}
