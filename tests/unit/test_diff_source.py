"""Both sides of `mailstack diff` out of a git repository, and the command around it."""

import json
import socket
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cli import diff as command
from cli.main import main
from mailstack.diff.document import diff_schema
from mailstack.diff.source import BaseRulesError, diff_environments, diff_since
from mailstack.dns.spf_lock import SPF_LOCK
from mailstack.reach.git import GitError
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.stackfile import StackFileError
from tests.unit.diff_examples import write
from tests.unit.markdown_pages import assert_harmless
from tests.unit.stack_examples import example, postal_example

pytestmark = pytest.mark.slow

TODAY = date(2026, 11, 29)
ROLE_FILES = ("roles/bootstrap.sh", "roles/rolelib/__init__.py", "roles/preflight/__main__.py")


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path, words: str = "x") -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", words)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose main branch has stack x, and roles of a few lines."""
    for name in ROLE_FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# code\n")
    git(tmp_path, "init", "-q", "-b", "main")
    write(tmp_path, example())
    commit(tmp_path)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    return tmp_path


def changed() -> dict[str, object]:
    raw = example()
    raw["relay"]["queue_lifetime_hours"] = 24
    return raw


def test_the_working_tree_is_compared_with_a_ref(project: Path) -> None:
    write(project, changed())
    comparison = diff_since(project, "x", "main", TODAY)
    assert comparison.before is not None
    assert comparison.before.where.startswith("main (")
    assert [change.label for change in comparison.changes] == ["maximal_queue_lifetime"]


def test_without_a_ref_it_is_compared_with_where_the_branch_began(project: Path) -> None:
    git(project, "switch", "-q", "-c", "work")
    write(project, changed())
    commit(project)
    git(project, "switch", "-q", "main")
    raw = example()
    raw["relay"]["concurrency"] = 7
    write(project, raw)
    began = git(project, "rev-parse", "HEAD")
    commit(project, "main goes on")
    git(project, "switch", "-q", "work")
    comparison = diff_since(project, "x", None, TODAY)
    assert comparison.before is not None
    assert comparison.before.where == began[:12]
    assert "smtp_destination_concurrency_limit" not in {change.label for change in comparison.changes}


@pytest.mark.parametrize("ref", ["nowhere", "--output=/tmp/x", "main:Pulumi.x.yaml"])
def test_a_ref_that_is_none_is_refused(project: Path, ref: str) -> None:
    with pytest.raises(GitError, match="git knows here"):
        diff_since(project, "x", ref, TODAY)


def test_where_no_branch_is_to_compare_with_base_is_asked_for(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "other")
    write(tmp_path, example())
    commit(tmp_path)
    with pytest.raises(GitError, match="--base"):
        diff_since(tmp_path, "x", None, TODAY)


def test_a_stack_that_is_new_and_one_that_is_gone(project: Path) -> None:
    write(project, example(), stack="y")
    assert diff_since(project, "y", "main", TODAY).before is None
    (project / "Pulumi.y.yaml").unlink()
    (project / "Pulumi.x.yaml").unlink()
    gone = diff_since(project, "x", "main", TODAY)
    assert gone.after is None
    assert [risk.rule for risk in gone.risks] == ["stack-removed"]
    with pytest.raises(StackFileError, match="does not exist"):
        diff_since(project, "z", "main", TODAY)


def test_the_domains_file_and_the_spf_addresses_of_before_are_those_of_the_ref(project: Path) -> None:
    raw = example()
    del raw["domains"]
    raw["domains_file"] = "domains.yaml"
    path = project / "domains.yaml"
    path.write_text(
        "domains:\n  - {name: example.com, spf: {include: [_spf.example.net], flatten: [_spf.example.net]}}\n"
    )
    (project / SPF_LOCK).write_text(lock("93.184.216.0/24"))
    write(project, raw)
    commit(project)
    assert not diff_since(project, "x", "main", TODAY).different
    (project / SPF_LOCK).write_text(lock("93.184.217.0/24"))
    path.write_text(f"{path.read_text()}  - example.org\n")
    found = {change.label: (change.before, change.after) for change in diff_since(project, "x", "main", TODAY).changes}
    before, after = found["TXT example.com"]
    assert before is not None
    assert "ip4:93.184.216.0/24" in before
    assert after is not None
    assert "ip4:93.184.217.0/24" in after
    assert found["TXT example.org"][0] is None


