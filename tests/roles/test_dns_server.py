"""The name server role on real hosts with real Knot and NSD, read by an independent library."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.resolver
import dns.zone
import pytest

from mailstack.dns import Address, MailExchanger, Record, Text, render_zone
from mailstack.reach.bundle import Action, command_line, payload
from rehearsal.ground import Ground, Host
from tests.roles.support import Run, run_role

pytestmark = pytest.mark.hosts

SPF = "v=spf1 include:_spf.google.com -all"


def zone(name: str, extra: str = "") -> dict[str, str]:
    return {
        "name": name,
        "text": f"$ORIGIN {name}.\n$TTL 3600\n"
        f"@ IN SOA ns1.{name}. hostmaster.{name}. ( 0 7200 3600 1209600 300 )\n"
        f"@ IN NS ns1.{name}.\nns1 IN A 192.0.2.53\n@ IN MX 1 smtp.google.com.\n"
        f'@ IN TXT "{SPF}"\n{extra}',
    }


def declared_zone(exchange: str, spf: str) -> dict[str, str]:
    """Return example.com as the program renders it."""
    records = [
        Record.of("mx.example.com", 300, Address(ip="192.0.2.1")),
        Record.of("example.com", 300, Text(value=spf)),
        Record.of("example.com", 300, MailExchanger(preference=10, exchange=exchange)),
    ]
    text = render_zone("example.com", records, nameservers=["ns1.example.net"], hostmaster="h@example.net", ttl=300)
    return {"name": "example.com", "text": text}


class Nameserver:
    """A host, the role on it, and questions to it from this machine."""

    def __init__(self, ground: Ground, host: Host, server: str) -> None:
        self.ground = ground
        self.host = host
        self.server = server
        self.good = {"server": server, "zones": [zone("example.com"), zone("example.net")]}
        self.is_good = False
        self.first: Run | None = None

    def run(self, settings: dict[str, Any] | None = None, action: Action = "apply") -> Run:
        done = run_role(self.ground, self.host, "dns_server", settings or self.good, action=action)
        if action != "check":
            self.is_good = settings is None and action == "apply" and done.code == 0
        return done

    def sh(self, script: str) -> str:
        self.is_good = False
        return str(self.ground.exec(self.host, ["sh", "-ec", script]).stdout)

    def ask(self, name: str, kind: str, *, tcp: bool = False) -> dns.message.Message:
        question = dns.message.make_query(name, kind)
        if tcp:
            return dns.query.tcp(question, self.host.address, timeout=3)
        return dns.query.udp(question, self.host.address, timeout=3)

    def values(self, name: str, kind: str) -> list[str]:
        return sorted(item.to_text() for answer in self.ask(name, kind).answer for item in answer)

    def serial(self, name: str = "example.com") -> int:
        return int(self.values(name, "SOA")[0].split()[2])

    def look(self, script: str) -> str:
        """Run a command that changes nothing."""
        return str(self.ground.exec(self.host, ["sh", "-ec", script]).stdout)

    def process(self) -> str:
        return self.look(f"systemctl show -p MainPID --value {self.server}").strip()

    def files(self) -> str:
        return self.look(f"cd /; md5sum etc/{self.server}/{self.server}.conf var/lib/{self.server}/mailstack/*")


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("dns-server-role") as made:
        yield made


@pytest.fixture(scope="module", params=["knot", "nsd"])
def installed(request: pytest.FixtureRequest, ground: Ground) -> Nameserver:
    """A host on which the role ran once. A stub resolver holds 127.0.0.53, as on Ubuntu."""
    host = ground.create_host(f"ns-{request.param}", unsafe_dpkg=True)
    nameserver = Nameserver(ground, host, request.param)
    nameserver.sh(
        "systemd-run --quiet --unit=stub python3 -c '"
        "import socket, time\n"
        'u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.53", 53))\n'
        't = socket.socket(); t.bind(("127.0.0.53", 53)); t.listen()\n'
        "time.sleep(3600)'"
    )
    first = nameserver.run()
    assert (first.code, first.status) == (0, "changed"), first.progress
    nameserver.first = first
    return nameserver


@pytest.fixture
def ns(installed: Nameserver) -> Nameserver:
    """The same host, brought back to the good zones where the last test left something else."""
    if not installed.is_good:
        again = installed.run()
        assert again.code == 0, again.progress
    return installed


def test_first_run_serves_every_record_by_udp_and_tcp(installed: Nameserver) -> None:
    assert installed.values("example.com", "MX") == ["1 smtp.google.com."]
    assert installed.values("example.net", "TXT") == [f'"{SPF}"']
    for tcp in (False, True):
        answer = installed.ask("ns1.example.com", "A", tcp=tcp)
        assert answer.flags & dns.flags.AA
        assert answer.answer[0][0].to_text() == "192.0.2.53"
    assert installed.first is not None
    facts = installed.first.summary["facts"]
    assert facts["server"] == installed.server
    assert facts["listen"] == [installed.host.address]
    assert facts["zones"] == {"example.com": installed.serial(), "example.net": installed.serial("example.net")}


def test_second_run_reports_no_change_and_touches_nothing(ns: Nameserver) -> None:
    before = (ns.process(), ns.files(), ns.look(f"stat -c %Y:%i /var/lib/{ns.server}/mailstack/*"))
    second = ns.run()
    assert (second.code, second.status, second.summary["changed"]) == (0, "unchanged", [])
    assert before == (ns.process(), ns.files(), ns.look(f"stat -c %Y:%i /var/lib/{ns.server}/mailstack/*"))
    assert ns.run(action="check").code == 0


def test_a_changed_zone_gets_a_new_serial_without_a_restart(ns: Nameserver) -> None:
    before, other, process = ns.serial(), ns.serial("example.net"), ns.process()
    changed = {**ns.good, "zones": [zone("example.com", "www IN A 192.0.2.80\n"), zone("example.net")]}
    done = ns.run(changed)
    assert (done.code, done.status) == (0, "changed"), done.progress
    assert ns.values("www.example.com", "A") == ["192.0.2.80"]
    assert ns.serial() == before + 1
    assert ns.serial("example.net") == other
    assert ns.process() == process
    assert ns.run(changed).status == "unchanged"


EDITS = {
    "echo 'evil IN A 192.0.2.66' >> /var/lib/{server}/mailstack/example.com.zone": "example.com differs",
    "echo '# mine' >> /etc/{server}/{server}.conf": "has other content",
    "rm /var/lib/{server}/mailstack/example.net.zone": "example.net is missing",
    "echo '' > /var/lib/{server}/mailstack/mine.example.zone": "mine.example is not wanted",
    "systemctl stop {server}": "is not running",
    "systemctl disable --quiet {server}": "does not start at boot",
}


def test_check_sees_every_hand_edit_changes_nothing_and_the_next_run_mends_all(ns: Nameserver) -> None:
    for edit in EDITS:
        ns.sh(edit.format(server=ns.server))
    files = ns.files()
    check = ns.run(action="check")
    assert (check.code, check.status) == (2, "drift")
    for words in EDITS.values():
        assert any(words in what for what in check.summary["changed"]), words
    assert ns.files() == files
    assert ns.run().status == "changed"
    assert ns.values("example.com", "MX") == ["1 smtp.google.com."]
    assert ns.ask("evil.example.com", "A").rcode() == dns.rcode.NXDOMAIN
    assert ns.run(action="check").code == 0


def test_wrong_modes_and_stale_answers_are_drift_too(ns: Nameserver) -> None:
    ns.sh(f"chmod 644 /etc/{ns.server}/{ns.server}.conf")
    check = ns.run(action="check")
    assert any("has mode 0644" in what for what in check.summary["changed"])
    # What a run that was killed before the reload leaves: right files, an old zone in memory.
    ns.sh(
        f"cd /var/lib/{ns.server}/mailstack; sed -i 's/[0-9]\\{{10\\}} 7200/2033010100 7200/' example.com.zone;"
        f" chmod 640 /etc/{ns.server}/{ns.server}.conf"
    )
    check = ns.run(action="check")
    assert any("instead of serial 2033010100" in what for what in check.summary["changed"]), check.progress
    assert ns.run().status == "changed"
    assert ns.serial() == 2033010100


BROKEN = [
    "www IN A 192.0.2.999\n",
    "www IN CNAME a.example.com.\nwww IN A 192.0.2.1\n",
    "www IN A\n",
    "other.example. IN NONSENSE x\n",
]


def test_a_broken_zone_never_replaces_a_good_one(ns: Nameserver) -> None:
    before = (ns.files(), ns.process(), ns.serial())
    for broken in BROKEN:
        zones = [zone("example.com", broken), zone("example.net", "new IN A 192.0.2.1\n")]
        failed = ns.run({**ns.good, "zones": zones})
        assert (failed.code, failed.summary["error"]["step"]) == (1, "validate"), broken
        assert "example.com" in failed.error
        assert before == (ns.files(), ns.process(), ns.serial())
    assert ns.values("example.com", "MX") == ["1 smtp.google.com."]
    assert ns.ask("new.example.net", "A").rcode() == dns.rcode.NXDOMAIN


def run_with_address_taken(ns: Nameserver) -> Run:
    """Ask for one address more, on which another process has the port."""
    ns.sh(
        "systemd-run --quiet --unit=squatter python3 -c '"
        "import socket, time\n"
        's = socket.socket(); s.bind(("127.0.0.9", 53)); s.listen(); time.sleep(3600)\''
    )
    try:
        return ns.run({**ns.good, "listen": [ns.host.address, "127.0.0.9"]})
    finally:
        ns.sh("systemctl stop squatter")


def test_a_configuration_that_cannot_be_activated_is_rolled_back(ns: Nameserver) -> None:
    before, serial = ns.files(), ns.serial()
    failed = run_with_address_taken(ns)
    assert (failed.code, failed.summary["error"]["step"]) == (1, "activate")
    assert "127.0.0.9" in failed.error
    assert "the previous zones are back and served" in failed.error
    assert (ns.files(), ns.serial()) == (before, serial)
    assert ns.run().status == "unchanged"


def test_the_reason_is_told_also_where_the_journal_does_not_know_its_unit(ns: Nameserver) -> None:
    """A server that ends at once is gone before the journal looks which unit its last words are of."""
    program = {"nsd": "nsd", "knot": "knotd"}[ns.server]
    folder = f"/run/systemd/system/{ns.server}.service.d"
    words = f"ExecStopPost=+systemd-run --quiet --wait logger -t {program} no service of mine says this"
    ns.sh(f"mkdir {folder}; printf '[Service]\\n{words}\\n' >{folder}/words.conf; systemctl daemon-reload")
    try:
        failed = run_with_address_taken(ns)
    finally:
        ns.sh(f"rm -r {folder}; systemctl daemon-reload")
    assert "no service of mine says this" in failed.error


def test_a_zone_that_is_no_longer_declared_is_no_longer_served(ns: Nameserver) -> None:
    done = ns.run({**ns.good, "zones": [zone("example.com")]})
    assert (done.code, done.status) == (0, "changed"), done.progress
    assert ns.ask("example.net", "SOA").rcode() == dns.rcode.REFUSED
    assert "example.net" not in ns.files()
    assert ns.values("example.com", "MX") == ["1 smtp.google.com."]


def test_strangers_get_no_recursion_and_no_copy_of_the_zone(ns: Nameserver) -> None:
    answer = ns.ask("deb.debian.org", "A")
    assert answer.rcode() == dns.rcode.REFUSED
    assert not answer.flags & dns.flags.RA
    with pytest.raises(dns.exception.DNSException):
        dns.zone.from_xfr(dns.query.xfr(ns.host.address, "example.com", timeout=3, lifetime=5))


def test_a_listed_secondary_may_copy_the_zone(ns: Nameserver) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((ns.host.address, 53))
        here = probe.getsockname()[0]
    done = ns.run({**ns.good, "transfer_to": [here]})
    assert done.code == 0, done.progress
    copied = dns.zone.from_xfr(dns.query.xfr(ns.host.address, "example.com", timeout=3, lifetime=5))
    assert "ns1" in {str(name) for name in copied.nodes}


def test_a_run_killed_at_any_moment_leaves_a_server_that_the_next_run_completes(ns: Nameserver) -> None:
    wanted = {**ns.good, "zones": [zone("example.com", "killed IN A 192.0.2.99\n"), zone("example.net")]}
    good = ns.run()
    assert good.code == 0
    for milliseconds in (120, 220, 320, 450):
        killed_run(ns, wanted, milliseconds)
        assert ns.values("example.com", "MX") == ["1 smtp.google.com."]
        ns.run()
    killed_run(ns, wanted, 300)
    done = ns.run(wanted)
    assert done.code == 0, done.progress
    assert ns.values("killed.example.com", "A") == ["192.0.2.99"]
    assert ns.run(wanted).status == "unchanged"


def killed_run(ns: Nameserver, settings: dict[str, Any], milliseconds: int) -> None:
    """Start the role and kill all of it after a while, as a power cut or an impatient operator would."""
    ns.ground.copy_in(ns.host, payload("dns_server", settings, {}), "/root/payload", mode=0o600)
    ns.ground.copy_in(ns.host, command_line("apply"), "/root/command", mode=0o600)
    ns.sh(
        "systemd-run --quiet --unit=killed --collect sh -c 'bash /root/command < /root/payload'; "
        f"sleep {milliseconds / 1000}; systemctl kill --signal=KILL killed 2>/dev/null || true; "
        "while systemctl is-active --quiet killed; do sleep 0.05; done"
    )


def test_remove_leaves_no_server_and_no_files_behind(installed: Nameserver) -> None:
    ns = installed
    ns.run()
    removed = ns.run(action="remove")
    assert (removed.code, removed.status) == (0, "removed"), removed.progress
    assert f"package {ns.server} removed" in removed.summary["changed"]
    assert ns.look(f"ls -d /etc/{ns.server}/{ns.server}.conf* /var/lib/{ns.server}/mailstack 2>/dev/null || true") == ""
    with pytest.raises(dns.exception.Timeout):
        ns.ask("example.com", "SOA")
    assert ns.run(action="remove").summary["changed"] == []


def test_a_server_that_was_there_before_survives_a_failed_run_and_comes_back_on_remove(ground: Ground) -> None:
    host = ground.create_host("ns-before", unsafe_dpkg=True)
    ns = Nameserver(ground, host, "knot")
    ns.sh(
        "apt-get -qq install -y knot >/dev/null 2>&1\n"
        f"sed -i 's/^#    listen: .*/    listen: {host.address}@53/' /etc/knot/knot.conf\n"
        "printf 'zone:\\n  - domain: own.example\\n' >> /etc/knot/knot.conf\n"
        "sed -i '0,/^zone:/{/^zone:/d}' /etc/knot/knot.conf\n"
        "printf '@ 300 IN SOA ns1 h 5 1 1 1 1\\n@ 300 IN NS ns1\\nns1 300 IN A 192.0.2.1\\n'"
        " > /var/lib/knot/own.example.zone\n"
        "systemctl restart knot"
    )
    assert ns.serial("own.example") == 5
    failed = run_with_address_taken(ns)
    assert (failed.code, failed.summary["error"]["step"]) == (1, "activate")
    assert ns.serial("own.example") == 5
    assert ns.run().code == 0
    assert ns.ask("own.example", "SOA").rcode() == dns.rcode.REFUSED
    removed = ns.run(action="remove")
    assert removed.code == 0, removed.progress
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and ns.ask("own.example", "SOA").rcode() != dns.rcode.NOERROR:
        time.sleep(0.1)
    assert ns.serial("own.example") == 5


def test_a_hold_leaves_live_mail_records_until_the_second_run(ns: Nameserver) -> None:
    """Two runs bring a zone: first what mail needs, then, once the hosts are ready, what sends it another way."""
    declared = declared_zone("mx.example.com", "v=spf1 mx -all")
    before = declared_zone("mx.former.example.net", "v=spf1 -all")
    settings = {"server": ns.server, "zones": [before]}
    assert ns.run(settings).code == 0
    hold = {"server": ns.server, "zones": [declared], "hold": [["example.com", "MX"]]}
    first = ns.run(hold)
    assert (first.code, first.status) == (0, "changed"), first.progress
    assert ns.values("example.com", "TXT") == ['"v=spf1 mx -all"']
    assert ns.values("example.com", "MX") == ["10 mx.former.example.net."]
    assert ns.run(hold).status == "unchanged"
    assert ns.run(hold, action="check").code == 0

    assert ns.run({"server": ns.server, "zones": [declared]}).status == "changed"
    assert ns.values("example.com", "MX") == ["10 mx.example.com."]
    assert ns.run(hold).status == "unchanged", "once all is as declared, a hold changes nothing"
    assert ns.run(hold, action="check").code == 0
