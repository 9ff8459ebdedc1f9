"""What follows from a domain's own upstream: SPF and MX, Google's relay rule, the secrets `mailstack init` names."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailstack.plan import Plan, load_plan
from mailstack.settings.initialise import initialise, missing_secrets, rehearsal_config
from mailstack.settings.written import Written
from tests.unit.mistakes import MAILGUN, SENDGRID, SES, accepted, changed, logins, problems, several, spare
from tests.unit.plan_parts import dns_records, relay_rule
from tests.unit.stack_examples import REMOVE, dkim_key, example

ADDRESSES = {"ip4:93.184.216.34", "ip6:2606:2800:220:1:248:1893:25c8:1946"}
# Each upstream, and what SPF has to say where mail leaves through it.
GOOGLE: dict[str, Any] = {}
UPSTREAMS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "google": (GOOGLE, {"include:_spf.google.com"}),
    "mailgun": (MAILGUN, {"include:mailgun.org"}),
    "sendgrid": (SENDGRID, {"include:sendgrid.net"}),
    "ses": (SES, {"include:amazonses.com"}),
    "custom": ({"preset": "custom", "host": "smtp.example.net"}, ADDRESSES),
    "custom-spf": (
        {"preset": "custom", "host": "smtp.example.net", "spf_include": "spf.example.org"},
        {"include:spf.example.org"},
    ),
}


def spf(plan: Plan, name: str) -> list[str]:
    """Return the terms of a domain's one SPF record, without its version."""
    texts = [getattr(record.data, "value", "") for record in dns_records(plan) if record.name == name]
    [record] = [text for text in texts if text.startswith("v=spf1 ")]
    return str(record).split()[1:]


def exchangers(plan: Plan, name: str) -> set[str]:
    return {getattr(r.data, "exchange", "") for r in dns_records(plan) if (r.name, r.type) == (name, "MX")}


def stack(first: str, own: str | None, fallback: str | None = None) -> dict[str, Any]:
    """Return a stack whose mail goes to ``first``, that of example.org to ``own``, and to ``fallback`` at need."""
    raw = example()
    if first != "google":
        del raw["relay_rule"]  # a rule of Google's
    raw["relay"]["upstream"] = UPSTREAMS[first][0]
    raw["domains"][0]["spf"]["include"] = []
    further = raw["relay"]["upstreams"] = {}
    if own is not None:
        further["own"] = UPSTREAMS[own][0]
        raw["domains"][1]["upstream"] = "own"
    if fallback is not None:
        further["spare"] = UPSTREAMS[fallback][0]
        raw["relay"]["fallback_upstream"] = "spare"
    return raw


# -- SPF and MX -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fallback", [None, *UPSTREAMS])
@pytest.mark.parametrize("own", UPSTREAMS)
def test_spf_of_a_domain_names_its_own_upstream_and_the_fallback_and_nobody_else(
    own: str, fallback: str | None
) -> None:
    plan = load_plan(stack("google", own, fallback))
    more = UPSTREAMS[fallback][1] if fallback else set()
    for domain, upstream, ending in (("example.com", "google", "-all"), ("example.org", own, "~all")):
        terms = spf(plan, domain)
        assert set(terms) == UPSTREAMS[upstream][1] | more | {ending}
        assert len(terms) == len(set(terms)), "each once"
        assert terms[-1] == ending


@pytest.mark.parametrize(("first", "own"), itertools.permutations(UPSTREAMS, 2))
def test_spf_of_a_domain_does_not_follow_the_upstream_of_another(first: str, own: str) -> None:
    plan = load_plan(stack(first, own))
    assert set(spf(plan, "example.com")) == UPSTREAMS[first][1] | {"-all"}
    assert set(spf(plan, "example.org")) == UPSTREAMS[own][1] | {"~all"}


def test_spf_of_a_domain_keeps_its_other_senders_beside_its_own_upstream() -> None:
    own = {"include": ["spf.example.net", "mailgun.org"], "mechanisms": ["ip4:93.184.216.40"]}
    terms = spf(accepted(several, {"domains.1.spf": own}), "example.org")
    assert sorted(terms) == ["include:mailgun.org", "include:spf.example.net", "ip4:93.184.216.40", "~all"]


