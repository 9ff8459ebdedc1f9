"""Stack files with encrypted values, as Pulumi writes them, and comparisons of them."""

import copy
import hashlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from mailstack.diff.comparison import Comparison, compare
from mailstack.diff.declaration import Declaration, read_declaration
from mailstack.settings.load import SECRET_FIELDS

Raw = dict[str, Any]
Change = Callable[[Raw], object]
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
SALT = "v1:c2FsdA==:v1:bm9uY2U=:word"


def seal(value: Any, times: int = 0, key: str = "") -> Any:
    """Return ``value`` with every text under a secret's key encrypted; ``times``: how often it was set again."""
    if isinstance(value, dict):
        return {name: seal(item, times, name) for name, item in value.items()}
    if isinstance(value, list):
        return [seal(item, times, key) for item in value]
    if key not in SECRET_FIELDS or not isinstance(value, str):
        return value
    return {"secure": f"v1:{hashlib.sha256(f'{times}{value}'.encode()).hexdigest()[:48]}"}


def write(folder: Path, raw: Mapping[str, Any], *, stack: str = "x", times: int = 0, salt: str = SALT) -> Path:
    """Write a stack file with sealed secrets and return it."""
    sealed = seal(copy.deepcopy(dict(raw)), times)
    path = folder / f"Pulumi.{stack}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(
        yaml.dump(
            {"config": {f"mailstack:{key}": value for key, value in sealed.items()}, "encryptionsalt": salt},
            Dumper=DUMPER,
        )
    )
    return path


def declared(folder: Path, raw: Mapping[str, Any], **written: Any) -> Declaration:
    return read_declaration(write(folder, raw, **written), where="working tree")


@cache
def as_it_is(base: Callable[[], Raw]) -> Declaration:
    """Return what an example declares, planned once for all tests."""
    with TemporaryDirectory() as folder:
        return declared(Path(folder), base())


def compared(folder: Path, base: Callable[[], Raw], change: Change, **written: Any) -> Comparison:
    """Return what a change of an example does; ``written`` is how the file after it is written."""
    before, after = as_it_is(base), base()
    change(after)
    path = write(folder, after, **written)
    reread = partial(_again, path)
    return compare(before, read_declaration(path, where="working tree"), reread=reread)


def _again(path: Path, instead: Mapping[str, str]) -> Declaration:
    return read_declaration(path, where="working tree", instead=instead)
