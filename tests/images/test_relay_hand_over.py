"""A relay that goes away for good hands its queue to siblings: nothing is stranded, nothing is sent twice."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailstack.postfix.relay import RelayDefinition, role_settings
from rehearsal.ground import Ground, Service
from rehearsal.ground.docker import docker, docker_try
from tests.images.test_relay_image import CAPABILITIES, UPSTREAM, WRITABLE, Site, rule

pytestmark = pytest.mark.hosts

# A busy machine starts a container in a minute. A relay's own time, and how long a test waits for anything at most.
GRACE, PATIENCE = 120, 300
# One connection for all: what is put off must be there quickly. Arguments: address, first number, how many.
FILL = """
import smtplib, sys
place, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with smtplib.SMTP(place, 25, timeout=60) as smtp:
    for number in range(first, first + count):
        text = "Message-ID: <m%d@example.com>\\r\\nSubject: m%d\\r\\nFrom: app@host.example.com\\r\\n\\r\\nx\\r\\n"
        smtp.sendmail("app@host.example.com", ["someone@recipient.test"], text % (number, number))
        print("m%d" % number, flush=True)
"""
# Arguments: address. A null sender, an 8-bit body, DSN parameters, a name beyond ASCII.
SPECIAL = """
import smtplib, sys
with smtplib.SMTP(sys.argv[1], 25, timeout=60) as smtp:
    smtp.ehlo("app.example.com")
    def one(sender, recipient, body, mail=(), rcpt=()):
        for code, answer in (smtp.mail(sender, mail), smtp.rcpt(recipient, rcpt), smtp.data(body)):
            assert code == 250, answer
    one("", "someone@recipient.test", b"Subject: null\\r\\n\\r\\nx\\r\\n")
    one("app@example.com", "someone@recipient.test", "Subject: eight\\r\\n\\r\\nGr\\u00fc\\u00dfe\\r\\n".encode(),
        mail=["BODY=8BITMIME", "RET=HDRS", "ENVID=kept-42"], rcpt=["NOTIFY=FAILURE,DELAY"])
    one("app@example.com", "gr\\u00fc\\u00df@recipient.test", b"Subject: utf8\\r\\n\\r\\nx\\r\\n", mail=["SMTPUTF8"])
