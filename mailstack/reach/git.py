"""Asks git what a project's files were at a commit."""

import io
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["GitError", "Repository"]

# Names that the branch others start from has, where the remote does not say.
USUAL = ("origin/main", "origin/master", "main", "master")


class GitError(RuntimeError):
    """Git cannot answer; the text says what was asked and what to do."""


@dataclass(frozen=True)
class Repository:
    """The repository that ``folder`` is in, which need not be its top. Nothing in it is changed."""

    folder: Path

    def commit_of(self, ref: str) -> str:
        """Return the commit (40 digits) that ``ref`` names. Raises GitError."""
        self._require()
        found = self._ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        if found is None:
            raise GitError(f"{ref} is no branch, tag or commit that git knows here. Fix: git fetch, or name another")
        return found.decode().strip()

    def default_base(self) -> str:
        """Return where this branch left the one that others start from. Raises GitError where that cannot be told."""
        self._require()
        told = self._ask("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
        names = [*([told.decode().strip()] if told is not None else []), *USUAL]
        for name in dict.fromkeys(names):
            if self._ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}") is None:
                continue
            base = self._ask("merge-base", "HEAD", name)
            if base is None:
                raise GitError(
                    f"HEAD and {name} have no common commit here: is this a shallow clone? "
                    "Fix: git fetch --unshallow, or name a commit with --base"
                )
            return base.decode().strip()
        raise GitError(f"there is no branch to compare with ({', '.join(USUAL)}). Fix: name a commit with --base")

    def text_at(self, commit: str, name: str) -> str | None:
        """Return a file's text at a commit, None where it was not there. ``name`` is below ``folder``."""
        found = self._ask("show", f"{commit}:./{name}")
        return None if found is None else found.decode(errors="replace")

    def names_at(self, commit: str) -> tuple[str, ...]:
        """Return the names of what was in ``folder`` itself at a commit."""
        return tuple(_names(self._told("ls-tree", "--name-only", "-z", commit, "./")))

    def changed(self, commit: str, paths: Sequence[str]) -> tuple[str, ...]:
        """Return the files below ``paths`` that differ from those at a commit, new ones included."""
        differ = self._told("diff", "--name-only", "--relative", "-z", commit, "--", *paths)
        new = self._told("ls-files", "--others", "--exclude-standard", "-z", "--", *paths)
        return tuple(sorted({*_names(differ), *_names(new)}))

    def export(self, commit: str, paths: Iterable[str], to: Path) -> None:
        """Write the files below ``paths`` as they were at a commit into the folder ``to``."""
        there = [path for path in paths if self._ask("cat-file", "-e", f"{commit}:./{path}") is not None]
        if not there:
            return
        packed = self._told("archive", "--format=tar", commit, "--", *there)
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(to, filter="data")

    def _require(self) -> None:
        """Raise GitError with git's own words where it does not work here at all."""
        self._told("rev-parse", "--git-dir")

    def _told(self, *arguments: str) -> bytes:
        finished = self._run(arguments)
        if finished.returncode != 0:
            said = finished.stderr.decode(errors="replace").strip()
            raise GitError(f"git {arguments[0]} failed in the project's folder: {said}. Fix: work in a clone of it")
        return finished.stdout

    def _ask(self, *arguments: str) -> bytes | None:
        """Return what git printed, None where it failed."""
        finished = self._run(arguments)
        return finished.stdout if finished.returncode == 0 else None

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(["git", *arguments], cwd=self.folder, capture_output=True, check=False)
        except FileNotFoundError:
            raise GitError("git is not on PATH; it has the declaration to compare with. Fix: install it") from None


def _names(listed: bytes) -> list[str]:
    return [name.decode() for name in listed.split(b"\0") if name]
