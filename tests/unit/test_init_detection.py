"""What `mailstack init` finds out: offered to a person, never taken without one, and never waited for long."""

import json
import socket
import time
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme

from cli.common import called, with_own_programs
from cli.init_looks import Real
from cli.verify_options import WrongCallError
from mailstack.reach import before_cluster
from mailstack.reach.before import HostSeen
from mailstack.reach.before_cluster import ClusterSeen, contexts, docker_here, look_at_cluster
from mailstack.reach.bounded import all_within, within
from mailstack.reach.kubectl import Kubectl
from mailstack.start.answers import HostPlace, InDns
from mailstack.start.questions import upstream_seen
from tests.unit.stack_examples import HOST_KEY
from tests.unit.test_init_command import GIVEN, Person, World, config, init, one_key

__all__ = ["one_key"]

T = TypeVar("T")

NOTHING = dict.fromkeys(GIVEN)


def offers(person: Person) -> dict[str, str | None]:
    """Return what each question offered, by its first words."""
    return {" ".join(text.split()[:3]): default for text, default in person.asked}


# --- what is offered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "upstream"),
    [
        (InDns(mx=((1, "smtp.google.com"),), spf="v=spf1 include:sendgrid.net ~all"), "google-workspace"),
        (InDns(mx=((5, "alt1.aspmx.l.google.com"),)), "google-workspace"),
        (InDns(mx=((10, "aspmx2.googlemail.com"),)), "google-workspace"),
        (InDns(mx=((10, "mx.notgoogle.com"),), spf="v=spf1 include:amazonses.com -all"), "ses"),
        (InDns(spf="v=spf1 include:mailgun.org -all"), "mailgun"),
        (InDns(spf="v=spf1 include:sendgrid.net.evil.example -all"), None),
        (InDns(), None),
        (None, None),
    ],
)
def test_who_takes_the_mail_today_is_seen_in_dns(found: InDns | None, upstream: str | None) -> None:
    assert upstream_seen(found) == upstream


def test_a_person_is_offered_the_service_and_the_provider_that_dns_shows(tmp_path: Path) -> None:
    there = InDns(spf="v=spf1 include:amazonses.com ~all", dmarc="v=DMARC1; p=reject; rua=mailto:d@example.com")
    person = Person({"Domains": "example.com", "Host": "admin@mail.example.com", "Region": "eu-west-1",
                     "Login": "AKIAIOSFODNN7EXAMPLE"})  # fmt: skip
    world = World(provider="cloudflare", in_dns={"example.com": there})
    assert init(tmp_path, given=NOTHING, asker=person, looks=world) == 0
    assert offers(person)["Service that takes"] == "ses"
    assert offers(person)["Who publishes the"] == "cloudflare"
    assert config(tmp_path)["mailstack:domains"][0]["dmarc"]["policy"] == "reject"
    assert world.asked.count("DNS of example.com") == 1


def test_records_that_nobody_would_see_are_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(tmp_path, given={"dns": "cloudflare"}, host_key=HOST_KEY, looks=World(provider="none"))
    assert "example.com is not delegated to Cloudflare" in capsys.readouterr().out


def test_a_domain_that_nobody_answers_for_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(tmp_path, given={"domains": ["example.com", "other.example"]}, host_key=HOST_KEY,
         looks=World(in_dns={"other.example": InDns()}))  # fmt: skip
    assert [line for line in capsys.readouterr().out.splitlines() if "no answer from DNS" in line] == [
        "example.com: no answer from DNS, so MX, SPF and DMARC of before are not in the file: compare, and add them"
    ]


