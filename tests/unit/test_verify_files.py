"""`mailstack verify` with odd values, and where its report goes: pipes, files, the history of runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.main import main
from mailstack.verify.model import Check, fail
from tests.unit.verify_examples import only_these

REASON = "one long reason of many words " * 20 + "end"


@pytest.fixture(autouse=True)
def _one_check() -> Iterator[None]:
    def look(_context: object) -> Iterator[object]:
        yield fail("example.com", REASON, expected="right", fix="mend it")

    made = Check(number=14, name="spf", group="C", title="Made-up", source="RFC 1", look=look)  # type: ignore[arg-type]
    with only_these(made):
        yield


def verify(folder: Path, *flags: str) -> int:
    return main(["verify", "--domain", "example.com", "--history", str(folder / "history"), *flags])


def test_in_a_pipe_or_a_file_no_line_is_broken_and_none_is_filled_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.txt"
    texts = []
    for flags in (["--watch"], ["--verbose"], ["--output", str(path)]):
        assert verify(tmp_path, *flags) == 1
        texts.append(capsys.readouterr().out or path.read_text())
    for text in texts:
        assert any(line.endswith(REASON) for line in text.splitlines())
        assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_a_report_that_cannot_be_written_is_told_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "report.json"
    assert verify(tmp_path, "--json", "--output", str(path)) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"] == printed.err.strip()
    assert printed.err.startswith(f"--output {path} cannot be written: ")


def test_a_history_that_cannot_be_read_hides_nothing_that_is_seen_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verify(tmp_path)
    (kept,) = (tmp_path / "history").iterdir()
    kept.write_bytes(b"\xff" + kept.read_bytes())
    capsys.readouterr()
    assert verify(tmp_path, "--watch") == 1
    assert "spf" in capsys.readouterr().out
    kept.unlink()
    kept.mkdir()
    assert verify(tmp_path, "--watch") == 1
    assert "this run is not remembered" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--resolver", "dns.google"], "--resolver 'dns.google' is no address: write 192.0.2.53"),
        (["--own-resolver", "192.0.2.53:dns"], "--own-resolver '192.0.2.53:dns' is no address"),
        (["--timeout", "0"], "--timeout"),
        (["--timeout=-5"], "--timeout"),
        (["--timeout", "nan"], "--timeout"),
    ],
)
@pytest.mark.parametrize("command", [["verify"], ["diagnose", "spam"]])
def test_a_value_that_would_make_all_unknown_is_a_wrong_call(
    command: list[str], flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--domain", "example.com", "--json", *flags])
    assert ended.value.code == 2
    assert said in json.loads(capsys.readouterr().out)["error"]
