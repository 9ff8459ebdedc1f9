"""`mailstack rotate dkim`: one step at a time, into one domain of the stack file, once everybody sees the new key."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.dkim import EXIT_NOT_YET, rotate
from cli.main import main
from mailstack.dns import public_key_of
from mailstack.settings.initialise import InitError
from mailstack.settings.stackfile import read_stack_file
from mailstack.verify.around import Around
from mailstack.verify.asking import Dns
from tests.unit.name_server import NameServer
from tests.unit.stack_examples import dkim_key, example, postal_example

pytestmark = pytest.mark.slow

TODAY = date(2026, 11, 29)


def ago(days: int) -> str:
    return str(TODAY - timedelta(days=days))


class Stack:
    """A stack file, and a stand-in for the Pulumi CLI that edits it like `pulumi config` does."""

    def __init__(self, folder: Path, raw: dict[str, Any]) -> None:
        self.folder = folder
        self.path = folder / "Pulumi.prod.yaml"
        self.path.write_text(yaml.safe_dump({"config": {f"mailstack:{key}": value for key, value in raw.items()}}))
        self.said: list[str] = []
        self.commands: list[list[str]] = []

    def read(self) -> dict[str, Any]:
        return read_stack_file(self.path, lambda _where, _raw: dkim_key())

    def pulumi(self, argv: Sequence[str], stdin: str) -> None:
        self.commands.append(list(argv))
        words = [word for word in argv if word not in {"config", "set", "rm", "--secret", "--path", "--stack", "prod"}]
        document = yaml.safe_load(self.path.read_text())
        key, *parts = re.findall(r"[^.\[\]]+", words[0].removeprefix("mailstack:"))
        places = [int(part) if part.isdigit() else part for part in parts]
        place: Any = document["config"][f"mailstack:{key}"]
        for part in places[:-1]:
            if isinstance(place, list) and part == len(place):
                place.append({})
            place = place[part]
        if "rm" in argv:
            del place[places[-1]]
        else:
            place[places[-1]] = words[1] if len(words) > 1 else stdin
        self.path.write_text(yaml.safe_dump(document))

    def rotate(self, today: date = TODAY, *, domain: str = "example.org", **changes: Any) -> int:
        self.said.clear()
        self.commands.clear()
        options: dict[str, Any] = {"check": False, "root": self.folder, "today": today, "say": self.said.append,
                                   "asking": None, "run": self.pulumi}  # fmt: skip
        return rotate("prod", domain, **{**options, **changes})

    def dkim(self) -> list[dict[str, Any]]:
        return [
            {field: str(value) for field, value in key.items() if field != "private_key"}
            for key in self.read()["domains"][1]["dkim"]
        ]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path, postal_example())


def test_a_whole_rotation_is_one_command_after_the_other_and_touches_one_domain(stack: Stack) -> None:
    others = {key: value for key, value in stack.read().items() if key != "domains"}
    other = stack.read()["domains"][0]
    began = TODAY
    assert stack.rotate(began) == 0
    assert stack.dkim() == [{"selector": "postal-202611"}, {"selector": "postal-202611b", "published": str(began)}]
    new_key = stack.read()["domains"][1]["dkim"][1]["private_key"]
    assert public_key_of(new_key) != public_key_of(dkim_key())
    assert stack.rotate(began) == EXIT_NOT_YET
    assert "not yet: allowed from 2026-11-30 on" in stack.said[-1]
    assert stack.rotate(began + timedelta(days=1)) == 0
    assert stack.dkim() == [
        {"selector": "postal-202611", "retired": "2026-11-30"},
        {"selector": "postal-202611b", "published": "2026-11-29", "signing": "2026-11-30"},
    ]
    assert stack.rotate(began + timedelta(days=7)) == EXIT_NOT_YET
    assert stack.rotate(began + timedelta(days=8)) == 0
    assert stack.dkim()[0]["revoked"] == "2026-12-07"
    assert stack.rotate(began + timedelta(days=14)) == EXIT_NOT_YET
    assert stack.rotate(began + timedelta(days=15)) == 0
    assert [key["selector"] for key in stack.dkim()] == ["postal-202611b"]
    assert stack.read()["domains"][0] == other
    assert {key: value for key, value in stack.read().items() if key != "domains"} == others


def test_the_new_private_key_travels_as_a_secret_on_standard_input(stack: Stack) -> None:
    stack.rotate()
    (secret,) = (command for command in stack.commands if "--secret" in command)
    assert secret[-3].endswith("dkim[1].private_key")
    assert not any("PRIVATE" in word for command in stack.commands for word in command)


def test_check_says_the_step_and_writes_nothing(stack: Stack) -> None:
    before = stack.path.read_text()
    assert stack.rotate(check=True) == 0
    assert "publish a new key, selector postal-202611b" in stack.said[0]
    assert (stack.path.read_text(), stack.commands) == (before, [])


@pytest.mark.slow
def test_a_kind_of_key_rotates_by_itself(tmp_path: Path) -> None:
    stack = Stack(tmp_path, example())
    assert stack.rotate() == 1
    assert "no rsa key of ours" in stack.said[-1]
    raw = example()
    raw["domains"][1]["dkim"] = [{"selector": "mail202601", "private_key": dkim_key()}]
    stack = Stack(tmp_path, raw)
    assert stack.rotate(key_type="ed25519") == 1
    assert stack.rotate() == 0
    assert [key["selector"] for key in stack.dkim()] == ["mail202601", "mail202611"]
    raw["domains"][1]["dkim"][0]["selector"] = "202601"
    stack = Stack(tmp_path, raw)
    assert stack.rotate() == 0
    assert stack.dkim()[1]["selector"] == "mail202611", "Pulumi would store digits as a number"


def test_a_domain_nobody_declared_is_told(stack: Stack) -> None:
    assert (
        rotate("prod", "example.net", check=True, root=stack.folder, today=TODAY, say=stack.said.append, asking=None)
        == 1
    )
    assert stack.said == ["example.net is none of the stack's domains"]


def test_the_command_line_tells_of_a_stack_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rotate", "dkim", "--stack", "nowhere", "--domain", "example.org", "--check"]) == 1
    assert main(["dns", "flatten", "--stack", "nowhere"]) == 1
    assert capsys.readouterr().err.count("Pulumi.nowhere.yaml does not exist") == 2


# --- seen everywhere ------------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path: Path) -> Stack:
    raw = postal_example()
    raw["domains"][1]["dkim"].append({"selector": "postal-202612", "private_key": dkim_key(), "published": ago(1)})
    return Stack(tmp_path, raw)


def zone(text: str | None) -> dict[str, str]:
    quoted = " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255)) if text else ""
    record = f"postal-202612._domainkey 60 IN TXT {quoted}\n" if text else ""
    soa = "@ 60 IN SOA ns1.example.org. admin.example.org. 1 60 60 60 60\n@ 60 IN NS ns1.example.org.\n"
    return {"example.org": f"{soa}ns1 60 IN A 127.0.0.1\n{record}"}


RECORD = f"v=DKIM1; t=s; h=sha256; p={public_key_of(dkim_key())};"


def asked(
    stack: Stack, authority: NameServer, *resolvers: NameServer, check: bool = False, patient: bool = True
) -> int:
    around = Around(
        resolvers=tuple(f"127.0.0.1:{one.port}" for one in resolvers),
        own_resolver=f"127.0.0.1:{resolvers[0].port}",
        authority_ports={"127.0.0.1": authority.port},
        seconds=3.0 if patient else 0.5,
        tries=1,
        ipv6=False,
    )
    return stack.rotate(check=check, asking=lambda: Dns(around), opened=lambda _stack, _root: stack.read())


def test_it_signs_once_every_server_and_resolver_has_the_record(published: Stack) -> None:
    with NameServer(zone(RECORD)) as authority, NameServer(zone(RECORD), recursive=True) as resolver:
        assert asked(published, authority, resolver, check=True) == 0
        assert published.commands == []
        assert asked(published, authority, resolver) == 0
    assert published.dkim()[1]["signing"] == str(TODAY)


@pytest.mark.parametrize("seen", [None, RECORD.replace("MII", "MIJ")], ids=["nothing", "another key"])
@pytest.mark.parametrize("who", ["authority", "resolver"])
def test_it_does_not_sign_while_one_of_them_lacks_it(published: Stack, who: str, seen: str | None) -> None:
    texts = {"authority": RECORD, "resolver": RECORD, who: seen}
    with (
        NameServer(zone(texts["authority"])) as authority,
        NameServer(zone(RECORD), recursive=True) as first,
        NameServer(zone(texts["resolver"]), recursive=True) as second,
    ):
        assert asked(published, authority, first, second) == EXIT_NOT_YET
    assert published.commands == []
    (line,) = (line for line in published.said if line.startswith("not seen: "))
    assert ("ns1.example.org" in line) == (who == "authority")


@pytest.mark.slow
def test_a_server_that_does_not_answer_counts_as_one_that_lacks_it(published: Stack) -> None:
    with (
        NameServer(zone(RECORD)) as authority,
        NameServer(zone(RECORD), recursive=True) as first,
        NameServer(zone(RECORD), recursive=True, silent=True) as second,
    ):
        assert asked(published, authority, first, second, patient=False) == EXIT_NOT_YET
    assert any("no answer in time" in line for line in published.said)


# --- a file of domains ----------------------------------------------------------------------------------------------

FILE = """\
# reviewed by two people
defaults: # what a domain has that does not say otherwise
  dkim: [{selector: mail202601, key: common-202601}]
  dmarc: {policy: reject, aggregate_reports: [dmarc@example.com]}