@pytest.mark.parametrize("protocol", ["ipv4", "ipv6"])
def test_spf_of_a_domain_names_only_the_addresses_its_own_upstream_sees(protocol: str) -> None:
    raw = stack("google", "custom")
    raw["relay"]["ip_protocol"] = protocol
    plan = load_plan(raw)
    assert spf(plan, "example.org")[:-1] == [term for term in ADDRESSES if term.startswith(protocol.replace("v", ""))]
    assert "ip" not in " ".join(spf(plan, "example.com")).replace("include:_spf.google.com", "")


@pytest.mark.parametrize(
    ("first", "own", "expected"),
    [
        ("google", "mailgun", ({"smtp.google.com"}, set())),
        ("mailgun", "google", (set(), {"smtp.google.com"})),
        ("google", "google", ({"smtp.google.com"}, {"smtp.google.com"})),
    ],
)
def test_mailboxes_are_where_a_domains_own_upstream_has_them(first: str, own: str, expected: Any) -> None:
    plan = load_plan(stack(first, own))
    assert (exchangers(plan, "example.com"), exchangers(plan, "example.org")) == expected


def test_a_fallback_brings_no_mailboxes() -> None:
    assert exchangers(load_plan(stack("mailgun", None, "google")), "example.org") == set()


# -- Google's relay rule ----------------------------------------------------------------------------------------------

THIRD = {"name": "shop.example.com"}
CHOICES = [choice for choice in itertools.product([None, "mailgun", "second"], repeat=3) if set(choice) != {"mailgun"}]


def ruled(choice: Sequence[str | None], **relay: Any) -> dict[str, Any]:
    """Return a stack of three domains, each with its upstream; ``second`` is another account at Google."""
    raw = example()
    raw["domains"].append(dict(THIRD))
    for domain, upstream in zip(raw["domains"], choice, strict=True):
        domain["upstream"] = upstream
    further = {"mailgun": MAILGUN, "second": GOOGLE}
    named = {*choice, relay.get("fallback_upstream")}
    raw["relay"] |= {"upstreams": {name: further[name] for name in further if name in named}, **relay}
    return raw


@pytest.mark.parametrize("choice", CHOICES)
def test_the_relay_rule_covers_exactly_the_domains_whose_mail_goes_to_google(choice: tuple[str | None, ...]) -> None:
    names = ("example.com", "example.org", "shop.example.com")
    expected = tuple(name for name, upstream in zip(names, choice, strict=True) if upstream != "mailgun")
    assert relay_rule(load_plan(ruled(choice))).domains == expected


def test_the_relay_rule_covers_every_domain_where_google_is_the_fallback() -> None:
    plan = load_plan(ruled(("mailgun", None, "mailgun"), fallback_upstream="second"))
    assert relay_rule(plan).domains == ("example.com", "example.org", "shop.example.com")


def test_a_fallback_elsewhere_takes_no_domain_out_of_the_relay_rule() -> None:
    plan = load_plan(ruled((None, "mailgun", None), fallback_upstream="mailgun"))
    assert relay_rule(plan).domains == ("example.com", "shop.example.com")


def test_a_relay_rule_nobodys_mail_needs_is_refused() -> None:
    raw = ruled(("mailgun", "mailgun", "mailgun"))
    assert [problem.field for problem in problems(raw)] == ["relay_rule"]
    assert problems(changed(raw, {"relay_rule": REMOVE})) == []


def test_a_relay_rule_with_another_first_upstream_is_refused_and_removing_it_helps() -> None:
    raw = changed(several(), {"relay.upstream": SENDGRID})
    [problem] = problems(raw)
    assert (problem.field, problem.fix) == ("relay_rule", "remove it, or use preset google-workspace")
    assert "the upstream is sendgrid" in problem.rule
    for way in ({"relay_rule": REMOVE}, {"relay.upstream": {"preset": "google-workspace"}}):
        assert problems(changed(raw, way)) == []