def lock(network: str) -> str:
    return json.dumps({"_spf.example.net": {"seen": "2026-11-01", "networks": [network]}})


def test_a_stack_file_with_another_name_is_not_told_as_a_new_stack_alone(project: Path) -> None:
    git(project, "mv", "Pulumi.x.yaml", "Pulumi.y.yaml")
    new, gone = (diff_since(project, stack, "main", TODAY) for stack in ("y", "x"))
    assert [(risk.rule, risk.level) for risk in new.risks] == [("stack-renamed", "high")]
    assert "stack file of x goes" in new.risks[0].what
    assert [risk.rule for risk in gone.risks] == ["stack-renamed"]
    assert "pulumi destroy" not in gone.risks[0].advice
    assert "pulumi stack rename" in gone.risks[0].advice


@pytest.mark.parametrize("text", [b"\xff\xfe", b"config: ["])
def test_a_file_that_is_no_yaml_is_told_with_its_side(project: Path, text: bytes) -> None:
    path = project / "Pulumi.x.yaml"
    good = path.read_bytes()
    path.write_bytes(text)
    with pytest.raises(StackFileError, match=r"working tree: Pulumi\.x\.yaml is not YAML"):
        diff_since(project, "x", "main", TODAY)
    commit(project)
    path.write_bytes(good)
    with pytest.raises(BaseRulesError, match=r"main \("):
        diff_since(project, "x", "main", TODAY)


@pytest.mark.parametrize("section", ["admin", "database"])
@pytest.mark.parametrize("wrong", [7, "text", [{}]])
def test_a_section_of_another_shape_is_a_mistake_with_its_fix(project: Path, section: str, wrong: object) -> None:
    raw = postal_example()
    for name in ("admin", "database"):
        raw["postal"][name] = {key: text for key, text in raw["postal"][name].items() if "password" not in key}
    raw["postal"][section] = wrong
    write(project, raw)
    with pytest.raises(StackFileError, match=rf"(?s)postal\.{section}.*Fix: "):
        diff_since(project, "x", "main", TODAY)


@pytest.mark.parametrize("empty", [None, {}])
def test_a_section_without_a_value_is_opened_for_its_secrets_as_pulumi_config_set_opens_it(
    project: Path, empty: object
) -> None:
    raw = postal_example()
    raw["postal"]["database"] = empty
    write(project, raw)
    assert rehearsal_config(project / "Pulumi.x.yaml")["postal"]["database"]["password"]
    diff_since(project, "x", "main", TODAY)


def test_a_declaration_of_after_that_breaks_rules_is_told_before_one_of_before(project: Path) -> None:
    raw = example()
    raw["relay"]["hostname"] = "localhost"
    write(project, raw)
    commit(project)
    with pytest.raises(StackFileError, match="working tree"):
        diff_since(project, "x", "main", TODAY)


