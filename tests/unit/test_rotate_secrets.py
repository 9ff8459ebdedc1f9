"""Rotations of passwords, keys and certificates: the old one stays until the new one is proven."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from cli.main import main
from cli.rotate_secrets import EXIT_NOT_YET, Rotation, certificate, postal_credential, relay_password
from mailstack.reach.upstream_login import Login
from mailstack.settings import stackfile
from mailstack.settings.initialise import InitError
from mailstack.settings.stackfile import read_stack_file
from tests.unit.stack_examples import dkim_key, example, postal_example

pytestmark = pytest.mark.slow

TODAY = date(2026, 11, 29)
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
TAKEN = Login(state="taken", said="it takes it")
NEW = "SG.new-key"
SASL = {"preset": "sendgrid", "auth": "sasl", "username": "apikey", "password": "SG.old-key"}


class Stack:
    """A stack file, and a stand-in for the Pulumi CLI that edits it as `pulumi config` does."""

    def __init__(self, folder: Path, raw: Mapping[str, Any]) -> None:
        self.folder, self.raw = folder, raw
        self.path = folder / "Pulumi.prod.yaml"
        self.path.write_text(yaml.safe_dump({"config": {f"mailstack:{key}": value for key, value in raw.items()}}))
        self.before = self.path.read_text()
        self.said: list[str] = []
        self.calls: list[tuple[list[str], str]] = []

    def read(self) -> dict[str, Any]:
        return read_stack_file(self.path, lambda _where, _raw: "")

    @property
    def untouched(self) -> bool:
        return self.path.read_text() == self.before and not self.calls

    def pulumi(self, argv: Sequence[str], stdin: str) -> None:
        self.calls.append((list(argv), stdin))
        document = yaml.safe_load(self.path.read_text())
        key, *parts = re.findall(r"[^.\[\]]+", argv[argv.index("--path") + 1].removeprefix("mailstack:"))
        places = [int(part) if part.isdigit() else part for part in parts]
        place: Any = document["config"][f"mailstack:{key}"]
        for part in places[:-1]:
            if isinstance(place, list) and part == len(place):
                place.append({})
            place = place[part]
        if "rm" in argv:
            del place[places[-1]]
        else:
            place[places[-1]] = stdin
        self.path.write_text(yaml.safe_dump(document))

    def rotation(self, *, check: bool = False) -> Rotation:
        self.said.clear()
        self.calls.clear()
        return Rotation(stack="prod", root=self.folder, today=TODAY, say=self.said.append, check=check,
                        run=self.pulumi, opened=lambda _stack, _folder: self.raw)  # fmt: skip

    @property
    def text(self) -> str:
        return "\n".join(self.said)


@pytest.fixture(autouse=True)
def _one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stackfile, "new_dkim_key", dkim_key)


# --- relay-password -------------------------------------------------------------------------------------------------


@pytest.fixture
def relay(tmp_path: Path) -> Stack:
    raw = example()
    raw["relay"]["upstream"] = dict(SASL)
    second = {"preset": "mailgun", "region": "eu", "auth": "sasl", "username": "a@b.example", "password": "old"}
    raw["relay"]["upstreams"] = {"second": second}
    raw["relay"]["fallback_upstream"] = "second"
    del raw["relay_rule"]
    return Stack(tmp_path, raw)


def rotate_relay(stack: Stack, answer: Login = TAKEN, *, password: str = NEW, check: bool = False, **more: Any) -> int:
    tried: list[tuple[str, ...]] = []

    def login(*arguments: Any) -> Login:
        tried.append(arguments)
        return answer

    options: dict[str, Any] = {"upstream": None, "username": None, "ask": lambda _text: password, "login": login}
    return relay_password(stack.rotation(check=check), **{**options, **more})


def test_a_new_password_is_tried_before_it_is_stored_and_travels_on_standard_input(relay: Stack) -> None:
    assert rotate_relay(relay) == 0
    assert relay.read()["relay"]["upstream"]["password"] == NEW
    ((argv, stdin),) = relay.calls
    assert (stdin, "--secret" in argv, any(NEW in word for word in argv)) == (NEW, True, False)
    assert NEW not in relay.text
    order = ["second API key", "it takes it", "pulumi up", "mailstack relay test", "delete the old API key"]
    assert [relay.text.find(step) for step in order] == sorted(relay.text.find(step) for step in order)
    assert -1 not in [relay.text.find(step) for step in order]


def test_a_password_that_the_upstream_refuses_is_never_stored(relay: Stack) -> None:
    refused = Login(state="refused", said="535 Authentication failed")
    for untried in (False, True):
        assert rotate_relay(relay, refused, untried=untried) == EXIT_NOT_YET
        assert relay.untouched
    assert "535 Authentication failed" in relay.text


def test_one_that_could_not_be_tried_needs_a_word_for_it(relay: Stack) -> None:
    unknown = Login(state="unknown", said="timed out")
    assert rotate_relay(relay, unknown) == EXIT_NOT_YET
    assert relay.untouched
    assert rotate_relay(relay, unknown, untried=True) == 0
    assert relay.read()["relay"]["upstream"]["password"] == NEW


@pytest.mark.parametrize(
    ("password", "said"), [("SG.old-key", "the one in use"), ("no-key", "starts with SG."), ("", "starts with SG.")]
)
def test_the_old_one_and_what_cannot_be_one_are_refused(password: str, said: str, relay: Stack) -> None:
    assert rotate_relay(relay, password=password) == EXIT_NOT_YET
    assert said in relay.text
    assert relay.untouched


def test_a_login_may_change_with_its_password(relay: Stack) -> None:
    assert rotate_relay(relay, upstream="second", username="new@b.example", password="other") == 0
    assert relay.read()["relay"]["upstreams"]["second"]["username"] == "new@b.example"
    assert relay.read()["relay"]["upstream"]["password"] == "SG.old-key"
    assert "ends the old one at once" in relay.text


def locked(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the Pulumi CLI stores what is in clear, and no secret."""
    stores = stack.pulumi

    def pulumi(argv: Sequence[str], stdin: str) -> None:
        if "--secret" in argv:
            raise InitError("passphrase must be set")
        stores(argv, stdin)

    monkeypatch.setattr(stack, "pulumi", pulumi)


