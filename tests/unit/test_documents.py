"""The documents hold together: links and anchors lead somewhere, and code is what its language allows."""

import ast
import copy
import functools
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cli import reference
from cli.house import house_diagram
from mailstack.plan import RoleRun, load_plan
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.schema import stack_file_schema
from tests.unit.documents import ROOT, Code, anchors, codes, documents, links, tokens, typed

# What YAML that is no setting begins with: cloud-init, Prometheus, Compose, Kubernetes, the file of domains.
OTHER_YAML = {"ssh_keys", "scrape_configs", "rule_files", "alert", "services", "apiVersion", "defaults", "zones"}


def blocks(*languages: str) -> list[Code]:
    return [code for document in documents() for code in codes(document) if code.language in languages]


def test_every_link_leads_to_a_file_and_to_a_heading_of_it() -> None:
    def dead(document: str) -> Iterator[str]:
        for target in links(document):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (ROOT / document).parent / name if name else ROOT / document
            if not file.exists():
                yield f"{document}: {target}: no such file"
            elif anchor and anchor not in anchors(str(file.resolve().relative_to(ROOT))):
                yield f"{document}: {target}: no such heading"

    assert [text for document in documents() for text in dead(document)] == []
    assert sum(1 for document in documents() for target in links(document) if "#" in target) > 20, "anchors are seen"


def test_every_row_stands_in_a_table() -> None:
    """A blank line ends a table, and what follows is shown as it is written."""

    def loose(document: str) -> Iterator[str]:
        for token in tokens(document):
            if token.type == "inline" and re.search(r"^\s*\|.*\|\s*$", token.content, re.MULTILINE):
                yield f"{document}:{(token.map or [0])[0] + 1}"

    assert [place for document in documents() for place in loose(document)] == []


def test_decisions_are_numbered_dated_and_have_a_status_and_the_index_has_their_titles() -> None:
    pages = sorted((ROOT / "docs/adr").glob("*.md"))
    index = (ROOT / "docs/index.md").read_text()
    for number, page in enumerate(pages, start=1):
        assert page.name.startswith(f"{number:04}-")
        heading, empty, state, *rest = page.read_text().split("\n")
        assert empty == ""
        assert re.fullmatch(r"Date: 20\d\d-\d\d-\d\d\. Status: (accepted|(superseded|withdrawn).*)(, .*)?\.", state), (
            page.name
        )
        title = heading.removeprefix("# ")
        assert title.startswith(f"{number}. ")
        assert f"- [{title}](adr/{page.name})" in index, page.name
        parts = re.findall(r"^\*\*(Context|Decision|Consequences)\.\*\*", "\n".join(rest), re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences"], page.name


def test_the_map_of_the_house_has_every_room_and_no_other() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {Path(name).parent.parts for name in tracked}
    rooms = {"/".join(parts[: 2 if parts[0] in {"mailstack", "tests"} else 1]) for parts in folders if parts}
    house = (ROOT / "CONTRIBUTING.md").read_text().partition("## The map of the house")[2].partition("\n## ")[0]
    named = {name.rstrip("/") for name in re.findall(r"`([\w./-]+/)`", house)}
    assert named - {"mailstack"} == rooms - {"mailstack", "tests"}


def test_the_index_names_every_page() -> None:
    named = {((ROOT / "docs") / link).resolve() for link in links("docs/index.md") if "://" not in link}
    assert [name for name in documents() if name.startswith("docs/") and (ROOT / name) not in named] == [
        "docs/index.md"
    ]


@functools.cache
def loose_schema() -> dict[str, Any]:
    """Return the schema of a stack file for fragments: nothing is required, and `…` stands for anything left out."""

    def loosen(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: loosen(value) for key, value in part.items() if key != "required" or isinstance(value, dict)}
        return [loosen(value) for value in part] if isinstance(part, list) else part

    loose: dict[str, Any] = loosen(copy.deepcopy(json.loads(stack_file_schema())))
    return loose


def as_settings(value: Any) -> Any:
    """Return ``value`` without what a document leaves out (`…`), and with days as text, as Pulumi hands them over."""
    if isinstance(value, dict):
        return {key: as_settings(item) for key, item in value.items() if not (isinstance(item, str) and "…" in item)}
    if isinstance(value, date):
        return value.isoformat()
    return [as_settings(item) for item in value] if isinstance(value, list) else value


def fits(value: Any, schema: dict[str, Any]) -> str:
    """Return why ``value`` does not fit; empty where it does."""
    whole = {**schema, "$defs": loose_schema()["$defs"]}
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(whole).iter_errors(value))
    return "" if error is None else f"{error.json_path}: {error.message}"


