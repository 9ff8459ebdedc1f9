"""scripts/mermaid.sh takes the pinned package and no other, and says where there is none to be had."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("basename", "bash", "cat", "dirname", "mktemp", "mkdir", "mv", "openssl", "rm", "tar", "tr")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script, and programs that reach no registry."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/mermaid.sh", tmp_path / "scripts")
    (tmp_path / "bin").mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    return tmp_path


def run(checkout: Path, *, npm: str) -> subprocess.CompletedProcess[str]:
    program = checkout / "bin/npm"
    program.write_text(f"#!/bin/sh\n{npm}\n")
    program.chmod(0o755)
    environment = {"PATH": str(checkout / "bin"), "TMPDIR": os.environ.get("TMPDIR", "/tmp")}  # noqa: S108 - for mktemp
    return subprocess.run(
        [checkout / "scripts/mermaid.sh"], env=environment, capture_output=True, text=True, check=False
    )


def test_without_a_registry_it_says_so_and_the_site_is_built_all_the_same(checkout: Path) -> None:
    ran = run(checkout, npm="exit 1")
    assert (ran.returncode, "reaches no registry" in ran.stderr) == (3, True)


def test_another_package_is_refused_and_leaves_nothing(checkout: Path) -> None:
    ran = run(
        checkout,
        npm='while [ "$1" != --pack-destination ]; do shift; done; echo other >"$2/$(basename "$3" | tr @ -).tgz"',
    )
    assert (ran.returncode, "expected" in ran.stderr) == (1, True)
    assert not (checkout / ".tools").exists()


def pinned() -> str:
    (version,) = re.findall(r"^readonly VERSION=(.*)$", (ROOT / "scripts/mermaid.sh").read_text(), re.MULTILINE)
    return str(version)


def test_the_script_is_the_version_that_the_extension_was_made_for() -> None:
    extension = importlib.util.find_spec("sphinxcontrib.mermaid")
    assert extension is not None
    assert extension.origin is not None
    assert f'"mermaid_version", "{pinned()}"' in Path(extension.origin).read_text()


def test_without_npm_the_site_is_built_all_the_same(checkout: Path) -> None:
    environment = {"PATH": str(checkout / "bin")}
    ran = subprocess.run(
        [checkout / "scripts/mermaid.sh"], env=environment, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, "npm is not there" in ran.stderr) == (3, True)


def test_what_is_there_is_kept_and_nobody_is_asked(checkout: Path) -> None:
    folder = checkout / ".tools/mermaid"
    folder.mkdir(parents=True)
    (folder / "mermaid.min.js").write_text("drawn")
    (folder / "version").write_text(f"{pinned()}\n")
    assert run(checkout, npm="exit 1").returncode == 0
    assert (folder / "mermaid.min.js").read_text() == "drawn"
