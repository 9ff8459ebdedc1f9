"""The commands of Pulumi's CLI that documents show do what the documents say of them."""

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from rehearsal.engine import Engine, EngineError
from tests.engine.conftest import ROOT
from tests.engine.contract import PROJECT

STACK = "shown"
RAW = {
    "relay": {"upstream": {"password": "typed-by-hand"}},
    "domains": [{"dkim": [{"private_key": "first"}, {"private_key": "second"}]}],
}


@pytest.fixture(scope="module")
def engine(cli: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A stack of two components, up; each test leaves it as it was, the last one takes it down."""
    tmp_path = tmp_path_factory.mktemp("shown")
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(ROOT / "tests/engine/verified_program.py", project / "__main__.py")
    (project / "Pulumi.yaml").write_text(PROJECT)
    (project / ".venv").symlink_to(ROOT / ".venv")
    wanted = {"parts": ["one", "two"], "text": "first", "wrong": False, "after_up": "off"}
    (project / "wanted.json").write_text(json.dumps(wanted))
    made = Engine(STACK, tmp_path / "engine", lambda _line: None, project_folder=project)
    made.environment["PYTHONPATH"] = str(ROOT)
    made.configure(RAW, "contract")
    made.select()
    made.up()
    yield made
    # Its own stack file, so that the engine reads the secrets of this stack.
    made.run("stack", "rm", "--stack", STACK, "--yes", "--force")
    assert json.loads(made.run("stack", "ls", "--json", quiet=True)) == []


def resources(engine: Engine) -> list[str]:
    exported = json.loads(engine.run("stack", "export", "--stack", STACK, quiet=True))
    return [entry["urn"] for entry in exported["deployment"].get("resources", [])]


def set_wanted(engine: Engine, **changes: object) -> None:
    file = engine._project_folder / "wanted.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_secret_is_read_by_its_path(engine: Engine) -> None:
    place = ["--config-file", str(engine.config_file), "--stack", STACK]
    path = "contract:domains[0].dkim[1].private_key"
    assert engine.run("config", "get", "--path", path, *place, quiet=True).strip() == "second"
    assert "second" not in engine.config_file.read_text()


def test_another_passphrase_opens_the_secrets_and_the_old_one_no_longer_does(engine: Engine) -> None:
    """The CLI asks for the new passphrase, twice, on standard input where that is no terminal.

    It knows of no other file than the project's own: there is a link to ours.
    """
    (engine._project_folder / f"Pulumi.{STACK}.yaml").symlink_to(engine.config_file)
    place = ["--config-file", str(engine.config_file), "--stack", STACK]
    old, new = engine.environment["PULUMI_CONFIG_PASSPHRASE"], "quite another passphrase"

    def change(now: str, then: str) -> None:
        command = [str(engine.cli.path), "stack", "change-secrets-provider", "passphrase", "--stack", STACK]
        environment = {**engine.environment, "PULUMI_CONFIG_PASSPHRASE": now}
        subprocess.run(
            command, cwd=engine._project_folder, env=environment, input=f"{then}\n{then}\n", text=True, check=True
        )

    path = ["--path", "contract:domains[0].dkim[1].private_key"]
    change(old, new)
    with pytest.raises(EngineError, match="passphrase"):
        engine.run("config", "get", *path, *place, quiet=True)
    engine.environment["PULUMI_CONFIG_PASSPHRASE"] = new
    assert engine.run("config", "get", *path, *place, quiet=True).strip() == "second"
    engine.environment["PULUMI_CONFIG_PASSPHRASE"] = old
    change(new, old)


def test_outputs_are_shown_by_name(engine: Engine) -> None:
    assert engine.run("stack", "output", "text", "--stack", STACK, quiet=True).strip() == "first"
    assert json.loads(engine.run("stack", "output", "--json", "--show-secrets", "--stack", STACK, quiet=True)) == {
        "text": "first"
    }


def test_a_preview_shows_a_change_and_is_refused_where_none_is_expected(engine: Engine) -> None:
    engine.preview("--refresh", "--expect-no-changes")
    set_wanted(engine, parts=["one", "two", "three"])
    assert "three" in engine.preview("--diff")
    with pytest.raises(EngineError, match="no changes were expected"):
        engine.preview("--expect-no-changes")
    set_wanted(engine, parts=["one", "two"])


def test_a_resource_that_is_gone_is_taken_out_of_the_state_by_its_name(engine: Engine) -> None:
    listed = engine.run("stack", "--show-urns", "--stack", STACK, quiet=True)
    [urn] = [name for name in resources(engine) if name.endswith("::two")]
    assert urn in listed
    engine.run("state", "delete", urn, "--stack", STACK, "--yes")
    assert urn not in resources(engine)


def test_what_is_lost_is_left_out_of_an_update_and_then_taken_out_of_the_state(engine: Engine) -> None:
    """As docs/runbooks/host-lost.md does with a host that nobody can log in to any more."""
    set_wanted(engine, parts=["one", "two", "lost"])
    engine.up()
    set_wanted(engine, parts=["one", "two"], text="second")
    engine.up("--exclude", "**lost**")
    assert engine.run("stack", "output", "text", "--stack", STACK, quiet=True).strip() == "second"
    [urn] = [name for name in resources(engine) if name.endswith("::lost")]
    engine.run("state", "delete", urn, "--stack", STACK, "--yes")
    set_wanted(engine, text="first")
    engine.up()
    engine.preview("--expect-no-changes")


def test_an_update_may_refresh_and_replace_by_a_pattern(engine: Engine) -> None:
    assert "unchanged" in engine.up("--refresh")
    engine.up("--replace", "**one")
    engine.run("refresh", "--stack", STACK, "--config-file", str(engine.config_file), "--yes", "--skip-preview")
    engine.destroy()
    assert [name for name in resources(engine) if "::Part" in name] == []
