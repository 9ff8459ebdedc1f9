"""All checks that connect, in one run: side by side, within the time of one, and none of them stumbles."""

import re
import time
from pathlib import Path

import pytest

from mailstack.verify import (
    certificates,
    dane,
    host_checks,
    message_checks,
    open_relay,
    ports,
    recipients,
    routing,
    sessions,
    tls_checks,
    web,
)
from mailstack.verify.host import HostFacts
from mailstack.verify.model import CHECKS, State
from mailstack.verify.run import run_checks
from mailstack.verify.target import DomainTarget, HostTarget, Target
from tests.unit.name_server import LOOPBACK
from tests.unit.verify_world import DOMAIN, HOST, MX, SUBMISSION, TLS_SUBMISSION, ZONE, Pki, SmtpStandin, around, named

CONNECTING = {11, 13, 19, *range(22, 31), 32, 33, 38, 39, 40, 42, 43, 44}
MODULES = (
    certificates, dane, host_checks, message_checks, open_relay, ports, recipients, routing, sessions, tls_checks, web,
)  # fmt: skip
NAMES = [name for name, check in CHECKS.items() if check.look.__module__ in {module.__name__ for module in MODULES}]


class Nothing:
    """A way into every host, which can tell nothing."""

    def machines(self) -> tuple[str, ...]:
        return ("mail-1",)

    def at(self, address: str) -> str | None:
        return "mail-1" if address == LOOPBACK else None

    def facts(self, machine: str) -> HostFacts:
        return HostFacts()


def test_every_item_of_the_list_that_connects_has_one_check() -> None:
    assert sorted(CHECKS[name].number for name in NAMES) == sorted(CONNECTING)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in NAMES)


def test_one_run_looks_at_everything_and_stumbles_over_nothing(tmp_path: Path) -> None:
    pki, secure = Pki(tmp_path), ("AUTH PLAIN",)
    looked_at = Target(
        domains=(
            DomainTarget(name=DOMAIN, receives=True, return_paths=(DOMAIN,), senders=(LOOPBACK,), tracking=(HOST,)),
        ),
        hosts=(HostTarget(name=HOST, addresses=(LOOPBACK,), helo=True, ports=(MX, SUBMISSION, TLS_SUBMISSION)),),
        web=(HOST,),
    )
    with (
        named({DOMAIN: ZONE}) as fields,
        SmtpStandin(pki.context(), secure_offers=secure) as smtp,
        SmtpStandin(pki.context(), implicit=True, secure_offers=secure) as implicit,
    ):
        places = {25: smtp.port, 587: smtp.port, 465: implicit.port, 443: implicit.port, 80: smtp.port, 22: smtp.port}
        began = time.monotonic()
        report = run_checks(
            looked_at, around(places, pki, **fields), names=NAMES, seconds=20, access=Nothing(), drift=list
        )
    assert {finding.check for finding in report.findings} == set(NAMES), "each says something"
    assert [one for one in report.findings if "itself failed" in one.found] == []
    by_name = {name: {one.state for one in report.findings if one.check == name} for name in NAMES}
    for name in ("starttls", "tls-version", "certificate", "auth-after-tls", "smtp-greeting", "open-relay", "drift"):
        assert by_name[name] == {State.OK}, name
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", NAMES)
def test_a_check_that_has_nothing_to_look_at_says_so(name: str) -> None:
    report = run_checks(Target(), around(), names=[name], seconds=5)
    assert {finding.state for finding in report.findings} == {State.NOT_APPLICABLE}


@pytest.mark.parametrize("name", NAMES)
def test_a_check_that_has_no_time_left_blames_nobody(name: str) -> None:
    looked_at = Target(
        domains=(DomainTarget(name=DOMAIN, mx=((10, HOST),), tracking=(HOST,), return_paths=(DOMAIN,)),),
        hosts=(HostTarget(name=HOST, addresses=(LOOPBACK,), ports=(MX,)),),
        web=(HOST,),
    )
    report = run_checks(looked_at, around(), names=[name], seconds=0)
    assert {finding.state for finding in report.findings} <= {State.UNKNOWN, State.NOT_APPLICABLE}