domains:
  - example.com # the first
  - name: example.org
    mx: []

  # has keys of its own
  - name: shop.example.org
    dkim:
      - selector: "old202601"
        key: net-202601 # theirs
"""


class FileStack(Stack):
    """A stack whose domains stand in a file of their own."""

    def __init__(self, folder: Path) -> None:
        raw = {key: value for key, value in example().items() if key != "domains"}
        keys = {name: {"private_key": dkim_key()} for name in ("common-202601", "net-202601")}
        super().__init__(folder, {**raw, "domains_file": "domains.yaml", "dkim_keys": keys})
        self.file = folder / "domains.yaml"
        self.file.write_text(FILE)

    def pulumi(self, argv: Sequence[str], stdin: str) -> None:
        self.commands.append(list(argv))
        document = yaml.safe_load(self.path.read_text())
        keys = document["config"]["mailstack:dkim_keys"]
        name = next(word for word in argv if word.startswith("mailstack:")).split(".")[1]
        if "rm" in argv:
            del keys[name]
        else:
            assert name not in self.file.read_text(), "the key is there before a file names it"
            keys[name] = {"private_key": stdin}
        self.path.write_text(yaml.safe_dump(document))

    def keys(self, domain: str | None) -> list[dict[str, str]]:
        document = yaml.safe_load(self.file.read_text())
        own = next((one for one in document["domains"] if isinstance(one, dict) and one["name"] == domain), None)
        return [dict(key) for key in (document["defaults"] if own is None else own)["dkim"]]

    def to_the_end(self, domain: str) -> list[dict[str, str]]:
        """Take the four steps, each on the first day it may be taken; return what each left."""
        day, left = TODAY, []
        for _ in range(4):
            while self.rotate(day, domain=domain) == EXIT_NOT_YET:
                day += timedelta(days=1)
            left.append(self.keys(domain)[0])
        return left


@pytest.fixture
def filed(tmp_path: Path) -> FileStack:
    return FileStack(tmp_path)


def test_a_step_is_written_into_the_file_that_the_entry_stands_in_and_nothing_else_of_it_changes(
    filed: FileStack,
) -> None:
    assert filed.rotate(domain="example.com", check=True) == 0
    assert "under `defaults`: the step is that of 2 domains (example.com, example.org)" in filed.said[1]
    assert (filed.file.read_text(), filed.commands) == (FILE, []), "told beforehand, and nothing written"
    assert filed.rotate(domain="example.com") == 0
    assert filed.keys(None) == [
        {"selector": "mail202601", "key": "common-202601"},
        {"selector": "mail202611", "key": "common-202611", "published": str(TODAY)},
    ]
    path = "mailstack:dkim_keys.common-202611.private_key"
    assert filed.commands == [["config", "set", "--secret", "--path", path, "--stack", "prod"]]
    assert filed.said[-1].endswith("Commit the change of Pulumi.prod.yaml and domains.yaml")
    before, after = FILE.splitlines(), filed.file.read_text().splitlines()
    assert [line for line in before if line not in after] == [before[2]], "comments and all else stay"
    assert len(before) == len(after)


def test_an_internationalised_domain_is_known_in_either_form(filed: FileStack, monkeypatch: pytest.MonkeyPatch) -> None:
    filed.file.write_text(FILE.replace("name: example.org", "name: Bücher.example.org", 1))
    assert filed.rotate(domain="xn--bcher-kva.example.org", check=True) == 0
    assert "2 domains (example.com, xn--bcher-kva.example.org)" in filed.said[1]
    asked: list[str] = []

    def step(_stack: str, domain: str, **_: Any) -> int:
        asked.append(domain)
        return 0

    monkeypatch.setattr("cli.dkim.rotate", step)
    assert main(["rotate", "dkim", "--stack", "prod", "--domain", "Bücher.Example.org"]) == 0
    assert asked == ["xn--bcher-kva.example.org"]


@pytest.mark.slow
def test_a_whole_rotation_in_a_file_ends_without_the_old_key(filed: FileStack) -> None:
    published, signing, revoked, removed = filed.to_the_end("shop.example.org")
    assert published == {"selector": "old202601", "key": "net-202601"}
    assert (set(signing), set(revoked)) == ({*published, "retired"}, {*published, "retired", "revoked"})
    assert removed["key"] == "net-202611"
    assert set(removed) == {"selector", "key", "published", "signing"}
    assert filed.keys(None) == [{"selector": "mail202601", "key": "common-202601"}], "others keep theirs"
    assert filed.commands[-1] == ["config", "rm", "--path", "mailstack:dkim_keys.net-202601", "--stack", "prod"]


@pytest.mark.slow
def test_a_key_that_others_still_use_stays(filed: FileStack) -> None:
    filed.file.write_text(FILE.replace("net-202601", "common-202601"))
    filed.to_the_end("shop.example.org")
    assert [key["key"] for key in filed.keys("shop.example.org")] == ["common-202611"]
    assert not [command for command in filed.commands if "rm" in command]


def test_an_ed25519_key_is_no_key_of_a_file(filed: FileStack) -> None:
    assert filed.rotate(domain="example.com", key_type="ed25519") == 1
    assert filed.file.read_text() == FILE


@pytest.mark.slow
def test_every_domain_that_shares_the_key_is_asked_for_before_it_signs(
    filed: FileStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def not_seen(_asking: object, name: str, _text: str) -> tuple[str, ...]:
        asked.append(name)
        return (f"{name}: nothing",) if name.endswith("example.org") else ()

    monkeypatch.setattr("cli.dkim.not_seen", not_seen)
    assert filed.rotate(domain="example.com") == 0
    later = TODAY + timedelta(days=3)
    seen = {"asking": lambda: None, "opened": lambda _stack, _root: filed.read()}
    assert filed.rotate(later, domain="example.com", **seen) == EXIT_NOT_YET
    assert asked == ["mail202611._domainkey.example.com", "mail202611._domainkey.example.org"]
    assert "signing" not in filed.keys(None)[-1]


@pytest.mark.slow
@pytest.mark.parametrize("calls", [0, 1, 2, 3])
def test_a_step_that_stops_half_way_leaves_the_file_as_it_was(stack: Stack, calls: int) -> None:
    before = stack.path.read_text()

    def stops(argv: Sequence[str], stdin: str) -> None:
        if len(stack.commands) == calls:
            raise InitError("passphrase must be set")
        stack.pulumi(argv, stdin)

    if calls == 3:
        assert stack.rotate(run=stops) == 0, "a step of three calls, one of them secret"
        assert stack.path.read_text() != before
        return
    with pytest.raises(InitError):
        stack.rotate(run=stops)
    assert len(stack.commands) == calls
    assert stack.path.read_text() == before


def test_neither_the_file_of_domains_nor_the_stack_file_keeps_half_a_step(
    filed: FileStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    before = filed.path.read_text()
    monkeypatch.setattr("cli.dkim.write_whole", full)
    with pytest.raises(OSError, match="No space"):
        filed.rotate(domain="example.com")
    assert filed.commands, "the key was there already"
    assert (filed.path.read_text(), filed.file.read_text()) == (before, FILE)