# -- secrets ----------------------------------------------------------------------------------------------------------


def without_secrets() -> dict[str, Any]:
    """Return a stack that lacks every secret of upstreams, logins and shared keys."""
    raw = changed(logins(), {"relay.upstreams": {"mailgun": MAILGUN, "sendgrid": SENDGRID, "open": {}}})
    raw["relay"]["fallback_upstream"] = "sendgrid"
    raw["domains"][0]["upstream"], raw["domains"][1]["upstream"] = "mailgun", "open"
    raw["domains"][1]["dkim"] = [{"selector": "mail", "key": "common"}]
    for name in ("mailgun", "sendgrid"):
        del raw["relay"]["upstreams"][name]["password"]
    raw["relay"]["submission"]["users"] = [
        {"name": "shop"},
        {"name": "kept", "password": "kept-password"},
        {"name": "b"},
    ]
    return raw


MADE = {
    "mailstack:dkim_keys.common.private_key",
    "mailstack:relay.submission.users[0].password",
    "mailstack:relay.submission.users[2].password",
}
ASKED = ["mailstack:relay.upstreams.mailgun.password", "mailstack:relay.upstreams.sendgrid.password"]


def test_missing_passwords_of_further_upstreams_users_and_shared_keys_are_all_named() -> None:
    steps = missing_secrets(without_secrets())
    assert {step.path for step in steps if step.ours} == MADE
    assert [step.path for step in steps if not step.ours] == ASKED
    assert all(any(name in step.what for name in ("mailgun", "sendgrid", "shop", "b", "common")) for step in steps)
    for complete in (several(), spare(), logins()):
        assert missing_secrets(complete) == [], "and none that is there"


def stack_file(folder: Path, raw: dict[str, Any]) -> Path:
    path = folder / "Pulumi.x.yaml"
    path.write_text(yaml.safe_dump({"config": {f"mailstack:{key}": value for key, value in raw.items()}}))
    return path


def test_init_makes_the_passwords_of_users_and_names_those_of_upstreams(tmp_path: Path) -> None:
    stack_file(tmp_path, without_secrets())
    made: dict[str, str] = {}
    rest = initialise("x", tmp_path, lambda _line: None, lambda argv, stdin: made.update({argv[-3]: stdin}))
    assert [step.path for step in rest] == ASKED
    secrets = {path: value for path, value in made.items() if path.startswith("mailstack:")}
    assert secrets.keys() == MADE
    assert len(set(secrets.values())) == len(MADE), "each its own"


def test_what_is_missing_is_filled_for_a_check_in_the_form_that_is_demanded(tmp_path: Path) -> None:
    raw = rehearsal_config(stack_file(tmp_path, without_secrets()))
    assert problems(raw, tmp_path) == []
    for path in (*MADE, *ASKED):
        place: Any = raw
        for part in re.findall(r"[^.\[\]]+", path.removeprefix("mailstack:")):
            place = place[int(part) if part.isdigit() else part]
        assert place, path
    assert raw["relay"]["upstreams"]["sendgrid"]["password"].startswith("SG.")
    assert {step.path for step in missing_secrets(without_secrets())} == {*MADE, *ASKED}, "they are still missing"


def test_passwords_of_upstreams_and_users_and_shared_keys_in_clear_are_refused(tmp_path: Path) -> None:
    raw = changed(logins(), {"relay.upstreams.mailgun": MAILGUN, "relay.fallback_upstream": "mailgun"})
    raw["dkim_keys"] = {"common": {"private_key": dkim_key()}}
    written = Written.in_file(stack_file(tmp_path, raw))
    found = {problem.field: problem for problem in written.problems(load_plan(raw).settings)}
    wanted = {
        "relay.upstreams.mailgun.password",
        "relay.submission.users[0].password",
        "dkim_keys.common.private_key",
    }
    assert wanted <= found.keys()
    for field in wanted:
        assert found[field].value == "[secret]"
        assert f"--path 'mailstack:{field}'" in found[field].fix, "the command that encrypts it"
