"""What is told about hosts one has a way into: health, served certificates, drift; and how the role reads a host."""

import hashlib
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from host_facts import look as host_look
from host_facts.__main__ import HostFacts as Role
from mailstack.reach.connection import Connection
from mailstack.reach.ssh import Finished, SshError
from mailstack.verify import host as host_module
from mailstack.verify.host import CertificateFile, HostAccessError, HostFacts, Machine, SshAccess, read_facts
from mailstack.verify.model import Finding, State
from mailstack.verify.target import Target
from rolelib import protocol
from rolelib.commands import Result
from tests.unit.verify_world import MX, SUBMISSION, Pki, SmtpStandin, context, free_port, host, look, only, target

HOUR, DAY = 3600.0, 86400.0
HEALTHY = HostFacts(
    clock_synchronised=True,
    disks={"/": 0.5, "/var": 0.4},
    memory=0.4,
    backups=True,
    last_backup=5 * HOUR,
    reboot_required=False,
    updates=3,
    security_updates=0,
    password_login=False,
)


MACHINE = "mail-1"


class Access:
    """Hands out what a test says about one machine, or raises it."""

    def __init__(self, facts: HostFacts | HostAccessError) -> None:
        self.says, self.asked = facts, 0

    def machines(self) -> tuple[str, ...]:
        return (MACHINE,)

    def at(self, address: str) -> str | None:
        return MACHINE if address == "127.0.0.1" else None

    def facts(self, machine: str) -> HostFacts:
        assert machine == MACHINE
        self.asked += 1
        if isinstance(self.says, HostAccessError):
            raise self.says
        return self.says


def health(facts: HostFacts | HostAccessError) -> dict[str, Finding]:
    found = look("host-health", context(target(host(MX)), access=Access(facts)))
    assert all(one.fix and one.expected for one in found if one.state in {State.FAIL, State.WARN})
    return {one.subject.removeprefix(MACHINE).strip(): one for one in found}


# --- 43 ---


def test_a_healthy_host_is_right_in_everything() -> None:
    found = health(HEALTHY)
    assert {name: one.state for name, one in found.items()} == dict.fromkeys(
        ("clock", "/", "/var", "memory", "backup", "updates", "reboot", "SSH"), State.OK
    )


@pytest.mark.parametrize(
    ("name", "change", "state"),
    [
        ("clock", {"clock_synchronised": False}, State.FAIL),
        ("clock", {"clock_synchronised": None}, State.UNKNOWN),
        ("/", {"disks": {"/": 0.1}}, State.WARN),
        ("/", {"disks": {"/": 0.01}}, State.FAIL),
        ("memory", {"memory": 0.03}, State.WARN),
        ("memory", {"memory": None}, State.UNKNOWN),
        ("backup", {"last_backup": 30 * HOUR}, State.WARN),
        ("backup", {"last_backup": 4 * DAY}, State.FAIL),
        ("backup", {"last_backup": None}, State.FAIL),
        ("backup", {"backups": False}, State.NOT_APPLICABLE),
        ("updates", {"security_updates": 2}, State.WARN),
        ("updates", {"updates": None}, State.UNKNOWN),
        ("reboot", {"reboot_required": True}, State.WARN),
        ("reboot", {"reboot_required": None}, State.UNKNOWN),
        ("SSH", {"password_login": True}, State.FAIL),
        ("SSH", {"password_login": None}, State.UNKNOWN),
    ],
)
def test_what_is_wrong_with_a_host_is_told_alone(name: str, change: dict[str, Any], state: State) -> None:
    found = health(HostFacts(**{**vars(HEALTHY), **change}))
    assert found[name].state is state
    assert {one.state for other, one in found.items() if other != name} == {State.OK}


def test_without_a_way_into_a_host_nothing_is_claimed() -> None:
    assert only("host-health", context(target(host(MX)))).state is State.NOT_APPLICABLE
    nobody = context(target(host(MX)), access=SshAccess(known={}))
    assert only("host-health", nobody).found == "no access to the host was given"
    broken = health(HostAccessError("mx was not reached over SSH"))[""]
    assert (broken.state, broken.found) == (State.UNKNOWN, "mx was not reached over SSH")


# --- 33 ---


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def fingerprint(certificate: trustme.LeafCert) -> str:
    parsed = x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes())
    return hashlib.sha256(parsed.public_bytes(Encoding.DER)).hexdigest()


def served(pki: Pki, file: CertificateFile | None) -> Finding:
    access = Access(HostFacts(certificates={} if file is None else {25: file}))
    with SmtpStandin(pki.context()) as server:
        return only("served-certificate", context(target(host(MX)), {25: server.port}, pki, access=access))


