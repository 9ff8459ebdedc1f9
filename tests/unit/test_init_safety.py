"""`mailstack init` overwrites nothing and leaves nothing half done, whatever interrupts it."""

import io
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
import yaml

from cli.init import Terminal
from cli.verify_options import WrongCallError
from mailstack.settings import initialise as initialise_module
from mailstack.settings.initialise import InitError, deployed_resources, run_pulumi
from mailstack.settings.stackfile import StackFileError, is_example
from mailstack.start.fresh_file import FileThereError, engine_lines, write_fresh
from tests.unit.stack_examples import HOST_KEY
from tests.unit.test_init_command import Person, Pulumi, World, config, init, one_key

__all__ = ["one_key"]

KEY_SERVICE = "secretsprovider: awskms://alias/mail\nencryptedkey: abc\n"
SALT = "encryptionsalt: v1:abc=:v1:def:ghi==\n"


class Away(Person):
    """Somebody who presses Ctrl-C at one question."""

    def __init__(self, leaves_at: str) -> None:
        super().__init__({"Domains": "example.com", "Host": "admin@mail.example.com", "Who publishes": "none"})
        self._leaves_at = leaves_at

    def ask(self, text: str, choices: Sequence[str], default: str | None) -> str:
        if text.startswith(self._leaves_at):
            raise typer.Abort
        return super().ask(text, choices, default)

    def confirm(self, text: str, *, default: bool = False) -> bool:
        if text.startswith(self._leaves_at):
            raise typer.Abort
        return super().confirm(text, default=default)


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_the_examples_of_the_repository_are_not_taken_for_a_stack_of_ones_own(stack: str, tmp_path: Path) -> None:
    """Their names are the first that come to mind, and every later command would ask for a passphrase nobody has."""
    text = Path(f"Pulumi.{stack}.yaml").read_text()
    path = tmp_path / f"Pulumi.{stack}.yaml"
    path.write_text(text)
    with pytest.raises(InitError, match=f"another name, such as mycompany-{stack}"):
        init(tmp_path, stack=stack)
    assert path.read_text() == text
    path.write_text(text.partition("encryptionsalt:")[0])
    assert not is_example(path), "as its first lines say: without salt and secrets it is anybody's"


@pytest.mark.parametrize("question", ["Domains", "Service", "Certificates", "Is it that host", "Write "])
def test_whoever_leaves_at_a_question_is_told_that_nothing_was_written(question: str, tmp_path: Path) -> None:
    given = dict.fromkeys(["domains", "host_text", "upstream", "dns", "tls"])
    with pytest.raises(InitError, match="interrupted: nothing was written"):
        init(tmp_path, given=given, asker=Away(question))
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_between_secrets_leaves_a_whole_file_and_has_told_the_key_to_authorise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(Pulumi):
        def __call__(self, argv: Sequence[str], stdin: str) -> None:
            if len(self.told()) == 1:
                raise KeyboardInterrupt
            super().__call__(argv, stdin)

    pulumi = Interrupted()
    with pytest.raises(InitError, match="is written; the same command again"):
        init(tmp_path, host_key=HOST_KEY, run=pulumi)
    assert list(pulumi.told()) == ["mailstack:ssh.private_key"]
    assert "ssh-ed25519 AAAA public" in capsys.readouterr().out
    assert config(tmp_path)["mailstack:environment"] == "prod"


def test_a_failure_is_told_without_saying_that_an_old_file_was_written(tmp_path: Path) -> None:
    init(tmp_path, host_key=HOST_KEY)
    with pytest.raises(InitError, match=r"Pulumi\.fresh\.yaml is there; the same command"):
        init(tmp_path, host_key=HOST_KEY, run=Pulumi(refuses=True))


def test_a_stack_that_is_deployed_gets_no_new_keys_when_its_file_is_missing(tmp_path: Path) -> None:
    world, pulumi = World(), Pulumi()
    world.resources = 31
    with pytest.raises(InitError, match="is deployed, with 31 resources") as told:
        init(tmp_path, host_key=HOST_KEY, looks=world, run=pulumi)
    assert "bring the file back from git" in str(told.value)
    assert list(tmp_path.iterdir()) == []
    assert pulumi.calls == []


def test_a_folder_that_takes_no_file_is_told_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(InitError, match="takes no file: No such file or directory"):
        init(tmp_path / "gone", host_key=HOST_KEY)


@pytest.mark.parametrize("name", ["a/b", "../up", "with blank", ""])
def test_a_name_that_is_none_of_a_stack_never_becomes_part_of_a_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(WrongCallError, match="no name of a stack"):
        init(tmp_path, host_key=HOST_KEY, stack=name)


