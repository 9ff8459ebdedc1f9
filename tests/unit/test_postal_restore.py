"""A restore loses nothing that Postal had taken: in which order it stops, dumps, replaces and starts."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import postal_operations.backups as operations
from postal import paths
from postal.backup import restore as restoring
from postal.backup.archive import BackupError, Plan
from rolelib.protocol import Role

MANIFEST = {"databases": ["postal"], "postal_image": "postal:3.3.7", "main": "postal", "prefix": "postal"}
DUMP = "/var/backups/x-before-restore.tar"


class Host:
    """Takes down what a restore does; ``breaks`` is the step that fails, ``held`` the messages that are there."""

    def __init__(self, patch: pytest.MonkeyPatch, archive: Path, *, held: int = 3, breaks: str = "") -> None:
        self.done: list[str] = []
        self.breaks = breaks
        plan = SimpleNamespace(database={"main": "postal", "prefix": "postal"}, document={"image": "postal:3.3.7"})
        databases = {
            "names": lambda _plan: ["postal"], "message_count": lambda _plan, _names: held,
            "require_space": self.step("space"), "drop_all": self.step("drop"), "load_from": self.step("load"),
        }  # fmt: skip
        patch.setattr(restoring, "databases", SimpleNamespace(**databases))
        patch.setattr(restoring, "_unpack", lambda *_: MANIFEST)
        patch.setattr(restoring, "_keep_identities", lambda _work: None)
        patch.setattr(paths, "BACKUP_JSON", str(archive))
        patch.setattr(Plan, "load", lambda _path: plan)
        for name in ("stop", "start"):
            patch.setattr(restoring, f"_{name}", self.step(name))
        patch.setattr(restoring, "make", self.step("dump", DUMP))

    def step(self, name: str, told: Any = None) -> Callable[..., Any]:
        def do(*_given: object) -> Any:
            self.done.append(name)
            if name == self.breaks:
                raise BackupError(f"{name} failed")
            return told

        return do


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "backup.tar"
    path.write_text("an archive")
    return path


def test_what_is_taken_until_postal_stops_is_in_the_dump(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, archive)
    restoring.restore(str(archive), True, False, None)
    assert host.done == ["space", "stop", "dump", "drop", "load", "start"]


def test_a_host_without_mail_needs_no_dump(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, archive, held=0)
    restoring.restore(str(archive), False, False, None)
    assert host.done == ["stop", "drop", "load", "start"]


def test_mail_that_may_not_go_stops_nothing(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, archive)
    with pytest.raises(BackupError, match="3 messages"):
        restoring.restore(str(archive), False, False, None)
    assert host.done == []


@pytest.mark.parametrize("breaks", ["space", "dump"])
def test_postal_runs_again_when_its_mail_could_not_be_dumped(
    breaks: str, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(monkeypatch, archive, breaks=breaks)
    with pytest.raises(BackupError, match=f"{breaks} failed"):
        restoring.restore(str(archive), True, False, None)
    assert "drop" not in host.done
    assert host.done == ["space"] if breaks == "space" else host.done[-1] == "start"


@pytest.mark.parametrize("breaks", ["drop", "load"])
def test_a_restore_that_fails_says_where_the_mail_is(
    breaks: str, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(monkeypatch, archive, breaks=breaks)
    with pytest.raises(BackupError, match=f"{breaks} failed") as error:
        restoring.restore(str(archive), True, False, None)
    assert DUMP in str(error.value)
    assert "stopped" in str(error.value)
    assert host.done[-1] == breaks, "a Postal without its databases is not started"


def test_a_restore_that_is_repeated_takes_the_backup_again_and_not_what_it_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("20261129T023000Z", "20261130T023000Z", "20261130T091500Z-before-restore"):
        (tmp_path / f"postal-{name}.tar").touch()
    monkeypatch.setattr(operations, "installed", lambda: SimpleNamespace(directory=str(tmp_path)))
    monkeypatch.setattr(operations, "_manifest", lambda _path: MANIFEST)
    monkeypatch.setattr(operations, "_there", lambda _plan: {})
    role = Role({}, {})
    [change] = operations.restore(role)
    assert change.what.endswith("postal-20261130T023000Z.tar")
