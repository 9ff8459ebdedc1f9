"""What `mailstack diff` says of declarations: nothing of equal ones, and no secret ever."""

import copy
import io
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from rich.console import Console

from mailstack.diff import markdown as markdown_module
from mailstack.diff.comparison import Comparison, compare, compare_environments
from mailstack.diff.declaration import Declaration, read_declaration
from mailstack.diff.document import Document, document, json_document
from mailstack.diff.environments import EXPECTED, Names
from mailstack.diff.markdown import markdown
from mailstack.diff.sealed import place_of, stand_in
from mailstack.diff.text import show
from mailstack.dns import ed25519_public_key_of, public_key_of
from mailstack.settings.model import Settings
from tests.unit.diff_examples import Change, Raw, compared, declared, seal, write
from tests.unit.docker_examples import docker_example
from tests.unit.kubernetes_examples import on_cluster
from tests.unit.markdown_pages import HOSTILE, assert_harmless
from tests.unit.postal_cluster_examples import postal_on_cluster
from tests.unit.stack_examples import example, postal_example

STACKS = ("local", "staging", "prod", "docker", "kubernetes")
EXAMPLES = {
    "prod": example,
    "postal": postal_example,
    "docker": docker_example,
    "kubernetes": on_cluster,
    "postal on a cluster": postal_on_cluster,
}


def forms(comparison: Comparison) -> dict[str, str]:
    found = document(comparison)
    terminal = io.StringIO()
    show(found, Console(file=terminal, width=400), everything=True)
    return {"json": json_document(found), "markdown": markdown(found), "text": terminal.getvalue()}


def secrets_of(raw: Any, key: str = "") -> list[str]:
    if isinstance(raw, Mapping):
        return [text for name, item in raw.items() for text in secrets_of(item, name)]
    if isinstance(raw, list):
        return [text for item in raw for text in secrets_of(item, key)]
    return [raw] if isinstance(raw, str) and seal(raw, key=key) != raw else []


@pytest.mark.parametrize("stack", STACKS)
def test_a_committed_stack_does_not_differ_from_itself(stack: str) -> None:
    sides = [read_declaration(Path(f"Pulumi.{stack}.yaml"), where="x") for _ in range(2)]
    comparison = compare(*sides)
    assert (comparison.changes, comparison.operations, comparison.secrets, comparison.risks) == ((), {}, (), ())
    assert not comparison.different
    assert "no difference" in forms(comparison)["text"]


@pytest.mark.parametrize("stack", STACKS)
def test_an_environment_does_not_differ_from_itself(stack: str) -> None:
    side = read_declaration(Path(f"Pulumi.{stack}.yaml"), where="x")
    comparison = compare_environments(side, side)
    assert (comparison.changes, comparison.settings) == ((), ())
    assert not comparison.different


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_does_not_differ_from_itself(name: str, tmp_path: Path) -> None:
    assert not compared(tmp_path, EXAMPLES[name], lambda _raw: None).different


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["relay"].update(queue_lifetime_hours=48, strict_envelopes=False),
        lambda raw: raw.update(dict(reversed(raw.items()))),
        lambda raw: raw["hosts"]["relay1"].update(firewall="none"),
        lambda raw: raw["domains"][1].update(dmarc={"policy": "quarantine"}),
    ],
)
def test_what_is_written_otherwise_and_means_the_same_is_no_difference(change: Change, tmp_path: Path) -> None:
    assert not compared(tmp_path, example, change).different


CHANGES: dict[str, tuple[str, Change]] = {
    "a domain": ("prod", lambda raw: raw["domains"].append({"name": "new.example.com"})),
    "a parameter": ("prod", lambda raw: raw["relay"].update(extra_parameters={"smtp_data_xfer_timeout": "240s"})),
    "a host": ("prod", lambda raw: raw["hosts"].update(second={**raw["hosts"]["relay1"], "address": "b.example.com"})),
    "a credential": (
        "postal",
        lambda raw: server(raw)["credentials"].append({"name": "x", "type": "SMTP", "key": "K" * 24}),
    ),
    "a form of the log": ("docker", lambda raw: raw["relay"]["docker"].update(log_format="json")),
    "a label": ("kubernetes", lambda raw: raw["relay"]["kubernetes"].update(labels={"team": "mail"})),
}


