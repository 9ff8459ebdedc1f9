"""The two sides of a comparison, read from a project's folder and from its history."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from mailstack.diff.code import CODE_PATHS, code_changes
from mailstack.diff.comparison import Comparison, compare, compare_environments
from mailstack.diff.declaration import Declaration, read_declaration
from mailstack.dns.spf_lock import SPF_LOCK
from mailstack.reach.git import Repository
from mailstack.settings.problems import SettingsError
from mailstack.settings.stackfile import StackFileError, sealed_config, stack_of

__all__ = ["BaseRulesError", "diff_environments", "diff_since"]

WORKING_TREE = "working tree"
SHORT = 12
STACK_FILE = re.compile(r"Pulumi\.(.+)\.yaml")


class BaseRulesError(RuntimeError):
    """The declaration of before breaks rules of this code, that of after keeps them; the text says which."""


@contextmanager
def _at(repository: Repository, commit: str, stack: str, paths: Sequence[str]) -> Iterator[Path]:
    """Yield a folder that has the stack's files, and ``paths``, as they were at a commit."""
    with TemporaryDirectory(prefix="mailstack-diff-") as made:
        folder = Path(made)
        repository.export(commit, paths, folder)
        name = _file(stack)
        text = repository.text_at(commit, name)
        if text is not None:
            (folder / name).write_text(text)
            for beside in (_domains_file(folder / name), SPF_LOCK):
                _keep(folder, beside, None if beside is None else repository.text_at(commit, beside))
        yield folder


def _file(stack: str) -> str:
    return f"Pulumi.{stack}.yaml"


def _domains_file(path: Path) -> str | None:
    try:
        name = sealed_config(path).get("domains_file")
    except StackFileError:
        return None  # whoever reads it next says what it is
    return name if isinstance(name, str) and name and ".." not in Path(name).parts else None


def _keep(folder: Path, name: str | None, text: str | None) -> None:
    if name is None or text is None:
        return
    path = (folder / name).resolve()
    if path.is_relative_to(folder.resolve()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def diff_since(folder: Path, stack: str, base: str | None, today: date) -> Comparison:
    """Compare ``Pulumi.<stack>.yaml`` of the working tree with that at ``base``, a git ref.

    ``base`` None: where this branch left the one that others start from. Code that differs is told, and what of it is
    known: digests of roles. Both sides are planned by the code of the working tree.

    Raises GitError, StackFileError where neither side has the file, or for a declaration of after that breaks rules,
    BaseRulesError for one of before that does.
    """
    repository = Repository(folder)
    commit = repository.commit_of(base) if base is not None else repository.default_base()
    where = f"{base} ({commit[:SHORT]})" if base is not None else commit[:SHORT]
    path = folder / _file(stack)
    files = repository.changed(commit, CODE_PATHS)
    with _at(repository, commit, stack, CODE_PATHS if files else ()) as was:
        old = was / path.name
        if not old.is_file() and not path.is_file():
            raise StackFileError(f"{path.name} does not exist, in the working tree or at {where}")

        def again(instead: Mapping[str, str]) -> Declaration:
            return read_declaration(path, where=WORKING_TREE, instead=instead)

        after = _read(path, where=WORKING_TREE, today=today, check_written=True)
        try:
            before = _read(old, where=where)
        except StackFileError as error:
            raise BaseRulesError(
                f"{error}\nThat is the side of before, so there is nothing to compare with; the working tree keeps the "
                "rules. Fix: name a commit that keeps them with --base, or ask `pulumi preview`"
            ) from None
        beside = _beside(repository, commit, folder, path.name) if before is None or after is None else ()
        return compare(before, after, reread=again, code=code_changes(files, was, folder), beside=beside)


def _beside(repository: Repository, commit: str, folder: Path, name: str) -> tuple[str, ...]:
    """Return the stacks that are gone where ``name`` is new, or new where it is gone: it may have another name now."""
    were = {one for one in repository.names_at(commit) if STACK_FILE.fullmatch(one)}
    there = {path.name for path in folder.glob("Pulumi.*.yaml")}
    others = were - there if name in there else there - were
    return tuple(sorted(stack_of(one) for one in others))


def diff_environments(folder: Path, source: str, target: str, today: date) -> Comparison:
    """Compare the stack files of two environments in the working tree. Raises as ``diff_since`` does."""
    found = []
    for stack in (source, target):
        path = folder / _file(stack)
        if not path.is_file():
            raise StackFileError(f"{path.name} does not exist")
        read = _read(path, where=WORKING_TREE, today=today, check_written=True)
        if read is not None:
            found.append(read)
    return compare_environments(found[0], found[1])


def _read(path: Path, *, where: str, today: date | None = None, check_written: bool = False) -> Declaration | None:
    """Return a declaration, None where there is no file. Errors say which side they are about."""
    if not path.is_file():
        return None
    try:
        return read_declaration(path, where=where, today=today, check_written=check_written)
    except StackFileError as error:
        raise StackFileError(f"{where}: {error}") from None
    except SettingsError as error:
        raise StackFileError(f"{where}, {path.name}: by the rules of this code, {error}") from None
