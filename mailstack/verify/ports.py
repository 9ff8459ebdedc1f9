"""Which ports are open: those of our hosts to us, and port 25 of the world to where this runs."""

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from mailstack.verify.context import Context
from mailstack.verify.listeners import addresses
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.reaching import Unreached, connect

__all__ = ["DANGEROUS", "KNOWN", "open_ports", "outbound"]

AT_ONCE = 16
# Who gets in here gets at the data or at the host itself.
DANGEROUS = {
    23: "telnet",
    445: "SMB",
    2375: "Docker without TLS",
    2376: "Docker",
    2379: "etcd",
    3306: "MariaDB",
    3389: "RDP",
    5432: "PostgreSQL",
    5672: "RabbitMQ",
    6379: "Redis",
    9200: "Elasticsearch",
    10250: "kubelet",
    11211: "memcached",
    15672: "RabbitMQ's management",
    27017: "MongoDB",
}
KNOWN = {
    **DANGEROUS,
    21: "FTP",
    22: "SSH",
    25: "SMTP",
    53: "DNS",
    80: "HTTP",
    110: "POP3",
    111: "rpcbind",
    143: "IMAP",
    443: "HTTPS",
    465: "submission over TLS",
    587: "submission",
    993: "IMAP over TLS",
    2019: "Caddy's administration",
    5000: "Postal's web process",
    6443: "Kubernetes' API",
    8080: "HTTP of applications",
    9090: "metrics",
    9100: "node exporter",
}
# A host is reached over it.
ALWAYS = {22}


@check(
    number=42,
    name="open-ports",
    group="G",
    title="Only the declared ports are open",
    source="CIS Controls v8 §4.4, §4.8",
)
def open_ports(context: Context) -> Iterator[Finding]:
    """Connect to a short list of well-known ports on each address of each host whose ports are declared."""
    names: dict[str, list[str]] = {}
    declared: dict[str, set[int]] = {}
    for host in context.target.hosts:
        # Several names may lead to one address, and any of them may be the one that a port is declared for.
        for address in addresses(context, host.name) if host.ports is not None else ():
            names.setdefault(address, []).append(host.name)
            declared.setdefault(address, set()).update(listener.port for listener in host.ports or ())
    if not names:
        yield not_applicable("", "no host's ports are declared")
    for address, (name, *_) in names.items():
        yield _open_ports(context, name, address, declared[address])


def _open_ports(context: Context, host: str, address: str, declared: set[int]) -> Finding:
    subject = f"{host} {address}"
    ports = sorted({*KNOWN, *declared})
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        answers = dict(zip(ports, pool.map(lambda port: _answer(context, host, address, port), ports), strict=True))
    opened = {port for port, answer in answers.items() if answer is None}
    if not opened and not any(answer is not None and answer.refused for answer in answers.values()):
        return unknown(subject, f"nothing answered on any of {len(ports)} ports: {answers[ports[0]]}")
    shown = (f"open: {_named(opened)}",) if opened else ()
    closed = declared - opened
    surplus = opened - declared - ALWAYS
    if surplus:
        grave = surplus & set(DANGEROUS)
        return (fail if grave else warn)(
            subject,
            f"open and not declared: {_named(grave or surplus)}",
            *shown,
            expected=f"open to the Internet: {_named(declared | ALWAYS)}",
            fix="close it in the firewall (firewall in the settings, and the provider's), or bind it to 127.0.0.1; "
            "ports that Docker publishes pass ufw",
        )
    if closed:
        why = "; ".join(f"{port}: {answers[port]}" for port in sorted(closed))
        refused = all((answer := answers[port]) is not None and answer.refused for port in closed)
        if not refused:
            return unknown(subject, why, *shown)
        return fail(
            subject,
            f"declared and closed: {_named(closed)}",
            *shown,
            expected=f"open: {_named(declared)}",
            fix="start the service, and look at the firewall",
        )
    return ok(subject, f"only {_named(opened)}")


def _answer(context: Context, host: str, address: str, port: int) -> Unreached | None:
    try:
        connect(context, host, address, port).close()
    except (Unreached, TimeoutError) as error:
        return error if isinstance(error, Unreached) else Unreached(str(error))
    return None


def _named(ports: set[int]) -> str:
    return ", ".join(f"{port} ({KNOWN[port]})" if port in KNOWN else str(port) for port in sorted(ports)) or "none"


@check(
    number=39,
    name="outbound-25",
    group="G",
    title="Port 25 is open to the world from here",
    source="RFC 5321 §4.5.4.2; M3AAWG Managing Port 25",
)
def outbound(context: Context) -> Iterator[Finding]:
    """Connect to two big mail hosts, over IPv4 and IPv6; say nothing to them."""
    if not context.probe_outbound:
        yield not_applicable("", "not asked for: it connects to mail hosts of others, and is about where this runs")
        return
    for kind, family in (("A", "IPv4"), ("AAAA", "IPv6")):
        if kind == "AAAA" and not context.dns.ipv6:
            yield not_applicable(f"from here, {family}", "this machine has no IPv6")
        else:
            yield _outbound(context, f"from here, {family}", kind)


def _outbound(context: Context, subject: str, kind: str) -> Finding:
    said, refused = [], False
    for host in context.around.outbound_probes:
        found = context.dns.ask(context.dns.own, host, kind).values
        for address in sorted(found)[:1]:
            try:
                connection = connect(context, host, address, 25)
            except Unreached as error:
                said.append(f"{host} {address}: {error}")
                refused = refused or error.refused
                continue
            with contextlib.closing(connection):
                said.append(f"{host} {address}: {_greeting(connection)}")
            return ok(subject, said[-1])
    if not said:
        return unknown(subject, f"no {kind} record of {', '.join(context.around.outbound_probes)} was found")
    return (fail if refused else warn)(
        subject,
        "no connection to port 25 of any of them",
        *said,
        expected="a connection: mail to other domains goes there, unless all of it goes through a relay on 587",
        fix="ask the provider to open outgoing port 25 (most block it for new accounts), or send through a relay on "
        "port 587; look at the host's own outgoing rules",
    )


def _greeting(connection: socket.socket) -> str:
    try:
        words = connection.recv(200).decode("utf-8", "replace").split()
    except OSError:
        return "connected"
    with contextlib.suppress(OSError):
        connection.sendall(b"QUIT\r\n")
    return "connected, " + " ".join(words[:2])