def test_the_certificate_that_is_served_is_to_be_the_file(pki: Pki) -> None:
    file = CertificateFile(path="/etc/smtp.cert", sha256=fingerprint(pki.certificate()))
    assert served(pki, file).state is State.OK
    renewed = CertificateFile(path="/etc/smtp.cert", sha256=fingerprint(pki.certificate("www.example.net")))
    found = served(pki, renewed)
    assert found.state is State.FAIL
    assert "restart" in found.fix


def test_a_certificate_file_that_is_not_there_fails_and_one_nobody_named_is_not_asked_for(pki: Pki) -> None:
    assert served(pki, CertificateFile(path="/etc/smtp.cert", error="no such file")).state is State.FAIL
    assert served(pki, None).state is State.NOT_APPLICABLE
    assert only("served-certificate", context(target(host(MX)))).state is State.NOT_APPLICABLE


def test_a_port_that_serves_nothing_is_unknown_and_hosts_are_asked_once(pki: Pki) -> None:
    file = CertificateFile(path="/etc/smtp.cert", sha256="00")
    access = Access(HostFacts(certificates={25: file, 587: file}))
    world = context(target(host(MX, SUBMISSION)), {25: free_port(), 587: free_port()}, pki, access=access)
    assert {one.state for one in look("served-certificate", world)} == {State.UNKNOWN}
    look("host-health", world)
    assert access.asked == 1
    broken = context(target(host(MX)), {25: free_port()}, pki, access=Access(HostAccessError("no way")))
    assert only("served-certificate", broken).found == "no way"


# --- 44 ---


def test_drift_is_told_by_what_differs() -> None:
    found = look("drift", context(Target(), drift=lambda: ["postal-a: /etc/postal.yml changed", "and this"]))
    assert [(one.state, one.subject, one.found) for one in found] == [
        (State.FAIL, "postal-a", "/etc/postal.yml changed"),
        (State.FAIL, "", "and this"),
    ]
    assert only("drift", context(Target(), drift=list)).state is State.OK
    assert only("drift", context(Target())).state is State.NOT_APPLICABLE


def test_drift_that_cannot_be_looked_for_is_unknown() -> None:
    def broken() -> list[str]:
        raise RuntimeError("the host was not reached")

    assert only("drift", context(Target(), drift=broken)).state is State.UNKNOWN


# --- the way in ---

CONNECTION = Connection(address="192.0.2.1", port=22, user="root", private_key=None, host_key=None, attempts=1)


