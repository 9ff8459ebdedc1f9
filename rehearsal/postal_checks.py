"""What a rehearsal proves of Postal and Caddy: seed 000 from the application to the reader, and back."""

import json
import re
import secrets
import time
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import dkim
import dns.message
import dns.query
import dns.rdatatype

from mailstack.settings.names import postal_dkim, return_path_domain
from mailstack.settings.postal_model import Postal
from rehearsal.probes import BOUNCE, CERTIFICATE, PORT_SCAN, STATUS, WEBSITE
from rehearsal.published import PUBLISHED
from rehearsal.site import Check, Site, short

__all__ = ["application_checks", "port_checks", "web_checks"]

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "docs/examples/send_mail.py"
ARRIVAL_SECONDS = 60
SECONDS_FOR_STATUS = 60


def application_checks(site: Site) -> Iterator[Check]:
    """Yield: the example application sends by API and by SMTP; the mail arrives signed; a bounce comes back."""
    postal = site.settings.postal
    if postal is None or not postal.mail_servers:
        return
    name, server = postal.mail_servers[0]
    sender = f"app@{server.domains[0]}"
    for via in ("api", "smtp"):
        token = f"mailstack-{via}-{secrets.token_hex(8)}"
        started = time.monotonic()
        said = _example(site, name, via, sender, token)
        arrived = site.google.wait_for_subject(token, timeout_seconds=ARRIVAL_SECONDS)
        seconds = time.monotonic() - started
        yield Check(
            name=f"the example application sends by {via.upper()}",
            passed=arrived is not None and said[0] == 0,
            evidence=short(f"in {seconds:.1f} s; it says: {said[1]}"),
        )
        if arrived is None:
            return
        yield from _arrival(site, postal, arrived, via)
        number = re.search(r"message (\d+): Sent", said[1])
        if number is not None:  # only the API tells it
            yield from _bounce(site, postal, name, arrived, int(number[1]))


