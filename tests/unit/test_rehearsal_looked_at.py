"""The checks of `mailstack verify` in a rehearsal: the world they see, and what of their findings is explained.

Against a name server on loopback with the zones of the committed stacks; whole stacks are for the tests with hosts.
"""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mailstack.dns import zone_of
from mailstack.dns.zone import render_zone
from mailstack.plan import Plan, load_plan
from mailstack.plan.verification import verify_target
from mailstack.settings.initialise import rehearsal_config
from mailstack.verify.message import SubmissionError
from mailstack.verify.model import CHECKS, State
from mailstack.verify.run import run_checks
from mailstack.verify.selection import select
from rehearsal.endpoints import with_certificates
from rehearsal.looked_at import (
    EXPLAINED,
    SEEN,
    SEEN_OF_SMTP,
    NeighbourSubmission,
    not_seen,
    world,
)
from rehearsal.probes import API_SUBMIT
from rehearsal.site import Site
from tests.unit.name_server import LOOPBACK, NameServer
from tests.unit.verify_world import free_port
from tests.verify.checks_of_dns import names as checks_of_dns

pytestmark = pytest.mark.slow

LEFT_OUT = [one.check for one in EXPLAINED]


def rehearsed(stack: str, port: int) -> Plan:
    """Return the plan of a stack as a rehearsal changes it, with a name server at ``port``."""
    raw = rehearsal_config(Path(f"Pulumi.{stack}.yaml"))
    raw["dns"]["server"]["port"] = port
    if "caddy" in raw:
        raw = with_certificates(raw, directory="https://acme.rehearsal.test:14000/dir", pair=("", ""))
    return load_plan(raw)


def site(plan: Plan) -> Site:
    """Return a site whose hosts are all on loopback."""
    hosts = {name: SimpleNamespace(address=LOOPBACK) for name in plan.settings.hosts}
    return cast("Site", SimpleNamespace(plan=plan, settings=plan.settings, hosts=hosts))


def zones(plan: Plan) -> dict[str, str]:
    server = plan.settings.dns.server
    assert server is not None
    return {
        zone: render_zone(
            zone,
            [record for record in plan.dns.records if zone_of(record.name, plan.dns.zones) == zone],
            nameservers=server.nameservers,
            hostmaster=server.hostmaster,
            serial=1,
        )
        for zone in plan.dns.zones
    }


def test_what_is_explained_are_checks_that_there_are_each_with_its_reason() -> None:
    select()
    assert {one.check for one in EXPLAINED} <= set(CHECKS)
    assert all(len(one.why) > 20 for one in EXPLAINED)
    assert len({one.check for one in EXPLAINED}) == len(EXPLAINED)


def test_a_look_that_sees_nothing_proves_nothing() -> None:
    def found(check: str, state: State) -> Any:
        return SimpleNamespace(check=check, state=state)

    right = tuple(found(check, State.OK) for check in (*SEEN, *SEEN_OF_SMTP))
    assert set(SEEN) | set(SEEN_OF_SMTP) <= set(CHECKS) - set(LEFT_OUT)
    assert not_seen(right, [*SEEN, *SEEN_OF_SMTP]) == []
    assert not_seen((found("published", State.UNKNOWN), *right[:1]), SEEN) == ["published", "drift"]


@pytest.mark.parametrize("stack", ["local", "staging"])
def test_public_addresses_lead_to_the_hosts_and_nobody_outside_is_asked(stack: str) -> None:
    plan = rehearsed(stack, 53)
    seen = world(site(plan), Path("ca.pem"))
    target = verify_target(plan)
    for host in target.hosts:
        for address in host.addresses:
            for port in (25, 53, 443, *(one.port for one in host.ports or ())):
                assert seen.places[(address, port)] == (LOOPBACK, port)
    assert (seen.resolvers, seen.own_resolver) == ((f"{LOOPBACK}:53",), f"{LOOPBACK}:53")
    assert (seen.block_lists, seen.domain_block_lists, seen.outbound_probes, seen.ipv6) == ((), (), (), False)