@pytest.mark.parametrize(("memory", "postal", "told"), [(961, "vm", True), (961, "none", False), (1966, "vm", False)])
def test_a_host_with_too_little_memory_for_postal_is_named(
    memory: int, postal: str, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = HostSeen(system="Debian 12", addresses=("93.184.216.34",), root=True, memory_mb=memory)
    given = {"postal": postal, "tls": "acme" if postal == "vm" else "none"}
    assert init(tmp_path, given=given, host_key=HOST_KEY, looks=World(seen=seen)) == 0
    assert ("has 961 MB of memory, and Postal needs 2000" in capsys.readouterr().out) == told


CLUSTER = ClusterSeen(egress=("93.184.216.40", "93.184.216.41"), ingress="traefik", web=("93.184.216.42",),
                      databases=("mariadb.data.svc.cluster.local",), issuers=("letsencrypt",))  # fmt: skip
ON_CLUSTER = {"placement": "kubernetes", "upstream": "google-workspace", "host_text": None, "tls": None,
              "postal": "kubernetes"}  # fmt: skip


def test_a_person_is_offered_contexts_addresses_database_and_issuer_of_the_cluster(tmp_path: Path) -> None:
    person, world = Person({"Image": "registry.example.com/relay:1", "Address of the load": "93.184.216.43"}), World()
    world.cluster_seen = CLUSTER
    assert init(tmp_path, given=ON_CLUSTER, asker=person, looks=world) == 0
    found = config(tmp_path)
    assert found["mailstack:relay"]["egress_addresses"] == ["93.184.216.40", "93.184.216.41"]
    postal = found["mailstack:postal"]
    assert postal["database"]["address"] == "mariadb.data.svc.cluster.local"
    assert postal["kubernetes"] == {
        "context": "prod",
        "smtp_addresses": ["93.184.216.43"],
        "web_addresses": ["93.184.216.42"],
        "issuer": {"name": "letsencrypt"},
        "web": {"controller_namespace": "traefik"},
        "network_policies": {"database_namespace": "data"},
    }
    assert world.asked.count("cluster prod") == 1


def test_no_cluster_is_asked_and_nothing_taken_from_it_without_a_person(tmp_path: Path) -> None:
    world = World()
    world.cluster_seen = CLUSTER
    with pytest.raises(WrongCallError) as told:
        init(tmp_path, given=ON_CLUSTER, looks=world)
    for flag in (
        "--context",
        "--image",
        "--egress-address",
        "--database",
        "--smtp-address",
        "--web-address",
        "--tls (",
    ):
        assert flag in str(told.value)
    assert not any("cluster" in one or "contexts" in one for one in world.asked)


def test_a_cluster_that_does_not_answer_is_told_and_asked_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    world.cluster_seen = ClusterSeen(why="connection refused")
    person = Person({"Image": "registry.example.com/relay:1", "Public addresses": "93.184.216.40"})
    assert init(tmp_path, given={**ON_CLUSTER, "postal": "none"}, asker=person, looks=world) == 0
    assert "the cluster was not looked at: connection refused" in capsys.readouterr().out


def test_the_engine_of_this_machine_is_looked_at_where_it_is_to_run_the_relay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"placement": "docker", "engine": "local", "egress": ["93.184.216.40"], "host_text": None}
    assert init(tmp_path, given=given) == 0
    assert "no Docker engine answers here: no socket" in capsys.readouterr().out
    relay = config(tmp_path)["mailstack:relay"]
    assert relay["docker"] == {"endpoint": "unix:///var/run/docker.sock"}
    assert "mailstack:hosts" not in config(tmp_path)


@pytest.mark.parametrize(
    ("given", "postal"),
    [
        ({"tls": "acme"}, True),
        ({"tls": "none"}, False),
        ({"placement": "docker", "upstream": "google-workspace", "tls": "acme"}, True),
        ({"placement": "docker", "upstream": "google-workspace", "tls": None}, False),
    ],
)
def test_tls_alone_says_whether_postal_is_wanted(given: dict[str, Any], postal: bool, tmp_path: Path) -> None:
    assert init(tmp_path, given=given, host_key=HOST_KEY) == 0
    assert ("mailstack:postal" in config(tmp_path)) == postal


# --- answers that cannot be -----------------------------------------------------------------------------------------


