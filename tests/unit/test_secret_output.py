"""A role tells a secret once: beside its summary, by an apply that has worked, and never otherwise (docs/adr/0015)."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from rolelib import protocol
from rolelib.host import RoleError
from rolelib.protocol import Change, Plan, Role

SECRET = "planted\nkubeconfig"


class Teller(Role):
    name = "teller"
    fails = False

    def plan(self) -> Plan:
        self.secret_output = SECRET
        return [Change("step", "something differs", lambda: None)]

    def verify(self) -> None:
        if self.fails:
            raise RoleError("verify", "it does not work")


class FailingTeller(Teller):
    fails = True


@pytest.mark.parametrize(
    ("role", "action", "code", "lines"),
    [
        (Teller, "--apply", 0, 2),
        (Teller, "--check", 2, 1),
        (FailingTeller, "--apply", 1, 1),
    ],
)
def test_a_secret_is_told_by_an_apply_that_worked_and_by_nothing_else(
    role: type[Role],
    action: str,
    code: int,
    lines: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(protocol, "LOCK_PATH", str(tmp_path / "lock"))
    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    assert protocol.main(role, [action]) == code
    captured = capsys.readouterr()
    out: list[dict[str, Any]] = [json.loads(line) for line in captured.out.splitlines()]
    assert len(out) == lines
    assert out[-1]["role"] == "teller", "the summary is the last line, as ever"
    if lines == 2:
        assert out[0] == {"secret": SECRET}
    assert "planted" not in captured.err + captured.out.splitlines()[-1]