def test_a_declaration_of_before_that_breaks_rules_says_which_side_it_is(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = example()
    raw["relay"]["hostname"] = "localhost"
    write(project, raw)
    commit(project)
    write(project, example())
    with pytest.raises(BaseRulesError, match=r"(?s)main \(.*Pulumi\.x\.yaml.*relay\.hostname.*pulumi preview"):
        diff_since(project, "x", "main", TODAY)
    assert main(["diff", "--stack", "x", "--base", "main", "--json"]) == 3, "the branch is not to blame"
    told = capsys.readouterr()
    assert told.out == ""
    assert "the working tree keeps the rules" in told.err


def test_a_role_whose_code_differs_runs_again_and_renderers_are_told(project: Path) -> None:
    (project / "roles/preflight/__main__.py").write_text("# other code\n")
    renderer = project / "mailstack/postfix/main_cf.py"
    renderer.parent.mkdir(parents=True)
    renderer.write_text("# new, and not added yet\n")
    comparison = diff_since(project, "x", "main", TODAY)
    code = comparison.code
    assert code.roles == ("preflight",)
    assert code.renderers == ("mailstack/postfix/main_cf.py",)
    again = {name: one.inputs for name, one in comparison.operations.items()}
    assert again["relay1-preflight"] == ("code",)


def test_what_only_looks_counts_as_no_difference(project: Path) -> None:
    path = project / "mailstack/verify/x.py"
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert not diff_since(project, "x", "main", TODAY).different


def test_an_environment_without_a_file_is_told(project: Path) -> None:
    with pytest.raises(StackFileError, match=r"Pulumi\.y\.yaml does not exist"):
        diff_environments(project, "x", "y", TODAY)


def test_outside_of_a_repository_gits_own_words_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    write(tmp_path, example())
    with pytest.raises(GitError, match="not a git repository"):
        diff_since(tmp_path, "x", None, TODAY)


def test_nobody_but_git_is_asked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = subprocess.run

    def only_git(arguments: list[str], **options: Any) -> Any:
        assert arguments[0] == "git"
        return started(arguments, **options)

    def nobody(*_arguments: object, **_options: object) -> None:
        raise AssertionError("diff asks no host, engine or network")

    write(project, changed())
    monkeypatch.setattr(subprocess, "run", only_git)
    monkeypatch.setattr(socket.socket, "connect", nobody)
    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    assert diff_since(project, "x", "main", TODAY).different


# -- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flags", "code"), [([], 2), (["--exit-zero"], 0)])
def test_json_is_the_documented_document_and_the_exit_code_says_whether_anything_differs(
    flags: list[str], code: int, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project, changed())
    assert main(["diff", "--stack", "x", "--base", "main", "--json", *flags]) == code
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, json.loads(diff_schema()))
    assert found["counts"]["high"] == 1
    assert [one["rule"] for one in found["risks"]] == ["queue-lifetime-lowered"]
    assert [one["name"] for one in found["resources"]] == ["relay-postfix"]
    assert found["before"]["where"].startswith("main (")


def test_nothing_that_differs_ends_with_0(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "--stack", "x", "--base", "main"]) == 0
    assert "no difference" in capsys.readouterr().out


def test_what_cannot_be_told_ends_with_1(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "--stack", "x", "--base", "nowhere"]) == 1
    assert "nowhere is no branch" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--stack", "x", "--from", "x"],
        ["--from", "x"],
        ["--to", "x"],
        ["--from", "x", "--to", "y", "--base", "main"],
    ],
)
def test_a_call_that_compares_nothing_ends_with_2(flags: list[str], project: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["diff", *flags])
    assert ended.value.code == 2


def test_markdown_folds_details_and_calls_nobody(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = changed()
    raw["relay"]["postmaster"] = "postmaster@example.com"  # type: ignore[index]
    write(project, raw)
    assert main(["diff", "--stack", "x", "--base", "main", "--format", "markdown"]) == 2
    text = capsys.readouterr().out
    assert text.startswith("## mailstack diff: x")
    assert text.count("<details>") == text.count("</details>") > 0
    assert "🔴 **high**" in text
    assert "postmaster@example.com" in text
    assert_harmless(text)


def test_two_environments_are_compared_in_the_working_tree(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, changed(), stack="y")
    assert main(["diff", "--from", "x", "--to", "y"]) == 2
    said = capsys.readouterr().out
    assert "relay/queue_lifetime_hours" in said
    assert "x did not prove it for y" in said


# What scripts may read of version 1. A line that has to go from here needs version 2.
OF_VERSION_1 = {
    "": "after before changes code counts different kind names resources restarts risks secrets settings version",
    "Change": "after before certain change name secret section subject",
    "Code": "files image renderers roles",
    "Counts": "changes high low medium resources restarts secrets settings",
    "Resource": "because certain host name operation what",
    "Restart": "certain how means resource what where",
    "Risk": "advice certain level reason rule what",
    "Secret": "change known place",
    "Setting": "after before expected path",
    "Side": "stack where",
}


def test_no_key_of_version_1_is_taken_away_or_optional() -> None:
    schema = json.loads(diff_schema())
    for part, keys in OF_VERSION_1.items():
        found = schema["$defs"][part] if part else schema
        assert set(keys.split()) <= set(found["properties"]) & set(found["required"]), part
    assert schema["properties"]["version"]["const"] == 1


def test_the_published_schema_is_current() -> None:
    assert Path("docs/reference/diff.schema.json").read_text() == diff_schema(), "run: mailstack schema --write"
