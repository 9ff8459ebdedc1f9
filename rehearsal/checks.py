"""What a rehearsal proves, each check with its evidence."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype
from pydantic import ValidationError

from mailstack.dns import Record
from mailstack.dns.zone import rdata_text
from mailstack.outputs import Outputs
from rehearsal.cluster_checks import cluster_checks
from rehearsal.container_checks import container_checks
from rehearsal.ground import Host
from rehearsal.looked_at import looked_at
from rehearsal.postal_checks import application_checks, port_checks, web_checks
from rehearsal.site import Check, Site, short
from rehearsal.submitting import submit

__all__ = ["run_checks", "table"]

ARRIVAL_SECONDS = 60


def run_checks(site: Site, say: Callable[[str], None]) -> list[Check]:
    """Run all checks, in order, telling each as it ends. A check that breaks counts as failed."""
    found: list[Check] = []
    through_relay = (_message, _null_sender, _refusals) if site.plan.relay.placed else ()
    place = (container_checks, cluster_checks) if site.place is not None else ()
    at_the_end = (_queue,) if through_relay else ()
    postal = (web_checks, application_checks, port_checks)
    for group in (_outputs, _dns, _rule, *through_relay, *place, *postal, looked_at, *at_the_end, _no_drift):
        try:
            checks = list(group(site))
        except (OSError, RuntimeError, ValueError, LookupError, dns.exception.DNSException) as error:
            checks = [Check(name=group.__name__.strip("_").replace("_", " "), passed=False, evidence=repr(error))]
        for check in checks:
            say(f"      {'ok  ' if check.passed else 'FAIL'} {check.name}")
        found += checks
    return found


def _outputs(site: Site) -> Iterator[Check]:
    """Yield: what applications are told is what the contract promises them."""
    try:
        found = Outputs.model_validate_json(json.dumps(site.outputs))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        yield Check(name="stack outputs are as the contract says", passed=False, evidence=short(wrong))
    else:
        yield Check(
            name="stack outputs are as the contract says",
            passed=True,
            evidence=f"version {found.contract_version}, {len(site.outputs)} outputs",
        )


def table(checks: list[Check]) -> list[str]:
    """Return the checks as lines of aligned text: result, name, evidence."""
    width = max(len(check.name) for check in checks)
    return [f"{'ok  ' if check.passed else 'FAIL'}  {check.name:<{width}}  {check.evidence}" for check in checks]


def _dns(site: Site) -> Iterator[Check]:
    server = site.settings.dns.server
    records = site.plan.dns.records
    if server is not None and site.settings.dns.provider == "server":
        address = site.hosts[server.host].address
        for record in records:
            served = _ask(address, server.port, record)
            wanted = rdata_text(record)
            yield Check(
                name=f"DNS {record.type} {record.name}",
                passed=wanted in served,
                evidence=short(f"{wanted} from {address}") if wanted in served else f"served: {served}",
            )
    elif site.cloudflare is not None:
        held = [entry for zone in site.plan.dns.zones for entry in site.cloudflare.records(zone)]
        for record in records:
            matching = [entry for entry in held if (entry["name"], entry["type"]) == (record.name, record.type)]
            yield Check(
                name=f"DNS {record.type} {record.name}",
                passed=bool(matching) and not any(entry["proxied"] for entry in matching),
                evidence=short("; ".join(str(entry["content"]) for entry in matching)) or "not at Cloudflare",
            )
    else:
        zones = site.outputs.get("dns_zones") or {}
        yield Check(name="DNS zone output", passed=bool(zones), evidence=f"{', '.join(zones)} as BIND text")


def _ask(address: str, port: int, record: Record) -> list[str]:
    query = dns.message.make_query(record.name, dns.rdatatype.from_text(record.type))
    reply = dns.query.udp(query, address, port=port, timeout=5)
    if reply.flags & dns.flags.TC:
        reply = dns.query.tcp(query, address, port=port, timeout=5)
    return [rdata.to_text() for rrset in reply.answer for rdata in rrset]


def _rule(site: Site) -> Iterator[Check]:
    if site.plan.relay_rule is None or not site.plan.relay_rule.runs:
        return
    probes = site.outputs.get("relay_rule_probes") or {}
    for host, probe in (probes or {"": {}}).items():
        evidence = f"{probe.get('target')}: {probe.get('tls_version')}, recipient accepted, nothing sent"
        failure = probe.get("failure") or {}
        yield Check(
            name=f"{host}: relay rule probe" if len(probes) > 1 else "relay rule probe",
            passed=bool(probe.get("ok")),
            evidence=evidence if probe.get("ok") else f"{failure.get('text')} (fix: {failure.get('fix')})",
        )


def _message(site: Site) -> Iterator[Check]:
    for relay in site.everywhere:
        prefix = f"{relay.name}: " if relay is not None and len(site.relays) > 1 else ""
        for check in _message_through(site, relay):
            yield replace(check, name=prefix + check.name)


def _message_through(site: Site, relay: Host | None) -> Iterator[Check]:
    definition = site.plan.relay.definition
    sender = f"app@{definition.sender_domains[0]}"
    token = f"mailstack-{secrets.token_hex(8)}"
    started = time.monotonic()
    answer = submit(site, sender, "someone@recipient.test", token, relay=relay)
    arrived = site.google.wait_for_subject(token, timeout_seconds=ARRIVAL_SECONDS) if answer == "accepted" else None
    seconds = time.monotonic() - started
    yield Check(
        name="a message arrives at the upstream",
        passed=arrived is not None,
        evidence=f"{sender} to someone@recipient.test in {seconds:.1f} s" if arrived else f"relay said: {answer}",
    )
    if relay is not None:
        yield Check(
            name="from the host's own address",
            passed=arrived is not None and arrived.peer_ip == relay.address,
            evidence=f"the upstream saw {arrived.peer_ip}" if arrived else "nothing arrived",
        )
    if arrived is None:
        return
    yield Check(
        name="over TLS 1.2 or newer",
        passed=arrived.tls is not None and arrived.tls.version in {"TLSv1.2", "TLSv1.3"},
        evidence=f"{arrived.tls.version}, {arrived.tls.cipher}, SNI {arrived.tls.sni}" if arrived.tls else "in clear",
    )
    log = site.relay_log(relay)
    verified = [
        line for line in log.splitlines() if f"TLS connection established to {definition.upstream_host}" in line
    ]
    yield Check(
        name="certificate verified for its name",
        passed=bool(verified) and all(" Verified TLS connection" in line for line in verified),
        evidence=short(verified[-1].partition("]: ")[2]) if verified else "no TLS line in the relay's log",
    )
    yield Check(
        name="EHLO name is the declared one",
        passed=arrived.ehlo == definition.hostname,
        evidence=f"EHLO {arrived.ehlo}",
    )
    yield Check(
        name="content unchanged",
        passed=token.encode() in site.google.raw(arrived.id),
        evidence=f"token {token}; Google's X-Relaying-Domain: {arrived.relaying_domain}",
    )


def _null_sender(site: Site) -> Iterator[Check]:
    token = f"mailstack-{secrets.token_hex(8)}"
    answer = submit(site, "", f"someone@{site.plan.relay.definition.sender_domains[0]}", token)
    arrived = site.google.wait_for_subject(token, timeout_seconds=ARRIVAL_SECONDS) if answer == "accepted" else None
    yield Check(name="a bounce (null sender) passes", passed=arrived is not None, evidence=f"MAIL FROM:<>: {answer}")


def _refusals(site: Site) -> Iterator[Check]:
    before = site.google.counters().messages_accepted
    foreign = submit(site, "someone@elsewhere.test", "someone@recipient.test", "foreign sender")
    yield Check(
        name="a foreign sender domain is refused",
        passed=foreign.startswith("refused 5"),
        evidence=short(f"someone@elsewhere.test: {foreign}"),
    )
    definition = site.plan.relay.definition
    if definition.listen_addresses == ("127.0.0.1",):
        probe = f"import socket; socket.create_connection(({site.relay_host.address!r}, {definition.listen_port}), 3)"
        neighbour = site.ground.services["upstream"]
        outside = site.ground.exec(neighbour, ["python3", "-c", probe], check=False)
        yield Check(
            name="another machine cannot reach the relay",
            passed=outside.returncode != 0 and "refused" in outside.stderr,
            evidence=short(outside.stderr.strip().splitlines()[-1] if outside.stderr else "it connected"),
        )
    after = site.google.counters().messages_accepted
    yield Check(name="nothing refused went out", passed=after == before, evidence=f"{after} messages at the upstream")


def _queue(site: Site) -> Iterator[Check]:
    queue = "".join(site.in_relay(["postqueue", "-j"], relay) for relay in site.everywhere).strip()
    yield Check(name="the queue is empty", passed=queue == "", evidence=short(queue) or "postqueue -j prints nothing")
    if site.place is not None:
        return
    counts = [json.loads(site.in_relay(["mailstack-relay-stats"], relay))["recipients"] for relay in site.everywhere]
    sent, bounced = (sum(count[what] for count in counts) for what in ("sent", "bounced"))
    yield Check(
        name="the relay's own count agrees",
        passed=sent == site.google.counters().messages_accepted,
        evidence=f"mailstack-relay-stats: {sent} sent, {bounced} bounced",
    )


def _no_drift(site: Site) -> Iterator[Check]:
    drift = site.drift()
    yield Check(
        name="hosts, objects and records are as declared",
        passed=not drift,
        evidence=short("; ".join(drift)) if drift else "roles run with --check, objects asked: nothing differs",
    )
