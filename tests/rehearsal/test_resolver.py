"""The resolver of a rehearsal: says what the stack's own name servers say, at once, and nothing from outside."""

from collections.abc import Iterator

import dns.exception
import dns.resolver
import dns.reversename
import pytest

from rehearsal.ground import Ground, GroundError, Host, Service, wait_for_port
from rehearsal.images import ensure_docker_host_image, ensure_service_image
from rehearsal.resolver import _config, set_resolver, start_resolver, use_resolver

ZONE = "corp.example"
AUTHORITY = """\
server:
  interface: 0.0.0.0
  access-control: 0.0.0.0/0 allow
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  local-zone: "corp.example." static
  local-data: "corp.example. 3600 IN NS ns1.elsewhere.example."
  local-data: "mail.corp.example. 3600 IN A 192.0.2.25"
  local-data: 'mail.corp.example. 3600 IN TXT "v=spf1 -all"'
  local-data: "www.corp.example. 3600 IN CNAME mail.corp.example."
remote-control:
  control-enable: yes
  control-use-cert: no
  control-interface: /run/unbound.ctl
"""


# --- without Docker -------------------------------------------------------------------------------------


def test_a_name_and_its_absolute_form_are_the_same() -> None:
    assert _config({"corp.example": "192.0.2.1"}, {"mail.corp.example": "192.0.2.2"}, "0") == _config(
        {"corp.example.": "192.0.2.1"}, {"mail.corp.example.": "192.0.2.2"}, "0"
    )


def test_an_address_points_back_to_the_first_name_only() -> None:
    text = _config({}, {"mail.corp.example": "192.0.2.2", "www.corp.example": "192.0.2.2"}, "0")
    assert [line for line in text.splitlines() if "ptr" in line] == [
        '  local-data-ptr: "192.0.2.2 0 mail.corp.example."'
    ]


@pytest.mark.parametrize("address", ["", "ns1.corp.example", "192.0.2.300", "2001:db8::1"])
def test_what_is_no_ipv4_address_is_refused(address: str) -> None:
    for zones, records in (({ZONE: address}, {}), ({}, {"mail.corp.example": address})):
        with pytest.raises(GroundError, match=r"is no IPv4 address.*Fix:"):
            _config(zones, records, "0")


# --- with Docker ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("test-resolver") as made:
        yield made


@pytest.fixture(scope="module")
def authority(ground: Ground) -> Service:
    """A name server for the zone; its NS record names a server that does not exist, as a rehearsal's does."""
    image = ensure_service_image(lambda _line: None)
    return ground.create_service(
        "ns1", ["unbound", "-d", "-c", "/ns.conf"], image=image, copies={"/ns.conf": AUTHORITY}, ready_port=53
    )


@pytest.fixture(scope="module")
def host(ground: Ground) -> Host:
    return ground.create_host("mail1", aliases=["mail1.example.org"])


@pytest.fixture
def resolver(ground: Ground, authority: Service) -> Iterator[Service]:
    records = {"mx.corp.example": "192.0.2.7", "mail.corp.example": "192.0.2.8"}
    made = start_resolver(ground, {ZONE: authority.address}, records=records)
    yield made
    ground.remove(made)


def ask(resolver: Service, name: str, kind: str = "A", *, tcp: bool = False, seconds: float = 10.0) -> list[str]:
    """Return the answers as text; empty for NXDOMAIN and NODATA."""
    client = dns.resolver.Resolver(configure=False)
    client.nameservers = [resolver.address]
    try:
        return [record.to_text() for record in client.resolve(name, kind, tcp=tcp, search=False, lifetime=seconds)]
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []


def publish(ground: Ground, authority: Service, *change: str) -> None:
    ground.exec(authority, ["unbound-control", "-c", "/ns.conf", *change])


@pytest.mark.hosts
def test_a_zone_is_answered_by_its_own_server_over_udp_and_tcp(authority: Service, resolver: Service) -> None:
    for tcp in (False, True):
        assert ask(resolver, "corp.example", "NS", tcp=tcp) == ["ns1.elsewhere.example."]
        assert ask(resolver, "mail.corp.example", "TXT", tcp=tcp) == ['"v=spf1 -all"']


@pytest.mark.hosts
def test_a_given_record_wins_over_the_zone_for_its_type_only(resolver: Service) -> None:
    assert ask(resolver, "mail.corp.example") == ["192.0.2.8"]
    assert ask(resolver, "mx.corp.example") == ["192.0.2.7"]
    assert ask(resolver, "mail.corp.example", "TXT") == ['"v=spf1 -all"']
    assert ask(resolver, str(dns.reversename.from_address("192.0.2.7")), "PTR") == ["mx.corp.example."]


