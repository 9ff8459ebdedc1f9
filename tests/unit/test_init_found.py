"""What DNS has of a domain already: `mailstack init` keeps all of it, and no strange record stands in its way."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.verify_options import WrongCallError
from mailstack.plan import load_plan
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.problems import SettingsError
from mailstack.start.answers import InDns
from tests.unit.stack_examples import HOST_KEY
from tests.unit.test_init_command import Person, World, config, init, one_key
from tests.unit.test_init_file import answers, plan_of, written
from tests.unit.test_init_pins import refusing

__all__ = ["one_key"]

NULL_MX = InDns(mx=((0, "."),))


def found(**there: Any) -> World:
    return World(in_dns={"example.com": InDns(**there)})


def domain_of(folder: Path) -> dict[str, Any]:
    domain: dict[str, Any] = config(folder)["mailstack:domains"][0]
    load_plan(rehearsal_config(folder / "Pulumi.fresh.yaml"))
    return domain


@pytest.mark.parametrize("upstream", ["google-workspace", "sendgrid"])
@pytest.mark.parametrize("postal", ["vm", "none"])
def test_a_domain_without_mailboxes_stays_one(upstream: str, postal: str, tmp_path: Path) -> None:
    login = "apikey" if upstream == "sendgrid" else None
    tls = "acme" if postal == "vm" else "none"
    there = answers("vm", upstream, "none", postal, tls, contact="ops@example.net", username=login,
                    domains=("example.com",), in_dns={"example.com": NULL_MX})  # fmt: skip
    plan = plan_of(written(tmp_path, there))
    [domain] = plan.settings.domains
    assert (domain.profile, domain.mx) == ("send-only", None)
    assert domain.dmarc.aggregate_reports == ("ops@example.net",)


def test_nobody_is_offered_a_mailbox_of_a_domain_that_takes_no_mail(tmp_path: Path) -> None:
    looks = World(in_dns={"example.com": NULL_MX})
    with pytest.raises(WrongCallError, match="these are missing: --contact"):
        init(tmp_path, looks=looks, host_key=HOST_KEY)
    with pytest.raises(WrongCallError, match=r"--contact.*null MX"):
        init(tmp_path, looks=looks, host_key=HOST_KEY, given={"contact": "postmaster@Example.com"})
    person = Person({"Mailbox": "ops@example.net"})
    assert init(tmp_path, looks=looks, asker=person) == 0
    assert ("Mailbox for notices, DMARC reports and certificates", None) in person.asked
    several = {"domains": ["example.com", "example.net"]}
    assert init(tmp_path, looks=looks, asker=Person(), given=several, stack="second") == 0
    assert "postmaster: postmaster@example.net" in (tmp_path / "Pulumi.second.yaml").read_text()


def test_a_policy_is_read_as_receivers_read_it_and_kept_with_its_other_tags(tmp_path: Path) -> None:
    text = "v=DMARC1; P=Reject; sp=Quarantine; np=reject; adkim=s; aspf=r; ruf=mailto:f@example.com; fo=1"
    assert init(tmp_path, looks=found(dmarc=text), asker=Person()) == 0
    assert domain_of(tmp_path)["dmarc"] == {
        "policy": "reject", "subdomain_policy": "quarantine", "nonexistent_policy": "reject",
        "aggregate_reports": ["postmaster@example.com"], "failure_reports": ["f@example.com"],
        "dkim_alignment": "strict",
    }  # fmt: skip
    assert "makes it stricter" not in (tmp_path / "Pulumi.fresh.yaml").read_text()


def test_a_policy_for_subdomains_that_production_refuses_says_so(tmp_path: Path) -> None:
    assert init(tmp_path, looks=found(dmarc="v=DMARC1; p=reject; sp=none"), asker=Person()) == 0
    assert "subdomain_policy: none" in (text := (tmp_path / "Pulumi.fresh.yaml").read_text())
    assert "Found in DNS; `mailstack policy` refuses it in prod." in text


def test_what_is_not_kept_of_a_policy_stands_beside_it(tmp_path: Path) -> None:
    assert init(tmp_path, looks=found(dmarc="v=DMARC1; p=quarantine; pct=20"), asker=Person()) == 0
    text = " ".join((tmp_path / "Pulumi.fresh.yaml").read_text().replace("#", "").split())
    assert "with pct=20, which counts no more and is not kept; docs/how-to/dmarc-ramp.md makes it stricter" in text


@pytest.mark.slow
def test_a_policy_of_none_becomes_the_first_stage_of_a_ramp_which_the_policies_take(tmp_path: Path) -> None:
    there = {"example.com": InDns(dmarc="v=DMARC1; p=none; rua=mailto:d@example.com")}
    path = written(tmp_path, answers("vm", "google-workspace", "none", "none", "none", in_dns=there))
    dmarc = yaml.safe_load(path.read_text())["config"]["mailstack:domains"][0]["dmarc"]
    assert dmarc == {"ramp": [{"policy": "none", "since": "2026-11-29"}], "aggregate_reports": ["d@example.com"]}
    assert plan_of(path).settings.domains[0].dmarc.stage == "none"
    assert refusing(path) == set()


@pytest.mark.parametrize(
    "text",
    ["v=spf1 redirect=_spf.google.com", "V=SPF1 Redirect=_SPF.Google.com", "v=spf1 include:_spf.google.com ~all"],
)
def test_the_record_that_google_tells_everybody_to_make_is_not_written_down_beside_its_like(
    text: str, tmp_path: Path
) -> None:
    assert "spf:" not in written(tmp_path, answers(in_dns={"example.com": InDns(spf=text)})).read_text()


@pytest.mark.parametrize(
    ("there", "key", "why"),
    [
        ({"spf": "v=spf1 ipv4:93.184.216.7 -all"}, "spf", "ipv4"),
        ({"spf": "v=spf1 " + " ".join(f"include:s{n}.example.net" for n in range(12))}, "spf", "16 DNS lookups"),
        ({"dmarc": "v=DMARC1; p=reject; rua=mailto:nobody"}, "dmarc", "must be a mail address"),
        ({"mx": ((10, "mail_1.example.com"),)}, "mx", "must be a domain name"),
    ],
)
def test_a_record_that_the_settings_refuse_is_told_and_does_not_stand_in_the_way(
    there: dict[str, Any], key: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"upstream": "google-workspace"}
    assert init(tmp_path, looks=found(**there), asker=Person(), given=given) == 0
    assert domain_of(tmp_path).get(key) in (
        None, {"policy": "quarantine", "aggregate_reports": ["postmaster@example.com"]})  # fmt: skip
    [line] = [one for one in capsys.readouterr().out.splitlines() if "is not in the file" in one]
    assert line.startswith(f"example.com: {key.upper()} of before")
    assert why in line


def test_of_several_records_only_those_that_are_refused_are_left_out(tmp_path: Path) -> None:
    looks = found(mx=((5, "mx.mailboxes.net"),), spf="v=spf1 foo:bar -all", dmarc="v=DMARC1; p=reject; rua=mailto:x")
    assert init(tmp_path, looks=looks, asker=Person()) == 0
    domain = domain_of(tmp_path)
    assert domain["mx"] == [{"preference": 5, "exchange": "mx.mailboxes.net"}]
    assert ("spf" in domain, domain["dmarc"]["policy"]) == (False, "quarantine")


def test_a_mistake_of_an_answer_is_told_as_before(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="public_ipv4") as told:
        init(tmp_path, looks=found(spf="v=spf1 foo:bar -all"), host_key=HOST_KEY, public_ipv4="10.0.0.1")
    assert "foo:bar" not in str(told.value), "what is left out is no mistake any more"
    assert list(tmp_path.iterdir()) == []
