"""A DNS resolver on the rehearsal ground: answers for the stack's own zones what the stack's own servers say.

Unbound from Debian. Names it does not know otherwise go to Docker's DNS, which knows hosts and services of the ground.
Nothing is cached: a record published a second ago is seen, and so is one that was missing a second ago.
"""

import ipaddress
import json
import time
from collections.abc import Callable, Mapping

from rehearsal.ground import Ground, GroundError, Host, Service
from rehearsal.images import ensure_service_image
from rehearsal.waiting import wait_for

__all__ = ["set_resolver", "start_resolver", "use_resolver"]

Log = Callable[[str], None]

RELOAD_TIMEOUT = 10.0
"""Seconds a changed configuration may take to be in force; a tenth is usual."""

_CONFIG = "/etc/unbound/rehearsal.conf"
_DOCKER_DNS = "127.0.0.11"

_SERVER = f"""\
server:
  interface: 0.0.0.0
  do-ip6: no
  access-control: 0.0.0.0/0 allow
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  logfile: ""
  use-syslog: no
  verbosity: 1
  # Not validating: the zones of a rehearsal hang below no signed root.
  module-config: "respip iterator"
  do-not-query-localhost: no
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  # A name server that was down a second ago is asked again at once.
  infra-host-ttl: 1
  infra-keep-probing: yes
  # By default unbound denies these itself; here they are in use.
  local-zone: "test." nodefault
  unblock-lan-zones: yes
remote-control:
  control-enable: yes
  control-use-cert: no
  control-interface: /run/unbound.ctl
forward-zone:
  name: "."
  forward-addr: {_DOCKER_DNS}
"""


def _name(text: str) -> str:
    """The absolute form of a domain name, quoted the way unbound.conf(5) wants it."""
    return json.dumps(f"{text.rstrip('.')}.")


def _address(text: str, name: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise GroundError(
            f"{text!r}, given for {name}, is no IPv4 address. Fix: give an address of the ground, such as Host.address."
        ) from error


def _forward(zone: str, address: str) -> str:
    # Not a stub zone: that follows the zone's NS records, whose addresses are those of the real servers.
    return f"forward-zone:\n  name: {_name(zone)}\n  forward-addr: {address}\n  forward-no-cache: yes\n"


def _local(name: str, address: str) -> str:
    owner = name.rstrip(".")
    # Types other than A are still asked of the servers of the zone.
    return f'  local-zone: {_name(name)} typetransparent\n  local-data: "{owner}. 0 IN A {address}"\n'


def _pointers(records: Mapping[str, str]) -> str:
    """One PTR for each address: the name that was given first."""
    first: dict[str, str] = {}
    for name, address in records.items():
        first.setdefault(address, name.rstrip("."))
    return "".join(f'  local-data-ptr: "{address} 0 {name}."\n' for address, name in first.items())


def _moved(declared: str, real: str) -> str:
    """Replace an address in every answer, also at the end of a chain of CNAMEs."""
    prefix = f"{_address(declared, 'an address that moves')}/32"
    data = f'"A {_address(real, declared)}"'
    return f"  response-ip: {prefix} redirect\n  response-ip-data: {prefix} {data}\n"


def _config(
    zones: Mapping[str, str], records: Mapping[str, str], generation: str, moved: Mapping[str, str] | None = None
) -> str:
    hosts = {name: _address(address, name) for name, address in records.items()}
    parts = [
        _SERVER,
        *(_forward(zone, _address(address, zone)) for zone, address in zones.items()),
        "server:\n",
        *(_local(name, address) for name, address in hosts.items()),
        _pointers(hosts),
        *(_moved(declared, real) for declared, real in (moved or {}).items()),
        f'  local-data: "generation.resolver.invalid. 0 IN TXT {generation}"\n',
    ]
    return "".join(parts)


def start_resolver(
    ground: Ground,
    zones: Mapping[str, str],
    *,
    records: Mapping[str, str] | None = None,
    moved: Mapping[str, str] | None = None,
    name: str = "resolver",
    log: Log = lambda _line: None,
) -> Service:
    """Start a resolver on ``ground``; it listens at the service's ``address``, port 53, UDP and TCP.

    ``zones``: zone to the address of its authoritative server. ``records``: host name to address, answered by the
    resolver itself before any zone is asked, with a PTR for each address. ``moved``: address in a zone to the
    address of a host here; answers with the one get the other, whatever the name. All can be changed later with
    :func:`set_resolver`. Raises ``GroundError``.
    """
    return ground.create_service(
        name,
        ["unbound", "-d", "-c", _CONFIG],
        image=ensure_service_image(log),
        copies={_CONFIG: _config(zones, records or {}, "0", moved)},
        ready_port=53,
    )


def set_resolver(
    ground: Ground,
    resolver: Service,
    zones: Mapping[str, str],
    *,
    records: Mapping[str, str] | None = None,
    moved: Mapping[str, str] | None = None,
) -> None:
    """Replace everything :func:`start_resolver` was given; it is in force when this returns.

    Raises ``GroundError`` for something unbound refuses; the resolver then goes on with what it had.
    """
    generation = str(time.time_ns())
    ground.copy_in(resolver, _config(zones, records or {}, generation, moved), f"{_CONFIG}.new", mode=0o600)
    ground.exec(resolver, ["unbound-checkconf", f"{_CONFIG}.new"])
    ground.exec(resolver, ["mv", f"{_CONFIG}.new", _CONFIG])
    ground.exec(resolver, ["unbound-control", "-c", _CONFIG, "reload"])
    said: list[str] = []

    def in_force() -> bool:
        # While it reads its configuration it answers nobody.
        answer = ground.exec(resolver, ["unbound-control", "-c", _CONFIG, "list_local_data"], check=False)
        said[:] = [answer.stderr.strip()]
        return generation in answer.stdout

    if not wait_for(in_force, RELOAD_TIMEOUT, pause=0.05):
        raise GroundError(
            f"The resolver did not take its new configuration within {RELOAD_TIMEOUT:.0f} s: "
            f"{said[0][-300:]}. Fix: look at its log with Ground.logs."
        )


def use_resolver(ground: Ground, host: Host, resolver: Service) -> None:
    """Make ``resolver`` the only name server of ``host``, also after a reboot.

    Containers on the host follow when they start: on networks of their own Docker's DNS asks it, on Docker's
    default network they ask it themselves.
    """
    ground.copy_in(host, f"# the rehearsal's resolver\nnameserver {resolver.address}\n", "/etc/resolv.conf")
