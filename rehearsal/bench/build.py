"""Builds the two Go programs of the bench into the cache, once per source text.

They use Go's standard library only, so nothing is downloaded. When `go` is missing it is installed from
the distribution (Debian and Ubuntu, as root); elsewhere the error says what to install.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from rehearsal.bench.errors import BenchError
from rehearsal.ground.state import APT_INSTALL

__all__ = ["PROGRAMS", "BuildError", "build", "find_go", "source_files", "source_hash"]

PROGRAMS = ("sink", "wire")
SOURCE = Path(__file__).resolve().parent
KEY_DIGITS = 16
BUILD_SECONDS = 300
INSTALL_SECONDS = 1200
USUAL_GO = Path("/usr/local/go/bin/go")


class BuildError(BenchError):
    """A bench program could not be built; the message says why and what to do."""


def build(cache: Path) -> dict[str, Path]:
    """Paths of the programs by name, below `cache` (`.cache/bench` of the project), built when needed."""
    directory = cache.resolve() / source_hash(source_files())
    programs = {name: directory / name for name in PROGRAMS}
    if all(program.is_file() for program in programs.values()):
        return programs
    go = find_go()
    directory.mkdir(parents=True, exist_ok=True)
    for name, program in programs.items():
        # Built beside and renamed: a build that is killed leaves no half-written program under the key.
        fresh = program.with_name(f".{name}.{os.getpid()}")
        _run_go(go, ["build", "-trimpath", "-o", str(fresh), f"./{name}"])
        fresh.replace(program)
    return programs


def source_files() -> list[Path]:
    """Every file that decides what the programs are."""
    found = [SOURCE / "go.mod"]
    for name in PROGRAMS:
        found += (file for file in (SOURCE / name).glob("*.go") if not file.name.endswith("_test.go"))
    return sorted(found)


def source_hash(files: Iterable[Path]) -> str:
    """Cache key: digest over names and contents, so a moved or edited file builds anew."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.parent.name}/{file.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:KEY_DIGITS]


def find_go() -> str:
    """Path of the Go tool, installed from the distribution when missing."""
    go = shutil.which("go")
    if go:
        return go
    if USUAL_GO.is_file():
        return str(USUAL_GO)
    if os.geteuid() == 0 and shutil.which("apt-get"):
        command = [str(APT_INSTALL), "golang-go"]
        finished = subprocess.run(command, check=False, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        if finished.returncode != 0:
            raise BuildError(f"apt-get failed while installing Go: {finished.stderr.strip()}")
        go = shutil.which("go")
        if go:
            return go
    raise BuildError(
        "the throughput bench needs Go 1.19 or later to build its upstream and its link, and there is no "
        "`go` on PATH; install it (Debian and Ubuntu: apt-get install golang-go, Red Hat: dnf install golang)"
    )


def _run_go(go: str, arguments: list[str]) -> None:
    environment = {
        **os.environ,
        # A static program runs in a container without a C library.
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
    }
    finished = subprocess.run(
        [go, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=SOURCE,
        env=environment,
        timeout=BUILD_SECONDS,
    )
    if finished.returncode != 0:
        raise BuildError(f"go {' '.join(arguments)} failed:\n{finished.stderr.strip()}")
