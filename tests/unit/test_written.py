"""The configuration as it is written: no secret in clear, not too large, and domains from a reviewed file."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.main import main
from mailstack.plan import load_plan
from mailstack.settings.config_size import LIMIT_BYTES, config_bytes, sized
from mailstack.settings.domains_file import with_domains_file
from mailstack.settings.initialise import missing_secrets
from mailstack.settings.problems import SettingsError
from mailstack.settings.stackfile import engine_config
from mailstack.settings.written import Written
from tests.unit.stack_examples import dkim_key, example, postal_example, ssh_key

SEALED = {"secure": "v1:bm9uY2U=:" + "A" * 40}


def problems(raw: dict[str, Any], folder: Path, *written: Written) -> list[str]:
    try:
        load_plan(raw, folder, written=written)
    except SettingsError as error:
        return [str(problem) for problem in error.problems]
    return []


def stack_file(folder: Path, raw: dict[str, Any], name: str = "prod") -> Path:
    path = folder / f"Pulumi.{name}.yaml"
    path.write_text(yaml.safe_dump({"config": {f"mailstack:{key}": value for key, value in raw.items()}}))
    return path


# -- secrets in clear -------------------------------------------------------------------------------------------------


def test_every_secret_in_clear_is_named_with_the_command_that_encrypts_it(tmp_path: Path) -> None:
    raw = postal_example()
    found = problems(raw, tmp_path, Written.in_file(stack_file(tmp_path, raw)))
    named = {line.partition(" is ")[0] for line in found}
    assert {
        "mailstack:ssh.private_key",
        "mailstack:dns.cloudflare.api_token",
        "mailstack:domains[0].dkim[1].private_key",
        "mailstack:postal.admin.password",
        "mailstack:postal.organizations[0].mail_servers[0].credentials[0].key",
    } <= named
    assert all("[secret]" in line for line in found)
    [ssh] = [line for line in found if "ssh.private_key" in line]
    assert "pulumi config set --secret --path 'mailstack:ssh.private_key' --stack prod" in ssh
    assert ssh_key().splitlines()[1] not in "".join(found)


def test_encrypted_ones_are_fine_and_one_in_clear_among_them_is_not(tmp_path: Path) -> None:
    raw = example()
    sealed = example()
    sealed["ssh"]["private_key"] = SEALED
    sealed["dns"]["cloudflare"]["api_token"] = SEALED
    sealed["domains"][0]["dkim"][1]["private_key"] = SEALED
    assert problems(raw, tmp_path, Written.in_file(stack_file(tmp_path, sealed))) == []
    sealed["dns"]["cloudflare"]["api_token"] = "t" * 40
    [line] = problems(raw, tmp_path, Written.in_file(stack_file(tmp_path, sealed)))
    assert line.startswith("mailstack:dns.cloudflare.api_token is [secret]")


def test_a_missing_secret_is_not_one_in_clear(tmp_path: Path) -> None:
    sealed = example()
    for holder in (sealed["ssh"], sealed["dns"]["cloudflare"], sealed["domains"][0]["dkim"][1]):
        holder.pop("private_key", None)
        holder.pop("api_token", None)
    assert problems(example(), tmp_path, Written.in_file(stack_file(tmp_path, sealed))) == []


def test_the_local_stack_may_have_them_in_clear(tmp_path: Path) -> None:
    raw = example(environment="local")
    assert problems(raw, tmp_path, Written.in_file(stack_file(tmp_path, raw))) == []


def test_secrets_in_clear_are_told_together_with_all_other_mistakes(tmp_path: Path) -> None:
    raw = example()
    raw["relay"]["hostname"] = "relay.elsewhere.net"
    raw["relay"]["listen_port"] = "many"
    found = problems(raw, tmp_path, Written.in_file(stack_file(tmp_path, raw)))
    for field in ("relay.hostname", "relay.listen_port", "ssh.private_key"):
        assert any(line.startswith(f"mailstack:{field} ") for line in found), field


# -- size -------------------------------------------------------------------------------------------------------------


def environment_takes(config: dict[str, str]) -> bool:
    """Start a program with the variable the engine would set; the kernel decides."""
    encoded = json.dumps(config, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&":
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    try:
        subprocess.run(["true"], check=True, env={**os.environ, "PULUMI_CONFIG": encoded})
    except OSError:
        return False
    return True


@pytest.mark.parametrize("extra", [-1, 0, 1, 50])
def test_the_limit_is_the_kernels(extra: int) -> None:
    config = {"mailstack:a": '<&>"é' * 100, "mailstack:b": ""}
    config["mailstack:b"] = "x" * (LIMIT_BYTES - config_bytes(config) + extra)
    assert config_bytes(config) == LIMIT_BYTES + extra
    assert environment_takes(config) == (extra <= 0)


def test_a_file_of_seventy_domains_with_keys_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    raw = example()
    entry = {"dkim": [{"selector": "mail", "private_key": dkim_key()}]}
    raw["domains"] += [{"name": f"d{number}.example.net", **entry} for number in range(70)]
    raw["dns"] = {"provider": "none"}
    config = engine_config(raw)
    assert not environment_takes(config)
    form = Written(stack="prod", sealed={}, config=config)
    [line] = problems(raw, tmp_path, form)
    assert line.startswith("mailstack:domains is ")
    for way in ("dkim_keys", "domains_file", "docs/how-to/many-domains.md"):
        assert way in line
    assert Path("docs/how-to/many-domains.md").is_file()


def test_a_file_close_to_the_limit_is_told_before_it_breaks() -> None:
    form = Written(stack="prod", sealed={}, config={"mailstack:domains": "x" * int(LIMIT_BYTES * 0.9)})
    assert list(form.problems(None)) == []
    assert "118," in str(form.warning())
    assert Written(stack="prod", sealed={}, config={"a:b": "x"}).warning() is None


def test_an_encrypted_key_counts_about_as_much_as_in_clear() -> None:
    clear = {"a": {"private_key": dkim_key()}}
    # What Pulumi makes of it: a nonce, and as many bytes as the text has, with 16 more.
    body = "A" * (4 * ((len(dkim_key().encode()) + 16 + 2) // 3))
    sealed = sized({"a": {"private_key": {"secure": f"v1:bm9uY2U=:{body}"}}})
    real, foreseen = config_bytes(engine_config(clear)), config_bytes(engine_config(sealed))
    assert real <= foreseen < real * 1.02


def test_a_file_counts_as_many_bytes_as_the_engine_hands_over(tmp_path: Path) -> None:
    """Its encoder writes no blanks, and adds what Pulumi.yaml has for sections that the file leaves out."""
    raw = {"relay": {"from_name": "é <Shop> & Co", "queue_lifetime_hours": 48}, "domains": [{"name": "a.com"}] * 2}
    defaults = yaml.safe_load(Path("Pulumi.yaml").read_text())["config"]
    left_out = {key: entry["default"] for key, entry in defaults.items() if "default" in entry}
    handed_over = {
        **{key: value if isinstance(value, str) else json.dumps(value) for key, value in left_out.items()},
        "mailstack:relay": r'{"from_name":"é \u003cShop\u003e \u0026 Co","queue_lifetime_hours":48}',
        "mailstack:domains": '[{"name":"a.com"},{"name":"a.com"}]',
    }
    foreseen = config_bytes(Written.in_file(stack_file(tmp_path, raw)).config)
    assert config_bytes(handed_over) <= foreseen <= config_bytes(handed_over) + 80, "the two required ones, empty"


# -- domains in a file ------------------------------------------------------------------------------------------------


def with_file(folder: Path, document: Any, **changes: Any) -> dict[str, Any]:
    raw = example(domains_file="domains.yaml", dkim_keys={"common": {"private_key": dkim_key()}}, **changes)
    del raw["domains"]
    (folder / "domains.yaml").write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return raw


def test_domains_of_a_file_have_its_defaults_and_a_key_shared_by_name(tmp_path: Path) -> None:
    raw = with_file(
        tmp_path,
        {
            "defaults": {"dkim": [{"selector": "mail", "key": "common"}], "dmarc": {"policy": "reject"}},
            "zones": {"example.net": "a" * 32},
            "domains": ["example.com", {"name": "example.org", "dmarc": {"policy": "none"}}, "example.net"],
        },
    )
    plan = load_plan(raw, tmp_path)
    values = {record.name: str(record.data) for record in plan.dns.records if record.type == "TXT"}
    keys = {values[f"mail._domainkey.{name}"] for name in ("example.com", "example.org", "example.net")}
    assert len(keys) == 1
    assert "p=reject" in values["_dmarc.example.net"]
    assert "p=none" in values["_dmarc.example.org"]
    assert plan.dns.cloudflare is not None
    assert plan.dns.cloudflare.zone_ids["example.net"] == "a" * 32
    assert plan.dns.cloudflare.zone_ids["example.com"], "those of the stack file are there too"


@pytest.mark.parametrize(
    ("document", "part"),
    [
        ("domains: [", "is not YAML"),
        ("domains: [a.com]\nzones: {}\ndomains: [b.com]\n", "`domains` stands twice, in lines 1 and 3"),
        ("", "a list `domains`"),
        ({"domains": []}, "a list `domains`"),
        ({"domains": "example.com"}, "a list `domains`"),
        ({"domains": ["example.com"], "domain": []}, "domains.yaml: domain: is not a known key"),
        ({"domains": ["example.com"], "defaults": ["x"]}, "defaults: must be a mapping"),
        ({"domains": ["example.com"], "zones": ["example.com"]}, "zones: must be a mapping"),
        ({"domains": [{"name": "a.com", "dkim": [{"selector": "s", "private_key": "x"}]}]}, "holds no secret"),
        (
            {"domains": ["example.com"], "defaults": {"dkim": [{"selector": "s", "key": {"secure": "v1:"}}]}},
            "no secret",
        ),
        ({"domains": [7, None]}, "domains[0]"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_name(tmp_path: Path, document: Any, part: str) -> None:
    found = problems(with_file(tmp_path, document), tmp_path)
    assert any(part in line for line in found), found


def test_a_file_is_inside_the_project_and_the_only_place_of_domains(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    raw = with_file(tmp_path, {"domains": ["example.com"]})
    assert "inside the project" in problems(raw | {"domains_file": "../domains.yaml"}, tmp_path / "inner")[0]
    assert "does not exist" in problems(raw | {"domains_file": "other.yaml"}, tmp_path)[0]
    assert "beside `domains`" in problems(raw | {"domains": [{"name": "example.com"}]}, tmp_path)[0]


def test_a_key_nobody_declared_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    document = {"domains": ["example.com"], "defaults": {"dkim": [{"selector": "mail", "key": "comon"}]}}
    found = problems(with_file(tmp_path, document), tmp_path)
    assert any("domains[0].dkim[0].key is comon" in line and "did you mean common?" in line for line in found)


def test_init_makes_a_shared_key_once_however_many_domains_name_it(tmp_path: Path) -> None:
    document = {
        "domains": [f"d{n}.example.com" for n in range(50)],
        "defaults": {"dkim": [{"selector": "m", "key": "k"}]},
    }
    raw = with_file(tmp_path, document)
    raw["dkim_keys"] = {}
    steps = [step.path for step in missing_secrets(raw, tmp_path) if "dkim" in step.path]
    assert steps == ["mailstack:dkim_keys.k.private_key"]


@pytest.mark.slow
def test_a_thousand_domains_in_a_file_fit_and_are_valid(tmp_path: Path) -> None:
    names = [f"company-{number:04d}.example" for number in range(1000)]
    document = {"domains": ["example.com", *names], "defaults": {"dkim": [{"selector": "mail", "key": "common"}]}}
    raw = with_file(tmp_path, document)
    raw["dns"]["cloudflare"]["zones"] = {}
    form = Written(stack="prod", sealed={}, config=engine_config(raw))
    assert problems(raw, tmp_path, form) == []
    assert config_bytes(form.config) < LIMIT_BYTES / 10
    merged = with_domains_file(raw, tmp_path)
    assert len(merged["domains"]) == 1001


def test_zones_may_be_a_list_of_names_or_left_out() -> None:
    raw = example()
    raw["dns"]["cloudflare"]["zones"] = ["example.com", "example.org"]
    listed = load_plan(raw).dns
    del raw["dns"]["cloudflare"]["zones"]
    left_out = load_plan(raw).dns
    for plan in (listed, left_out):
        assert plan.cloudflare is not None
        assert dict(plan.cloudflare.zone_ids) == {"example.com": None, "example.org": None}, "looked up while planning"


def test_validate_tells_a_secret_in_clear(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("Pulumi.plain-secret-test.yaml")
    document = yaml.safe_load(Path("Pulumi.prod.yaml").read_text())
    document["config"]["mailstack:dns"]["cloudflare"]["api_token"] = "planted-token-0000000000000000000000000000"
    path.write_text(yaml.safe_dump(document))
    try:
        assert main(["validate", "--stack", "plain-secret-test"]) == 1
    finally:
        path.unlink()
    said = capsys.readouterr().err
    assert "mailstack:dns.cloudflare.api_token is [secret]" in said
    assert "planted-token" not in said