def test_enter_knows_no_host_key_and_throws_no_answers_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Enters(Person):
        def confirm(self, text: str, *, default: bool = False) -> bool:
            monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
            return Terminal().confirm(text, default=default)

    assert init(tmp_path, host_key=HOST_KEY, asker=Enters()) == 0
    with pytest.raises(WrongCallError, match="whose key nobody knows"):
        init(tmp_path, stack="other", asker=Enters())
    assert [one.name for one in tmp_path.iterdir()] == ["Pulumi.fresh.yaml"]


def test_a_file_without_anything_of_ours_is_kept_and_its_way_out_told(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.fresh.yaml"
    path.write_text("config:\n  aws:region: eu-west-1\n")
    with pytest.raises(InitError, match="declares nothing of mailstack"):
        init(tmp_path, host_key=HOST_KEY)
    assert path.read_text() == "config:\n  aws:region: eu-west-1\n"


def test_what_is_no_file_is_told_and_ends_in_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.fresh.yaml").mkdir()
    with pytest.raises(StackFileError, match=r"Pulumi\.fresh\.yaml cannot be read: Is a directory"):
        init(tmp_path, host_key=HOST_KEY)


def test_a_file_that_comes_meanwhile_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.fresh.yaml"

    class Slow(Person):
        def confirm(self, text: str, *, default: bool = False) -> bool:
            path.write_text("somebody else's")
            return True

    with pytest.raises(InitError, match="made by somebody else meanwhile"):
        init(tmp_path, host_key=HOST_KEY, asker=Slow())
    assert [one.read_text() for one in tmp_path.iterdir()] == ["somebody else's"]


def test_what_pulumi_stack_init_has_written_is_kept_in_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.fresh.yaml"
    path.write_text(SALT)
    assert init(tmp_path, host_key=HOST_KEY) == 0
    document = yaml.safe_load(path.read_text())
    assert document["encryptionsalt"] == "v1:abc=:v1:def:ghi=="
    assert document["config"]["mailstack:environment"] == "prod"


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("", ""),
        (SALT, SALT),
        (f"config: {{}}\n{SALT}", SALT),
        (KEY_SERVICE, KEY_SERVICE),
        ("config:\n  mailstack:environment: prod\n", None),
        (f"{SALT}environment: [shared]\n", None),
        (f"# mine\n{SALT}", None),
        ("a: [", None),
        ("- list\n", None),
    ],
)  # fmt: skip
def test_only_a_file_that_nobody_wrote_anything_into_counts_as_new(text: str, own: str | None, tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.fresh.yaml"
    path.write_text(text)
    assert engine_lines(path) == own


def test_a_file_is_written_where_the_file_system_has_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    path = tmp_path / "Pulumi.fresh.yaml"
    write_fresh(path, "text\n", "")
    assert path.read_text() == "text\n"
    with pytest.raises(FileThereError):
        write_fresh(path, "other\n", "")
    assert [one.read_text() for one in tmp_path.iterdir()] == ["text\n"]


def a_cli(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a stand-in for the Pulumi CLI before all others."""
    program = folder / "bin/pulumi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.slow
def test_ctrl_c_lets_the_engine_finish_the_file_it_is_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_cli(
        tmp_path,
        monkeypatch,
        'value=$(cat); cat /proc/$$/stat > session; touch begun; sleep 0.5; printf %s "$value" > finished',
    )

    def press() -> None:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # Whoever starts the tests in the background may have them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=press, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_pulumi(["config", "set"], "a value", tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "finished").read_text() == "a value"
    session = (tmp_path / "session").read_text().rpartition(")")[2].split()[3]
    assert int(session) != os.getsid(0), "a terminal sends Ctrl-C to all of its session's foreground"


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("passphrase must be set with PULUMI_CONFIG_PASSPHRASE", "choose one"),
        ("could not create secrets manager: incorrect passphrase", "that the file was encrypted with"),
        ("PULUMI_ACCESS_TOKEN must be set for login", "pulumi login file://"),
        ('unable to open state directory "file:///srv/pulumi": no such file or directory', "mkdir -p"),
    ],
)
def test_a_refusal_that_everybody_meets_once_comes_with_its_way_out(
    said: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_cli(tmp_path, monkeypatch, f"echo 'error: {said}' >&2; exit 255")
    with pytest.raises(InitError) as told:
        run_pulumi(["stack", "init", "fresh"], "", tmp_path)
    assert said in str(told.value)
    assert fix in str(told.value).partition("Fix: ")[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "count"),
    [
        ("""echo '[{"name": "org/mailstack/fresh", "resourceCount": 7}, {"name": "other", "resourceCount": 9}]'""", 7),
        ("""echo '[{"name": "fresh"}]'""", 0),
        ("echo nonsense", 0),
        ("exit 255", 0),
        ("exec sleep 30", 0),
    ],
)
def test_a_back_end_is_asked_what_it_has_of_a_stack_and_may_be_away(
    script: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initialise_module, "BACK_END_SECONDS", 1.0)
    a_cli(tmp_path, monkeypatch, script)
    assert deployed_resources("fresh", tmp_path) == count
