"""What is found out before there is a stack: host keys, hosts, and what DNS has of a domain."""

import subprocess
from typing import Any

import pytest

from mailstack.reach import before
from mailstack.reach.before import look_at_domains, look_at_host, provider_of
from mailstack.reach.connection import Connection
from mailstack.reach.host_key import HostKeyError, scan_host_key
from mailstack.reach.ssh import Finished, SshError
from mailstack.start.answers import HostPlace, InDns
from tests.unit.name_server import NameServer
from tests.unit.stack_examples import HOST_KEY

PLACE = HostPlace(user="admin", address="mail.example.com", port=2222)
SOA = "@ 60 IN SOA ns1 admin 1 60 60 60 60\n"
ZONE = (
    f'{SOA}@ 60 IN NS ns1\nns1 60 IN A 127.0.0.1\n@ 60 IN MX 10 mx.mailboxes.net.\n@ 60 IN TXT "verify=1"\n'
    '@ 60 IN TXT "v=spf1 include:news.example.net -all"\n_dmarc 60 IN TXT "v=DMARC1; p=reject"\n'
    'shop 60 IN TXT "v=spf1 -all"\n'
)
HOST_SAYS = """PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
ID=debian

2: eth0    inet 10.0.0.5/24 brd 10.0.0.255 scope global eth0
2: eth0    inet 93.184.216.34/24 scope global eth0
2: eth0    inet6 2606:2800:220:1::1/64 scope global

1000
MemTotal:        2014200 kB
sudo
"""


def asked(server: NameServer) -> list[str]:
    return [f"127.0.0.1:{server.port}"]


def test_what_dns_has_is_seen_at_the_servers_of_the_zone() -> None:
    with NameServer({"example.com": ZONE}, recursive=True) as server:
        seen = look_at_domains(["example.com", "shop.example.com"], seconds=5, resolvers=asked(server))
    assert seen == {
        "example.com": InDns(
            mx=((10, "mx.mailboxes.net"),), spf="v=spf1 include:news.example.net -all", dmarc="v=DMARC1; p=reject"
        ),
        "shop.example.com": InDns(spf="v=spf1 -all"),
    }


@pytest.mark.parametrize(("servers", "zone"), [("ada.ns.cloudflare.com.", "example.com"), ("ns1", None)])
def test_a_name_in_the_zone_of_its_parent_is_seen_there(servers: str, zone: str | None) -> None:
    """Cloudflare has to be told the zone; elsewhere nobody asks for it."""
    text = ZONE.replace("@ 60 IN NS ns1", f"@ 60 IN NS {servers}")
    own = "ada.ns.cloudflare.com. 60 IN A 127.0.0.1\n"
    with NameServer({"example.com": text, "cloudflare.com": f"{SOA}{own}"}, recursive=True) as server:
        seen = look_at_domains(["shop.example.com"], seconds=5, resolvers=asked(server))
    assert seen == {"shop.example.com": InDns(spf="v=spf1 -all", zone=zone)}


def test_a_resolver_of_a_closed_network_is_not_taken_for_an_empty_zone() -> None:
    """It denies all names of others: what the zone has is not known, and said so."""
    delegated = f"{SOA}@ 60 IN NS ns1\n"
    with NameServer({".": SOA}, recursive=True) as closed:
        assert look_at_domains(["example.com", "shop.example.com"], seconds=5, resolvers=asked(closed)) == {}
    with NameServer({".": SOA, "com": delegated}, recursive=True) as open_to_all:
        seen = look_at_domains(["example.com"], seconds=5, resolvers=asked(open_to_all))
    assert seen == {"example.com": InDns()}, "a name that nobody has registered yet has nothing"


@pytest.mark.slow
def test_a_domain_nobody_answers_for_is_left_out() -> None:
    with NameServer({"example.com": ZONE}, recursive=True, silent=True) as server:
        assert look_at_domains(["example.com"], seconds=0.3, resolvers=asked(server)) == {}
    assert look_at_domains(["example.com"], seconds=5, resolvers=()) == {}


@pytest.mark.parametrize(
    ("servers", "provider"),
    [
        ("ada.ns.cloudflare.com. bob.ns.cloudflare.com.", "cloudflare"),
        ("ns1.other.net. ada.ns.cloudflare.com.", "none"),
    ],
)
def test_who_has_the_zone_is_told_by_its_delegation(servers: str, provider: str) -> None:
    text = SOA + "".join(f"@ 60 IN NS {name}\n" for name in servers.split())
    with NameServer({"example.com": text}, recursive=True) as server:
        assert provider_of("shop.example.com", seconds=5, resolvers=asked(server)) == provider
    assert provider_of("example.com", seconds=5, resolvers=()) is None


def test_a_host_says_its_system_and_its_public_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Connection] = []

    def run(connection: Connection, _command: str) -> Finished:
        used.append(connection)
        return Finished(code=0, stdout=HOST_SAYS, stderr="")

    monkeypatch.setattr(before, "run_over_ssh", run)
    seen = look_at_host(PLACE, HOST_KEY)
    assert (seen.system, seen.root, seen.why) == ("Debian GNU/Linux 12 (bookworm)", True, None)
    assert seen.memory_mb == 1966
    assert seen.addresses == ("93.184.216.34", "2606:2800:220:1::1")
    assert (used[0].port, used[0].host_key, used[0].private_key, used[0].attempts) == (2222, HOST_KEY, None, 1)


def test_a_host_that_lets_nobody_in_is_told_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object) -> Finished:
        raise SshError("Permission denied (publickey)")

    monkeypatch.setattr(before, "run_over_ssh", refused)
    assert look_at_host(PLACE, HOST_KEY).why == "Permission denied (publickey)"


def keyscan(monkeypatch: pytest.MonkeyPatch, stdout: str, stderr: str = "") -> None:
    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        assert command[-2:] == ["--", "mail.example.com"]
        return subprocess.CompletedProcess(command, 0, stdout, stderr)

    monkeypatch.setattr(subprocess, "run", run)


def test_of_several_host_keys_the_best_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "# mail.example.com:22 SSH-2.0",
        "[mail.example.com]:2222 ssh-rsa AAAA",
        f"[mail.example.com]:2222 {HOST_KEY}",
    ]
    keyscan(monkeypatch, "\n".join(lines))
    assert scan_host_key("mail.example.com", 2222) == HOST_KEY


def test_a_host_that_shows_no_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    keyscan(monkeypatch, "", "getaddrinfo mail.example.com: Name or service not known\n")
    with pytest.raises(HostKeyError, match="port 22 showed no host key: getaddrinfo"):
        scan_host_key("mail.example.com", 22)