def test_a_stack_without_a_name_server_is_not_looked_at() -> None:
    plan = load_plan(rehearsal_config(Path("Pulumi.prod.yaml")))
    with pytest.raises(LookupError, match="no name server"):
        world(site(plan), Path("ca.pem"))


@pytest.mark.parametrize("stack", ["local", "staging"])
def test_the_records_of_a_committed_stack_are_right_in_that_world(stack: str) -> None:
    plan = rehearsed(stack, free_port())
    server = plan.settings.dns.server
    assert server is not None
    wanted = [name for name in checks_of_dns() if name not in LEFT_OUT]
    served = zones(plan)
    # The rehearsal's name server follows an alias within its zone; this one does so as a resolver only.
    with NameServer(served, port=server.port), NameServer(served, recursive=True) as resolver:
        place = f"{LOOPBACK}:{resolver.port}"
        around = replace(world(site(plan), Path("ca.pem")), resolvers=(place,), own_resolver=place)
        report = run_checks(verify_target(plan), around, names=wanted, seconds=20)
    assert [f"{one.check} {one.subject}: {one.found}" for one in report.findings if one.state is State.FAIL] == []
    seen = {one.check for one in report.findings if one.state is State.OK}
    assert {"zone-servers", "host-addresses", "published", "dkim-key", "dmarc-record"} <= seen


@contextlib.contextmanager
def postal(answer: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Stand in for Postal's HTTP API; yield its URL and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, "key": self.headers["X-Server-API-Key"], **body})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer((LOOPBACK, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://{LOOPBACK}:{server.server_port}", asked
        server.shutdown()


class Ground:
    """A ground whose neighbour runs programs here."""

    def __init__(self) -> None:
        self.services = {"app": "app"}
        self.asked: list[list[str]] = []
        self.answer = SimpleNamespace(returncode=0, stdout="success\n", stderr="")

    def exec(self, service: str, argv: list[str], *, input: str, check: bool) -> Any:  # noqa: A002 - as it is called
        self.asked.append([service, *argv, input])
        return self.answer


def test_the_test_message_goes_through_postals_api_as_the_neighbour_asks_it() -> None:
    ground = Ground()
    way: Any = SimpleNamespace(host="postal.mailstack.test", secret=SimpleNamespace(get_secret_value=lambda: "k" * 24))
    submission = NeighbourSubmission(site=cast("Site", SimpleNamespace(ground=ground)), way=way)
    assert submission.submit("app@mailstack.test", "someone@recipient.test", b"x") == "success"
    [(service, *argv, question)] = ground.asked
    assert (service, argv) == ("app", ["python3", "-c", API_SUBMIT])
    assert '"url": "https://postal.mailstack.test/api/v1/send/raw"' in question
    ground.answer = SimpleNamespace(returncode=0, stdout="error\n", stderr="")
    with pytest.raises(SubmissionError, match="error") as refused:
        submission.submit("a@mailstack.test", "b@recipient.test", b"x")
    assert refused.value.refused
    ground.answer = SimpleNamespace(returncode=1, stdout="", stderr="no route")
    with pytest.raises(SubmissionError, match="no route") as lost:
        submission.submit("a@mailstack.test", "b@recipient.test", b"x")
    assert not lost.value.refused


def test_the_neighbours_program_says_what_the_api_says() -> None:
    with postal({"status": "success", "data": {}}) as (url, asked):
        question = {"url": f"{url}/api/v1/send/raw", "key": "secret", "body": {"rcpt_to": ["b@recipient.test"]}}
        done = subprocess.run(
            [sys.executable, "-c", API_SUBMIT], input=json.dumps(question), text=True, capture_output=True, check=True
        )
    assert done.stdout == "success\n"
    assert [(one["path"], one["key"], one["rcpt_to"]) for one in asked] == [
        ("/api/v1/send/raw", "secret", ["b@recipient.test"])
    ]
