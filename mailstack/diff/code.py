"""What of the code differs between a commit and the working tree: roles and renderers are part of what is applied."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mailstack.diff.resources import CodeOf
from mailstack.plan.relay_image import image_code_digest
from mailstack.reach.bundle import code_digest

__all__ = ["CODE_PATHS", "CodeChanges", "code_changes"]

# What a declaration is turned into resources by, below the project's folder.
CODE_PATHS = (".dockerignore", "__main__.py", "components", "images", "mailstack", "requirements.txt", "roles")
# What only looks, compares or reports: nothing that is applied follows from it.
ONLY_LOOKS = (
    *("mailstack/diff/", "mailstack/dmarc/", "mailstack/policy/", "mailstack/pull_request/", "mailstack/verify/"),
    "mailstack/markdown.py",
)
NOT_THERE = "not there"
# Hosts and containers run these as they are: what differs in them is known exactly.
RUN_AS_THEY_ARE = ("roles/", "images/", ".dockerignore")


@dataclass(frozen=True, kw_only=True)
class CodeChanges:
    """``files`` differ, of which ``renderers`` turn settings into what is applied.

    ``roles`` run other code than before; ``image``: the relay's image is made of other files, where it is built here.
    ``before`` gives the digest of a role's code as it was; None: as it is.
    """

    files: tuple[str, ...] = ()
    renderers: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    image: bool = False
    before: CodeOf | None = None


def code_changes(files: Iterable[str], was: Path, is_now: Path) -> CodeChanges:
    """Return what ``files``, which differ, mean. ``was`` is a folder with the code as it was, ``is_now`` as it is."""
    found = tuple(sorted(name for name in files if not name.startswith(ONLY_LOOKS)))
    if not found:
        return CodeChanges()
    roles = sorted(path.parent.name for path in (is_now / "roles").glob("*/__main__.py"))
    before = {role: _digest(role, was) for role in roles}
    return CodeChanges(
        files=found,
        renderers=tuple(name for name in found if not name.startswith(RUN_AS_THEY_ARE)),
        roles=tuple(role for role in roles if before[role] != _digest(role, is_now)),
        image=_image(was) != _image(is_now),
        before=lambda role: before.get(role, NOT_THERE),
    )


def _digest(role: str, root: Path) -> str:
    try:
        return code_digest(role, root)
    except FileNotFoundError:
        return NOT_THERE


def _image(root: Path) -> str:
    try:
        return image_code_digest(root)
    except FileNotFoundError:
        return NOT_THERE
