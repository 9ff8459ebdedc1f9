"""`mailstack init`: what it asks, what it finds out, what it refuses, and that it never overwrites."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from cli.init import Options, Terminal, init_stack
from cli.main import main
from cli.verify_options import WrongCallError
from mailstack.reach.before import HostSeen
from mailstack.reach.before_cluster import ClusterSeen
from mailstack.reach.host_key import HostKeyError, fingerprint
from mailstack.settings import initialise, stackfile
from mailstack.settings.initialise import InitError
from mailstack.settings.problems import SettingsError
from mailstack.start.answers import HostPlace, InDns
from tests.unit.stack_examples import HOST_KEY, dkim_key

TODAY = date(2026, 11, 29)
SHOWN = fingerprint(HOST_KEY)
GIVEN = {
    "domains": ["Example.com"],
    "host_text": "admin@mail.example.com",
    "upstream": "sendgrid",
    "dns": "none",
    "tls": "none",
}


class World:
    """What is found out, and what was asked for."""

    def __init__(self, *, key: str | None = HOST_KEY, seen: HostSeen | None = None, named: tuple[str, ...] = (),
                 provider: str | None = None, in_dns: Mapping[str, InDns] | None = None) -> None:  # fmt: skip
        self.asked: list[str] = []
        self._key, self._seen = key, seen or HostSeen(system="Debian 12", addresses=("93.184.216.34",), root=True)
        self.cluster_seen, self.resources = ClusterSeen(), 0
        self.registry: dict[str, str] = {}
        self._named, self._provider, self._in_dns = named, provider, in_dns or {}

    def host_key(self, place: HostPlace) -> str:
        self.asked.append(f"key of {place.address}")
        if self._key is None:
            raise HostKeyError("nothing answered")
        return self._key

    def host(self, place: HostPlace, host_key: str | None) -> HostSeen:
        self.asked.append(f"host with {host_key}")
        return self._seen

    def addresses(self, name: str) -> tuple[str, ...]:
        return self._named

    def provider(self, domain: str) -> str | None:
        return self._provider

    def contexts(self) -> tuple[str, ...]:
        self.asked.append("contexts")
        return ("prod", "lab")

    def cluster(self, context: str) -> ClusterSeen:
        self.asked.append(f"cluster {context}")
        return self.cluster_seen

    def docker(self) -> tuple[str | None, str]:
        self.asked.append("docker")
        return None, "no socket"

    def digests(self, images: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        self.asked.append(f"digests of {', '.join(images)}")
        found = {image: self.registry[image] for image in images if image in self.registry}
        return found, {image: "no answer" for image in images if image not in found}

    def deployed(self, stack: str) -> int:
        return self.resources

    def domains(self, names: Sequence[str]) -> Mapping[str, InDns]:
        self.asked.append(f"DNS of {', '.join(names)}")
        return self._in_dns


class Person:
    """Answers by the first words of a question; what has no answer is taken as offered."""

    def __init__(self, answers: Mapping[str, str] | None = None, *, agrees: bool = True) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.told: list[str] = []
        self._answers, self._agrees = answers or {}, agrees

    def ask(self, text: str, choices: Sequence[str], default: str | None) -> str:
        self.asked.append((text, default))
        found = next((answer for start, answer in self._answers.items() if text.startswith(start)), default)
        assert found is not None, f"nobody answers {text!r}"
        return found

    def confirm(self, text: str, *, default: bool = False) -> bool:
        self.asked.append((text, None))
        return self._agrees

    def tell(self, text: str) -> None:
        self.told.append(text)

    def secret(self, text: str) -> str:
        self.asked.append((text, None))
        return self._answers.get(text.partition(" (")[0], "")


class Pulumi:
    """Keeps what it was told: arguments, and what came on standard input."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.calls: list[tuple[list[str], str]] = []
        self._refuses = refuses

    def __call__(self, argv: Sequence[str], stdin: str) -> None:
        if self._refuses:
            raise InitError("there is no passphrase")
        self.calls.append((list(argv), stdin))

    def told(self) -> dict[str, str]:
        return {argv[argv.index("--path") + 1]: stdin for argv, stdin in self.calls if "--path" in argv}