def server(raw: Raw) -> Raw:
    found: Raw = raw["postal"]["organizations"][0]["mail_servers"][0]
    return found


@pytest.mark.parametrize("name", CHANGES)
def test_what_one_way_adds_the_other_way_removes(name: str, tmp_path: Path) -> None:
    stack, change = CHANGES[name]
    before = EXAMPLES[stack]()
    after = copy.deepcopy(before)
    change(after)
    one, other = declared(tmp_path / "one", before), declared(tmp_path / "other", after)
    there, back = compare(one, other), compare(other, one)
    turned = {"added": "removed", "removed": "added", "changed": "changed"}
    assert there.changes
    assert {(c.key, c.word, c.before, c.after) for c in there.changes} == {
        (c.key, turned[c.word], c.after, c.before) for c in back.changes
    }
    words = {"create": "delete", "delete": "create", "update": "update", "replace": "replace"}
    assert {name: one.word for name, one in there.operations.items()} == {
        name: words[one.word] for name, one in back.operations.items()
    }


def test_a_new_stack_adds_everything_and_risks_nothing(tmp_path: Path) -> None:
    comparison = compare(None, declared(tmp_path, postal_example()))
    assert {one.word for one in comparison.operations.values()} == {"create"}
    assert {change.word for change in comparison.changes} == {"added"}
    assert comparison.risks == ()


def test_a_stack_file_that_goes_destroys_nothing_and_says_so(tmp_path: Path) -> None:
    comparison = compare(declared(tmp_path, postal_example()), None)
    assert comparison.operations == {}
    assert [(risk.rule, risk.level) for risk in comparison.risks] == [("stack-removed", "high")]
    assert comparison.different


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_secret_nor_ciphertext_nor_stand_in_is_in_any_form(name: str, tmp_path: Path) -> None:
    raw = EXAMPLES[name]()
    secrets = [text for text in secrets_of(raw) if len(text) > 3]
    assert secrets
    sides = [declared(tmp_path / str(times), raw, times=times) for times in range(2)]
    planted = set(secrets)
    for side in sides:
        planted |= set(side.secrets.values())
        planted |= {stand_in(kind, text) for kind in KINDS for text in side.secrets.values()}
    keys = {stand_in("rsa", text) for side in sides for text in side.secrets.values()}
    planted |= {public_key_of(key) for key in keys}
    for comparison in (compare(*sides), compare(None, sides[0]), compare_environments(*sides)):
        for form, text in forms(comparison).items():
            assert [word for word in planted if word in text] == [], form


def in_clear(folder: Path, raw: Raw) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "Pulumi.x.yaml"
    path.write_text(yaml.safe_dump({"config": {f"mailstack:{key}": value for key, value in raw.items()}}))
    return path


KINDS = ("word", "rsa", "ed25519", "ssh", "sendgrid")


@pytest.mark.parametrize("name", ["prod", "postal"])
def test_a_secret_in_clear_is_hidden_as_well(name: str, tmp_path: Path) -> None:
    raw = EXAMPLES[name]()
    after = copy.deepcopy(raw)
    after["dns"]["cloudflare"]["api_token"] = "u" * 40
    clear, other = (in_clear(tmp_path / name, one) for name, one in (("a", raw), ("b", after)))
    comparison = compare(read_declaration(clear, where="a"), read_declaration(other, where="b"))
    assert [change.key for change in comparison.changes] == [("dns", "dns", "api_token")]
    for form, shown in forms(comparison).items():
        assert [word for word in secrets_of(raw) + secrets_of(after) if word in shown] == [], form


# -- what can be known of encrypted values --------------------------------------------------------------------------


def test_a_value_that_was_encrypted_again_is_told_as_one_that_may_be_the_same(tmp_path: Path) -> None:
    comparison = compared(tmp_path, example, lambda _raw: None, times=1)
    assert {one.word for one in comparison.secrets} == {"changed"}
    assert all("not opened" in one.known and "same one" in one.known for one in comparison.secrets)
    assert not any(change.certain for change in comparison.changes)
    assert set(comparison.operations) == comparison.uncertain
    assert all(not risk.certain for risk in comparison.risks)


def test_another_salt_says_that_nothing_is_known(tmp_path: Path) -> None:
    comparison = compared(tmp_path, example, lambda _raw: None, times=1, salt="another")
    assert all("another key or salt" in one.known for one in comparison.secrets)