def test_a_wrong_answer_is_told_at_once_and_asked_again(tmp_path: Path) -> None:
    class Learns(Person):
        def ask(self, text: str, choices: Any, default: str | None) -> str:
            first = not any(text == asked for asked, _ in self.asked)
            answer = super().ask(text, choices, default)
            wrong = {"Domains": "exa mple", "Host,": "admin@", "Mailbox": "me", "Public": "10.0.0"}
            return wrong.get(text.split(maxsplit=1)[0], answer) if first else answer

    person = Learns({"Domains": "example.com", "Host,": "admin@mail.example.com"})
    assert init(tmp_path, given=NOTHING, asker=person, looks=World(provider="none"), host_key=HOST_KEY) == 0
    assert [one.split(" must")[0] for one in person.told] == [
        '"exa mple"', '"admin@" is not of the form user@address or user@address:port', '"me"', '"10.0.0"']  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"given": {"domains": ["exa mple"]}}, "--domain"),
        ({"given": {"domains": [","]}}, "--domain"),
        ({"given": {"contact": "me"}}, "--contact"),
        ({"given": {"placement": "docker", "engine": "local", "host_text": None, "egress": ["1"]}}, "--egress-address"),
        ({"host_key": "ssh-rsa AAAA"}, "--host-key"),
        ({"public_ipv4": "::1"}, "--public-ipv4"),
        ({"public_ipv6": "10.0.0.1"}, "--public-ipv6"),
        ({"given": {"placement": "none", "username": "me@x.org", "upstream": "custom"}}, "--upstream-user"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_the_name_of_its_flag(changes: dict[str, Any], flag: str, tmp_path: Path) -> None:
    with pytest.raises(WrongCallError, match=f"^{flag}"):
        init(tmp_path, **{"host_key": HOST_KEY, **changes})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("typed", "name"),
    [("Example.COM.", "example.com"), ("münchen.de", "xn--mnchen-3ya.de"), ("a.example,A.example", "a.example")],
)
def test_a_name_stands_in_the_file_as_dns_has_it(typed: str, name: str, tmp_path: Path) -> None:
    assert init(tmp_path, given={"domains": [typed]}, host_key=HOST_KEY) == 0
    assert [one["name"] for one in config(tmp_path)["mailstack:domains"]] == [name]
    assert config(tmp_path)["mailstack:relay"]["postmaster"] == f"postmaster@{name}"


def test_a_certificate_and_its_key_are_looked_at_before_anything_is_written(tmp_path: Path) -> None:
    authority = trustme.CA()
    good, other = authority.issue_cert("postal.example.com"), authority.issue_cert("postal.example.com")
    chain, key, wrong, text = (tmp_path / name for name in ("chain.pem", "key.pem", "wrong.pem", "text.pem"))
    chain.write_bytes(b"".join(one.bytes() for one in good.cert_chain_pems))
    key.write_bytes(good.private_key_pem.bytes())
    wrong.write_bytes(other.private_key_pem.bytes())
    text.write_text("nothing")
    files = {chain, key, wrong, text}
    for certificate, its_key, why in (
        (chain, tmp_path / "nowhere.pem", "No such file"),
        (chain, wrong, "is not the key of the first certificate"),
        (chain, text, "has no key in PEM form"),
        (text, key, "has no certificate in PEM form"),
    ):
        with pytest.raises(WrongCallError, match=why):
            init(tmp_path, given={"tls": "custom", "certificate_file": str(certificate)}, host_key=HOST_KEY,
                 certificate_key=its_key)  # fmt: skip
        assert set(tmp_path.iterdir()) == files
    given = {"tls": "custom", "certificate_file": str(chain)}
    with pytest.raises(WrongCallError, match="missing: --certificate-key"):
        init(tmp_path, given=given, host_key=HOST_KEY)
    assert init(tmp_path, given=given, host_key=HOST_KEY, certificate_key=key) == 0


# --- how long it may take -------------------------------------------------------------------------------------------


def late(answer: T) -> T:
    """Take longer than anybody waits."""
    time.sleep(5)
    return answer


def test_a_look_ends_in_time_and_keeps_what_came() -> None:
    began = time.monotonic()
    assert within(0.2, lambda: late("late"), "nobody") == "nobody"
    assert all_within(0.2, {"fast": lambda: 1, "slow": lambda: late(2)}) == {"fast": 1}
    assert time.monotonic() - began < 2
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0, 0)


