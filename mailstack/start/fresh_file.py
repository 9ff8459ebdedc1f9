"""Writes a stack file where there is none: whole or not at all, and over nobody's."""

import os
import tempfile
from pathlib import Path

import yaml

__all__ = ["FileThereError", "engine_lines", "write_fresh"]

# What `pulumi stack init` writes by itself, before anything is configured.
OF_THE_ENGINE = frozenset({"encryptionsalt", "encryptedkey", "secretsprovider"})


class FileThereError(OSError):
    """The file is there."""


def engine_lines(path: Path) -> str | None:
    """Return what a new file has to keep: nothing, or what the engine alone wrote there. None for a file in use."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        return None
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        return None
    if not isinstance(document, dict) or set(document) - OF_THE_ENGINE - {"config"} or document.get("config"):
        return None
    kept = {key: document[key] for key in document if key in OF_THE_ENGINE}
    if "#" in text:
        return None  # somebody has begun to write
    return yaml.safe_dump(kept, sort_keys=False, width=10_000) if kept else ""


def write_fresh(path: Path, text: str, own: str) -> None:
    """Write ``text``, and ``own`` behind it, as ``engine_lines`` returned it.

    Raises FileThereError where the file has become another one meanwhile, OSError for a folder that takes none.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w") as handle:
            handle.write(text + own)
        mask = os.umask(0)
        os.umask(mask)
        draft.chmod(0o666 & ~mask)
        if path.exists():
            if engine_lines(path) != own:
                raise FileThereError
            draft.replace(path)
        else:
            _link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _link(draft: Path, path: Path) -> None:
    """Give the draft its name, unless that is taken; unlike a rename, a link replaces nothing."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        raise FileThereError from None
    except OSError:  # a file system without links
        with path.open("x") as handle:
            handle.write(draft.read_text())
