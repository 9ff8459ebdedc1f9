"""What the workflows promise: pinned actions, least rights, no secret for a fork, no text of others in a shell."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))
SCHEMAS = Path(str(files("check_jsonschema"))) / "builtin_schemas/vendor"
GITLAB = ROOT / "docs/examples/gitlab-ci.yml"
USES = re.compile(r"^\s*-?\s*uses:\s*(\S+)(?:\s+#\s*(.*))?$", re.MULTILINE)
# Contexts that hold what others wrote.
OTHERS = re.compile(r"\$\{\{[^}]*\b(?:github\.(?:event|head_ref|ref_name|actor)|inputs|matrix|steps|needs|env|vars)\b")
# What every job that is given a secret has to ask, on a pull request.
NO_FORK = "github.event.pull_request.head.repo.full_name == github.repository"
NO_BOT = "github.event.pull_request.user.login != 'dependabot[bot]'"
WRITES = {("comment", "comment"): {"pull-requests"}, ("checks", "tell"): {"issues"}}
# Which stacks are deployed, up.yml says: in a company's own repository they have names of its own.
DEPLOYED = tuple(yaml.safe_load((GITHUB / "workflows/up.yml").read_text())["jobs"])
# YAML 1.1 reads the key `on` as a boolean.
Json = dict[Any, Any]


def loaded(path: Path) -> Json:
    found: Json = yaml.safe_load(path.read_text())
    return found


def triggers(workflow: Json) -> set[str]:
    found = workflow[True]
    return {found} if isinstance(found, str) else set(found)


def jobs() -> Iterator[tuple[str, str, Json, Json]]:
    """Yield (workflow's name, job's name, job, workflow)."""
    for path in WORKFLOWS:
        workflow = loaded(path)
        yield from ((path.stem, name, job, workflow) for name, job in workflow["jobs"].items())


def steps() -> Iterator[tuple[str, Json]]:
    for name, job_name, job, _ in jobs():
        yield from ((f"{name}.{job_name}", step) for step in job["steps"])
    for path in ACTIONS:
        yield from ((path.parent.name, step) for step in loaded(path)["runs"]["steps"])


def has_secrets(job: Json) -> bool:
    return "secrets." in json.dumps(job) or "environment" in job


def test_all_workflows_are_looked_at() -> None:
    assert {path.stem for path in WORKFLOWS} == {"check", "preview", "comment", "up", "checks"}
    assert [path.parent.name for path in ACTIONS] == ["set-up"]
    assert not list((GITHUB / "workflows").glob("*.yaml"))


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS, GITHUB / "dependabot.yml", GITLAB], ids=lambda path: path.name)
def test_every_file_has_only_keywords_that_are_documented(path: Path) -> None:
    kind = {"workflows": "github-workflows", "set-up": "github-actions", ".github": "dependabot"}.get(path.parent.name)
    schema = json.loads((SCHEMAS / f"{kind or 'gitlab-ci'}.json").read_text())
    # The schemas are written for JSON, where a key is a text.
    document = json.loads(json.dumps({("on" if key is True else key): value for key, value in loaded(path).items()}))
    assert [error.message for error in Draft7Validator(schema).iter_errors(document)] == []


def test_a_keyword_that_is_not_documented_is_seen() -> None:
    schema = json.loads((SCHEMAS / "gitlab-ci.json").read_text())
    assert not Draft7Validator(schema).is_valid({"up": {"script": ["x"], "enviroment": "prod"}})


def test_every_action_is_pinned_by_its_commit_with_its_version_beside() -> None:
    found = [(path, *match) for path in (*WORKFLOWS, *ACTIONS) for match in USES.findall(path.read_text())]
    assert len(found) > 15, "the pattern finds them"
    for path, action, version in found:
        if not action.startswith("./"):
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action), (path.name, action)
            assert re.fullmatch(r"v\d+\.\d+\.\d+", version), (path.name, action)
        else:
            assert (ROOT / action / "action.yml").is_file()


def test_one_action_has_one_commit_everywhere() -> None:
    found = {match for path in (*WORKFLOWS, *ACTIONS) for match, _ in USES.findall(path.read_text())}
    assert len({action.partition("@")[0] for action in found}) == len(found)


def test_no_trigger_gives_a_fork_the_rights_of_this_repository() -> None:
    assert not [name for name, _, _, workflow in jobs() if "pull_request_target" in triggers(workflow)]
    with_rights = {name for name, _, _, workflow in jobs() if "workflow_run" in triggers(workflow)}
    assert with_rights == {"comment"}


def test_rights_are_given_job_by_job_and_only_two_may_write() -> None:
    for name, job_name, job, workflow in jobs():
        assert workflow["permissions"] == {}, name
        rights = job["permissions"]
        assert set(rights.values()) <= {"read", "write"}, (name, job_name)
        assert {right for right, level in rights.items() if level == "write"} == WRITES.get((name, job_name), set())
        reads = {"contents", "actions"} if (name, job_name) == ("comment", "comment") else {"contents"}
        assert {right for right, level in rights.items() if level == "read"} == reads


def test_a_job_with_secrets_never_runs_for_a_fork() -> None:
    seen = []
    for name, job_name, job, workflow in jobs():
        if not has_secrets(job):
            continue
        seen.append(f"{name}.{job_name}")
        if "pull_request" in triggers(workflow):
            parts = [part.strip() for part in job["if"].split("&&")]
            assert {NO_FORK, NO_BOT} <= set(parts), (name, job_name)
            assert "||" not in job["if"]
        else:
            assert triggers(workflow) <= {"push", "schedule", "workflow_dispatch"}, (name, job_name)
            waits = job.get("needs") in DEPLOYED  # a job that is skipped skips those that need it
            assert waits or "github.ref == 'refs/heads/main'" in job["if"], (name, job_name)
    assert seen == ["checks.look", "preview.preview", *(f"up.{stack}" for stack in DEPLOYED)]


def test_a_job_that_may_write_has_no_secret_and_one_with_secrets_may_not_write() -> None:
    for name, job_name, job, _ in jobs():
        assert not (has_secrets(job) and "write" in job["permissions"].values()), (name, job_name)


def test_secrets_are_told_to_the_step_that_needs_them_alone() -> None:
    for name, job_name, job, workflow in jobs():
        rest = {**job, "steps": [{**step, "env": {}} for step in job["steps"]]}
        assert "secrets." not in json.dumps(rest), (name, job_name)
        assert "env" not in workflow
        with_secrets = [step for step in job["steps"] if "secrets." in json.dumps(step)]
        assert all("run" in step for step in with_secrets), "no action of others gets one"


def test_no_text_of_others_becomes_part_of_a_shell_script() -> None:
    scripts = [(place, step["run"]) for place, step in steps() if "run" in step]
    assert len(scripts) > 8
    assert [place for place, script in scripts if "${{" in script] == []
    assert OTHERS.search("echo ${{ github.event.pull_request.title }}")


def test_the_job_that_comments_runs_code_of_the_default_branch_only() -> None:
    job = loaded(GITHUB / "workflows/comment.yml")["jobs"]["comment"]
    [checkout] = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
    assert checkout["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    assert "repository" not in checkout["with"]
    assert not [step for step in job["steps"] if "download-artifact" in step.get("uses", "")], "nothing is unpacked"
    texts = json.dumps(job["steps"])
    assert "workflow_run" not in texts, "what the run says of itself is read by Python, from the event's file"
    assert [step["run"] for step in job["steps"] if "run" in step] == [
        f".venv/bin/python -m cli pr post {' '.join(f'--stack {stack}' for stack in DEPLOYED)}"
    ]


def test_no_checkout_leaves_the_token_in_the_work_tree() -> None:
    checkouts = [(place, step) for place, step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(list(jobs()))
    assert [place for place, step in checkouts if step["with"]["persist-credentials"] is not False] == []


def test_nothing_is_cached_since_forks_may_fill_a_cache() -> None:
    assert [place for place, step in steps() if "cache" in json.dumps(step)] == []


def test_every_job_ends_by_itself_on_a_named_system() -> None:
    for name, job_name, job, _ in jobs():
        assert 0 < job["timeout-minutes"] <= 90, (name, job_name)
        assert job["runs-on"] == "ubuntu-24.04", (name, job_name)


def test_a_stack_has_one_update_at_a_time_that_is_never_broken_off() -> None:
    found = loaded(GITHUB / "workflows/up.yml")["jobs"]
    for stack, job in found.items():
        assert job["environment"] == stack
        assert job["concurrency"] == {"group": f"up-{stack}", "cancel-in-progress": False}
        assert job["env"] == {"STACK": stack}
    for number, stack in enumerate(DEPLOYED):
        assert found[stack].get("needs") in (DEPLOYED[:number] or (None,)), "the same commit, after the one before"


def test_every_deployed_stack_is_previewed_looked_at_and_told_about_and_local_is_none() -> None:
    matrices = {
        f"{name}.{job_name}": job["strategy"]["matrix"]["stack"]
        for name, job_name, job, _ in jobs()
        if "strategy" in job
    }
    assert set(matrices) == {"preview.declared", "preview.preview", "checks.look", "checks.tell"}
    assert all(stacks == [*DEPLOYED] for stacks in matrices.values())
    assert all((ROOT / f"Pulumi.{stack}.yaml").is_file() for stack in DEPLOYED)
    assert "local" not in DEPLOYED


def test_an_environment_that_looks_is_not_the_one_that_changes() -> None:
    looks = [job["environment"]["name"] for _, _, job, _ in jobs() if isinstance(job.get("environment"), dict)]
    assert looks == ["${{ matrix.stack }}-look"] * 2


def test_every_script_that_a_workflow_runs_is_there() -> None:
    named = {name for place, step in steps() for name in re.findall(r"scripts/[\w.-]+", step.get("run", ""))}
    named |= set(re.findall(r"scripts/[\w.-]+\.sh", GITLAB.read_text()))
    assert len(named) >= 5
    assert [name for name in named if not (ROOT / name).stat().st_mode & 0o100] == []


def test_both_forges_name_the_same_stacks_and_guard_what_has_secrets() -> None:
    found = loaded(GITLAB)
    named = {name: job for name, job in found.items() if isinstance(job, dict) and "script" in job}
    assert {"declared", "preview", "up staging", "up prod", "look", "check"} <= set(named)
    for stack in ("staging", "prod"):
        job = named[f"up {stack}"]
        assert job["environment"]["name"] == stack
        assert job["resource_group"] == f"up-{stack}"
        assert job["interruptible"] is False
    assert [rule["when"] for rule in named["up prod"]["rules"]] == ["manual"]
    guard = "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID"
    [rule] = named["preview"]["rules"]
    assert guard in rule["if"]
    assert "secret" not in json.dumps(named["declared"]).lower()
    assert "environment" not in named["declared"]
