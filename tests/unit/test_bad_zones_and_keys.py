"""Existing records, the look at zones, shared keys and the file of domains: told at the field, with fixes that work."""

import functools
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailstack.plan import load_plan
from mailstack.settings.problems import Problem
from tests.unit.mistakes import MAILGUN, Mistake, accepted, changed, problems, told_and_mended
from tests.unit.stack_examples import REMOVE, dkim_key, dkim_public_key, example, ssh_key

KEY = "dkim_keys.common.private_key"
KEEP = {"name": "example.com", "type": "MX", "action": "keep"}


@functools.cache
def rsa_key(bits: int) -> str:
    argv = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def shared() -> dict[str, Any]:
    """Return the example, both of whose domains name one key."""
    raw = example(dkim_keys={"common": {"private_key": dkim_key()}})
    for domain in raw["domains"]:
        domain["dkim"] = [{"selector": "mail202611", "key": "common"}]
    return raw


def decided() -> dict[str, Any]:
    """Return the example with a decision about a record of before."""
    return changed(example(), {"dns.existing": [KEEP]})


def existing(key: str, value: Any, rule: str, fix: str, mended: Any) -> Mistake:
    path = f"dns.existing.0.{key}"
    what = f"{key} {value!r}"
    return Mistake(what, decided, {path: value}, f"dns.existing[0].{key}", rule, fix, ({path: mended},))


EXISTING = [
    existing("name", REMOVE, "is required", "as the preview shows it", "example.com"),
    existing("name", "example", "domain name", "whole name", "example.com"),
    existing("name", "*", "domain name", "whole name", "*.example.com"),
    existing("name", "a.*.example.com", "domain name", "letters, digits", "*.example.com"),
    existing("name", 7, "must be the name of a DNS record", "in quotes", "7.example.com"),
    existing("type", REMOVE, "is required", "Its type", "A"),
    existing("type", "mx", "must be one of 'A', 'AAAA', 'CNAME', 'MX', 'TXT'", "one of these", "MX"),
    existing("type", "HINFO", "must be one of", "one of these", "TXT"),
    existing("action", REMOVE, "is required", "take-over: one update imports it", "keep"),
    existing("action", "delete", "must be one of 'take-over', 'keep'", "one of these", "take-over"),
    existing("content", 10, "must be text", "in quotes", "10"),
    existing("ttl", 300, "is not a known key", "Known here: action, content, name, type", REMOVE),
    Mistake(
        "a mapping of decisions",
        example,
        {"dns.existing": KEEP},
        "dns.existing",
        "must be a list",
        "- entry",
        ({"dns.existing": [KEEP]},),
    ),
    *(
        Mistake(
            f"look_seconds {value!r}",
            example,
            {"dns.look_seconds": value},
            "dns.look_seconds",
            rule,
            fix,
            ({"dns.look_seconds": mended},),
        )
        for value, rule, fix, mended in (
            (-1, "0 or more", "larger", 0),
            (301, "300 or less", "smaller", 300),
            ("long", "whole number", "digits", 20),
        )
    ),
]

KEYS = [
    Mistake(
        "a key that is not there",
        shared,
        {"domains.1.dkim.0.key": "comon"},
        "domains[1].dkim[0].key",
        "must name one of dkim_keys",
        "did you mean common?",
        ({"domains.1.dkim.0.key": "common"},),
    ),
    Mistake(
        "a key where none are declared",
        example,
        {"domains.1.dkim": [{"selector": "mail202611", "key": "common"}]},
        "domains[1].dkim[0].key",
        "must name one of dkim_keys",
        "add the section dkim_keys with it",
        ({KEY: dkim_key()},),
    ),
    Mistake(
        "a shared key and one of its own",
        shared,
        {"domains.1.dkim.0.private_key": dkim_key()},
        "domains[1].dkim[0]",
        "it has private_key and key",
        "key for one of dkim_keys",
        ({"domains.1.dkim.0.private_key": REMOVE}, {"domains.1.dkim.0.key": REMOVE}),
    ),
    Mistake(
        "a shared key and another signer's",
        shared,
        {"domains.1.dkim.0.public_key": dkim_public_key()},
        "domains[1].dkim[0]",
        "it has key and public_key",
        "public_key for another signer's",
        ({"domains.1.dkim.0.public_key": REMOVE}, {"domains.1.dkim.0.key": REMOVE}),
    ),
    Mistake(
        "a shared key said to be Ed25519",
        shared,
        {"domains.1.dkim.0.key_type": "ed25519"},
        "domains[1].dkim[0].key_type",
        "is not for a key of dkim_keys",
        "leave key_type out",
        ({"domains.1.dkim.0.key_type": REMOVE},),
    ),
    Mistake(
        "a shared key's name with a capital",
        shared,
        {"dkim_keys.Common": {"private_key": dkim_key()}},
        "dkim_keys.Common",
        "must be a short name",
        "rename it",
        ({"dkim_keys": {"common": {"private_key": dkim_key()}}},),
    ),
    Mistake(
        "a shared key that is empty",
        shared,
        {"dkim_keys.common": {}},
        KEY,
        "is required",
        "`mailstack init` makes it",
        ({KEY: dkim_key()},),
    ),
    Mistake(
        "a shared key that is no PEM",
        shared,
        {KEY: "MIIB"},
        KEY,
        "PEM form",
        "paste the whole file",
        ({KEY: dkim_key()},),
    ),
    Mistake(
        "a shared key with a passphrase",
        shared,
        {KEY: "-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----"},
        KEY,
        "without a passphrase",
        "mailstack init",
        ({KEY: dkim_key()},),
    ),
    Mistake(
        "an SSH key as a shared key",
        shared,
        {KEY: ssh_key()},
        KEY,
        "expected an RSA private key",
        "run `mailstack init`, which makes a 2048-bit RSA key",
        ({KEY: dkim_key()},),
    ),
    Mistake(
        "a misspelt key of a shared key",
        shared,
        {"dkim_keys.common.privatekey": "x"},
        "dkim_keys.common.privatekey",
        "is not a known key",
        "did you mean private_key?",
        ({"dkim_keys.common.privatekey": REMOVE},),
    ),
]


