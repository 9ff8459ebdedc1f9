"""The relay's image as it is run: read-only, with few capabilities, beside an application and an upstream."""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mailstack.postfix.relay import RelayDefinition, role_settings
from rehearsal.ground import Ground, Service
from rehearsal.ground.docker import docker, docker_try
from rehearsal.images.relay import ensure_relay_image
from rehearsal.pki import PrivateCa, make_server_pki
from rehearsal.standins import start_google
from rehearsal.waiting import wait_for

pytestmark = pytest.mark.hosts

UPSTREAM = "smtp-relay.gmail.com"
USER, PASSWORD = "postmaster@example.com", "p#ss word \\ $x"
# The smallest set that works. A port below 1024 needs no more where Docker sets net.ipv4.ip_unprivileged_port_start.
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID")
WRITABLE = ("/etc/postfix", "/run", "/tmp", "/var/lib/postfix")  # noqa: S108 - of the container
VARIABLES = {
    "RELAYHOST": f"[{UPSTREAM}]:587",
    "ALLOWED_SENDER_DOMAINS": "example.com",
    "SERVER_HOSTNAME": "relay.example.com",
}
# Runs beside the relay. Arguments: its address, sender, first number, how many. Prints the subjects accepted.
SEND = """
import smtplib, sys
place, sender, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
refused = 0
for number in range(first, first + count):
    try:
        with smtplib.SMTP(place, 25, timeout=20) as smtp:
            text = "Subject: m%d\\r\\nFrom: %s\\r\\n\\r\\nx\\r\\n" % (number, sender)
            smtp.sendmail(sender, ["someone@recipient.test"], text)
        print("m%d" % number, flush=True)
        refused = 0
    except (OSError, smtplib.SMTPException) as error:
        print("refused", type(error).__name__, str(error)[:120], file=sys.stderr, flush=True)
        refused += 1
        if refused == 5:
            break
"""


def rule(address: str) -> dict[str, Any]:
    return {
        "domains": ["example.com"],
        "allowed_ips": [f"{address}/32"],
        "allowed_senders": "domain-addresses",
        "registered_users": [],
        "require_tls": True,
        "require_smtp_auth": False,
        "smtp_auth_users": {USER: PASSWORD},
    }