def test_a_certain_change_beside_an_unopened_one_stays_certain(tmp_path: Path) -> None:
    comparison = compared(tmp_path, example, lambda raw: raw["relay"].update(concurrency=7), times=1)
    assert "relay-postfix" not in comparison.uncertain
    assert {change.certain for change in comparison.changes if change.key[0] == "main.cf"} == {True}


def test_a_dkim_key_that_was_set_again_shows_its_record_without_a_made_up_value(tmp_path: Path) -> None:
    def another(raw: Raw) -> None:
        raw["domains"][0]["dkim"][1]["private_key"] += " "

    comparison = compared(tmp_path, example, another)
    [record] = [change for change in comparison.changes if change.key[0] == "records"]
    assert (record.label, record.certain) == ("TXT mail202611._domainkey.example.com", False)
    assert "p=[public half of an encrypted key]" in forms(comparison)["json"]
    [risk] = [risk for risk in comparison.risks if risk.rule == "dkim-key-replaced"]
    assert not risk.certain


def test_a_secret_that_is_encrypted_now_may_be_the_one_that_stood_there_in_clear(tmp_path: Path) -> None:
    raw = example()
    clear, sealed = in_clear(tmp_path / "clear", raw), write(tmp_path / "sealed", raw)

    def again(instead: Mapping[str, str]) -> Declaration:
        return read_declaration(sealed, where="b", instead=instead)

    comparison = compare(read_declaration(clear, where="a"), again({}), reread=again)
    assert {one.word for one in comparison.secrets} == {"changed"}
    assert set(comparison.operations) == comparison.uncertain
    assert not any(change.certain for change in comparison.changes)


def test_one_more_domain_before_others_moves_no_secret(tmp_path: Path) -> None:
    comparison = compared(tmp_path, example, lambda raw: raw["domains"].insert(0, {"name": "a.example.com"}))
    assert comparison.secrets == ()
    assert comparison.uncertain == frozenset()


def test_places_of_secrets_are_told_by_names() -> None:
    raw = postal_example()
    place = ("postal", "organizations", 0, "mail_servers", 0, "credentials", 1, "key")
    assert place_of(place, raw) == "postal.organizations[example].mail_servers[apps].credentials[API shop].key"


def test_stand_ins_are_keys_of_the_right_shape_and_depend_on_the_ciphertext_alone() -> None:
    assert stand_in("word", "a") == stand_in("word", "a") != stand_in("word", "b")
    assert public_key_of(stand_in("rsa", "a")) != public_key_of(stand_in("rsa", "b"))
    assert ed25519_public_key_of(stand_in("ed25519", "a")) != ed25519_public_key_of(stand_in("ed25519", "b"))


# -- environments ---------------------------------------------------------------------------------------------------


def environments(tmp_path: Path) -> tuple[Declaration, Declaration]:
    prod = example()
    staging = copy.deepcopy(prod)
    staging["environment"] = "staging"
    staging["domains"][0]["name"], staging["domains"][1]["name"] = "staging.example.com", "staging.example.org"
    staging["domains"][0]["dmarc"]["aggregate_reports"] = ["dmarc@staging.example.com"]
    staging["relay"]["hostname"] = "relay.staging.example.com"
    staging["relay_rule"]["probe"]["recipient"] = "postmaster@staging.example.com"
    staging["hosts"]["relay1"].update(address="relay.staging.example.com", public_ipv4="93.184.216.35")
    staging["dns"]["cloudflare"]["zones"] = {"staging.example.com": "a" * 32, "staging.example.org": "b" * 32}
    return declared(tmp_path / "s", staging, stack="staging"), declared(tmp_path / "p", prod, stack="prod")


