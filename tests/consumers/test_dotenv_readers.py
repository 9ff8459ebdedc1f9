"""What `mailstack env` writes, every reader of dotenv files reads alike: shells, Node, docker compose, python-dotenv.

One file holds many values, so that each reader is started once for all of them.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import dotenv as python_dotenv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailstack.outputs.application import Application
from mailstack.outputs.formats import FormatError, dotenv
from tests.consumers.conftest import installed

HERE = Path(__file__).resolve().parent
Reader = Callable[[Path], dict[str, str]]
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}
VALUES = 60
# What some reader gives a meaning of its own, often; anything else that has no surrogates, sometimes.
SPECIAL = st.sampled_from(
    [*" '\"\\$`!#=~{}()[]<>|&;*?:%@^,\tnrt0aZé字😀", "${HOME}", "$HOME", "$(id)", " #", "\\n", "''"]
)
TEXTS = st.lists(st.one_of(SPECIAL, st.characters(codec="utf-8")), max_size=12).map("".join)
EDGES = [
    "", " ", "#", "a#b", "a #b", " lead", "trail ", "it's", '"', "'", "\\", "a\\b", "\\n", "$", "$$", "${", "`x`",
    "!", "~", "export A=1", "A=1", "%s", "=", "==", "a:b", "100%", "p@ss:w/rd?&", "Müller & Söhne", '"quoted"',
    "x'y", "*",
]  # fmt: skip


def shell(name: str) -> Reader:
    def read(file: Path) -> dict[str, str]:
        command = [name, "-c", 'set -a; . "$1"; env -0', name, str(file)]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=True)
        return dict(entry.decode().split("=", 1) for entry in done.stdout.split(b"\0") if entry)

    return read


def node(folder: Path, *arguments: str) -> Reader:
    def read(file: Path) -> dict[str, str]:
        command = ["node", *(argument.format(file=file) for argument in arguments)]
        done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True)
        found: dict[str, str] = json.loads(done.stdout)
        return found

    return read


@pytest.fixture(
    scope="module", params=["python-dotenv", "sh", "bash", "node --env-file", "dotenv of npm", "docker compose"]
)
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    name, folder = request.param, tmp_path_factory.mktemp("readers")
    if name == "python-dotenv":
        return lambda file: {key: text or "" for key, text in python_dotenv.dotenv_values(file).items()}
    if name in {"sh", "bash"}:
        if shutil.which(name) is None:
            pytest.skip(f"there is no {name}")
        return shell(name)
    if name == "node --env-file":
        if shutil.which("node") is None:
            pytest.skip("no Node on this machine")
        return node(folder, "--env-file={file}", "-e", "console.log(JSON.stringify(process.env))")
    if name == "dotenv of npm":
        script = "console.log(JSON.stringify(require('dotenv').parse(require('fs').readFileSync(process.argv[1]))))"
        return node(installed(HERE / "node_readers", folder), "-e", script, "{file}")
    return compose(folder)


def compose(folder: Path) -> Reader:
    """Return the reader of docker compose itself, built from its library."""
    if shutil.which("go") is None:
        pytest.skip("no Go on this machine: the reader of docker compose is built with it")
    program = folder / "compose-env"
    build = ["go", "build", "-mod=readonly", "-o", str(program), "."]
    subprocess.run(build, cwd=HERE / "compose_env", check=True, capture_output=True, text=True)

    def read(file: Path) -> dict[str, str]:
        with file.open() as lines:
            done = subprocess.run([program], stdin=lines, env=ENVIRONMENT, capture_output=True, text=True, check=True)
        found: dict[str, str] = json.loads(done.stdout)
        return found

    return read


def written(texts: list[str], file: Path) -> dict[str, str]:
    """Write those of ``texts`` that dotenv takes and return them by name."""
    taken = dict(_taken(texts))
    file.write_text(dotenv(Application(about="a test", variables=taken, networks={}, namespace_labels={})))
    return taken


def _taken(texts: list[str]) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(texts):
        alone = Application(about="a test", variables={"V": text}, networks={}, namespace_labels={})
        try:
            dotenv(alone)
        except FormatError:
            continue
        yield f"V{number}", text


def test_edges_are_read_as_written(reader: Reader, tmp_path: Path) -> None:
    taken = written(EDGES, tmp_path / "edges.env")
    assert len(taken) > len(EDGES) - 6, "few values are refused"
    found = reader(tmp_path / "edges.env")
    assert {name: found.get(name) for name in taken} == taken


@settings(
    max_examples=30,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.large_base_example,
        HealthCheck.data_too_large,
    ],
)
@given(texts=st.lists(TEXTS, min_size=1, max_size=VALUES))
def test_every_value_that_is_taken_is_read_as_written(reader: Reader, texts: list[str], tmp_path: Path) -> None:
    taken = written(texts, tmp_path / "some.env")
    found = reader(tmp_path / "some.env")
    assert {name: found.get(name) for name in taken} == taken