@pytest.mark.parametrize("mistake", [*EXISTING, *KEYS], ids=lambda mistake: mistake.what)
def test_a_mistake_about_zones_and_keys_is_told_at_its_field_and_its_fix_can_be_followed(mistake: Mistake) -> None:
    told_and_mended(mistake)


@pytest.mark.parametrize("name", ["*.example.com", "_dmarc.example.com", "*._domainkey.example.com", "a.b.example.com"])
@pytest.mark.parametrize("kind", ["A", "AAAA", "CNAME", "MX", "TXT", "NS", "SRV", "TLSA", "CAA"])
def test_a_decision_may_be_about_any_name_and_every_type_there_is(name: str, kind: str) -> None:
    plan = accepted(example, {"dns.existing": [{"name": name, "type": kind, "action": "take-over"}]})
    [decision] = plan.settings.dns.existing
    assert (decision.name, decision.type, decision.content) == (name, kind, None)


def test_a_decisions_name_is_the_same_however_it_is_written() -> None:
    names = ("Example.COM", "example.com.", "example.com")
    plan = accepted(example, {"dns.existing": [{**KEEP, "name": name} for name in names]})
    assert {decision.name for decision in plan.settings.dns.existing} == {"example.com"}


@pytest.mark.parametrize("seconds", [0, 300])
def test_the_look_may_be_left_out_and_may_take_five_minutes(seconds: int) -> None:
    assert accepted(example, {"dns.look_seconds": seconds}).settings.dns.look_seconds == seconds


@pytest.mark.parametrize(("bits", "accepted_"), [(1016, False), (1024, True)])
def test_a_shared_key_has_as_many_bits_as_receivers_demand_of_any_key(bits: int, accepted_: bool) -> None:
    found = problems(changed(shared(), {KEY: rsa_key(bits)}))
    told_at = [problem.field for problem in found]
    assert told_at == ([] if accepted_ else [KEY]), "once, whatever the number of domains"
    assert all(f"{bits} bits" in problem.value and "genrsa 2048" in problem.fix for problem in found)


@pytest.mark.parametrize(
    ("broken", "named", "field"),
    [
        ({KEY: 7}, {}, KEY),
        ({"dkim_keys.common": "x"}, {}, "dkim_keys.common"),
        ({"dkim_keys": ["common"]}, {}, "dkim_keys"),
        (
            {"relay.upstreams": {"mail": {"preset": "mail"}}},
            {"domains.0.upstream": "mail"},
            "relay.upstreams.mail.preset",
        ),
        (
            {"hosts.mx": {"address": 7}},
            {"caddy": {"host": "mx", "extra_names": ["web.example.com"]}},
            "hosts.mx.address",
        ),
    ],
)
def test_what_is_named_and_wrong_is_told_where_it_stands_and_not_as_missing(
    broken: dict[str, Any], named: dict[str, Any], field: str
) -> None:
    found = problems(changed(shared(), {**broken, **named}))
    assert field in [problem.field for problem in found]
    assert [str(problem) for problem in found if "must name one of" in problem.rule] == []


def test_a_shared_key_nobody_names_any_more_may_stay_for_a_while() -> None:
    accepted(shared, {"dkim_keys.old": {"private_key": dkim_key()}})


def test_no_shared_key_shows_in_a_message() -> None:
    for value in ("hunter2", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----", ["hunter2"]):
        found = problems(changed(shared(), {KEY: value}))
        assert [problem.field for problem in found if problem.field == KEY]
        assert "hunter2" not in repr(found)


# -- domains in a file ------------------------------------------------------------------------------------------------


def in_file(folder: Path, document: Any, name: str = "domains.yaml", **changes: Any) -> dict[str, Any]:
    """Return the example with its domains in a file."""
    raw = shared() | {"domains_file": name, **changes}
    del raw["domains"]
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(document))
    return raw