@pytest.mark.hosts
def test_what_was_published_changed_or_withdrawn_a_moment_ago_is_seen(
    ground: Ground, authority: Service, resolver: Service
) -> None:
    name = "selector._domainkey.corp.example"
    assert ask(resolver, name, "TXT") == []
    publish(ground, authority, "local_data", name, "3600", "IN", "TXT", "first")
    assert ask(resolver, name, "TXT") == ['"first"']
    publish(ground, authority, "local_data_remove", name)
    publish(ground, authority, "local_data", name, "3600", "IN", "TXT", "second")
    assert ask(resolver, name, "TXT") == ['"second"']
    publish(ground, authority, "local_data_remove", name)
    assert ask(resolver, name, "TXT") == []


@pytest.mark.hosts
def test_a_name_server_that_was_down_is_asked_again_at_once(
    ground: Ground, authority: Service, resolver: Service
) -> None:
    ground.cut_power(authority)
    with pytest.raises((dns.resolver.NoNameservers, dns.exception.Timeout)):
        ask(resolver, "corp.example", "NS", seconds=3)
    ground.start(authority)
    wait_for_port(authority.address, 53)
    assert ask(resolver, "corp.example", "NS") == ["ns1.elsewhere.example."]


@pytest.mark.hosts
def test_hosts_of_the_ground_are_found_by_name(resolver: Service, host: Host) -> None:
    assert ask(resolver, "mail1.example.org") == [host.address]
    assert ask(resolver, "mail1") == [host.address]
    assert ask(resolver, "nobody.rehearsal.test") == []


@pytest.mark.hosts
def test_zones_and_records_can_be_replaced_while_it_runs(ground: Ground, authority: Service, resolver: Service) -> None:
    set_resolver(ground, resolver, {}, records={"new.rehearsal.test": "192.0.2.9"})
    assert ask(resolver, "new.rehearsal.test") == ["192.0.2.9"]
    assert ask(resolver, "mx.corp.example") == []
    set_resolver(ground, resolver, {ZONE: authority.address})
    assert ask(resolver, "mail.corp.example") == ["192.0.2.25"]
    assert ask(resolver, "new.rehearsal.test") == []


@pytest.mark.hosts
def test_an_address_that_moved_is_replaced_also_behind_an_alias(
    ground: Ground, authority: Service, resolver: Service
) -> None:
    set_resolver(ground, resolver, {ZONE: authority.address}, moved={"192.0.2.25": "10.213.0.9"})
    assert ask(resolver, "mail.corp.example") == ["10.213.0.9"]
    assert ask(resolver, "www.corp.example") == ["10.213.0.9"]
    assert ask(resolver, "www.corp.example", "CNAME") == ["mail.corp.example."]
    assert ask(resolver, "mail.corp.example", "TXT") == ['"v=spf1 -all"']


@pytest.mark.hosts
def test_a_mistake_is_refused_and_the_resolver_goes_on_as_before(ground: Ground, resolver: Service) -> None:
    with pytest.raises(GroundError, match="unbound-checkconf"):
        set_resolver(ground, resolver, {"empty..label.example": "192.0.2.1"})
    assert ask(resolver, "mail.corp.example", "TXT") == ['"v=spf1 -all"']


@pytest.mark.hosts
def test_zones_hold_when_the_resolver_is_restarted(ground: Ground, authority: Service, resolver: Service) -> None:
    set_resolver(ground, resolver, {ZONE: authority.address}, records={"new.rehearsal.test": "192.0.2.9"})
    ground.stop(resolver)
    ground.start(resolver)
    wait_for_port(resolver.address, 53)
    assert ask(resolver, "new.rehearsal.test") == ["192.0.2.9"]


@pytest.mark.hosts
def test_a_host_asks_the_resolver_and_only_it_also_after_a_reboot(
    ground: Ground, resolver: Service, host: Host
) -> None:
    use_resolver(ground, host, resolver)
    for _ in range(2):
        servers = [line for line in ground.copy_out(host, "/etc/resolv.conf").decode().splitlines() if line[:1] != "#"]
        assert servers == [f"nameserver {resolver.address}"]
        assert ground.exec(host, ["getent", "ahostsv4", "mx.corp.example"]).stdout.split()[0] == "192.0.2.7"
        ground.stop(host)
        ground.start(host)


@pytest.mark.hosts
def test_containers_on_a_host_resolve_through_it(ground: Ground, resolver: Service) -> None:
    docker_host = ground.create_host("docker1", image=ensure_docker_host_image(lambda _line: None), docker=True)
    use_resolver(ground, docker_host, resolver)
    # The host's own programs are image enough.
    pack = (
        "tar -C / -c bin lib lib64 usr/bin usr/lib64 usr/lib/x86_64-linux-gnu etc/nsswitch.conf | docker import - own:1"
    )
    ground.exec(docker_host, ["sh", "-c", pack])
    ground.exec(docker_host, ["docker", "network", "create", "mailstack"])
    for network in ("mailstack", "bridge"):
        look_up = ["docker", "run", "--rm", "--network", network, "own:1", "getent", "ahostsv4", "mx.corp.example"]
        assert ground.exec(docker_host, look_up).stdout.split()[0] == "192.0.2.7"
    ground.remove(docker_host)
