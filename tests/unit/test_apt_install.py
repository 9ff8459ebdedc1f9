"""scripts/apt-install.sh: the one way in which packages get onto this machine. apt-get is a stand-in."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_house import ROOT

pytestmark = pytest.mark.slow
LOCKED = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 28369 (apt-get)"


def install(folder: Path, *answers: str) -> tuple[int, list[str], str]:
    """Run it with an apt-get that gives these answers one after the other: "" for well, else an error."""
    for number, answer in enumerate(answers):
        (folder / f"answer-{number}").write_text(answer)
    program = folder / "apt-get"
    program.write_text(
        "#!/usr/bin/env bash\n"
        'cd "$(dirname "$0")"; touch asked; answer=answer-$(wc -l <asked); echo "$*" >>asked\n'
        'echo "a lot of words"; [ -s "$answer" ] || exit 0; cat "$answer" >&2; exit 100\n'
    )
    sleep = folder / "sleep"
    sleep.write_text("#!/bin/sh\n")
    for path in (program, sleep):
        path.chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts/apt-install.sh", "one", "two"],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stdout == ""
    return done.returncode, (folder / "asked").read_text().splitlines(), done.stderr


INSTALL, UPDATE = "-q install --yes --no-install-recommends one two", "-q update"


def test_what_is_known_already_is_installed_without_an_update(tmp_path: Path) -> None:
    assert install(tmp_path, "") == (0, [INSTALL], "")


def test_what_is_not_known_yet_is_installed_after_an_update(tmp_path: Path) -> None:
    assert install(tmp_path, "E: Unable to locate package one", "", "") == (0, [INSTALL, UPDATE, INSTALL], "")


def test_another_apt_is_waited_for(tmp_path: Path) -> None:
    lists = "E: Unable to lock directory /var/lib/apt/lists/"
    code, asked, _ = install(tmp_path, LOCKED, LOCKED, "E: 404 Not Found", lists, "", LOCKED, "")
    assert (code, asked) == (0, [INSTALL, INSTALL, INSTALL, UPDATE, UPDATE, INSTALL, INSTALL])


def test_what_cannot_be_installed_is_told_in_apts_words(tmp_path: Path) -> None:
    gone = "E: Package 'one' has no installation candidate"
    assert install(tmp_path, gone, "", gone) == (100, [INSTALL, UPDATE, INSTALL], f"{gone}\n")