@pytest.fixture(autouse=True)
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (initialise, stackfile):
        monkeypatch.setattr(module, "new_dkim_key", dkim_key)
    monkeypatch.setattr(initialise, "new_ssh_key", lambda _comment: ("planted-ssh-key", "ssh-ed25519 AAAA public"))


def init(folder: Path, *, asker: Person | None = None, looks: World | None = None, run: Pulumi | None = None,
         **changes: Any) -> int:  # fmt: skip
    given = {**GIVEN, **changes.pop("given", {})}
    called: Callable[[str], str] = changes.pop("called", str)
    options: dict[str, Any] = {"stack": "fresh", "given": {key: value for key, value in given.items() if value}}
    return init_stack(
        Options(**{**options, **changes}),
        root=folder,
        today=TODAY,
        asker=asker,
        looks=looks or World(),
        run=run or Pulumi(),
        called=called,
    )


def config(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "Pulumi.fresh.yaml").read_text())["config"]
    return found


def test_without_a_terminal_every_missing_flag_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(WrongCallError) as told:
        init(tmp_path, given=dict.fromkeys(GIVEN), look=False)
    for flag in ("--domain", "--upstream (", "--dns (", "--tls (", "--host,", "--host-key", "--public-ipv4"):
        assert flag in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_on_a_cluster_other_things_are_missing(tmp_path: Path) -> None:
    with pytest.raises(WrongCallError) as told:
        init(tmp_path, given={"placement": "kubernetes", "host_text": None})
    assert str(told.value).endswith("missing: --context, --image, --egress-address")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"placement": "docker", "tls": "acme"}, "--tls acme is not possible here"),
        ({"tls": "internal"}, "--tls internal is not possible here"),
        ({"upstream": "gmail"}, "--upstream gmail is not possible here"),
        ({"context": "prod"}, "--context has no use here"),
        ({"host_text": "admin@"}, "--host: "),
        ({"tls": "custom", "certificate_file": "/nowhere.pem"}, "--certificate: /nowhere.pem: No such file"),
    ],
)
def test_a_flag_that_cannot_be_is_refused_with_its_reason(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(WrongCallError) as told:
        init(tmp_path, given=given, host_key=HOST_KEY)
    assert said in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_a_host_key_that_is_known_by_its_fingerprint_is_pinned_without_a_person(tmp_path: Path) -> None:
    assert init(tmp_path, host_fingerprint=SHOWN) == 0
    assert config(tmp_path)["mailstack:hosts"]["mail1"]["host_key"] == HOST_KEY


def test_another_machine_is_not_pinned(tmp_path: Path) -> None:
    with pytest.raises(WrongCallError, match="another machine answers"):
        init(tmp_path, host_fingerprint="SHA256:other")
    assert list(tmp_path.iterdir()) == []


def test_a_person_sees_the_fingerprint_and_has_to_agree_even_with_yes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WrongCallError, match="nobody knows"):
        init(tmp_path, asker=Person(agrees=False), yes=True)
    assert SHOWN in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_host_whose_key_is_not_known_is_not_logged_in_to(tmp_path: Path) -> None:
    world = World(key=None, named=("93.184.216.35",))
    assert init(tmp_path, given={"environment": "local"}, looks=world) == 0
    assert not any(asked.startswith("host with") for asked in world.asked)
    assert config(tmp_path)["mailstack:hosts"]["mail1"]["public_ipv4"] == "93.184.216.35"


def test_without_a_look_no_host_is_asked_and_a_given_key_is_kept(tmp_path: Path) -> None:
    world = World()
    given = {"environment": "local"}
    assert init(tmp_path, given=given, host_key=HOST_KEY, public_ipv4="93.184.216.34", look=False, looks=world) == 0
    assert config(tmp_path)["mailstack:hosts"]["mail1"]["host_key"] == HOST_KEY
    with pytest.raises(WrongCallError, match="--no-look asks no host"):
        init(tmp_path, stack="other", host_fingerprint=SHOWN, public_ipv4="93.184.216.34", look=False, looks=world)
    person = Person({"Host key": HOST_KEY})
    assert init(tmp_path, stack="third", asker=person, public_ipv4="93.184.216.34", look=False, looks=world) == 0
    assert world.asked == []


