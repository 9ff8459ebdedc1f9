"""`mailstack env --selector`: a Secret for each namespace that has the labels."""

import json
import os
from pathlib import Path

import pytest
import yaml

from cli.main import main
from mailstack.outputs.application import application
from tests.unit.env_examples import decoded, postal, relay, written


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for kubectl that tells three namespaces and writes down how it was called."""
    namespaces = [{"metadata": {"name": name}, "status": {"phase": "Active"}} for name in ("shop", "news")]
    namespaces.append({"metadata": {"name": "going"}, "status": {"phase": "Terminating"}})
    (tmp_path / "bin").mkdir()
    (tmp_path / "found.json").write_text(json.dumps({"items": namespaces}))
    program = tmp_path / "bin" / "kubectl"
    program.write_text(f'#!/bin/sh\necho "$@" >"{tmp_path}/call"\ncat "{tmp_path}/found.json"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path


def test_every_labelled_namespace_gets_the_secret_but_one_that_goes(
    kubectl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["env", "--from-json", written(postal(), kubectl), "--credential", "shop", "--format", "k8s-secret"]
    assert main([*told, "--selector", "mail=yes,env!=test"]) == 0
    assert (kubectl / "call").read_text() == "get namespaces --selector=mail=yes,env!=test --output=json\n"
    manifests = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [one["metadata"]["namespace"] for one in manifests] == ["news", "shop"]
    assert [decoded(one) for one in manifests] == [application(postal(), credential="shop").variables] * 2


def test_labels_that_no_namespace_has_are_told_and_nothing_is_written(
    kubectl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (kubectl / "found.json").write_text('{"items": []}')
    told = ["env", "--from-json", written(relay(), kubectl), "--format", "k8s-secret", "--selector", "mail=yes"]
    assert main([*told, "--out", str(kubectl / "secret.yaml")]) == 1
    assert "no namespace has the labels mail=yes" in capsys.readouterr().err
    assert not (kubectl / "secret.yaml").exists()


def test_what_kubectl_says_against_a_selector_is_told(kubectl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (kubectl / "bin" / "kubectl").write_text("#!/bin/sh\necho 'error: unable to parse requirement' >&2; exit 1\n")
    told = ["env", "--from-json", written(relay(), kubectl), "--format", "k8s-secret", "--selector", "=="]
    assert main(told) == 1
    assert capsys.readouterr().err == "error: unable to parse requirement\n"
