"""A change of a stack file that takes several calls of the Pulumi CLI: all of it, or none.

A step that stops half way, for want of a passphrase or by Ctrl-C, would leave a file that is no stack's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["all_or_nothing"]


@contextmanager
def all_or_nothing(*paths: Path) -> Iterator[None]:
    """Give the files back as they were when what is done within fails."""
    before = {path: path.read_bytes() for path in paths}
    try:
        yield
    except BaseException:
        for path, content in before.items():
            if path.read_bytes() != content:
                path.write_bytes(content)
        raise
