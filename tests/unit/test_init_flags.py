"""`mailstack init`: a flag that is given has its effect, or is refused; an answer that cannot be is told at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme

from cli.verify_options import WrongCallError
from mailstack.plan import load_plan
from mailstack.reach.host_key import fingerprint
from mailstack.settings.initialise import rehearsal_config
from tests.unit.stack_examples import HOST_KEY, dkim_key
from tests.unit.test_init_command import GIVEN, SHOWN, Person, Pulumi, config, init, one_key

__all__ = ["one_key"]

ON_CLUSTER: dict[str, Any] = {
    "placement": "kubernetes", "host_text": None, "context": "prod", "image": "registry.example.com/relay:1",
    "egress": ["93.184.216.40"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "changes", "flag"),
    [
        (ON_CLUSTER, {"host_key": HOST_KEY}, "--host-key"),
        (ON_CLUSTER, {"host_fingerprint": SHOWN}, "--host-fingerprint"),
        (ON_CLUSTER, {"public_ipv4": "93.184.216.35"}, "--public-ipv4"),
        (ON_CLUSTER, {"public_ipv6": "2606:2800:220:1::1"}, "--public-ipv6"),
        (ON_CLUSTER, {"firewall": "ufw"}, "--firewall"),
        (ON_CLUSTER, {"security_updates": True}, "--security-updates"),
        ({"tls": "acme"}, {"host_key": HOST_KEY, "certificate_key": Path("key.pem")}, "--certificate-key"),
    ],
)
def test_a_flag_without_use_is_refused_and_not_passed_over(
    given: dict[str, Any], changes: dict[str, Any], flag: str, tmp_path: Path
) -> None:
    with pytest.raises(WrongCallError, match=f"{flag} has no use here: "):
        init(tmp_path, given=given, **changes)
    assert list(tmp_path.iterdir()) == []


def test_what_is_done_to_a_host_is_written_as_asked_and_explained_where_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert init(tmp_path / "plain", host_key=HOST_KEY) == 0
    assert config(tmp_path / "plain")["mailstack:hosts"]["mail1"]["firewall"] == "none"
    assert "On Debian and Ubuntu ufw" in (tmp_path / "plain/Pulumi.fresh.yaml").read_text()
    assert init(tmp_path, host_key=HOST_KEY, firewall="ufw", security_updates=True) == 0
    host = config(tmp_path)["mailstack:hosts"]["mail1"]
    assert (host["firewall"], host["security_updates"]) == ("ufw", True)


def test_a_given_key_has_to_be_the_one_of_a_given_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(WrongCallError, match="--host-key has fingerprint SHA256:") as told:
        init(tmp_path, host_key=HOST_KEY, host_fingerprint="SHA256:other")
    assert "SHA256:other" in str(told.value)
    assert list(tmp_path.iterdir()) == []
    assert init(tmp_path, host_key=HOST_KEY, host_fingerprint=fingerprint(HOST_KEY)) == 0
    assert config(tmp_path)["mailstack:hosts"]["mail1"]["host_key"] == HOST_KEY


def test_the_first_flag_that_cannot_be_says_what_can(tmp_path: Path) -> None:
    with pytest.raises(WrongCallError) as told:
        init(tmp_path, given={"environment": "Prod"}, host_key=HOST_KEY)
    assert str(told.value) == "--environment Prod is not possible here: local or staging or prod"


def test_a_domain_that_a_shell_left_empty_is_told_as_empty(tmp_path: Path) -> None:
    with pytest.raises(WrongCallError, match="--domain: is empty"):
        init(tmp_path, given={"domains": [""]}, host_key=HOST_KEY)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("root@mail.example.com:99999", "99999"),
        ("ssh://root@mail.example.com", "must be a Unix user name"),
        ("root@mail", "write the whole name"),
    ],
)
def test_a_host_that_cannot_be_is_told_at_its_question_and_not_at_the_end(
    typed: str, said: str, tmp_path: Path
) -> None:
    class Corrects(Person):
        def ask(self, text: str, choices: Any, default: str | None) -> str:
            answer = super().ask(text, choices, default)
            return "admin@mail.example.com" if text.startswith("Host") and self.told else answer

    person = Corrects({"Host": typed})
    assert init(tmp_path, given={"host_text": None}, asker=person) == 0
    assert said in person.told[0]
    assert config(tmp_path)["mailstack:hosts"]["mail1"]["address"] == "mail.example.com"


@pytest.mark.parametrize("stack", ["acme/prod", "organization/mailstack/prod"])
def test_the_name_of_a_stack_with_its_organisation_is_refused_with_the_name_that_works(
    stack: str, tmp_path: Path
) -> None:
    with pytest.raises(WrongCallError, match=r"--stack prod\b.* `pulumi org set-default`"):
        init(tmp_path, stack=stack)


@pytest.mark.parametrize(
    ("given", "question", "typed", "right", "said"),
    [
        ({"upstream": "ses", "username": "AKIAIOSFODNN7EXAMPLE"}, "Region", "eu-west1", "eu-west-1", "is not a region"),
        ({"upstream": "mailgun"}, "Region", "EU", "eu", "use one of us, eu"),
        ({"upstream": "ses", "region": "eu-west-1"}, "Login name", "AKIA", "AKIAIOSFODNN7EXAMPLE", "16 to 128 capital"),
        ({}, "Public address", "10.0.0.5", "93.184.216.34", "must be a public address in prod"),
    ],
)
def test_what_the_settings_would_refuse_is_told_at_its_question(
    given: dict[str, Any], question: str, typed: str, right: str, said: str, tmp_path: Path
) -> None:
    class Corrects(Person):
        def ask(self, text: str, choices: Any, default: str | None) -> str:
            if text.startswith(question):
                return right if self.told else typed
            return super().ask(text, choices, default)

    person = Corrects()
    assert init(tmp_path, given=given, host_key=HOST_KEY, asker=person) == 0
    assert len(person.told) == 1
    assert said in person.told[0]


def test_in_a_local_stack_a_private_address_is_taken(tmp_path: Path) -> None:
    person = Person({"Public address": "10.0.0.5"})
    assert init(tmp_path, given={"environment": "local"}, host_key=HOST_KEY, asker=person) == 0
    assert person.told == []


def test_many_domains_share_a_key_since_the_engine_could_not_hand_over_one_for_each(tmp_path: Path) -> None:
    for count, paths in ((40, 40), (41, 1)):
        pulumi, names = Pulumi(), [f"d{number}.example.net" for number in range(count)]
        given = {"domains": names, "upstream": "google-workspace"}
        assert init(tmp_path, given=given, host_key=HOST_KEY, run=pulumi, stack=f"of{count}") == 0
        assert len([path for path in pulumi.told() if "dkim" in path]) == paths
    assert pulumi.told()["mailstack:dkim_keys.common-202611.private_key"] == dkim_key()
    load_plan(rehearsal_config(tmp_path / "Pulumi.of41.yaml"))


def test_the_addresses_that_mail_leaves_from_are_public_in_prod_and_told_at_their_question(tmp_path: Path) -> None:
    given = {**GIVEN, "placement": "docker", "engine": "local", "host_text": None}
    with pytest.raises(WrongCallError, match=r"--egress-address: \"10\.0\.0\.1\" must be a public address in prod"):
        init(tmp_path, given={**given, "egress": ["93.184.216.34", "10.0.0.1"]})
    local = {**given, "egress": ["10.0.0.1"], "environment": "local"}
    assert init(tmp_path, given=local) == 0


def test_without_a_relay_nothing_is_said_of_postfix(tmp_path: Path) -> None:
    given = {"placement": "none", "upstream": "google-workspace", "tls": "acme"}
    assert init(tmp_path, given=given, host_key=HOST_KEY) == 0
    assert not {"queue_lifetime_hours", "postmaster"} & set(config(tmp_path)["mailstack:relay"])


def test_a_certificate_that_is_none_is_told_at_its_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    issued, other = trustme.CA().issue_cert("postal.example.com"), trustme.CA().issue_cert("postal.example.com")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "chain.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    other.private_key_pem.write_to_path(str(tmp_path / "other.pem"))
    answers = {
        "File with the certificate": iter(["/nowhere.pem", "~/key.pem", "~/chain.pem"]),
        "File with the key": iter(["~/chain.pem", "~/other.pem", "~/key.pem"]),
    }

    class Mistaken(Person):
        def ask(self, text: str, choices: Sequence[str], default: str | None) -> str:
            given = next((given for start, given in answers.items() if text.startswith(start)), None)
            return super().ask(text, choices, default) if given is None else next(given)

    person, pulumi = Mistaken(), Pulumi()
    assert init(tmp_path, given={"tls": "custom"}, asker=person, host_key=HOST_KEY, run=pulumi) == 0
    assert person.told == [
        "/nowhere.pem: No such file or directory",
        "~/key.pem has no certificate in PEM form",
        "~/chain.pem has no key in PEM form, without a passphrase",
        "~/other.pem is not the key of the first certificate",
    ]
    assert pulumi.told()["mailstack:caddy.custom.private_key"] == (tmp_path / "key.pem").read_text()