def test_a_login_without_its_password_is_not_left_behind(relay: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    locked(relay, monkeypatch)
    with pytest.raises(InitError):
        rotate_relay(relay, upstream="second", username="new@b.example")
    assert relay.calls, "the login was written already"
    assert relay.path.read_text() == relay.before


def test_check_asks_for_nothing_and_writes_nothing(relay: Stack) -> None:
    def asked(_text: str) -> str:
        raise AssertionError

    assert rotate_relay(relay, check=True, ask=asked) == 0
    assert relay.untouched


def test_what_has_no_password_or_is_not_there_is_told(relay: Stack, tmp_path: Path) -> None:
    assert rotate_relay(relay, upstream="third") == 1
    assert "relay.upstreams.second" in relay.text
    (tmp_path / "other").mkdir()
    google = Stack(tmp_path / "other", example())
    assert rotate_relay(google) == 1
    assert "by its address" in google.text


# --- postal-credential ----------------------------------------------------------------------------------------------


@pytest.fixture
def postal(tmp_path: Path) -> Stack:
    return Stack(tmp_path, postal_example())


def rotate_key(stack: Stack, used: Sequence[Mapping[str, Any]] | None = (), *, check: bool = False, **more: Any) -> int:
    options: dict[str, Any] = {
        "server": None, "kind": "SMTP", "used": None if used is None else lambda: used,
        "quiet": timedelta(hours=24), "now": NOW,
    }  # fmt: skip
    return postal_credential(stack.rotation(check=check), more.pop("name", "shop"), **{**options, **more})


def keys(stack: Stack) -> list[tuple[str, str]]:
    listed = stack.read()["postal"]["organizations"][0]["mail_servers"][0]["credentials"]
    return [(key["type"], key["name"]) for key in listed]


def last_used(old: str | None, new: str | None) -> list[dict[str, Any]]:
    return [
        {"server": "example/apps", "name": "shop", "type": "SMTP", "last_used": old},
        {"server": "example/apps", "name": "shop-202611", "type": "SMTP", "last_used": new},
    ]


def test_a_second_key_comes_beside_the_old_which_goes_once_it_rests(postal: Stack) -> None:
    assert rotate_key(postal) == 0
    assert keys(postal) == [("SMTP", "shop"), ("API", "shop"), ("SMTP", "shop-202611")]
    secrets = [(argv, stdin) for argv, stdin in postal.calls if "--secret" in argv]
    assert len(secrets) == 1
    assert len(secrets[0][1]) == 24
    assert not any(secrets[0][1] in word for argv, _ in postal.calls for word in argv)
    assert rotate_key(postal, last_used("2026-11-27 10:00:00", "2026-11-29 09:00:00")) == 0
    assert keys(postal) == [("API", "shop"), ("SMTP", "shop-202611")]
    assert "postal.removal' allow" in postal.text
    assert "refuse --stack prod" in postal.said[-1]


@pytest.mark.parametrize(
    ("used", "said"),
    [
        ([], "run `pulumi up`"),
        (last_used("2026-11-20 10:00:00", None), "nobody has used shop-202611 yet"),
        (last_used("2026-11-29 11:00:00", "2026-11-29 11:30:00"), "an application still has it"),
    ],
)
def test_the_old_key_does_not_go_too_early(used: list[dict[str, Any]], said: str, postal: Stack) -> None:
    rotate_key(postal)
    before = postal.path.read_text()
    assert rotate_key(postal, used) == EXIT_NOT_YET
    assert said in postal.text
    assert postal.path.read_text() == before
    assert rotate_key(postal, None) == 0, "--unseen: the person answers for it"


def test_a_key_that_nobody_ever_used_may_go_once_the_new_one_is_used(postal: Stack) -> None:
    rotate_key(postal)
    assert rotate_key(postal, last_used(None, "2026-11-29 11:30:00")) == 0


def test_a_second_key_without_its_secret_is_not_left_behind(postal: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    locked(postal, monkeypatch)
    with pytest.raises(InitError):
        rotate_key(postal)
    assert postal.calls, "its name was written already"
    assert postal.path.read_text() == postal.before


def test_the_next_rotation_starts_from_the_dated_name(postal: Stack) -> None:
    rotate_key(postal)
    rotate_key(postal, None)
    assert rotate_key(postal, name="shop-202611") == 0
    assert ("SMTP", "shop-202611b") in keys(postal)


def test_check_writes_nothing_in_either_step(postal: Stack) -> None:
    assert rotate_key(postal, check=True) == 0
    assert postal.untouched
    rotate_key(postal)
    before = postal.path.read_text()
    assert rotate_key(postal, None, check=True) == 0
    assert postal.path.read_text() == before


def test_a_name_of_two_keys_or_of_none_is_told(postal: Stack, relay: Stack) -> None:
    postal = Stack(postal.folder, postal_example())
    assert rotate_key(postal, kind=None) == EXIT_NOT_YET
    assert "--server example/apps --type API" in postal.text
    assert rotate_key(postal, name="unknown") == 1
    assert rotate_key(postal, server="example/other") == 1
    assert postal.untouched


# --- certificate ----------------------------------------------------------------------------------------------------

NAMES = ("postal.example.com", "mx.example.com", "track.example.com", "click.example.com")


class Issued:
    """A certificate with its key, as files."""

    def __init__(self, folder: Path, *names: str, end: datetime | None = None, other_key: bool = False) -> None:
        folder.mkdir()
        issuer = trustme.CA()
        leaf = issuer.issue_cert(*names, not_before=NOW - timedelta(days=99), not_after=end or NOW + timedelta(days=90))
        another = issuer.issue_cert(*names) if other_key else leaf
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"
        self.chain.write_text("".join(blob.bytes().decode() for blob in leaf.cert_chain_pems))
        self.key.write_text(another.private_key_pem.bytes().decode())


def own(folder: Path) -> Stack:
    raw = postal_example()
    old = Issued(folder / "old", *NAMES)
    raw["caddy"] = {"host": "relay1", "certificates": "custom",
                    "custom": {"certificate": old.chain.read_text(), "private_key": old.key.read_text()}}  # fmt: skip
    return Stack(folder, raw)


def rotate_certificate(stack: Stack, new: Issued | None, *, name: str = "mx.example.com", check: bool = False) -> int:
    chain, key = (None, None) if new is None else (new.chain, new.key)
    return certificate(stack.rotation(check=check), name, chain=chain, key=key, now=NOW)


def test_a_new_certificate_that_fits_takes_the_old_ones_place(tmp_path: Path) -> None:
    stack, new = own(tmp_path), Issued(tmp_path / "new", "example.com", "*.example.com")
    assert rotate_certificate(stack, new, check=True) == 0
    assert stack.untouched
    assert rotate_certificate(stack, new) == 0
    assert stack.read()["caddy"]["custom"] == {
        "certificate": new.chain.read_text(), "private_key": new.key.read_text()}  # fmt: skip
    (secret,) = (argv for argv, _ in stack.calls if "--secret" in argv)
    assert "mailstack:caddy.custom.private_key" in secret
    assert not any("PRIVATE KEY" in word for argv, _ in stack.calls for word in argv)


@pytest.mark.parametrize(
    ("names", "more", "said"),
    [
        (("mx.example.com",), {}, "not for postal.example.com"),
        (NAMES, {"end": NOW - timedelta(days=1)}, "has expired on 2026-11-28"),
        (NAMES, {"other_key": True}, "not that of the certificate"),
    ],
)
def test_one_that_is_not_fit_is_refused_with_every_reason(
    names: tuple[str, ...], more: dict[str, Any], said: str, tmp_path: Path
) -> None:
    stack = own(tmp_path)
    assert rotate_certificate(stack, Issued(tmp_path / "new", *names, **more)) == EXIT_NOT_YET
    assert said in stack.text
    assert stack.untouched


def test_the_certificate_in_use_and_what_is_none_are_refused(tmp_path: Path) -> None:
    stack, new = own(tmp_path), Issued(tmp_path / "new", *NAMES)
    new.chain.write_text((tmp_path / "old/chain.pem").read_text())
    new.key.write_text((tmp_path / "old/key.pem").read_text())
    assert rotate_certificate(stack, new) == EXIT_NOT_YET
    assert "it is the one in use" in stack.text
    new.chain.write_text("nothing")
    assert rotate_certificate(stack, new) == EXIT_NOT_YET
    assert stack.untouched


@pytest.mark.parametrize(
    ("file", "said"), [("chain", "begins with no certificate (PEM)"), ("key", "holds no private key in PEM")]
)
def test_a_file_that_is_no_text_is_told_as_not_pem(tmp_path: Path, file: str, said: str) -> None:
    """A certificate authority often sends DER."""
    stack, new = own(tmp_path), Issued(tmp_path / "new", *NAMES)
    getattr(new, file).write_bytes(b"\x30\x82\x03\xff\xfe\x80")
    assert rotate_certificate(stack, new) == EXIT_NOT_YET
    assert said in stack.text
    assert stack.untouched


def test_without_files_the_command_with_them_is_named(tmp_path: Path) -> None:
    stack = own(tmp_path)
    assert rotate_certificate(stack, None) == EXIT_NOT_YET
    assert "--certificate chain.pem --key key.pem" in stack.text


def test_what_caddy_renews_by_itself_is_left_to_it(postal: Stack) -> None:
    assert rotate_certificate(postal, None) == 0
    assert "by itself" in postal.text
    assert rotate_certificate(postal, None, name="www.example.com") == 1
    assert "mx.example.com" in postal.text
    assert postal.untouched


def test_a_stack_without_certificates_is_told(relay: Stack) -> None:
    assert rotate_certificate(relay, None) == 1
    assert "no section caddy" in relay.text


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["relay-password"], ["postal-credential", "shop"], ["certificate", "mx.example.com"]]
)
def test_the_command_line_tells_of_a_stack_that_is_not_there(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rotate", *arguments, "--stack", "nowhere"]) == 1
    assert "Pulumi.nowhere.yaml does not exist" in capsys.readouterr().err


def test_json_is_one_document_with_what_was_said(
    postal: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.rotation.ROOT", postal.folder)
    arguments = ["postal-credential", "shop", "--type", "SMTP", "--check", "--json", "--stack", "prod"]
    assert main(["rotate", *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["stack"], document["code"], document["taken"]) == ("prod", 0, False)
    assert document["said"][-1] == "it may be taken now"


def test_the_files_of_a_certificate_are_given_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = Issued(tmp_path / "new", *NAMES)
    seen: list[tuple[str, dict[str, Any]]] = []

    def step(_stack: object, name: str, **files: Any) -> int:
        seen.append((name, files))
        return 0

    monkeypatch.setattr("cli.rotate_secrets.certificate", step)
    files = ["--certificate", str(new.chain), "--key", str(new.key)]
    assert main(["rotate", "certificate", "mx.example.com", "--stack", "prod", *files]) == 0
    [(name, given)] = seen
    assert (name, given["chain"], given["key"]) == ("mx.example.com", new.chain, new.key)


@pytest.mark.parametrize("flag", ["--certificate", "--key"])
def test_a_folder_is_no_file_of_a_certificate(flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["rotate", "certificate", "mx.example.com", "--stack", "prod", flag, str(tmp_path)])
    assert ended.value.code == 2
    assert "is a directory" in capsys.readouterr().err
