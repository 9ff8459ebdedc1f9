"""How a role runs in a container and on a cluster, and what of it comes back."""

import json
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from mailstack.reach.docker_api import DockerApi, DockerError
from mailstack.reach.kubectl import Kubectl, KubectlError
from mailstack.reach.place import ContainerPlace, PlaceError, PodPlace, StoppedError, frames

SUMMARY = {"error": None, "changed": ["delete 1 messages"], "facts": {"done": 1}}
FAILED = {"error": {"step": "queue", "message": "the queue cannot be read", "detail": ""}, "changed": [], "facts": {}}


def frame(stream: int, text: str) -> bytes:
    return struct.pack(">BxxxI", stream, len(text.encode())) + text.encode()


@dataclass
class Engine:
    """Docker's API for one container; ``said`` is what the role writes there."""

    said: bytes
    code: int = 0
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def call(self, _method: str, place: str, body: Any = None, **query: Any) -> Any:
        self.asked.append((place, body or query))
        if place.endswith("/exec"):
            return {"Id": "e1"}
        return {"ExitCode": self.code} if place.endswith("/json") else self.said


def container(said: bytes, code: int = 0) -> tuple[ContainerPlace, Engine]:
    engine = Engine(said, code)
    return ContainerPlace(name="relay", api=cast("DockerApi", engine)), engine


def test_both_streams_of_a_container_are_told_apart_whole_and_in_order() -> None:
    stream = frame(1, "first ") + frame(2, "progress\n") + frame(1, "second ü") + frame(2, "more\n")
    assert frames(stream) == ("first second ü", "progress\nmore\n")
    assert frames(b"") == ("", "")


def test_a_roles_summary_comes_back_from_a_container() -> None:
    place, engine = container(frame(2, "[role] step\n") + frame(1, json.dumps(SUMMARY) + "\n"), code=2)
    report = place.run("relay_operations", {"operation": "list"}, "check")
    assert (report.place, report.changed, report.facts) == ("relay", ("delete 1 messages",), {"done": 1})
    command = engine.asked[0][1]["Cmd"]
    assert command[:2] == ["bash", "-c"]
    assert "Tty" not in engine.asked[0][1], "a terminal would mix the streams"


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        (frame(1, json.dumps(FAILED)), 1, "relay: the queue cannot be read"),
        (frame(2, "mailstack: install python3 first\n"), 1, "ended with 1: mailstack: install python3 first"),
        (b"", 137, "ended with 137: nothing was said"),
    ],
)
def test_what_fails_there_is_told_with_the_name_of_the_place(said: bytes, code: int, words: str) -> None:
    place, _ = container(said, code)
    with pytest.raises(PlaceError, match=words):
        place.run("relay_operations", {"operation": "list"})


def test_a_message_too_large_for_an_argument_is_refused_here() -> None:
    place, engine = container(b"")
    with pytest.raises(PlaceError, match="smaller message"):
        place.run("relay_operations", {"operation": "submit", "message": "x" * 200_000})
    assert engine.asked == []


def test_a_pods_failure_is_read_from_what_the_role_says(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 1, json.dumps(FAILED) + "\n", "command terminated with exit code 1")

    monkeypatch.setattr(subprocess, "run", run)
    place = PodPlace(name="relay-0", kubectl=Kubectl(None, "prod"), namespace="mail", container="postfix")
    with pytest.raises(PlaceError, match="relay-0: the queue cannot be read"):
        place.run("relay_operations", {"operation": "list"})
    [command] = ran
    assert command[:6] == [Path("kubectl").name, "--context=prod", "exec", "--stdin", "--namespace=mail", "relay-0"]
    assert command[6:8] == ["--container=postfix", "--"]


def pod_by(folder: Path, script: str) -> PodPlace:
    """Return a pod that is asked by this shell script in place of kubectl."""
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return PodPlace(name="web-0", kubectl=Kubectl(None, "prod", program=program), namespace="mail", container="")


def test_a_log_that_kubectl_cannot_follow_is_no_log_that_ended(tmp_path: Path) -> None:
    place = pod_by(tmp_path, 'echo "$3"; exit "$(cat "$0.code")"')
    seen: list[str] = []
    (tmp_path / "kubectl.code").write_text("0")
    place.follow(None, seen.append, tail=3)
    assert seen == ["--follow"]
    (tmp_path / "kubectl.code").write_text("1")
    with pytest.raises(KubectlError, match="kubectl logs --follow ended with 1"):
        place.follow(None, seen.append)
    assert len(seen) == 2, "what it told before is told"


def test_a_log_in_another_encoding_is_shown_all_the_same(tmp_path: Path) -> None:
    place = pod_by(tmp_path, r"printf 'Subject: Gr\374\337e\n'")
    seen: list[str] = []
    place.follow(None, seen.append)
    assert seen == place.log(None) == ["Subject: Gr\ufffd\ufffde"]


@pytest.mark.parametrize(("status", "stopped"), [(404, True), (409, True), (500, False), (0, False)])
def test_a_container_that_is_stopped_or_gone_is_told_apart_from_an_engine_that_does_not_answer(
    status: int, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, engine = container(b"")

    def refused(*_: Any, **__: Any) -> None:
        raise DockerError("Container relay is not running", status)

    monkeypatch.setattr(engine, "call", refused)
    with pytest.raises(RuntimeError, match="not running") as raised:
        place.run("relay_operations", {"operation": "list"})
    assert isinstance(raised.value, StoppedError) is stopped