@pytest.mark.slow
def test_a_name_server_that_is_away_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.init_looks.LOOK_SECONDS", 0.2)
    monkeypatch.setattr("cli.init_looks.LOGIN_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(5))
    monkeypatch.setattr("cli.init_looks.look_at_host", lambda *_: time.sleep(5))
    looks, began = Real(resolvers=(), root=Path()), time.monotonic()
    assert looks.addresses("mail.example.com") == ()
    assert "did not answer within" in str(looks.host(HostPlace(user="a", address="b", port=22), HOST_KEY).why)
    found, missing = looks.digests(["registry.example.com/relay:1"])
    assert found == {}
    assert (
        "in time" in missing["registry.example.com/relay:1"] or "no answer" in missing["registry.example.com/relay:1"]
    )
    assert time.monotonic() - began < 3


# --- clusters and Docker --------------------------------------------------------------------------------------------

SERVICES = {"items": [
    {"metadata": {"name": "ingress-nginx-controller", "namespace": "ingress"},
     "spec": {"type": "LoadBalancer", "ports": [{"port": 80}, {"port": 443}]},
     "status": {"loadBalancer": {"ingress": [{"ip": "93.184.216.42"}, {"hostname": "lb.example.com"}]}}},
    {"metadata": {"name": "ingress-nginx-admission", "namespace": "ingress"},
     "spec": {"type": "ClusterIP", "ports": [{"port": 443}]}},
    {"metadata": {"name": "mariadb", "namespace": "data"}, "spec": {"ports": [{"port": 3306}]}},
]}  # fmt: skip
NODES = {"items": [{"status": {"addresses": [
    {"type": "InternalIP", "address": "10.0.0.1"}, {"type": "ExternalIP", "address": "93.184.216.40"}]}}]}  # fmt: skip


def kubectl(folder: Path, script: str) -> Kubectl:
    """Return one that runs a script."""
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Kubectl(None, "prod", program=program)


def test_a_cluster_tells_what_it_lets_be_listed(tmp_path: Path) -> None:
    (tmp_path / "services").write_text(json.dumps(SERVICES))
    (tmp_path / "nodes").write_text(json.dumps(NODES))
    asked = kubectl(tmp_path, f'[ -f {tmp_path}/$3 ] && exec cat {tmp_path}/$3; echo "no such kind" >&2; exit 1')
    assert look_at_cluster("prod", 5, asked) == ClusterSeen(
        egress=("93.184.216.40",), ingress="ingress", web=("93.184.216.42",),
        databases=("mariadb.data.svc.cluster.local",), issuers=(),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'was refused' >&2; exit 1", "was refused"),
        ("echo nonsense", "not understood"),
        ("exec sleep 30", "end within"),
    ],
)
def test_a_cluster_that_says_nothing_says_why(script: str, why: str, tmp_path: Path) -> None:
    began = time.monotonic()
    assert why in str(look_at_cluster("prod", 0.5, kubectl(tmp_path, script)).why)
    assert time.monotonic() - began < 3


def test_the_current_context_comes_first(tmp_path: Path) -> None:
    asked = kubectl(tmp_path, '[ "$3" = get-contexts ] && printf "lab\\nprod\\n" || echo prod')
    assert contexts(5, asked) == ("prod", "lab")
    assert contexts(5, Kubectl(None, program="no-such-kubectl")) == ()


def test_docker_here_says_its_version_or_why_not(tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\n[ -z \"$ENGINE\" ] && { echo 'Cannot connect' >&2; exit 1; }; echo 24.0.7\n")
    program.chmod(0o755)
    assert docker_here(5, [str(program)]) == (None, "Cannot connect")
    assert docker_here(5, ["env", "ENGINE=1", str(program)]) == ("24.0.7", "")
    assert docker_here(5, ["no-such-docker"]) == (None, "docker is not on PATH")
    assert before_cluster.docker_here(0.2, ["sleep", "5"])[0] is None


# --- how the next command is called ---------------------------------------------------------------------------------


def test_a_command_that_is_shown_works_from_where_the_person_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "the checkout"
    for place in (".venv/bin/mailstack", ".tools/bin/pulumi"):
        (own / place).parent.mkdir(parents=True)
        (own / place).touch(mode=0o755)
    for folder in ("ROOT", "SOURCE"):
        monkeypatch.setattr(f"cli.common.{folder}", own)
    monkeypatch.setattr("cli.common.OWN_PROGRAMS", own / ".tools/bin")
    monkeypatch.setenv("PATH", with_own_programs("/usr/bin"))
    assert called("mailstack", here=own) == ".venv/bin/mailstack"
    assert called("pulumi", here=own) == ".tools/bin/pulumi"
    assert called("mailstack", here=tmp_path / "elsewhere") == f"'{own}/.venv/bin/mailstack'"
    assert called("pulumi", here=tmp_path / "elsewhere") == f"'{own}/.tools/bin/pulumi' -C '{own}'"
    monkeypatch.setenv("PATH", with_own_programs(f"{own}/.venv/bin:{own}/.tools/bin"))
    assert called("mailstack", here=own) == "mailstack"


def test_the_last_word_calls_programs_as_the_person_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(tmp_path, host_key=HOST_KEY, called=lambda program: f"bin/{program}")
    assert capsys.readouterr().out.splitlines()[-1].startswith("next: bin/pulumi config set --secret")
    init(
        tmp_path,
        host_key=HOST_KEY,
        stack="google",
        given={"upstream": "google-workspace"},
        called=lambda one: f"bin/{one}",
    )
    assert capsys.readouterr().out.splitlines()[-1] == "next: bin/mailstack doctor --stack google"
