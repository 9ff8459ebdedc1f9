"""Role caddy without a host: its plan, what it says of certificates, how it runs Caddy."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from caddy import look, service
from caddy.container import Container
from caddy.pairs import covers, problems
from caddy.planning import expiry_warnings, needs_restart, plan
from caddy.service import Service
from mailstack.caddy.definition import Acme, CaddyDefinition, SmtpDelivery, role_settings
from rolelib.commands import Result
from rolelib.host import RoleError
from tests.unit.caddy_authorities import Authorities

NAME = "mx.example.com"
NOW = time.time()
SETTINGS = role_settings(
    CaddyDefinition(
        certificates=Acme(email="it@example.com"), web_names=("postal.example.com",), smtp=SmtpDelivery(name=NAME)
    )
)
AS_DECLARED: dict[str, Any] = {
    "leftover": False, "version": "2.6.2", "active": True, "other": None,
    "files": [], "stale": [], "runtime": [], "sites": [], "smtp": [],
}  # fmt: skip


# -- the plan -------------------------------------------------------------------------------------------------


def steps(**facts: Any) -> list[tuple[str, str]]:
    return [(step["kind"], step["what"]) for step in plan(AS_DECLARED | facts, SETTINGS)]


def test_a_host_as_declared_needs_nothing() -> None:
    assert steps() == []


def test_a_bare_host_gets_everything_in_order() -> None:
    found = steps(version=None, active=False, files=["the configuration is missing"], smtp=["program is missing"])
    assert [kind for kind, _ in found] == ["install", "files", "smtp"]


def test_a_run_that_was_cut_off_is_undone_first() -> None:
    assert steps(leftover=True, files=["x"])[0][0] == "resume"


def test_a_caddy_that_does_not_run_is_said_once_and_not_for_every_site() -> None:
    found = steps(active=False, runtime=["service caddy is not running"], sites=["https://a is not served"])
    assert found == [("service", "service caddy is not running")]


def test_the_other_placement_and_pairs_no_longer_declared_are_drift() -> None:
    found = steps(other="Caddy as a container gives way to the service", stale=["/etc/caddy/certificates/old"])
    assert [kind for kind, _ in found] == ["placement", "files"]


@pytest.mark.parametrize(
    ("facts", "units", "expected"),
    [({}, False, False), ({}, True, True), ({"active": False}, False, True), ({"runtime": ["x"]}, False, True)],
)
def test_caddy_is_only_restarted_where_a_reload_is_not_enough(
    facts: dict[str, Any], units: bool, expected: bool
) -> None:
    assert needs_restart(AS_DECLARED | facts, units) is expected


DAY = 86_400


@pytest.mark.parametrize(
    ("kind", "life_days", "left_days", "warned"),
    [
        ("custom", 365, 13.9, True),
        ("custom", 365, 14.1, False),
        ("acme", 90, 20, False),  # Caddy renews with 30 days left, so this is odd, but there is time
        ("acme", 90, 13, True),
        ("acme", 6, 3, False),  # short-lived ones are normal
        ("acme", 6, 1.4, True),
        ("internal", 0.5, 0.4, False),
        ("internal", 0.5, 0.1, True),
    ],
)
def test_expiring_certificates_are_reported_when_somebody_has_to_act(
    kind: str, life_days: float, left_days: float, warned: bool
) -> None:
    dates = {"not_before": NOW - (life_days - left_days) * DAY, "not_after": NOW + left_days * DAY}
    warnings = expiry_warnings(kind, {NAME: dates}, 14, NOW)
    assert bool(warnings) is warned
    assert all(NAME in warning for warning in warnings)


# -- certificates ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    return Authorities(tmp_path_factory.mktemp("ca"))


def test_a_good_pair_has_no_problems(authorities: Authorities) -> None:
    chain, key = authorities.leaf(NAME, "*.example.org")
    assert len(chain) == 2
    assert problems("".join(chain), key, [NAME, "a.example.org"], NOW, str(authorities.ca_file)) == []
    windows = "".join(chain).replace("\n", "\r\n")
    assert problems(windows, key, [NAME], NOW, str(authorities.ca_file)) == []


def wrong(authorities: Authorities, case: str) -> tuple[str, str]:
    chain, key = authorities.leaf()
    other = trustme.CA(organization_name="Elsewhere")
    cases: dict[str, Callable[[], tuple[str, str]]] = {
        "has no -----BEGIN CERTIFICATE-----": lambda: ("nonsense", key),
        "openssl cannot read the certificate": lambda: (chain[0].replace("M", "!"), key),
        "key cannot be read": lambda: ("".join(chain), "nonsense"),
        "key is encrypted": lambda: ("".join(chain), "-----BEGIN ENCRYPTED PRIVATE KEY-----"),
        "their public keys differ": lambda: ("".join(chain), authorities.leaf()[1]),
        "has expired 2 days ago": lambda: _joined(authorities.leaf(start=-30, end=-2.5)),
        "is not valid before 3 days": lambda: _joined(authorities.leaf(start=2.5)),
        f"does not cover {NAME}": lambda: _joined(authorities.leaf("a.b.example.com", "*.example.org")),
        "append the certificate of": lambda: (chain[0], key),
        "is not issued by the one below it": lambda: (chain[0] + other.cert_pem.bytes().decode() + chain[1], key),
        "does not end at": lambda: _joined(Authorities(authorities.ca_file.parent / "..").leaf()),
    }
    return cases[case]()


def _joined(pair: tuple[list[str], str]) -> tuple[str, str]:
    return "".join(pair[0]), pair[1]


@pytest.mark.parametrize(
    "words",
    [
        "has no -----BEGIN CERTIFICATE-----",
        "openssl cannot read the certificate",
        "key cannot be read",
        "key is encrypted",
        "their public keys differ",
        "has expired 2 days ago",
        "is not valid before 3 days",
        f"does not cover {NAME}",
        "append the certificate of",
        "is not issued by the one below it",
        "does not end at",
    ],
)
def test_a_pair_that_would_not_work_is_named_with_the_fix(authorities: Authorities, words: str) -> None:
    chain, key = wrong(authorities, words)
    found = problems(chain, key, [NAME], NOW, str(authorities.ca_file))
    assert any(words in problem for problem in found), found


def test_every_problem_is_said_at_once(authorities: Authorities) -> None:
    chain, _ = authorities.leaf("other.example.net", end=-1)
    found = problems(chain[0], authorities.leaf()[1], [NAME], NOW, str(authorities.ca_file))
    assert len(found) == 4  # key, date, name, chain


def test_a_wildcard_stands_for_one_label() -> None:
    assert covers(["*.example.com"], NAME)
    assert not covers(["*.example.com"], "a.b.example.com")
    assert not covers(["*.example.com"], "example.com")
    assert not covers(["*.com"], NAME)


# -- the build ------------------------------------------------------------------------------------------------


class FakeRuntime(Service):
    def __init__(self, *modules: str) -> None:
        self.known = list(modules)

    def modules(self) -> list[str]:
        return self.known


@pytest.mark.parametrize(
    ("version", "modules", "words"),
    [
        (None, [], "the distribution's package has none"),
        ("2.11.9", ["tls.issuance.acme"], "`caddy list-modules` of Caddy 2.11.9 here does not show it"),
        ("v2.7.6", ["dns.providers.cloudflare"], "needs Caddy 2.8 or later"),
    ],
)
def test_challenge_dns_is_refused_where_the_build_cannot_do_it(version: Any, modules: list[str], words: str) -> None:
    wanted = {"certificates": {"kind": "acme", "challenge": "dns"}}
    with pytest.raises(RoleError, match=words):
        look.check_build(wanted, FakeRuntime(*modules), version)


def test_challenge_dns_is_taken_where_the_build_can_do_it() -> None:
    wanted = {"certificates": {"kind": "acme", "challenge": "dns"}}
    look.check_build(wanted, FakeRuntime("dns.providers.cloudflare"), "v2.8.4")


def test_on_dnf_hosts_the_package_comes_from_copr_and_its_socket_gets_a_label(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[str] = []

    def fake(argv: list[str], **_: Any) -> Result:
        commands.append(" ".join(argv))
        return Result(argv, 0, "2.10.0\n", "")

    monkeypatch.setattr(service, "run", fake)
    monkeypatch.setattr(service, "package_family", lambda: "dnf")
    monkeypatch.setattr(service, "install_packages", lambda names: commands.append(f"install {' '.join(names)}"))
    monkeypatch.setattr(Service, "version", lambda self: "2.10.0")
    made = Service({"copr_repository": "@caddy/caddy"})
    made.install()
    assert commands == [
        "systemctl mask --runtime caddy.service",
        "install dnf-command(copr)",
        "dnf -y copr enable @caddy/caddy",
        "install caddy",
        "systemctl unmask --runtime caddy.service",
    ]
    assert "chcon -t httpd_var_run_t /run/mailstack-caddy" in made.files()[0].content


def test_the_container_has_no_rights_but_the_low_ports_and_no_secret_in_its_options() -> None:
    options = Container({"image": "caddy:2"})._create()
    text = " ".join(options)
    assert "--network host" in text
    assert "--cap-drop ALL --cap-add NET_BIND_SERVICE" in text
    assert "--read-only" in options
    assert "/etc/caddy:/etc/caddy:ro,z" in options
    variables = [after for before, after in itertools.pairwise(options) if before == "--env"]
    assert variables == ["HOME=/data", "XDG_CONFIG_HOME=/config"]