def role(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the role by its protocol; return its standard output."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"settings": settings, "secrets": {}})))
    assert protocol.main(Role, ["--check"]) == 0
    return capsys.readouterr().out


def test_what_the_role_says_is_what_is_read_over_ssh(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "smtp.cert").write_bytes(pki.certificate().cert_chain_pems[0].bytes())
    sent: list[str] = []

    def ssh(connection: Connection, command: str, stdin: str) -> Finished:
        assert connection is CONNECTION
        sent.append(command)
        settings = json.loads(stdin.splitlines()[1])["settings"]
        return Finished(code=0, stdout=role(settings, monkeypatch, capsys), stderr="")

    monkeypatch.setattr(host_module, "run_over_ssh", ssh)
    monkeypatch.setattr(host_look, "run", lambda argv, **_: Result(argv, 127, "", "not here"))
    paths = {25: str(tmp_path / "smtp.cert"), 465: str(tmp_path / "none.cert")}
    machine = Machine(connection=CONNECTION, addresses=("192.0.2.1",), certificates=paths, backups=str(tmp_path))
    access = SshAccess(known={MACHINE: machine})
    facts = access.facts(MACHINE)
    assert facts.certificates[25] == CertificateFile(path=paths[25], sha256=fingerprint(pki.certificate()))
    assert facts.certificates[465] == CertificateFile(path=paths[465], error="no such file")
    assert (facts.backups, facts.clock_synchronised, facts.password_login) == (True, None, None)
    assert facts.last_backup is not None
    assert facts.last_backup < HOUR
    assert all(0 <= part <= 1 for part in (*facts.disks.values(), facts.memory or 0))
    assert "mailstack check 60" in sent[0]
    assert (access.at("192.0.2.1"), access.at("192.0.2.2"), access.machines()) == (MACHINE, None, (MACHINE,))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (SshError("192.0.2.1 was not reached over SSH: timed out"), "timed out"),
        (Finished(code=1, stdout="", stderr="x\nmailstack: install python3 on mx first\n"), "install python3"),
        (Finished(code=124, stdout="", stderr=""), "exit code 124: no output"),
    ],
)
def test_a_host_that_cannot_be_looked_at_says_why(
    answer: SshError | Finished, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ssh(*_: object) -> Finished:
        if isinstance(answer, SshError):
            raise answer
        return answer

    monkeypatch.setattr(host_module, "run_over_ssh", ssh)
    with pytest.raises(HostAccessError, match=words):
        SshAccess(known={MACHINE: Machine(connection=CONNECTION)}).facts(MACHINE)


def test_facts_nobody_knows_are_refused() -> None:
    with pytest.raises(TypeError):
        read_facts({"certificates": {}, "moon": "full"})


# --- the role's single looks ---


def programs(monkeypatch: pytest.MonkeyPatch, answers: dict[str, tuple[int, str]]) -> None:
    """Let programs answer: first word, or first words, to exit code and output."""

    def run(argv: list[str], **_: object) -> Result:
        code, out = answers.get(" ".join(argv), answers.get(os.path.basename(argv[0]), (127, "")))  # noqa: PTH119
        return Result(argv, code, out, "")

    monkeypatch.setattr(host_look, "run", run)
    monkeypatch.setattr("shutil.which", lambda name, **_: name if name in answers else None)


APT = """Reading package lists...
Inst libssl3 [3.0.14-1] (3.0.15-1~deb12u1 Debian-Security:12/stable-security [amd64])
Inst tzdata [2024a] (2024b Debian:12.8/stable [all])
Conf libssl3 (3.0.15-1~deb12u1 Debian-Security:12/stable-security [amd64])
"""
DNF = (
    "\nopenssl.x86_64   1:3.0.7-28.el9   baseos\nkernel.x86_64  5.14.0-503.el9  baseos\nObsoleting Packages\nx.y 1 a\n"
)


def test_updates_are_counted_on_both_kinds_of_system(monkeypatch: pytest.MonkeyPatch) -> None:
    programs(monkeypatch, {"apt-get": (0, APT)})
    assert host_look.updates() == (2, 1)
    security = DNF.replace("kernel.x86_64  5.14.0-503.el9  baseos\n", "")
    programs(monkeypatch, {"dnf": (100, DNF), "dnf -q -C check-update --security": (100, security)})
    assert host_look.updates() == (2, 1)
    programs(monkeypatch, {"dnf": (1, "no cache")})
    assert host_look.updates() == (None, None)
    programs(monkeypatch, {})
    assert host_look.updates() == (None, None)


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ("passwordauthentication no\nkbdinteractiveauthentication no\n", False),
        ("passwordauthentication yes\nkbdinteractiveauthentication no\n", True),
        ("passwordauthentication no\nkbdinteractiveauthentication yes\n", True),
        ("passwordauthentication no\n", False),
        ("", None),
    ],
)
def test_sshd_says_itself_whether_it_takes_passwords(
    configuration: str, expected: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(monkeypatch, {"sshd": (0, configuration)})
    assert host_look.password_login() is expected


def test_a_reboot_that_is_due_is_seen_on_both_kinds_of_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    flag = tmp_path / "reboot-required"
    monkeypatch.setattr(host_look, "REBOOT_FLAG", str(flag))
    programs(monkeypatch, {"apt-get": (0, "")})
    assert host_look.reboot_required() is False
    flag.touch()
    assert host_look.reboot_required() is True
    for code, expected in ((0, False), (1, True), (127, None)):
        programs(monkeypatch, {"needs-restarting": (code, "")})
        assert host_look.reboot_required() is expected


def test_the_clock_is_asked_of_whatever_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    programs(monkeypatch, {"timedatectl": (0, "NTPSynchronized=yes\n")})
    assert host_look.clock() is True
    programs(monkeypatch, {"timedatectl": (0, "NTPSynchronized=no\n"), "chronyc": (0, "Leap status : Normal\n")})
    assert host_look.clock() is True
    programs(monkeypatch, {"timedatectl": (0, "NTPSynchronized=no\n")})
    assert host_look.clock() is False
    programs(monkeypatch, {})
    assert host_look.clock() is None


def test_the_newest_backup_counts(tmp_path: Path) -> None:
    assert host_look.newest(str(tmp_path)) is None
    assert host_look.newest(str(tmp_path / "none")) is None
    for name, age in (("old", 9 * DAY), ("new", 2 * HOUR)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    assert host_look.newest(str(tmp_path)) == pytest.approx(2 * HOUR, abs=60)


def test_a_file_without_a_certificate_says_so(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    path = str(tmp_path / "key.pem")
    assert host_look.certificate(path) == {"path": path, "error": "no certificate in it"}