def test_a_host_behind_nat_has_the_address_of_its_name(tmp_path: Path) -> None:
    world = World(seen=HostSeen(system="Debian 12", root=True), named=("2606:2800:220:1::1", "93.184.216.36"))
    assert init(tmp_path, host_key=HOST_KEY, looks=world) == 0
    host = config(tmp_path)["mailstack:hosts"]["mail1"]
    assert (host["public_ipv4"], host["public_ipv6"]) == ("93.184.216.36", "2606:2800:220:1::1")
    with pytest.raises(WrongCallError, match="--public-ipv4"):
        init(tmp_path, stack="other", host_key=HOST_KEY, looks=World(seen=HostSeen(why="refused")))


def test_a_person_is_asked_for_little_and_offered_what_was_found(tmp_path: Path) -> None:
    person = Person({"Domains": "example.com", "Host": "admin@mail.example.com"})
    assert init(tmp_path, given=dict.fromkeys(GIVEN), asker=person, looks=World(provider="cloudflare")) == 0
    questions = [text for text, _ in person.asked]
    assert len(questions) <= 13
    offered = {text.split(":")[0]: default for text, default in person.asked}
    assert offered["Who publishes the records"] == "cloudflare"
    assert offered["Public address its mail leaves from"] == "93.184.216.34"
    assert config(tmp_path)["mailstack:dns"]["provider"] == "cloudflare"


def test_nothing_is_written_where_the_person_says_no(tmp_path: Path) -> None:
    assert init(tmp_path, asker=Person(agrees=False), host_key=HOST_KEY) == 1
    assert list(tmp_path.iterdir()) == []


def test_answers_that_make_no_stack_write_nothing_and_tell_every_mistake(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="public_ipv4"):
        init(tmp_path, host_key=HOST_KEY, public_ipv4="10.0.0.1")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_never_changed(tmp_path: Path) -> None:
    init(tmp_path, host_key=HOST_KEY)
    path = tmp_path / "Pulumi.fresh.yaml"
    before = path.read_text()
    assert init(tmp_path, given={"domains": ["other.example"]}, host_key=HOST_KEY) == 0
    assert path.read_text() == before


def test_secrets_reach_pulumi_on_standard_input_only(tmp_path: Path) -> None:
    key_file, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    issued = trustme.CA().issue_cert("postal.example.com")
    issued.private_key_pem.write_to_path(str(key_file))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    pulumi, person = Pulumi(), Person({"password of the upstream": "SG.typed"})
    given = {"tls": "custom", "certificate_file": str(certificate), "dns": "cloudflare"}
    assert init(tmp_path, given=given, certificate_key=key_file, asker=person, run=pulumi, host_key=HOST_KEY) == 0
    told = pulumi.told()
    assert told["mailstack:relay.upstream.password"] == "SG.typed"
    assert told["mailstack:caddy.custom.private_key"] == key_file.read_text()
    assert "mailstack:dns.cloudflare.api_token" not in told, "nothing was typed"
    assert not any(secret in word for secret in told.values() for argv, _ in pulumi.calls for word in argv)
    assert not any(secret in (tmp_path / "Pulumi.fresh.yaml").read_text() for secret in told.values())


class Mistyped(Person):
    """Names a file that is not there, and sees it."""

    def ask(self, text: str, choices: Sequence[str], default: str | None) -> str:
        if text.startswith("File with") and not self.told:
            return "/nowhere.pem"
        return super().ask(text, choices, default)