class Site:
    """An upstream, an application, and room for a relay between them."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self.ground = ground
        self.image = ensure_relay_image(print)
        authority = PrivateCa()
        self.authorities = folder / "authorities.pem"
        self.authorities.write_text(authority.certificate)
        pki = make_server_pki(UPSTREAM, ca=authority)
        self.google = start_google(ground, pki, rule("192.0.2.1"), host_name=UPSTREAM, service="upstream")
        self.app = ground.create_service("app", ["sleep", "infinity"])

    def relay(
        self,
        env: Mapping[str, str],
        *,
        volume: str | None = None,
        empty: bool = False,
        mounts: Mapping[str, Path] | None = None,
    ) -> Service:
        """Start a relay; its address is known upstream. ``empty``: Docker copies nothing into a new volume."""
        arguments = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        arguments += [f"--cap-add={capability}" for capability in CAPABILITIES]
        arguments += [part for path in WRITABLE for part in ("--tmpfs", path)]
        if volume:
            copies = ",volume-nocopy" if empty else ""
            arguments += ["--mount", f"type=volume,source={volume},target=/var/spool/postfix{copies}"]
        made = self.ground.create_service(
            "relay", ["run"], image=self.image, env=env, init=False, extra_run_args=arguments,
            mounts={"/etc/ssl/certs/ca-certificates.crt": self.authorities, **(mounts or {})},
        )  # fmt: skip
        self.google.put_rule(rule(made.address))
        return made

    def ready(self, relay: Service) -> Service:
        healthy = wait_for(lambda: self.health(relay) == "healthy", 40, pause=0.2)
        assert healthy, (self.health(relay), self.log(relay))
        return relay

    def inside(self, relay: Service, script: str) -> str:
        return docker(["exec", relay.container_id, "sh", "-c", script])

    def health(self, relay: Service) -> str:
        return docker_try(["exec", relay.container_id, "postfix-relay", "health"]).stdout.decode().strip()

    def log(self, relay: Service) -> str:
        return self.ground.logs(relay)

    def send(self, relay: Service, sender: str = "app@example.com", *, first: int = 0, count: int = 1) -> list[str]:
        arguments = ["python3", "-c", SEND, relay.address, sender, str(first), str(count)]
        done = self.ground.exec(self.app, arguments, check=False)
        self.refusals = done.stderr
        return done.stdout.split()

    def arrived(self) -> Counter[str]:
        return Counter(str(message.header("Subject")) for message in self.google.messages())

    def wait_for(self, subjects: set[str], relay: Service) -> None:
        there = wait_for(lambda: subjects <= set(self.arrived()), 60, pause=0.2)
        assert there, (subjects - set(self.arrived()), self.log(relay)[-3000:])


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # Other modules use this fixture at the same time: each has a ground of its own.
    module = request.module.__name__.rpartition(".test_")[2].replace("_", "-")
    with Ground(f"images-{module}") as ground:
        yield Site(ground, tmp_path_factory.mktemp("relay-image"))


@pytest.fixture(autouse=True)
def clean(site: Site) -> Iterator[None]:
    site.google.clear_faults()
    site.google.reset()
    yield
    for name, service in site.ground.services.items():
        if name.startswith("relay"):
            site.ground.remove(service)


@pytest.fixture
def volume() -> Iterator[str]:
    name = f"mailstack-relay-image-{time.time_ns()}"
    docker(["volume", "create", name])
    yield name
    docker_try(["volume", "rm", name])


def test_the_seeds_variables_are_enough_and_mail_leaves_over_verified_tls(site: Site) -> None:
    relay = site.ready(site.relay(VARIABLES))
    assert site.send(relay) == ["m0"], site.refusals
    site.wait_for({"m0"}, relay)
    [message] = site.google.messages()
    assert message.ehlo == "relay.example.com"
    assert "Verified TLS connection established to smtp-relay.gmail.com" in site.log(relay)


def test_a_stranger_domain_and_a_client_elsewhere_are_refused(site: Site) -> None:
    relay = site.ready(site.relay(VARIABLES))
    assert site.send(relay, "app@example.org") == []
    assert "554" in site.refusals
    site.ground.remove(relay)
    relay = site.ready(site.relay({**VARIABLES, "CLIENT_NETWORKS": "10.255.255.0/24"}))
    assert site.send(relay) == []
    assert "554" in site.refusals


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"RELAYHOST": ""}, "RELAYHOST is missing"),
        ({"RELAYHOST_USERNAME": "a"}, "RELAYHOST_PASSWORD is missing"),
        ({"SMTP_SERVER": "smtp.example.net"}, "SMTP_SERVER is smtp.example.net, RELAYHOST names smtp-relay.gmail.com"),
        ({"SERVER_HOSTNAME": ""}, "SERVER_HOSTNAME is missing"),
    ],
)
def test_what_is_missing_or_contradicts_itself_stops_the_container_with_the_reason(
    site: Site, changes: dict[str, str], reason: str
) -> None:
    relay = site.relay({**VARIABLES, **changes})
    assert docker(["wait", relay.container_id]) == "1"
    assert reason in site.log(relay)


def test_a_password_comes_from_a_file_and_shows_nowhere(site: Site, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    relay = site.ready(
        site.relay(
            {**VARIABLES, "RELAYHOST_USERNAME": USER, "RELAYHOST_PASSWORD_FILE": "/run/secrets/password"},
            mounts={"/run/secrets/password": tmp_path / "password"},
        )
    )  # fmt: skip
    assert site.send(relay) == ["m0"], site.refusals
    site.wait_for({"m0"}, relay)
    assert [message.auth_user for message in site.google.messages()] == [USER]
    processes = docker(
        ["exec", relay.container_id, "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true"]
    )
    for text in (docker(["inspect", relay.container_id]), site.log(relay), processes):
        assert PASSWORD not in text
    modes = docker(["exec", relay.container_id, "sh", "-c", "stat -c %a /etc/postfix/mailstack/sasl_passwd*"])
    assert set(modes.split()) == {"600"}


def test_mounted_settings_give_the_main_cf_of_every_other_placement(site: Site, tmp_path: Path) -> None:
    definition = RelayDefinition(
        hostname="relay.example.com", sender_domains=("example.com",), upstream_host=UPSTREAM, sasl_username=USER,
        listen_addresses=("0.0.0.0",), client_networks=(site.ground.subnet,), masquerade_domains=("example.com",),
    )  # fmt: skip
    (tmp_path / "relay.json").write_text(json.dumps(role_settings(definition)))
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "sasl_password").write_text(PASSWORD)
    mounts = {"/etc/mailstack/relay.json": tmp_path / "relay.json", "/run/secrets/mailstack": secrets}
    relay = site.ready(site.relay({}, mounts=mounts))
    assert site.send(relay, "app@host.example.com") == ["m0"], site.refusals
    site.wait_for({"m0"}, relay)
    assert [message.mail_from for message in site.google.messages()] == ["app@example.com"]
    shown = docker(["exec", relay.container_id, "postconf", "-n"])
    assert "smtp_tls_security_level = secure" in shown
    assert "maillog_file = /dev/stdout" in shown
    site.ground.remove(relay)
    relay = site.relay(VARIABLES, mounts=mounts)
    assert docker(["wait", relay.container_id]) == "1"
    assert "is mounted and RELAYHOST, ALLOWED_SENDER_DOMAINS, SERVER_HOSTNAME is set" in site.log(relay)


def test_the_probe_is_quiet_and_sees_what_does_not_work(site: Site) -> None:
    relay = site.ready(site.relay(VARIABLES))
    before = site.log(relay)
    for _ in range(5):
        assert site.health(relay) == "healthy"
    time.sleep(1.0)
    assert site.log(relay) == before
    inside = ["exec", relay.container_id, "sh", "-c"]
    docker([*inside, "rm /etc/postfix/mailstack/senders.*; postfix reload 2>/dev/null"])
    site.send(relay)
    assert wait_for(lambda: site.health(relay) != "healthy", 20, pause=0.5), site.log(relay)
    docker([*inside, "kill -9 $(cat /var/spool/postfix/pid/master.pid)"])
    assert docker(["wait", relay.container_id]) == "1", "and the container ends with Postfix"


def test_an_idle_relay_stays_healthy(site: Site, tmp_path: Path) -> None:
    definition = RelayDefinition(
        hostname="relay.example.com", sender_domains=("example.com",), upstream_host=UPSTREAM,
        listen_addresses=("0.0.0.0",), client_networks=(site.ground.subnet,), extra_parameters={"max_idle": "2s"},
    )  # fmt: skip
    (tmp_path / "relay.json").write_text(json.dumps(role_settings(definition)))
    relay = site.ready(site.relay({}, mounts={"/etc/mailstack/relay.json": tmp_path / "relay.json"}))
    ended = wait_for(lambda: "postlogd" not in docker(["top", relay.container_id, "-o", "pid,cmd"]), 60, pause=0.5)
    assert ended, "Postfix ends what has nothing to do, its log daemon too"
    assert site.health(relay) == "healthy"


def test_log_lines_are_json_where_that_is_asked_for(site: Site) -> None:
    relay = site.ready(site.relay({**VARIABLES, "LOG_FORMAT": "json"}))
    assert site.send(relay) == ["m0"]
    site.wait_for({"m0"}, relay)
    assert wait_for(lambda: "status=sent" in site.log(relay), 20, pause=0.2)
    lines = [json.loads(line) for line in site.log(relay).splitlines()]
    [sent] = [line for line in lines if "status=sent" in line["message"]]
    assert sent["service"] == "postfix/smtp"
    assert re.fullmatch(r"[0-9A-Za-z]{10,}", sent["queue_id"])


def test_mail_waits_while_the_upstream_is_away_and_survives_a_kill(site: Site, volume: str) -> None:
    relay = site.ready(site.relay(VARIABLES, volume=volume))
    fault = site.google.take_down()
    accepted = site.send(relay, count=20)
    assert len(accepted) == 20, site.refusals
    docker(["kill", relay.container_id])
    site.ground.remove(relay)
    site.google.remove_fault(fault.id)
    again = site.ready(site.relay(VARIABLES, volume=volume))
    docker(["exec", again.container_id, "postqueue", "-f"])
    site.wait_for(set(accepted), again)
    assert set(site.arrived().values()) == {1}


def test_half_a_message_that_a_kill_has_left_keeps_no_container_down(site: Site, volume: str) -> None:
    """postsuper(1) tells of it as user postfix, on what only root may open."""
    relay = site.ready(site.relay(VARIABLES, volume=volume))
    leave = "cd /var/spool/postfix/incoming && touch 292290.2442 && chown postfix:postfix 292290.2442"
    site.inside(relay, leave)
    docker(["kill", relay.container_id])
    site.ground.remove(relay)
    again = site.ready(site.relay(VARIABLES, volume=volume))
    assert site.send(again) == ["m0"], site.refusals
    assert "bogus file name: incoming/292290.2442" in site.log(again)


def test_an_empty_volume_becomes_a_queue_at_the_first_start_and_one_with_wrong_rights_is_mended(
    site: Site, volume: str
) -> None:
    """A cluster's volumes are empty: nothing of the image is copied there, as Docker does."""
    look = "cd /var/spool/postfix && stat -c '%n %a %U %G' active bounce corrupt defer deferred flush hold incoming"
    look += " maildrop pid private public saved trace"
    wanted = dict.fromkeys(
        ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"),
        "700 postfix root",
    )
    wanted |= {"maildrop": "730 postfix postdrop", "public": "710 postfix postdrop", "pid": "755 root root"}
    relay = site.ready(site.relay(VARIABLES, volume=volume, empty=True))
    assert dict(line.split(" ", 1) for line in site.inside(relay, look).splitlines()) == wanted
    site.ground.remove(relay)
    docker(
        ["run", "--rm", "--entrypoint", "chmod", f"--volume={volume}:/queue", site.image, "755", "/queue/hold",
         "/queue/maildrop"]
    )  # fmt: skip
    relay = site.ready(site.relay(VARIABLES, volume=volume, empty=True))
    assert dict(line.split(" ", 1) for line in site.inside(relay, look).splitlines()) == wanted
    assert site.send(relay) == ["m0"], site.refusals
    site.wait_for({"m0"}, relay)


def test_a_stop_under_load_refuses_new_mail_loses_none_and_doubles_none(site: Site, volume: str) -> None:
    relay = site.ready(site.relay(VARIABLES, volume=volume))
    site.google.slow_down(0.05)
    accepted: list[str] = []
    load = threading.Thread(target=lambda: accepted.extend(site.send(relay, count=5000)))
    load.start()
    assert wait_for(lambda: len(site.google.messages()) >= 20, 60)
    started = time.monotonic()
    docker(["stop", "--time", "30", relay.container_id], timeout=60)
    assert time.monotonic() - started < 29, "in less than its grace"
    load.join()
    assert 20 <= len(accepted) < 5000
    assert "421" in site.refusals, "told, not cut off"
    assert docker(["inspect", "--format", "{{.State.ExitCode}}", relay.container_id]) == "0"
    site.ground.remove(relay)
    site.google.clear_faults()
    again = site.ready(site.relay(VARIABLES, volume=volume))
    docker(["exec", again.container_id, "postqueue", "-f"])
    site.wait_for(set(accepted), again)
    found = site.arrived()
    assert set(found) == set(accepted)
    assert {subject: times for subject, times in found.items() if times > 1} == {}