"""


class Family:
    """Relays ``relay-0``, ``relay-1``, …, each with a volume, that know each other by one name."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.folder = folder
        self.volumes: list[str] = []
        self.addresses: list[str] = []

    def start(
        self, number: int, *, action: str = "run", keeps_below: int = 1, grace: int = GRACE, smtputf8: bool = True
    ) -> Service:
        volume = f"mailstack-hand-over-{self.folder.name}-{number}"
        if volume not in self.volumes:
            docker(["volume", "create", volume])
            self.volumes.append(volume)
        definition = RelayDefinition(
            hostname="relay.example.com", sender_domains=("example.com",), upstream_host=UPSTREAM,
            listen_addresses=("0.0.0.0",), client_networks=(self.site.ground.subnet,),
            masquerade_domains=("example.com",), smtputf8=smtputf8,
            # Only what a test asks for is tried again while it looks.
            extra_parameters={"queue_run_delay": "3600s", "minimal_backoff_time": "3600s",
                              "maximal_backoff_time": "3600s"},
        )  # fmt: skip
        hand_over = {"host": "siblings", "port": 25, "keeps_below": keeps_below}
        settings = self.folder / f"relay-{number}.json"
        settings.write_text(json.dumps({**role_settings(definition), "hand_over": hand_over}))
        arguments = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        arguments += [f"--cap-add={capability}" for capability in CAPABILITIES]
        arguments += [part for path in WRITABLE for part in ("--tmpfs", path)]
        made = self.site.ground.create_service(
            f"relay-{number}", [action], image=self.site.image, env={"GRACE_SECONDS": str(grace)}, init=False,
            aliases=["siblings"] if action == "run" else [],
            mounts={"/etc/ssl/certs/ca-certificates.crt": self.site.authorities, "/etc/mailstack/relay.json": settings},
            extra_run_args=[*arguments, "--volume", f"{volume}:/var/spool/postfix"],
        )  # fmt: skip
        self.addresses.append(made.address)
        known = rule(made.address)
        self.site.google.put_rule({**known, "allowed_ips": [f"{address}/32" for address in self.addresses]})
        deadline = time.monotonic() + PATIENCE
        while action == "run" and self.site.health(made) != "healthy":
            assert time.monotonic() < deadline, (self.site.health(made), self.site.log(made))
            time.sleep(0.5)
        return made

    def fill(self, relay: Service, count: int, *, first: int = 0) -> set[str]:
        """Let a relay accept messages, and wait until all are put off."""
        arguments = ["python3", "-c", FILL, relay.address, str(first), str(count)]
        accepted = set(self.site.ground.exec(self.site.app, arguments).stdout.split())
        self.waits(relay, count)
        return accepted

    def waits(self, relay: Service, count: int) -> None:
        deadline = time.monotonic() + PATIENCE
        # The list alone: a message that has gone since costs postcat a second of its own (msg_fatal(3)).
        while len(found := self.listing(relay)) != count or {entry["queue_name"] for entry in found} - {"deferred"}:
            reasons = Counter(str(entry["recipients"]) for entry in found)
            assert time.monotonic() < deadline, (len(found), reasons.most_common(3), self.site.log(relay)[-2000:])
            time.sleep(0.3)

    def listing(self, relay: Service) -> list[dict[str, str]]:
        out = docker(["exec", relay.container_id, "postqueue", "-j"])
        return [json.loads(line) for line in out.splitlines()]

    def queues(self, relay: Service) -> set[str]:
        return {entry["queue_name"] for entry in self.listing(relay)}

    def queue(self, relay: Service) -> Counter[str]:
        """Return the subjects that wait, each as often as it does."""
        found: Counter[str] = Counter()
        identities = [entry["queue_id"] for entry in self.listing(relay)]
        if identities:
            script = "for id in $0 $@; do postcat -qh $id; done"
            text = docker(["exec", relay.container_id, "sh", "-c", script, *identities])
            found.update(re.findall(r"^Subject: (\S+)", text, re.MULTILINE))
        return found

    def attributes(self, relay: Service) -> list[str]:
        """Return what the queue knows of the envelopes: encoding, DSN parameters, SMTPUTF8."""
        script = "for id in $(mailq | grep -oE '^[0-9A-Za-z]{10,}'); do postcat -qe $id; done"
        text = docker(["exec", relay.container_id, "sh", "-c", script])
        return sorted(line for line in text.splitlines() if re.search(r"dsn|notify|envelope_id|ret_flags|=8bit", line))

    def stop(self, relays: Sequence[Service]) -> None:
        identities = [relay.container_id for relay in relays]
        docker(["stop", "--time", str(PATIENCE), *identities], timeout=PATIENCE + 30)
        assert {docker(["inspect", "--format", "{{.State.ExitCode}}", one]) for one in identities} == {"0"}, "in time"

    def again(self, relay: Service, number: int) -> Service:
        """Start a container on the volume of one that has ended."""
        self.site.ground.remove(relay)
        return self.start(number)

    def deliver(self, relays: Sequence[Service]) -> Counter[str]:
        """Let what waits be tried, and return what has arrived once nothing waits."""
        for relay in relays:
            self.flush(relay)
            self.waits(relay, 0)
        return self.site.arrived()

    def flush(self, relay: Service) -> None:
        """Let what waits be tried, once no attempt of before is under way.

        An attempt that fails after the flush tells qmgr(8) that the upstream is dead. All that is active is then put
        off again, for an hour here.
        """
        deadline = time.monotonic() + PATIENCE
        while self.queues(relay) - {"deferred"}:
            assert time.monotonic() < deadline, self.site.log(relay)[-2000:]
            time.sleep(0.3)
        docker(["exec", relay.container_id, "postqueue", "-f"])

    @contextmanager
    def upstream_away(self) -> Iterator[None]:
        fault = self.site.google.take_down()
        yield
        self.site.google.remove_fault(fault.id)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Ground("hand-over") as ground:
        yield Site(ground, tmp_path_factory.mktemp("hand-over"))


@pytest.fixture
def family(site: Site, tmp_path: Path) -> Iterator[Family]:
    site.google.clear_faults()
    site.google.reset()
    made = Family(site, tmp_path)
    yield made
    for name, service in site.ground.services.items():
        if name.startswith("relay"):
            site.ground.remove(service)
    for volume in made.volumes:
        docker_try(["volume", "rm", volume])


def test_what_was_put_off_is_at_the_sibling_once_and_delivered_once(family: Family) -> None:
    with family.upstream_away():
        first, second = family.start(0), family.start(1)
        accepted = family.fill(second, 200)
        assert len(accepted) == 200
        family.stop([second])
        assert family.queue(first) == Counter(dict.fromkeys(accepted, 1))
        assert "200 messages go to siblings" in family.site.log(second)
        assert "0 messages stay in the queue" in family.site.log(second)
    assert family.deliver([first]) == Counter(dict.fromkeys(accepted, 1))
    assert {message.mail_from for message in family.site.google.messages()} == {"app@example.com"}
    assert family.deliver([family.again(second, 1)]) == Counter(dict.fromkeys(accepted, 1)), "nothing is left there"


