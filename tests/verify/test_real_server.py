"""The same zones, served by a real Knot on a host: what our stand-in of a name server cannot prove about answers.

The parent, the resolvers and HTTPS are those of the unit tests: of a registry and of a validating resolver there is no
real one to be had here.
"""

import json
import time
from collections.abc import Iterator

import dns.exception
import dns.flags
import dns.message
import dns.query
import pytest

from mailstack.verify.around import Around
from mailstack.verify.run import run_checks
from rehearsal.ground import Ground, Host
from tests.verify.case import Filled
from tests.verify.checks_of_dns import names
from tests.verify.matching import differences
from tests.verify.world import internet, zones_of
from tests.verify.zones import CASES, filled

pytestmark = pytest.mark.hosts

SERVED = [case for case in CASES if not case.only_here]
STORAGE = "/var/lib/knot/verify"
# Semantic checks are off: the role that people use has them on, and would refuse some of what must be seen here.
CONFIGURATION = f"""\
server:
    rundir: "/run/knot"
    user: knot:knot
    listen: [ {{address}}@53 ]
log:
  - target: syslog
    any: warning
database:
    storage: "/var/lib/knot"
template:
  - id: default
    storage: "{STORAGE}"
    file: "%s.zone"
    semantic-checks: off
zone:
"""
WRITE = f"""\
import json, pathlib
folder = pathlib.Path("{STORAGE}")
folder.mkdir()
for name, text in json.loads(pathlib.Path("/root/zones.json").read_text()).items():
    (folder / (name + ".zone")).write_text(text)
"""


def start_knot(ground: Ground, host: Host, zones: dict[str, str]) -> None:
    """Install Knot on a host and let it serve the zones."""
    listed = "".join(f"  - domain: {name}\n" for name in zones)
    ground.copy_in(host, json.dumps(zones), "/root/zones.json")
    ground.copy_in(host, WRITE, "/root/write.py")
    ground.copy_in(host, CONFIGURATION.format(address=host.address) + listed, "/root/knot.conf")
    script = (
        "apt-get -qq install -y knot >/dev/null 2>&1; python3 /root/write.py; cp /root/knot.conf /etc/knot/knot.conf;"
        f" chown -R knot:knot {STORAGE}; systemctl restart knot"
    )
    ground.exec(host, ["sh", "-ec", script])


def wait_for_all(address: str, zones: dict[str, str]) -> None:
    """Wait until every zone is answered for; Knot loads them after it has begun to listen."""
    deadline = time.monotonic() + 20
    missing = list(zones)
    while missing and time.monotonic() < deadline:
        missing = [name for name in missing if not answers(address, name)]
    assert missing == [], "Knot did not load these"


def answers(address: str, name: str) -> bool:
    """Tell whether the server has the zone."""
    try:
        reply = dns.query.udp(dns.message.make_query(name, "SOA"), address, timeout=2)
    except (dns.exception.DNSException, OSError):
        return False
    return bool(reply.flags & dns.flags.AA) and bool(reply.answer)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Filled], Around]]:
    """The cases by name, and where to ask about them: both name servers of every zone are the one Knot."""
    with Ground("verify-real-server") as ground:
        host = ground.create_host("ns", unsafe_dpkg=True)
        served = {case.name for case in SERVED}
        cases = [case for case in filled(host.address, host.address) if case.case.name in served]
        zones = zones_of(cases)
        start_knot(ground, host, zones)
        wait_for_all(host.address, zones)
        with internet(cases, tmp_path_factory.mktemp("world"), real={host.address: 53}) as around:
            yield {case.case.name: case for case in cases}, around


@pytest.mark.parametrize("name", [case.name for case in SERVED])
def test_what_a_real_server_says_is_judged_alike(name: str, served: tuple[dict[str, Filled], Around]) -> None:
    cases, around = served
    report = run_checks(cases[name].target(), around, names=names())
    assert differences(cases[name], report.findings) == []


def test_most_zones_are_served_by_a_real_server() -> None:
    assert len(SERVED) > 0.9 * len(CASES)
    assert len([case for case in SERVED if case.found]) >= 60