def settings_mistake(document: Any) -> str:
    """Return what is wrong with a fragment of a stack file; empty where some place of the schema takes it."""
    document = as_settings(document)
    if isinstance(document, dict) and any(str(key).startswith("mailstack:") for key in document):
        return fits({"config": document}, loose_schema())
    if isinstance(document, dict) and "config" in document:
        return fits(document, loose_schema())
    if isinstance(document, list):
        return next((mistake for item in document if (mistake := settings_mistake(item))), "")
    if not isinstance(document, dict):
        return "is neither settings nor named in OTHER_YAML"
    if OTHER_YAML & document.keys():
        return ""
    prefixed = {"config": {f"mailstack:{key}": item for key, item in document.items()}}
    places = [part for part in loose_schema()["$defs"].values() if part.get("additionalProperties") is False]
    reasons = [fits(prefixed, loose_schema()), *(fits(document, place) for place in places)]
    return "" if "" in reasons else "no place of the settings takes it, and OTHER_YAML does not name it"


def test_yaml_parses_and_settings_are_those_of_the_schema() -> None:
    def wrong(code: Code) -> Iterator[str]:
        try:
            parsed = list(yaml.safe_load_all(code.text))
        except yaml.YAMLError as error:
            yield f"{code.place}: {error}"
            return
        for document in parsed:
            if mistake := settings_mistake(document):
                yield f"{code.place}: {mistake}"

    found = blocks("yaml")
    assert [text for code in found for text in wrong(code)] == []
    assert len(found) > 30


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("mailstack:relay: {placment: docker}", "placment"),
        ("mailstack:relay: {listen_port: many}", "many"),
        ("mailstack:rely: {}", "rely"),
        ("- {name: example.com, dkmi: []}", "no place"),
        ("placment: docker", "no place"),
    ],
)
def test_a_mistake_in_a_fragment_of_settings_is_seen(text: str, part: str) -> None:
    assert part in settings_mistake(yaml.safe_load(text))


def test_every_test_that_a_document_names_is_there() -> None:
    tests = set(
        re.findall(r"def (test_\w+)", "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py")))
    )
    named = {
        (code.place, code.text)
        for document in documents()
        for code in codes(document)
        if re.fullmatch(r"test_\w+", code.text)
    }
    assert sorted(f"{place}: {name}" for place, name in named if name not in tests) == []
    assert len(named) > 40


def test_json_parses_and_python_compiles() -> None:
    for code in blocks("json"):
        json.loads(code.text)
    for code in blocks("python"):
        ast.parse(code.text, code.place)


def test_what_is_typed_into_a_shell_is_shell() -> None:
    scripts: dict[str, str] = {}
    for code in blocks("console", "bash", "sh"):
        # One run of bash for a document: its blocks as functions, so that each must be complete in itself.
        body = re.sub(r"<[a-z-]+>", "name", typed(code))
        scripts[code.document] = scripts.get(code.document, "") + f"block{code.line}() {{\n:\n{body}\n}}\n"
    wrong = {
        document: ran.stderr
        for document, script in scripts.items()
        if (ran := subprocess.run(["bash", "-n"], check=False, input=script, text=True, capture_output=True)).returncode
    }
    assert wrong == {}
    assert len(scripts) > 10


def test_a_block_in_a_language_is_in_one_that_is_checked_here() -> None:
    checked = {"yaml", "json", "python", "console", "bash", "sh", "text", "mermaid", ""}
    assert [
        code.place for document in documents() for code in codes(document) if code.language not in {*checked, None}
    ] == []


def test_pages_made_from_the_code_are_those_of_today() -> None:
    assert Path("docs/reference/cli.md").read_text() == reference.cli_page(), "run: make reference"
    page = Path("docs/architecture.md").read_text()
    assert page == reference.architecture(page), "run: make reference"


def roles_of(part: Any) -> set[str]:
    """Return the roles that a part of the plan runs, however deep they stand in it."""
    if isinstance(part, RoleRun):
        return {part.role}
    if is_dataclass(part):
        return set().union(*(roles_of(getattr(part, field.name)) for field in fields(part)))
    if isinstance(part, Mapping):
        return roles_of(tuple(part.values()))
    return set().union(*(roles_of(item) for item in part)) if isinstance(part, list | tuple) else set()


def test_the_diagram_has_every_role_that_the_local_stack_runs_and_every_component_in_its_order() -> None:
    drawn = house_diagram()
    run = roles_of(load_plan(rehearsal_config(ROOT / "Pulumi.local.yaml")))
    shown = {name for names in re.findall(r'roles_\w+\["(.*?)"\]', drawn) for name in names.split("<br/>")}
    assert run - shown == set()
    assert len(run) > 6
    assert shown <= {path.parent.name for path in (ROOT / "roles").glob("*/__main__.py")}
    # As docs/architecture.md says under "Order".
    arrows = set(re.findall(r"(\w+) -\. then \.-> (\w+)", drawn))
    for before, after in (
        ("RemoteHost", "DnsRecords"),
        ("DnsRecords", "CaddyTls"),
        ("PostfixRelay", "PostalHost"),
        ("PostfixRelay", "DnsRecords_publish_clients"),
        ("PostalHost", "DnsRecords_publish_mail"),
        ("DnsRecords_publish_mail", "verify_afterwards"),
    ):
        assert (before, after) in arrows
    assert "main --> RemoteHost" in drawn