def test_a_key_of_many_lines_is_asked_for_as_a_file(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("postal.example.com")
    key_file, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    issued.private_key_pem.write_to_path(str(key_file))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    given = {"tls": "custom", "certificate_file": str(certificate)}
    for stack, answer, told in (("one", str(key_file), key_file.read_text()), ("two", "later", None)):
        pulumi, person = Pulumi(), Mistyped({"File with the key": answer})
        assert init(tmp_path, given=given, asker=person, run=pulumi, host_key=HOST_KEY, stack=stack) == 0
        assert pulumi.told().get("mailstack:caddy.custom.private_key") == told


def test_the_last_word_is_the_next_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(tmp_path, host_key=HOST_KEY)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "next: pulumi config set --secret --path 'mailstack:relay.upstream.password' --stack fresh"
    init(tmp_path, host_key=HOST_KEY, stack="google", given={"upstream": "google-workspace"})
    assert capsys.readouterr().out.splitlines()[-1] == "next: mailstack doctor --stack google"


def test_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(tmp_path, host_key=HOST_KEY, as_json=True, secrets_provider="awskms://alias/mail")
    document = json.loads(capsys.readouterr().out)
    assert (document["created"], document["file"]) == (True, "Pulumi.fresh.yaml")
    assert [one["path"] for one in document["needed"]] == ["mailstack:relay.upstream.password"]
    assert document["next"] == document["needed"][0]["command"]


def test_the_secrets_provider_is_that_of_the_new_stack(tmp_path: Path) -> None:
    pulumi = Pulumi()
    init(tmp_path, host_key=HOST_KEY, secrets_provider="awskms://alias/mail", run=pulumi)
    assert pulumi.calls[0][0] == [
        "stack", "init", "fresh", "--no-select", "--secrets-provider", "awskms://alias/mail"]  # fmt: skip


def test_without_pulumi_the_file_stays_and_the_same_command_goes_on(tmp_path: Path) -> None:
    with pytest.raises(InitError, match=r"no passphrase\nPulumi\.fresh\.yaml is written; the same command again"):
        init(tmp_path, host_key=HOST_KEY, run=Pulumi(refuses=True))
    pulumi = Pulumi()
    assert init(tmp_path, host_key=HOST_KEY, run=pulumi) == 0
    assert "mailstack:ssh.private_key" in pulumi.told()


def test_the_fingerprint_is_the_one_ssh_shows() -> None:
    with pytest.raises(ValueError, match="algorithm and base64"):
        fingerprint("ssh-ed25519")
    assert SHOWN == "SHA256:rl74ssPlo6Rt1UNjkNui1dUPjT8rXcGYSnYctRJBmRg"


def test_a_person_is_asked_again_until_the_answer_is_one_of_the_choices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["bogus", "server", "  ", "example.com"])
    shown: list[str] = []

    def prompt(text: str, **options: Any) -> str:
        assert options["err"], "standard output is for the one document"
        shown.append(text)
        return next(typed)

    monkeypatch.setattr("typer.prompt", prompt)
    assert Terminal().ask("Who publishes", ("server", "none"), None) == "server"
    assert shown == ["Who publishes (server, none)"] * 2
    assert capsys.readouterr().err == "one of server, none\n"
    assert Terminal().ask("Domains", (), None) == "example.com"
    assert capsys.readouterr().err == "blanks alone are no answer\n"


def test_each_flag_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Options] = []

    def begin(options: Options, **_: object) -> int:
        seen.append(options)
        return 0

    monkeypatch.setattr("cli.init.init_stack", begin)
    flags = {
        "--domain": "example.com", "--host": "admin@mail.example.com", "--host-fingerprint": "SHA256:abc",
        "--upstream": "google-workspace", "--dns": "cloudflare", "--tls": "acme",
    }  # fmt: skip
    assert main(["init", "--stack", "mycompany", "--yes", *(word for pair in flags.items() for word in pair)]) == 0
    [options] = seen
    assert options.given == {
        "domains": ["example.com"], "host_text": "admin@mail.example.com", "upstream": "google-workspace",
        "dns": "cloudflare", "tls": "acme",
    }  # fmt: skip
    assert (options.stack, options.yes, options.host_fingerprint) == ("mycompany", True, "SHA256:abc")