def test_environments_that_differ_in_names_and_machines_only_have_nothing_to_look_at(tmp_path: Path) -> None:
    comparison = compare_environments(*environments(tmp_path))
    assert comparison.names == {"staging.example.com": "example.com", "staging.example.org": "example.org"}
    assert [one.path for one in comparison.settings if not one.expected] == []
    assert {"environment", "hosts/relay1/public_ipv4"} <= {one.path for one in comparison.settings}
    assert {change.key[0] for change in comparison.changes} <= {"records", "hosts", "workspace"}
    assert not any(change.secret for change in comparison.changes)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("relay.staging.example.com", "relay.example.com"),
        ("10 mx.staging.example.com.", "10 mx.example.com."),
        ("a@staging.example.com, b@x.test", "a@example.com, b@y.test"),
        (r"^(.*@(staging\.example\.com))$", r"^(.*@(example\.com))$"),
        ("notstaging.example.com", "notstaging.example.com"),
        ("staging.example.com.evil.test", "staging.example.com.evil.test"),
        ("y.test", "staging.example.com"),
    ],
)
def test_names_are_read_as_the_other_environments_in_one_step(written: str, read: str) -> None:
    names = Names(pairs={"staging.example.com": "example.com", "x.test": "y.test", "y.test": "staging.example.com"})
    assert names.text(written) == read


def test_behaviour_that_only_one_environment_has_is_told_first(tmp_path: Path) -> None:
    staging, prod = environments(tmp_path)
    raw = example()
    raw["relay"]["queue_lifetime_hours"] = 96
    comparison = compare_environments(staging, declared(tmp_path / "q", raw, stack="prod"))
    assert [(one.path, one.before, one.after) for one in comparison.settings if not one.expected] == [
        ("relay/queue_lifetime_hours", "48", "96")
    ]
    assert compare_environments(staging, prod).operations == {}


def paths(annotation: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every setting there can be; ``x`` is the name of an entry."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield from paths(field.annotation, f"{path}/{name}" if path else name)
        return
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {typing.Union, types.UnionType}:
        for one in arguments:
            yield from paths(one, path)
        return
    yield path
    if origin in {dict, tuple}:
        yield from paths(arguments[1] if origin is dict else arguments[0], f"{path}/x")


def test_every_expected_difference_is_about_settings_there_are_and_stands_in_the_page() -> None:
    page, known = Path("docs/how-to/promotion.md").read_text(), set(paths(Settings))
    assert "hosts/x/address" in known, "the paths are found"
    for pattern, why in EXPECTED.items():
        assert any(re.fullmatch(pattern, path) for path in known), pattern
        assert f"| {why} |" in page, why


def hostile(value: Any, key: str = "") -> Any:
    """Return a document whose every free text is one that wants to be more."""
    if isinstance(value, Mapping):
        return {name: hostile(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [hostile(item, key) for item in value]
    fixed = {"section", "change", "operation", "level", "how", "kind"}
    # "role x" tells a role from other resources.
    return f"{value} {HOSTILE}" if isinstance(value, str) and key not in fixed else value


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_no_text_of_a_branch_is_more_than_a_text_in_markdown(name: str, tmp_path: Path) -> None:
    def changed(raw: Raw) -> None:
        raw["relay"].update(concurrency=7, queue_lifetime_hours=24)
        raw["domains"].append({"name": "new.example.com"})

    sides = declared(tmp_path / "a", EXAMPLES[name]()), compared(tmp_path, EXAMPLES[name], changed, times=1)
    for comparison in (sides[1], compare(None, sides[0]), compare(sides[0], None)):
        found = document(comparison).model_dump(mode="json")
        text = markdown(Document.model_validate(hostile(found)))
        assert_harmless(text)
        assert text.count("octocat") > 10
        assert text.count("<details>") == text.count("</details>")


def many_domains() -> Raw:
    raw = example()
    raw["domains"] += [{"name": f"d{number}.example.com"} for number in range(60)]
    return raw


def test_many_risks_of_one_kind_are_told_once_and_a_comment_is_never_too_long(tmp_path: Path) -> None:
    def stricter(changed: Raw) -> None:
        for domain in changed["domains"]:
            domain["dmarc"] = {"policy": "reject", "failure_reports": ["dmarc@example.com"]}

    found = forms(compared(tmp_path, many_domains, stricter))
    assert found["markdown"].count("**high**") == 1
    assert "more of the kind" in found["markdown"]
    assert len(found["markdown"]) < 65_536


def test_parts_that_do_not_fit_into_a_comment_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = document(compared(tmp_path, example, lambda raw: raw["relay"].update(queue_lifetime_hours=24)))
    monkeypatch.setattr(markdown_module, "LONGEST_COMMENT", len(markdown(found)) - 10)
    text = markdown(found)
    assert "left out: main.cf" in text.replace("\\", "")
    assert "<details>" not in text
    assert "**high**" in text
