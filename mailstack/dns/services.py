"""Where mail programs hand mail in: SRV records (RFC 2782, for mail RFC 6186, with TLS from the start RFC 8314)."""

import re
from dataclasses import dataclass

from mailstack.dns.names import read_name
from mailstack.dns.problems import Findings
from mailstack.dns.rdata import NOT_OFFERED, Srv

__all__ = ["MailService", "check_srv", "read_services"]

# _submission upgrades by STARTTLS, _submissions starts with TLS (RFC 8314 §5.1).
NAMES = ("submission", "submissions")
_NAME = re.compile(r"_[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?\._(tcp|udp|tls|sctp|dccp)\..+")


@dataclass(frozen=True, kw_only=True)
class MailService:
    """Says to mail programs of ``domain`` where mail is handed in.

    ``host`` with its ports; a port of None is said not to be offered, so that nobody guesses.
    """

    domain: str
    host: str
    starttls_port: int | None = 587
    tls_port: int | None = 465


def read_services(service: MailService, findings: Findings) -> tuple[tuple[str, Srv], ...]:
    """Return names and data of the records; TLS from the start is preferred (RFC 8314 §3)."""
    label = f"{service.domain} SRV"
    domain = read_name(service.domain, label, findings)
    host = read_name(service.host, label, findings)
    if domain is None or host is None:
        return ()
    ports = zip(NAMES, (service.starttls_port, service.tls_port), (10, 0), strict=True)
    return tuple(
        (
            f"_{name}._tcp.{domain}",
            Srv(priority=0, weight=0, port=0, target=NOT_OFFERED)
            if port is None
            else Srv(priority=priority, weight=1, port=port, target=host),
        )
        for name, port, priority in ports
    )


def check_srv(name: str, record: Srv, label: str, findings: Findings, *, alias: bool) -> None:
    """Note what is wrong with a record at ``name``; ``alias`` tells that its target is a CNAME."""
    if not _NAME.fullmatch(name.removeprefix("*.")):
        findings.error(
            label,
            "srv-name",
            found=f"an SRV record at {name}",
            expected="a name that begins with service and protocol, such as _submissions._tcp.example.com",
            fix="put both labels in front of the domain",
        )
    if (record.port == 0) != (record.target == NOT_OFFERED):
        findings.error(
            label,
            "srv-port",
            found=f"port {record.port} at {record.target}",
            expected='a port of 1 to 65535 and a host, or 0 0 0 . for "not offered"',
            fix='write the port the server listens on, or "0 0 0 ."',
        )
    if alias:
        findings.error(
            label,
            "srv-target",
            found=f"the target {record.target}, which is a CNAME",
            expected="a name with addresses of its own",
            fix="name the target of the CNAME",
        )