def _example(site: Site, server: str, via: str, sender: str, token: str) -> tuple[int, str]:
    """Run docs/examples/send_mail.py on the neighbour ``app``, as a user would."""
    app = site.ground.services["app"]
    site.ground.copy_in(
        app, json.dumps({"mail_servers": site.outputs["mail_servers"]}), "/app/outputs.json", mode=0o600
    )
    site.ground.copy_in(app, EXAMPLE, "/app/send_mail.py")
    done = site.ground.exec(
        app,
        [
            "python3", "/app/send_mail.py", "/app/outputs.json", "--server", server, "--via", via,
            "--from", sender, "--to", "someone@recipient.test", "--subject", token, "--wait", str(SECONDS_FOR_STATUS),
        ],
        check=False,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def _arrival(site: Site, postal: Postal, arrived: Any, via: str) -> Iterator[Check]:
    raw = site.google.raw(arrived.id)
    domain = str(message_from_bytes(raw)["From"]).rpartition("@")[2].rstrip(">").lower()
    declared = next(entry for entry in site.settings.domains if entry.name == domain)
    key = postal_dkim(postal, declared)
    selector = key.selector if key is not None else "none"
    signature = " ".join(str(message_from_bytes(raw)["DKIM-Signature"]).split())
    verified = dkim.verify(raw, dnsfunc=lambda name, timeout=5: _txt(site, name, timeout))
    ours = f"d={domain};" in signature and f"s={selector};" in signature
    yield Check(
        name=f"{via.upper()}: DKIM verifies against the key in DNS",
        passed=bool(verified) and ours,
        evidence=short(f"dkimpy: {selector}._domainkey.{domain}" if verified and ours else signature),
    )
    bounces = return_path_domain(site.settings, postal)
    yield Check(
        name=f"{via.upper()}: bounces come back to Postal",
        passed=arrived.mail_from.endswith(f"@{bounces}"),
        evidence=f"MAIL FROM:<{arrived.mail_from}>",
    )


def _txt(site: Site, name: Any, timeout: float) -> bytes | None:
    """Ask the authoritative server of the zones, as dkimpy wants it: the joined strings of the first record."""
    server = site.settings.dns.server
    text = name.decode() if isinstance(name, bytes) else str(name)
    if server is None:
        address, port = site.ground.services[PUBLISHED].address, 53
    else:
        address, port = site.hosts[server.host].address, server.port
    query = dns.message.make_query(text, dns.rdatatype.TXT)
    reply = dns.query.tcp(query, address, port=port, timeout=timeout)
    for rrset in reply.answer:
        for rdata in rrset:
            return b"".join(rdata.strings)
    return None


def _bounce(site: Site, postal: Postal, server: str, arrived: Any, number: int) -> Iterator[Check]:
    """Send a delivery failure to the return path, as the upstream would hours later, and ask Postal."""
    app = site.ground.services["app"]
    headers = site.google.raw(arrived.id).partition(b"\r\n\r\n")[0].decode()
    report = {"host": postal.smtp_hostname, "recipient": arrived.mail_from, "headers": headers}
    sent = site.ground.exec(app, ["python3", "-c", BOUNCE], input=json.dumps(report), check=False)
    told = site.outputs["mail_servers"][server]
    question = {
        "url": told["api_url"],
        "key": next(iter(told["api_keys"].values())),
        "number": number,
        "wanted": "Bounced",
        "seconds": SECONDS_FOR_STATUS,
    }
    answer = site.ground.exec(app, ["python3", "-c", STATUS], input=json.dumps(question), check=False)
    status = answer.stdout.strip()
    yield Check(
        name="a late bounce reaches the message",
        passed=status == "Bounced",
        evidence=short(f"message {number}: {status}" if sent.returncode == 0 else sent.stderr.strip()[-200:]),
    )


def web_checks(site: Site) -> Iterator[Check]:
    """Yield: the web UI behind TLS, the redirect, and the one certificate on both doors."""
    postal, caddy = site.settings.postal, site.settings.caddy
    if postal is None or caddy is None:
        return
    app = site.ground.services["app"]
    asked = site.ground.exec(app, ["python3", "-", postal.web_hostname], input=WEBSITE, check=False)
    found: dict[str, Any] = json.loads(asked.stdout) if asked.returncode == 0 else {}
    yield Check(
        name="the web UI answers over verified TLS",
        passed=found.get("status") == 200,
        evidence=short(f"certificate by {found.get('issuer')}" if found else asked.stderr.strip()[-200:]),
    )
    yield Check(
        name="HTTP leads to HTTPS",
        passed=found.get("redirect", "").startswith(f"https://{postal.web_hostname}/"),
        evidence=short(f"{found.get('redirect_status')} to {found.get('redirect')}"),
    )
    if postal.smtp_tls:
        served = site.ground.exec(app, ["python3", "-", postal.smtp_hostname], input=CERTIFICATE, check=False)
        yield Check(
            name="STARTTLS on port 25 shows a certificate that verifies",
            passed=served.returncode == 0,
            evidence=short((served.stdout or served.stderr).strip()[-200:]),
        )


def port_checks(site: Site) -> Iterator[Check]:
    """Yield, for each host with a firewall: a neighbour that tries all 65,535 TCP ports finds the declared ones."""
    for name, host in site.hosts.items():
        declared = next((run.settings for run in site.plan.hosts[name].runs if run.role == "firewall"), None)
        if declared is None:
            continue
        expected = {entry["port"] for entry in declared["allow"] if entry["protocol"] == "tcp" and not entry["sources"]}
        expected |= set(declared["ssh_ports"])
        app = site.ground.services["app"]
        scanned = site.ground.exec(app, ["python3", "-", host.address], input=PORT_SCAN, check=False)
        found = set(json.loads(scanned.stdout)) if scanned.returncode == 0 else set()
        yield Check(
            name=f"{name}: exactly the declared ports are open",
            passed=found == expected,
            evidence=f"a neighbour tried 65,535 and got in at {sorted(found)}; declared {sorted(expected)}",
        )