def told(found: list[Problem], rule: str, fix: str) -> bool:
    return any(problem.field == "domains_file" and rule in problem.rule and fix in problem.fix for problem in found)


DOMAINS = {"domains": ["example.com", "example.org"]}


def test_a_file_beside_domains_is_refused_and_moving_them_into_it_helps(tmp_path: Path) -> None:
    raw = in_file(tmp_path, DOMAINS)
    both = raw | {"domains": [{"name": "example.com"}]}
    assert told(problems(both, tmp_path), "only one of them can be", "move the domains into the file")
    assert problems(raw, tmp_path) == []


def test_a_file_elsewhere_is_refused_and_one_in_a_folder_of_the_project_is_not(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    raw = in_file(project, DOMAINS, "zones/domains.yaml")
    assert problems(raw, project) == []
    (tmp_path / "domains.yaml").write_text(yaml.safe_dump(DOMAINS))
    for name in ("../domains.yaml", str(tmp_path / "domains.yaml"), "zones/../../domains.yaml"):
        assert told(problems(raw | {"domains_file": name}, project), "inside the project", "beside the stack file"), (
            name
        )
    (project / "link.yaml").symlink_to(tmp_path / "domains.yaml")
    assert told(problems(raw | {"domains_file": "link.yaml"}, project), "inside the project", "beside"), "by a link"


def test_a_file_that_is_missing_a_folder_or_no_text_is_refused_and_writing_it_helps(tmp_path: Path) -> None:
    raw = in_file(tmp_path, DOMAINS)
    place = tmp_path / "domains.yaml"
    place.unlink()
    assert told(problems(raw, tmp_path), "does not exist", "write it beside the stack file, or correct the name")
    place.mkdir()
    assert told(problems(raw, tmp_path), "cannot be read: Is a directory", "name a file beside the stack file")
    place.rmdir()
    place.write_bytes(b"domains: [\xff]")
    assert told(problems(raw, tmp_path), "is not YAML", "correct it")
    place.write_text(yaml.safe_dump(DOMAINS))
    assert problems(raw, tmp_path) == []


@pytest.mark.parametrize("name", [7, True, ["domains.yaml"], {"path": "domains.yaml"}])
def test_a_file_name_that_is_no_text_is_told_at_its_field(tmp_path: Path, name: Any) -> None:
    raw = in_file(tmp_path, DOMAINS) | {"domains_file": name}
    assert told(problems(raw, tmp_path), "must be text", "in quotes")


@pytest.mark.parametrize("name", ["", None])
def test_an_empty_file_name_is_none(tmp_path: Path, name: Any) -> None:
    raw = shared() | {"domains_file": name}
    assert problems(raw, tmp_path) == []
    del raw["domains"]
    assert [problem.field for problem in problems(raw, tmp_path)] == ["domains"]


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "example.com", "dkim": [{"selector": "s", "private_key": "x"}]},
        {"name": "example.com", "dkim": [{"selector": "s", "private_key": {"secure": "v1:x"}}]},
        {"name": "example.com", "spf": {"secure": "v1:x"}},
    ],
)
@pytest.mark.parametrize("where", ["domains", "defaults"])
def test_a_secret_in_the_file_is_refused_and_naming_the_key_helps(tmp_path: Path, where: str, entry: Any) -> None:
    bad = {"domains": [entry]} if where == "domains" else {"domains": ["example.com"], "defaults": entry}
    found = problems(in_file(tmp_path, bad), tmp_path)
    assert told(found, "holds no secret, encrypted or not", "name the key (`key: common`)")
    assert told(found, "", "mailstack:dkim_keys.common.private_key"), "and how it is encrypted"
    named = {"domains": ["example.com"], "defaults": {"dkim": [{"selector": "s", "key": "common"}]}}
    raw = in_file(tmp_path, named)
    raw["dns"]["cloudflare"]["zones"] = {}
    assert problems(raw, tmp_path) == []


def test_domains_of_a_file_choose_their_upstreams_and_a_wrong_choice_is_told_by_its_number(tmp_path: Path) -> None:
    document = {
        "defaults": {"upstream": "mailgun", "dkim": [{"selector": "mail", "key": "common"}]},
        "domains": ["example.com", {"name": "example.org", "upstream": None}],
    }
    raw = in_file(tmp_path, document)
    raw["relay"]["upstreams"] = {"mailgun": MAILGUN}
    [upstream] = load_plan(raw, tmp_path).relay.definition.upstreams
    assert upstream.sender_domains == ("example.com",), "a default, which an entry may take back"
    raw["relay"]["upstreams"] = {"mailgum": MAILGUN}
    fields = {problem.field for problem in problems(raw, tmp_path)}
    assert fields == {"domains[0].upstream", "relay.upstreams.mailgum"}
