"""The checks of `mailstack verify` against a rehearsal: what they find wrong is wrong, or in the table below.

The world they see is the throw-away one. Public addresses of the settings lead to the hosts of the ground. The stack's
own name server stands for every resolver: it refuses names outside its zones, so nobody outside is asked, and what the
Internet would have to say is unknown.
"""

import base64
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mailstack.plan.machine_access import machine_access
from mailstack.plan.verification import verify_target
from mailstack.settings.message_way import MessageWay, message_way
from mailstack.verify.around import Around
from mailstack.verify.message import MessagePath, SubmissionError
from mailstack.verify.model import Finding, State
from mailstack.verify.ports import KNOWN
from mailstack.verify.report.summary import summary_line
from mailstack.verify.run import run_checks
from mailstack.verify.selection import select
from rehearsal.google_standin import GoogleStandinClient
from rehearsal.probes import API_SUBMIT
from rehearsal.site import Check, Site, short

__all__ = ["EXPLAINED", "Explained", "GoogleMailbox", "looked_at", "not_seen", "world"]

DNS_PORT = 53
SECONDS = 240.0
ARRIVAL_SECONDS = 60.0
HELO = "verify.rehearsal.test"
RECIPIENT = "someone@recipient.test"


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A check that is not run in a rehearsal, and why."""

    check: str
    why: str


# What the ground has all of.
SEEN = ("zone-servers", "published", "drift")
SEEN_OF_SMTP = ("starttls", "certificate", "open-relay")

DELEGATED = "nobody delegates the zones of a rehearsal, so there is no parent to ask"
MADE_UP = "the public addresses are made up, and nothing about them is known anywhere"
EXPLAINED = (
    Explained(check="zone-delegation", why=DELEGATED),
    Explained(check="zone-glue", why=DELEGATED),
    Explained(check="zone-ds", why=DELEGATED),
    Explained(check="zone-dnssec", why="there is no signed root above the zones of a rehearsal"),
    Explained(check="zone-ipv6", why="the ground has no IPv6"),
    Explained(check="host-reverse", why=f"{MADE_UP}: no reverse zone is served"),
    Explained(check="host-forward-confirmed", why=f"{MADE_UP}: no reverse zone is served"),
    Explained(check="rpki", why=MADE_UP),
    Explained(check="block-list-addresses", why=MADE_UP),
    Explained(check="block-list-domains", why="no block list is asked about the names of a rehearsal"),
    Explained(check="outbound-25", why="a rehearsal connects to nobody outside"),
    Explained(check="host-health", why="throw-away hosts share clock, disk and packages of the machine they run on"),
)


def looked_at(site: Site) -> Iterator[Check]:
    """Yield what the checks find wrong and no table explains, and one line about all of them.

    Nothing where no name server of the stack answers: its records are a file, or at a stand-in for an API.
    """
    if site.settings.dns.server is None or site.settings.dns.provider != "server":
        return
    path, postal = _message_path(site), site.settings.postal
    with tempfile.TemporaryDirectory(prefix="mailstack-authorities-") as folder:
        authorities = Path(folder) / "authorities.pem"
        authorities.write_text(site.authorities)
        report = run_checks(
            verify_target(site.plan),
            world(site, authorities),
            names=select(skip=[one.check for one in EXPLAINED]),
            seconds=SECONDS,
            access=machine_access(site.plan),
            drift=site.drift,
            message=path,
        )
    wrong = [finding for finding in report.findings if finding.state is State.FAIL]
    expected = [
        *SEEN,
        *(["message"] if path is not None else ()),
        *(SEEN_OF_SMTP if postal and postal.smtp_tls else ()),
    ]
    blind = not_seen(report.findings, expected)
    for finding in wrong:
        yield Check(
            name=f"verify: {finding.check}",
            passed=False,
            evidence=f"{finding.subject}: {finding.found}; expected: {finding.expected}",
        )
    yield Check(
        name="mailstack verify finds nothing that is not explained",
        passed=not wrong and not blind,
        evidence=f"seen to be right by none of {', '.join(blind)}; {summary_line(report)}"
        if blind
        else short(f"{summary_line(report)}; {len(EXPLAINED)} things are explained (rehearsal/looked_at.py)"),
    )


def not_seen(findings: tuple[Finding, ...], expected: Sequence[str]) -> list[str]:
    """Return the checks of ``expected`` that saw nothing to be right: where all is unknown, nothing is proven."""
    seen = {finding.check for finding in findings if finding.state is State.OK}
    return [check for check in expected if check not in seen]


def world(site: Site, authorities: Path) -> Around:
    """Return where the checks ask and connect: the stack's own name server, and the hosts behind their addresses."""
    server = site.settings.dns.server
    if server is None:
        raise LookupError("no name server of the stack answers in this rehearsal")
    resolver = f"{site.hosts[server.host].address}:{server.port}"
    listeners = {one.port for host in verify_target(site.plan).hosts for one in host.ports or ()}
    declared = site.settings.hosts
    return Around(
        resolvers=(resolver,),
        own_resolver=resolver,
        places={
            (public, port): (host.address, server.port if port == DNS_PORT and name == server.host else port)
            for name, host in site.hosts.items()
            if (public := declared[name].public_ipv4) is not None
            for port in {*KNOWN, *listeners}
        },
        authorities=authorities,
        helo=HELO,
        ipv6=False,
        block_lists=(),
        domain_block_lists=(),
        outbound_probes=(),
    )


# --- the test message -------------------------------------------------------------------------------------------------


def _message_path(site: Site) -> MessagePath | None:
    """Return the way through Postal's API. Without Postal there is none: the stand-in for Google signs nothing, so no
    such message could be right.
    """
    postal = site.settings.postal
    if postal is None or not postal.mail_servers:
        return None
    sender = f"app@{postal.mail_servers[0][1].domains[0]}"
    way = message_way(site.settings, sender)
    if way is None or not way.api:
        return None
    return MessagePath(
        sender=sender,
        recipient=RECIPIENT,
        submission=NeighbourSubmission(site=site, way=way),
        mailbox=GoogleMailbox(site.google),
        seconds=ARRIVAL_SECONDS,
        told=way.told,
    )


@dataclass(frozen=True, kw_only=True)
class NeighbourSubmission:
    """Postal's API, asked by the neighbour ``app``: there the stack's names lead somewhere, on this machine nowhere."""

    site: Site
    way: MessageWay

    def submit(self, sender: str, recipient: str, message: bytes) -> str:
        """Send it to one recipient."""
        key = "" if self.way.secret is None else self.way.secret.get_secret_value()
        question = {
            "url": f"https://{self.way.host}/api/v1/send/raw",
            "key": key,
            "body": {"mail_from": sender, "rcpt_to": [recipient], "data": base64.b64encode(message).decode()},
        }
        ground = self.site.ground
        asked = ground.exec(
            ground.services["app"], ["python3", "-c", API_SUBMIT], input=json.dumps(question), check=False
        )
        said = asked.stdout.strip()
        if asked.returncode != 0:
            raise SubmissionError(asked.stderr.strip()[-200:], refused=False)
        if said != "success":
            raise SubmissionError(said, refused=True)
        return said


class GoogleMailbox:
    """The stand-in for Google as a mailbox: what the upstream took."""

    def __init__(self, client: GoogleStandinClient) -> None:
        """``client`` asks it."""
        self.client = client

    def wait_for(self, subject: str, seconds: float) -> bytes | None:
        """Return the message with that subject as it arrived."""
        arrived = self.client.wait_for_subject(subject, timeout_seconds=seconds)
        return None if arrived is None else self.client.raw(arrived.id)
