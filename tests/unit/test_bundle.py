"""What travels to a host."""

import base64
import bz2
import hashlib
import io
import json
import shlex
import subprocess
import tarfile
from pathlib import Path

import pytest

from mailstack.reach import bundle as module
from mailstack.reach.bundle import BORROWED_MODULES, bundle, command_line, payload

# As the bzip2 program and Python on Debian 12 give it.
BZIP2_OF_5000_LINES = "d924b5d0b99ca70060ef5a0945f4ef18b4fc1cf52a880e35e6c3a7db8b3933bd"
ROLES = sorted(path.parent.name for path in Path("roles").glob("*/__main__.py"))


def members(role: str) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(bundle(role))) as archive:
        return {entry.name: entry for entry in archive.getmembers()}


@pytest.mark.parametrize("role", ROLES)
def test_same_files_give_same_bytes(role: str) -> None:
    first = bundle(role)
    bundle.cache_clear()
    assert bundle(role) == first


def test_the_compression_gives_the_bytes_it_gives_everywhere() -> None:
    text = b"".join(b"line %d of a role\n" % number for number in range(5000))
    assert hashlib.sha256(bz2.compress(text)).hexdigest() == BZIP2_OF_5000_LINES


def test_file_times_and_modes_of_the_checkout_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    role = tmp_path / "roles" / "example"
    (tmp_path / "roles" / "rolelib").mkdir(parents=True)
    role.mkdir()
    main = role / "__main__.py"
    main.write_text("print()\n")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    bundle.cache_clear()
    first = bundle("example")
    main.chmod(0o755)
    (role / "__pycache__").mkdir()
    (role / "__pycache__" / "x.pyc").write_bytes(b"compiled")
    main.touch()
    bundle.cache_clear()
    assert bundle("example") == first
    main.write_text("print(1)\n")
    bundle.cache_clear()
    assert bundle("example") != first
    bundle.cache_clear()


@pytest.mark.parametrize("role", ROLES)
def test_members_carry_no_owner_time_or_mode(role: str) -> None:
    for entry in members(role).values():
        assert (entry.uid, entry.gid, entry.mtime, entry.mode, entry.uname) == (0, 0, 0, 0o644, "")


@pytest.mark.parametrize("role", ROLES)
def test_a_bundle_holds_its_own_role_and_of_others_only_what_it_borrows(role: str) -> None:
    borrowed = BORROWED_MODULES.get(role, ())
    names = members(role)
    assert set(borrowed) <= set(names)
    own = [name for name in names if name not in borrowed]
    assert f"{role}/__main__.py" in names
    assert "rolelib/protocol.py" in names
    assert not any(name.startswith(f"{other}/") for other in ROLES if other != role for name in own)


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match="no role named nothing"):
        bundle("nothing")


def test_the_command_line_is_one_quoted_argument_and_holds_no_payload() -> None:
    words = shlex.split(command_line("check", 60))
    assert words[:3] == ["exec", "bash", "-c"]
    assert words[4:] == ["mailstack", "check", "60"]
    assert len(command_line("check", 60)) < 200  # Pulumi shows all of it when a role fails


def test_the_payload_is_script_settings_archive() -> None:
    script, head, body = payload("preflight", {"b": 1, "a": "ü\n"}, {"password": "p\n$`'\""}).split("\n", 2)
    assert base64.b64decode(script) == Path("roles/bootstrap.sh").read_bytes()
    assert json.loads(head) == {"settings": {"a": "ü\n", "b": 1}, "secrets": {"password": "p\n$`'\""}}
    assert base64.b64decode(body) == bundle("preflight")


@pytest.mark.slow  # what is written is looked at by test_house.py
def test_mailstack_never_imports_pulumi() -> None:
    code = (
        "import sys, pkgutil, importlib, mailstack\n"
        "for module in pkgutil.walk_packages(mailstack.__path__, 'mailstack.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'pulumi'], 'pulumi was imported'\n"
    )
    subprocess.run([".venv/bin/python", "-c", code], check=True)
