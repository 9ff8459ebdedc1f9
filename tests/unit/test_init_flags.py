"""`mailstack init`: a flag that is given has its effect, or is refused; an answer that cannot be is told at once."""

from pathlib import Path
from typing import Any

import pytest

from cli.verify_options import WrongCallError
from mailstack.reach.host_key import fingerprint
from tests.unit.stack_examples import HOST_KEY
from tests.unit.test_init_command import SHOWN, Person, config, init, one_key

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
        ({"tls": "acme"}, {"host_key": HOST_KEY, "certificate_key": Path("key.pem")}, "--certificate-key"),
    ],
)
def test_a_flag_without_use_is_refused_and_not_passed_over(
    given: dict[str, Any], changes: dict[str, Any], flag: str, tmp_path: Path
) -> None:
    with pytest.raises(WrongCallError, match=f"{flag} has no use here: "):
        init(tmp_path, given=given, **changes)
    assert list(tmp_path.iterdir()) == []


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
