"""`mailstack doctor`: each check right on both sides, unknown where nobody can tell, and nothing changed."""

import json
import socket
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.main import main
from mailstack.reach import doctor
from mailstack.reach.cloudflare import CloudflareError
from mailstack.reach.doctor import Check, Machine, examine
from mailstack.settings import stackfile
from mailstack.settings.stackfile import StackFileError
from tests.unit.docker_examples import docker_example, local_example
from tests.unit.kubernetes_examples import on_cluster
from tests.unit.stack_examples import dkim_key, example

TODAY = date(2026, 11, 29)
PROGRAMS = ("ssh", "ssh-keyscan", "ssh-keygen", "openssl", "git", "pulumi", "pulumi-language-python", "kubectl")
PLUGINS = [{"name": name, "version": "1.0.0"} for name in ("command", "cloudflare")]
ANSWERS: dict[str, tuple[int, str, str]] = {
    "pulumi version": (0, "v3.274.1\n", ""),
    "pulumi plugin": (0, json.dumps(PLUGINS), ""),
    "pulumi stack": (0, json.dumps([{"name": "organization/mailstack/prod"}]), ""),
    "timedatectl show": (0, "yes\n", ""),
    "docker version": (0, "29.1.0\n", ""),
}


class World:
    """A machine that has everything, less or other than that as a test says, and the file of a stack."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scripts").mkdir()
        (folder / "scripts/install-pulumi.sh").write_text("readonly PULUMI_VERSION=3.259.0\n")
        self.programs = set(PROGRAMS)
        self.answers = dict(ANSWERS)
        self.zones: list[str] | Exception = ["example.com", "example.org"]
        self.changes: dict[str, Any] = {}
        self.write(example())

    def write(self, raw: Mapping[str, Any], *, salt: bool = True) -> None:
        def sealed(value: Any, key: str = "") -> Any:
            if isinstance(value, dict):
                return {name: sealed(item, name) for name, item in value.items()}
            if isinstance(value, list):
                return [sealed(item) for item in value]
            return (
                {"secure": "v1:AAAA:AAAA"} if key in {"private_key", "password", "api_token", "kubeconfig"} else value
            )

        document = {"config": {f"mailstack:{key}": sealed(value) for key, value in raw.items()}}
        head = "encryptionsalt: v1:x\n" if salt else ""
        (self.folder / "Pulumi.prod.yaml").write_text(head + yaml.safe_dump(document))

    def machine(self) -> Machine:
        options: dict[str, Any] = {
            "folder": self.folder,
            "today": TODAY,
            "environment": {"PULUMI_CONFIG_PASSPHRASE": "x"},
            "which": lambda name: f"/usr/bin/{name}" if name in self.programs else None,
            "run": lambda *argv: self.answers.get(" ".join(argv[:2]), (127, "", f"{argv[0]} is not on PATH")),
            "opened": lambda _stack, _folder: example(),
            "version_of": lambda name: "3.272.0" if name == "pulumi" else "1.0.0",
            "python": (3, 12, 1),
        }
        return Machine(**{**options, **self.changes})

    def examine(self, stack: str | None = "prod") -> dict[str, Check]:
        return {check.name: check for check in examine(self.machine(), stack)}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(stackfile, "new_dkim_key", dkim_key)
    world = World(tmp_path)

    class Api:
        def __init__(self, _url: str, token: str, *, seconds: float) -> None:
            assert (token, seconds > 0) == ("t" * 40, True)

        def zones(self, names: tuple[str, ...]) -> dict[str, Any]:
            if isinstance(world.zones, Exception):
                raise world.zones
            return {name: {} for name in names if name in world.zones}

    monkeypatch.setattr(doctor, "CloudflareApi", Api)
    return world


def test_a_machine_that_has_everything_is_fine_and_says_what_it_has(world: World) -> None:
    found = world.examine()
    assert {name: check.state for name, check in found.items() if check.state != "ok"} == {}
    assert {"Pulumi CLI", "plugin cloudflare", "state back end", "secrets open", "Cloudflare token", "clock"} <= {
        *found
    }
    assert "kubectl" not in found, "only where the stack needs it"


@pytest.mark.parametrize("program", ["ssh", "ssh-keyscan", "ssh-keygen", "openssl", "git", "pulumi"])
def test_a_missing_program_is_a_failure_with_its_fix(program: str, world: World) -> None:
    world.programs.discard(program)
    check = world.examine(None)["Pulumi CLI" if program == "pulumi" else program]
    assert (check.state, check.found) == ("fail", "not on PATH")
    assert "install" in check.fix


def test_without_the_cli_what_only_it_can_read_is_unknown(world: World) -> None:
    world.programs.discard("pulumi")
    assert world.examine()["state back end, secrets"].state == "unknown"


@pytest.mark.parametrize(
    ("said", "state"),
    [("v3.259.0", "ok"), ("v3.258.9", "warn"), ("v4.0.0", "fail"), ("v2.9.0", "fail"), ("nonsense", "unknown")],
)
def test_the_cli_is_held_against_the_pinned_one_and_the_sdk(said: str, state: str, world: World) -> None:
    world.answers["pulumi version"] = (0, said, "")
    assert world.examine(None)["Pulumi CLI"].state == state


def test_a_cli_that_does_not_run_here_is_a_failure_and_stops_no_other_look(world: World, tmp_path: Path) -> None:
    """That of another processor, or half of a download."""
    program = tmp_path / "pulumi"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    world.answers["pulumi version"] = doctor._run(str(program), "version")
    found = world.examine(None)
    assert (found["Pulumi CLI"].state, "cannot be run here: Exec format error" in found["Pulumi CLI"].found) == (
        "fail", True,
    )  # fmt: skip
    assert "scripts/install-pulumi.sh" in found["Pulumi CLI"].fix
    assert "clock" in found


def test_a_cli_without_a_language_host_is_a_failure(world: World) -> None:
    world.programs.discard("pulumi-language-python")
    assert world.examine(None)["language host"].state == "fail"


def test_an_old_python_is_a_failure(world: World) -> None:
    world.changes["python"] = (3, 10, 4)
    assert world.examine(None)["Python"].state == "fail"


@pytest.mark.parametrize(
    ("answer", "state"),
    [((0, "256 SHA256:abc mailstack-prod (ED25519)\n", ""), "ok"),
     ((1, "The agent has no identities.\n", ""), "warn"),
     ((2, "", "Could not open a connection to your authentication agent.\n"), "warn")],
)  # fmt: skip
def test_a_docker_host_that_nobody_has_a_key_for_is_told_with_what_loads_it(
    answer: tuple[int, str, str], state: str, world: World
) -> None:
    world.answers["ssh-add -l"] = answer
    world.write(docker_example())
    check = world.examine()["key for docker"]
    load = "pulumi config get --path 'mailstack:ssh.private_key' --stack prod | ssh-add -"
    assert (check.state, load in check.fix) == (state, state == "warn")
    raw = docker_example()
    raw["relay"]["docker"]["ssh_key"] = "/home/ci/.ssh/key"
    world.write(raw)
    assert "key for docker" not in world.examine()


def test_an_agent_that_is_gone_is_told_before_it_stops_an_update(world: World, tmp_path: Path) -> None:
    """pulumi-command asks it even where the stack has its own key: `dial unix …: no such file or directory`."""
    place = tmp_path / "agent"
    world.changes["environment"] = {"SSH_AUTH_SOCK": str(place)}
    check = world.examine()["ssh agent"]
    assert (check.state, "unset SSH_AUTH_SOCK" in check.fix) == ("fail", True)
    assert "No such file or directory" in check.found
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(place))
        agent.listen()
        assert "ssh agent" not in world.examine()
    assert "ssh agent" not in world.examine(None), "the tool chain alone reaches no host"


def test_a_plugin_of_another_version_is_told_and_a_list_nobody_can_read_is_unknown(world: World) -> None:
    world.answers["pulumi plugin"] = (0, json.dumps([{"name": "command", "version": "0.9.0"}]), "")
    check = world.examine()["plugin command"]
    assert (check.state, "pulumi plugin install resource command 1.0.0" in check.fix) == ("warn", True)
    world.answers["pulumi plugin"] = (1, "", "no home")
    assert world.examine()["plugin command"].state == "unknown"


@pytest.mark.parametrize(
    ("answer", "state"),
    [((0, "[]", ""), "warn"), ((255, "", "error: no credentials"), "fail"), ((0, "{", ""), "unknown")],
)
def test_the_back_end_is_asked_for_the_stack(answer: tuple[int, str, str], state: str, world: World) -> None:
    world.answers["pulumi stack"] = answer
    assert world.examine()["state back end"].state == state


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("passphrase must be set with PULUMI_CONFIG_PASSPHRASE", "set PULUMI_CONFIG_PASSPHRASE"),
        ("incorrect passphrase", "the one that the file was encrypted with"),
        ("PULUMI_ACCESS_TOKEN must be set for login", "pulumi login file://"),
        ("no stack named 'prod' found", "pulumi whoami -v"),
        ("the key service is away", "log in to who encrypts"),
    ],
)
def test_secrets_that_do_not_open_are_told_with_the_reason(reason: str, fix: str, world: World) -> None:
    def refused(_stack: str, _folder: Path) -> dict[str, Any]:
        raise StackFileError(f"pulumi config failed: error: {reason}\nFix: something")

    world.changes |= {"opened": refused}
    check = world.examine()["secrets open"]
    assert (check.state, fix in check.fix) == ("fail", True)
    assert check.found == f"pulumi config failed: error: {reason}"
    assert "Cloudflare token" not in world.examine()


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (CloudflareError("Cloudflare did not answer: no route to host"), "unknown"),
        (CloudflareError("Cloudflare answered 503: busy"), "unknown"),
        (CloudflareError("Cloudflare answered 401: invalid token"), "fail"),
        (["example.com"], "fail"),
    ],
)
def test_a_token_is_only_bad_where_cloudflare_says_so(answer: Any, state: str, world: World) -> None:
    world.zones = answer
    found = world.examine()["Cloudflare token"]
    assert found.state == state
    # Without the first of them the token does not see the zones in Cloudflare's list.
    assert state == "unknown" or "Zone Read, DNS Read and DNS Write" in found.fix


def test_a_stack_file_that_is_missing_or_wrong_is_told_with_the_next_command(world: World) -> None:
    assert world.examine("other")["stack file"].fix.endswith("`mailstack init --stack other`")
    world.write(example(environment="production"))
    check = world.examine()["stack file"]
    assert (check.state, check.fix) == ("fail", "mailstack validate --stack prod tells them all")
    (world.machine().folder / "Pulumi.broken.yaml").write_text("config: [")
    assert world.examine("broken")["stack file"].fix == "correct it at that place", "init leaves a file that is there"


def test_an_example_of_the_repository_is_no_stack_to_deploy(world: World) -> None:
    (world.folder / "Pulumi.prod.yaml").write_text(Path("Pulumi.prod.yaml").read_text())
    checks = world.examine()
    assert (checks["stack file"].state, "another name" in checks["stack file"].fix) == ("fail", True)
    assert "secrets open" not in checks


def test_secrets_that_are_missing_are_a_failure(world: World) -> None:
    raw = example()
    del raw["dns"]["cloudflare"]["api_token"]
    world.write(raw)
    assert world.examine()["secrets"].found == "missing: Cloudflare API token"


@pytest.mark.slow
def test_a_large_configuration_is_told_before_it_is_too_large(world: World) -> None:
    raw = example()
    long = f"{'a' * 60}.{'b' * 60}.{'c' * 60}.example.org"
    raw["domains"] += [{"name": f"x{number}.{long}"} for number in range(500)]
    raw["dns"] = {"provider": "none"}
    world.write(raw)
    check = world.examine()["configuration size"]
    assert (check.state, "many-domains.md" in check.fix) == ("warn", True)


@pytest.mark.parametrize(("answer", "state"), [((0, "no", ""), "warn"), ((127, "", ""), "unknown")])
def test_a_clock_is_only_right_where_something_says_so(answer: tuple[int, str, str], state: str, world: World) -> None:
    world.answers["timedatectl show"] = answer
    assert world.examine(None)["clock"].state == state


def test_docker_and_kubectl_are_looked_at_for_stacks_that_need_them(world: World) -> None:
    world.write(local_example())
    assert world.examine()["docker"].found == "engine 29.1.0"
    world.answers["docker version"] = (1, "", "Cannot connect to the Docker daemon")
    assert world.examine()["docker"].state == "fail"
    world.write(on_cluster())
    world.programs.discard("kubectl")
    assert world.examine()["kubectl"].state == "fail"


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("warn", 0), ("unknown", 0), ("fail", 1)])
def test_the_command_ends_with_1_on_a_failure_only(
    state: Any, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check = Check(name="git", state=state, found="[red]", fix="install git")
    monkeypatch.setattr(doctor, "examine", lambda _machine, _stack: iter([check]))
    assert main(["doctor", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["checks"][0]["state"]) == (code == 0, state)
    assert main(["doctor"]) == code
    assert "[red]" in capsys.readouterr().out, "what was found is no markup"
