"""The layout: who may import whom, no circles, no file that has grown too long.

Imports are read from the source, so those inside functions and below TYPE_CHECKING count like any other.
"""

import ast
import io
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from mailstack.reach.bundle import SHARED_MODULES, bundle

ROOT = Path(__file__).resolve().parent.parent.parent
# Folders of modules, each with the folder its modules' names start at.
SOURCES = {"mailstack": ".", "components": ".", "rehearsal": ".", "cli": ".", "roles": "roles"}
ROLES = sorted(path.parent.name for path in (ROOT / "roles").glob("*/__main__.py"))

# Layer -> packages it never imports; a name stands for its variants too (pulumi, pulumi_command).
FORBIDDEN = {
    "mailstack": ("rehearsal", "components", "pulumi", "cli"),
    "components": ("rehearsal", "cli"),
    "rehearsal": ("cli",),
    "__main__.py": ("rehearsal", "cli"),
    "policy/__main__.py": ("rehearsal", "components", "cli"),
}
LONGEST = 450
SOURCE_ENDINGS = {".py", ".sh", ".rb", ".go"}
# Longer ones, each with its reason. Exactly these: an entry that is mended must go.
LONGER = {
    "roles/postal/runner/bootstrap.rb": "one script: `rails runner` gets one file, mounted into Postal's container",
}


def python_files(root: Path, folder: str) -> list[Path]:
    return sorted(path for path in (root / folder).rglob("*.py") if "__pycache__" not in path.parts)


def module_name(relative: Path) -> str:
    parts = relative.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imported(source: str, module: str, *, package: bool) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return (module, names taken from it) for each import in ``source``; relative ones are made absolute."""
    return tuple(_imported(source, module, package=package))


def _imported(source: str, module: str, *, package: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    for node in _statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[: len(module.split(".")) - node.level + package]
                base = ".".join([*above, *([base] if base else [])])
            yield base, tuple(alias.name for alias in node.names)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every statement, however deep; what is within expressions imports nothing, and is most of a tree."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.expr):
            yield node
            yield from _statements(node)


def our_files(root: Path, sources: Mapping[str, str]) -> dict[str, Path]:
    """Return module -> its file."""
    return {
        module_name(path.relative_to(root / base)): path
        for folder, base in sources.items()
        for path in python_files(root, folder)
    }


def import_graph(root: Path, sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Return module -> modules it imports, both of our own only."""
    files = our_files(root, sources)
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        found: set[str] = set()
        for base, names in imported(path.read_text(encoding="utf-8"), module, package=path.name == "__init__.py"):
            # A name is a submodule, or else something the module itself defines.
            found |= {f"{base}.{name}" if f"{base}.{name}" in files else base for name in names} or {base}
        graph[module] = found & files.keys()
    return graph


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the modules of one circle, first and last the same; empty when there is none."""
    done: set[str] = set()

    def follow(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in done:
            return []
        for other in sorted(graph[module]):
            if found := follow(other, [*trail, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := follow(module, []))), [])


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = import_graph(ROOT, SOURCES)
    assert graph["mailstack.reach.bundle"] == set(), "the graph is read"
    assert "mailstack.caddy.model" in graph["mailstack.caddy.render"], "the graph is read"
    assert circle(graph) == []


@pytest.mark.parametrize(
    "back",
    [
        "from . import one",
        "from pkg.one import ONE",
        "def later():\n    import pkg.one",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .one import ONE",
    ],
)
def test_a_circle_is_seen_however_the_import_is_written(back: str, tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("from .one import ONE\n")
    (tmp_path / "pkg" / "one.py").write_text("from .two import TWO\nONE = TWO\n")
    (tmp_path / "pkg" / "two.py").write_text("TWO = 2\n")
    assert circle(import_graph(tmp_path, {"pkg": "."})) == []
    (tmp_path / "pkg" / "two.py").write_text(f"{back}\nTWO = 2\n")
    assert circle(import_graph(tmp_path, {"pkg": "."})) == ["pkg.one", "pkg.two", "pkg.one"]


def test_a_layer_imports_only_the_layers_below_it() -> None:
    found = set()
    for place, forbidden in FORBIDDEN.items():
        for path in [ROOT / place] if place.endswith(".py") else python_files(ROOT, place):
            name = path.relative_to(ROOT)
            reached = imported(path.read_text(encoding="utf-8"), module_name(name), package=path.name == "__init__.py")
            found |= {
                (str(name), base)
                for base, _ in reached
                if any(base == other or base.startswith((f"{other}.", f"{other}_")) for other in forbidden)
            }
    assert found == set()


@pytest.mark.parametrize("role", ROLES)
def test_a_role_imports_only_what_travels_with_it(role: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(bundle(role))) as archive:
        files = {
            Path(name): archive.extractfile(name).read().decode()  # type: ignore[union-attr]
            for name in archive.getnames()
            if name.endswith(".py")
        }
    travels = {module_name(path) for path in files}
    ours = our_files(ROOT, SOURCES).keys()
    missing = set()
    for path, source in files.items():
        for base, names in imported(source, module_name(path), package=path.name == "__init__.py"):
            wanted = {base, *(f"{base}.{name}" for name in names if f"{base}.{name}" in ours)}
            missing |= {
                f"{path} imports {module}"
                for module in wanted - travels
                if module.split(".")[0] not in sys.stdlib_module_names
            }
    assert missing == set(), f"in no file of the bundle; see mailstack.reach.bundle.SHARED_MODULES[{role!r}]"


def test_every_shared_module_is_there_and_every_role_that_shares_one() -> None:
    assert set(SHARED_MODULES) <= set(ROLES)
    assert [name for names in SHARED_MODULES.values() for name in names if not (ROOT / name).is_file()] == []


def test_what_travels_to_hosts_is_held_to_the_oldest_python_there() -> None:
    held = (ROOT / "Makefile").read_text().partition("PURE_36 :=")[2].partition("\n\n")[0].split()
    shared = {name for names in SHARED_MODULES.values() for name in names if Path(name).name != "__init__.py"}
    assert {name for name in shared if name not in held and not name.startswith("roles/")} == set()


def test_a_source_file_is_no_longer_than_a_person_can_hold_in_mind() -> None:
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in SOURCE_ENDINGS]
    long = {
        str(path.relative_to(ROOT))
        for path in [*files, *ROOT.glob("*.py")]
        if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST
    }
    assert long == set(LONGER), "split it, or give its reason in LONGER; one that has been split leaves LONGER"


GROUND_MAKERS = ("Ground", "postal_ground")


def grounds_of(source: str) -> set[str]:
    """Return the names of grounds that are written out in ``source``."""
    if not any(f"{name}(" in source for name in GROUND_MAKERS):
        return set()
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args)
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in GROUND_MAKERS
        if isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    }


def test_no_two_test_modules_use_one_ground_since_they_may_run_side_by_side() -> None:
    users: dict[str, list[str]] = {}
    for path in python_files(ROOT, "tests"):
        for name in grounds_of(path.read_text()):
            users.setdefault(name, []).append(str(path.relative_to(ROOT)))
    shared = {name: modules for name, modules in users.items() if len(modules) > 1}
    # These two folders make their names from their modules' (tests/images/test_relay_image.py, tests/behaviour).
    made = [name for name in users if name.startswith(("images-", "vm-"))]
    modules = {path.stem.removeprefix("test_").replace("_", "-") for path in (ROOT / "tests/behaviour").glob("test_*")}
    made += [name for name in users if name in {f"{kind}-{it}" for kind in ("docker", "kubernetes") for it in modules}]

    assert (shared, made) == ({}, [])
    assert len(users) > 20