def test_one_that_comes_back_to_its_volume_keeps_its_queue(family: Family) -> None:
    with family.upstream_away():
        first, second = family.start(0), family.start(1)
        accepted = family.fill(first, 5)
        family.stop([first])
        assert family.queue(second) == Counter()
        first = family.again(first, 0)
        assert set(family.queue(first)) == accepted
    assert family.deliver([first]) == Counter(dict.fromkeys(accepted, 1))


def test_with_no_sibling_up_all_stays_in_the_volume(family: Family) -> None:
    with family.upstream_away():
        second = family.start(1, grace=14)
        accepted = family.fill(second, 20)
        family.stop([second])
        assert "20 messages stay in the queue" in family.site.log(second)
        second = family.again(second, 1)
        assert family.queue(second) == Counter(dict.fromkeys(accepted, 1))
    assert family.deliver([second]) == Counter(dict.fromkeys(accepted, 1))


def test_two_that_stop_at_once_lose_nothing_and_send_nothing_round(family: Family) -> None:
    with family.upstream_away():
        one, other = family.start(1, grace=14), family.start(2, grace=14)
        accepted = family.fill(one, 20) | family.fill(other, 20, first=20)
        family.stop([one, other])
        one, other = family.again(one, 1), family.again(other, 2)
        assert family.queue(one) + family.queue(other) == Counter(dict.fromkeys(accepted, 1))
    assert family.deliver([one, other]) == Counter(dict.fromkeys(accepted, 1))


def test_a_kill_in_the_middle_doubles_no_more_than_is_between_two_sessions(family: Family) -> None:
    with family.upstream_away():
        first, second = family.start(0), family.start(1)
        accepted = family.fill(second, 300)
        docker(["kill", "--signal", "TERM", second.container_id])
        deadline = time.monotonic() + PATIENCE
        while not family.listing(first):
            assert time.monotonic() < deadline, family.site.log(second)[-2000:]
            time.sleep(0.02)
        docker(["kill", second.container_id])
        handed = sum(family.queue(first).values())
        second = family.again(second, 1)
    found = family.deliver([first, second])
    assert set(found) == accepted, "nothing is lost"
    twice = {subject: times for subject, times in found.items() if times > 1}
    assert 0 < handed <= 300
    assert len(twice) <= 2, twice
    assert set(twice.values()) <= {2}


def test_a_hand_over_asks_the_upstream_for_no_message_more_than_once(family: Family) -> None:
    google = family.site.google
    first, second = family.start(0), family.start(1)
    fault = google.refuse("peak-limit-customer")
    accepted = family.fill(second, 40)
    before = google.counters().refused["peak-limit-customer"]
    family.stop([second])
    family.waits(first, 40)
    asked = google.counters().refused["peak-limit-customer"] - before
    google.remove_fault(fault.id)
    assert asked <= 40
    assert family.deliver([first]) == Counter(dict.fromkeys(accepted, 1))


def test_envelopes_arrive_as_they_were_given(family: Family) -> None:
    with family.upstream_away():
        first, second = family.start(0), family.start(1)
        family.site.ground.exec(family.site.app, ["python3", "-c", SPECIAL, second.address])
        family.waits(second, 3)
        given = family.attributes(second)
        assert any("kept-42" in line for line in given), given
        assert any("notify" in line for line in given), given
        family.stop([second])
        waiting = {entry["sender"]: entry for entry in family.listing(first)}
        assert "MAILER-DAEMON" in waiting
        assert family.attributes(first) == given
    assert set(family.deliver([first])) == {"null", "eight", "utf8"}
    by_subject = {message.header("Subject"): message for message in family.site.google.messages()}
    assert by_subject["null"].mail_from == ""
    assert by_subject["utf8"].rcpt_to == ("grüß@recipient.test",)


def test_a_volume_nobody_comes_back_to_is_drained_to_siblings(family: Family) -> None:
    with family.upstream_away():
        third = family.start(2, keeps_below=3)
        accepted = family.fill(third, 20)
        family.stop([third])
        family.site.ground.remove(third)
        first = family.start(0)
        drained = family.start(2, action="drain")
        assert docker(["wait", drained.container_id]) == "0", family.site.log(drained)
        assert family.queue(first) == Counter(dict.fromkeys(accepted, 1))
        family.site.ground.remove(drained)
        drained = family.start(2, action="drain")
        assert docker(["wait", drained.container_id]) == "0", "empty: there is nothing to do"
    assert family.deliver([first]) == Counter(dict.fromkeys(accepted, 1))


def test_a_drain_that_finds_nobody_says_so_by_its_exit_code(family: Family) -> None:
    with family.upstream_away():
        second = family.start(1, grace=8, keeps_below=2)
        family.fill(second, 3)
        family.stop([second])
        family.site.ground.remove(second)
        drained = family.start(1, action="drain", grace=10)
        assert docker(["wait", drained.container_id]) == "1"
        assert "3 messages stay in the queue" in family.site.log(drained)
