"""The job of a pull request from end to end: Git, the engine's preview with the policies, and the comment.

No host is reached (``dry_plugin``).
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailstack.settings.initialise import rehearsal_config
from rehearsal.engine import Engine
from rehearsal.project import copy_project
from tests.engine.conftest import ROOT

pytestmark = pytest.mark.engine

STACK = "pr"
PASSWORD = "recognisable-secret-password"


class Checkout:
    """A checkout whose stack is up as its first commit says."""

    def __init__(self, folder: Path) -> None:
        self.project, self.out = copy_project(folder / "checkout"), folder / "out"
        plugins = {"command": "tests.engine.dry_plugin"}
        self.engine = Engine(STACK, folder, lambda _line: None, project_folder=self.project, plugins=plugins)
        self.raw = rehearsal_config(ROOT / "Pulumi.local.yaml")
        self.raw["postal"]["admin"]["password"] = PASSWORD
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit()
        self.engine.select()
        self.engine.up()

    def git(self, *arguments: str) -> None:
        who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
        subprocess.run(["git", *who, *arguments], cwd=self.project, check=True, capture_output=True)

    def commit(self) -> None:
        self.engine.configure(self.raw)
        shutil.copy(self.engine.config_file, self.project / f"Pulumi.{STACK}.yaml")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change")

    def preview(self) -> tuple[int, str]:
        """Run the job's script on the newest commit; return how it ended, and the comment."""
        done = subprocess.run(
            [self.project / "scripts/pr-preview.sh", STACK, "HEAD^1", self.out],
            env=self.engine.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        comment = self.out / "comment.md"
        assert comment.exists(), done.stderr
        for seen in (done.stdout, done.stderr, *(path.read_text() for path in self.out.iterdir())):
            assert PASSWORD not in seen
        return done.returncode, comment.read_text()


@pytest.fixture(scope="module")
def checkout(cli: None, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("pull-request"))


def changed(checkout: Checkout, change: Callable[[dict[str, Any]], None]) -> tuple[int, str]:
    change(checkout.raw)
    checkout.commit()
    return checkout.preview()


def test_a_change_is_told_with_what_runs_and_what_restarts(checkout: Checkout) -> None:
    code, comment = changed(checkout, lambda raw: raw["relay"].update(concurrency=7))
    assert code == 0, comment
    assert "| `mail1` | `postfix_relay` | its settings, secrets or code | Postfix: reload;" in comment
    assert "| `relay` | `main.cf/smtp_destination_concurrency_limit` | `50` | `7` |" in comment
    assert "could lose or delay" not in comment


def test_a_branch_that_breaks_the_settings_is_told_with_the_fix(checkout: Checkout) -> None:
    before = checkout.raw["relay"]["hostname"]
    code, comment = changed(checkout, lambda raw: raw["relay"].update(hostname="localhost"))
    assert code == 1
    assert comment.count('mailstack:relay.hostname is "localhost"') == 1
    assert "Traceback" not in comment
    code, comment = changed(checkout, lambda raw: raw["relay"].update(hostname=before))
    assert code == 0, comment


def test_a_violated_policy_is_told_beside_what_it_protects_from(checkout: Checkout) -> None:
    code, comment = changed(checkout, lambda raw: raw["relay"]["upstream"].update(tls="may"))
    assert code == 1
    assert "TLS to the upstream: secure becomes may" in comment
    assert "⛔ `mandatory` `tls-is-checked` at `relay`" in comment
