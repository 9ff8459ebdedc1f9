"""Role caddy on a real host with real Caddy, ACME by pebble, and an SMTP server in Docker that reads its pair once."""

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from mailstack.caddy.definition import CaddyDefinition, Custom, Internal, role_settings
from mailstack.reach.bundle import command_line, payload
from rehearsal.ground import Ground
from rehearsal.pki import PrivateCa
from tests.roles.caddy_stage import (
    CADDY_IMAGE,
    MAKE_CADDY_IMAGE,
    NAMES,
    SMTP_NAME,
    STS_NAME,
    TRACK_NAME,
    WEB_NAME,
    CaddyHost,
    acme,
    definition,
    fingerprint,
    start_acme_server,
    wait_until,
)
from tests.roles.support import Run

pytestmark = pytest.mark.hosts

YEAR_SECONDS = 31_536_000
# Caddy renews when a third is left.
SHORT_SECONDS = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """The host after its first run, and what that run said."""

    caddy: CaddyHost
    first: Run


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("caddy-role") as made:
        yield made


@pytest.fixture(scope="module")
def stage(ground: Ground) -> Stage:
    """A host on which the role ran once, with certificates by ACME and Postal's SMTP server running."""
    host = ground.create_host("web", aliases=NAMES, unsafe_dpkg=True, docker=True)
    caddy = CaddyHost(ground, host)
    caddy.install_docker()
    ca = PrivateCa("acme server")
    program = ground.copy_out(host, "/usr/bin/pebble")
    start_acme_server(ground, "pebble", program, ca, YEAR_SECONDS)
    start_acme_server(ground, "pebble-short", program, ca, SHORT_SECONDS)
    ground.copy_in(host, ca.certificate, "/root/acme-ca.pem")
    caddy.start_upstream()
    first = caddy.run()
    assert (first.code, first.status) == (0, "changed"), first.progress
    caddy.start_smtp_container()
    caddy.sh(MAKE_CADDY_IMAGE)
    return Stage(caddy=caddy, first=first)


@pytest.fixture
def caddy(stage: Stage) -> CaddyHost:
    """The same host, brought back to the good definition."""
    again = stage.caddy.run()
    assert again.code == 0, again.progress
    return stage.caddy


def test_first_run_serves_every_name_with_a_certificate_of_the_declared_issuer(stage: Stage) -> None:
    facts = stage.first.summary["facts"]
    assert facts["issuer"] == "https://pebble:14000/dir"
    assert set(facts["names"]) == set(NAMES)
    for name in NAMES:
        assert "Pebble Intermediate" in facts["names"][name]["issuer"]
        assert stage.caddy.served(name) == facts["names"][name]["sha256"]
        answer = stage.caddy.curl(f"http://{name}/a?b=c", "--include").stdout
        assert answer.startswith("HTTP/1.1 308")
        assert f"Location: https://{name}/a?b=c" in answer


def test_web_and_tracking_requests_reach_postal_as_it_expects_them(caddy: CaddyHost) -> None:
    web = caddy.curl(f"https://{WEB_NAME}/", "--include", "--header", "X-Postal-Track-Host: 1").stdout
    head, _, body = web.replace("\r\n", "\n").partition("\n\n")
    assert f"Host: {WEB_NAME}" in body
    assert "X-Postal-Track-Host" not in body
    assert "X-Forwarded-Proto: https" in body
    headers = head.lower().splitlines()
    assert "strict-transport-security: max-age=3600" in headers
    assert "x-content-type-options: nosniff" in headers
    assert [line for line in headers if line.startswith("x-frame-options")] == ["x-frame-options: sameorigin"]
    assert not [line for line in headers if line.startswith(("server:", "via:"))]
    assert "X-Postal-Track-Host: 1" in caddy.curl(f"https://{TRACK_NAME}/").stdout


def test_the_policy_is_served_byte_for_byte_and_nothing_else_is(caddy: CaddyHost) -> None:
    url = f"https://{STS_NAME}/.well-known/mta-sts.txt"
    answer = caddy.curl(url, "--include", "--http1.1").stdout.replace("\n\n", "\r\n\r\n")
    assert "Content-Type: text/plain" in answer
    written = caddy.sh(f"curl -sk --resolve {STS_NAME}:443:127.0.0.1 {url} | od -An -c | tr -d ' \\n'")
    expected = "version:STSv1\\r\\nmode:enforce\\r\\nmx:mx1.example.com\\r\\nmx:*.example.net\\r\\nmax_age:604800\\r\\n"
    assert written == expected
    for path in ("", "other", ".well-known/other"):
        assert " 404" in caddy.curl(f"https://{STS_NAME}/{path}", "--include").stdout.splitlines()[0]


def test_names_nobody_declared_get_no_certificate_and_no_content(caddy: CaddyHost) -> None:
    assert caddy.served("other.example.com") == ""
    assert caddy.curl("https://other.example.com/").returncode != 0
    assert caddy.curl(f"https://{WEB_NAME}/", "--header", "Host: other.example.com").stdout == ""
    plain = caddy.curl("http://other.example.com/")
    assert (plain.returncode, plain.stdout) == (52, "")


def test_a_body_over_the_limit_is_refused_with_413(caddy: CaddyHost) -> None:
    caddy.sh("head -c 900000 /dev/zero > /root/fits; head -c 1100000 /dev/zero > /root/too-large")
    send = f"curl -sk --http1.1 --resolve {WEB_NAME}:443:127.0.0.1 -o /dev/null -w '%{{http_code}}' --data-binary "
    assert caddy.sh(f"{send} @/root/fits https://{WEB_NAME}/") == "200"
    assert caddy.sh(f"{send} @/root/too-large https://{WEB_NAME}/ || true") == "413"


def test_the_admin_interface_is_a_socket_only_caddy_and_root_reach(caddy: CaddyHost) -> None:
    listening = caddy.sh("ss -Hltnp | grep caddy").splitlines()
    assert sorted(line.split()[3].rpartition(":")[2] for line in listening) == ["443", "80"]
    assert caddy.sh("stat -c '%a %U' /run/mailstack-caddy").split() == ["700", "caddy"]
    assert caddy.sh("runuser -u nobody -- ls /run/mailstack-caddy/ 2>&1 || true").endswith("Permission denied\n")


def test_access_logs_hold_neither_api_keys_nor_one_time_links(caddy: CaddyHost) -> None:
    caddy.curl(f"https://{WEB_NAME}/api/v1/send/message", "--header", "X-Server-API-Key: planted-key-123")
    caddy.curl(f"https://{WEB_NAME}/login/reset/planted-token-456?x=1")
    log = caddy.sh("cat /var/log/caddy/access.log")
    assert "/api/v1/send/message" in log
    assert "/login/reset/-" in log
    assert "planted" not in log
    assert caddy.sh("stat -c '%a' /var/log/caddy/access.log").strip() == "600"


def test_second_run_reports_no_change_and_touches_nothing(caddy: CaddyHost) -> None:
    before = (caddy.process(), caddy.files())
    second = caddy.run()
    assert (second.code, second.status, second.summary["changed"]) == (0, "unchanged", [])
    assert caddy.run(action="check").code == 0
    assert (caddy.process(), caddy.files()) == before


def test_a_bad_caddyfile_never_replaces_a_good_one(caddy: CaddyHost) -> None:
    before = (caddy.process(), caddy.files(), caddy.served(WEB_NAME))
    for extra in ("nonsense yes", "reverse_proxy {", "tls /nowhere/cert.pem /nowhere/key.pem"):
        failed = caddy.run(definition(extra_web=(extra,)))
        assert (failed.code, failed.summary["error"]["step"]) == (1, "validate"), extra
        assert "what was there is untouched" in failed.error
        assert before == (caddy.process(), caddy.files(), caddy.served(WEB_NAME))


def test_a_configuration_that_does_not_serve_is_rolled_back(caddy: CaddyHost) -> None:
    before = (caddy.process(), caddy.files(), caddy.served(WEB_NAME))
    failed = caddy.run(definition(extra_global=("http_port 8080",)))
    assert (failed.code, failed.summary["error"]["step"]) == (1, "activate")
    assert "the previous configuration is back and running" in failed.error
    assert before[0] == caddy.process()
    assert contents(before[1]) == contents(caddy.files())
    assert before[2] == caddy.served(WEB_NAME)
    assert caddy.run().status == "unchanged"


def contents(files: str) -> list[str]:
    """Leave out which inode the Caddyfile is: going back writes it anew."""
    return files.splitlines()[:-1]


def test_a_change_is_taken_over_without_breaking_off_requests(caddy: CaddyHost) -> None:
    process = caddy.process()
    fetch = f"curl -sk --resolve {WEB_NAME}:443:127.0.0.1 https://{WEB_NAME}/slow -o /root/slow"
    caddy.sh(f"systemd-run --quiet --unit=slow --remain-after-exit {fetch}")
    changed = caddy.run(definition(hsts_seconds=7200))
    assert (changed.code, changed.status) == (0, "changed"), changed.progress
    assert "max-age=7200" in caddy.curl(f"https://{WEB_NAME}/", "--include").stdout
    assert wait_until(lambda: "SubState=exited" in caddy.sh("systemctl show -p SubState slow"), 20)
    assert caddy.sh("stat -c %s /root/slow").strip() == "30000"
    assert caddy.process() == process


def test_renewal_reaches_the_smtp_server_with_nobody_there(stage: Stage) -> None:
    caddy = stage.caddy
    short = definition(certificates=acme("pebble-short"), extra_global=("renew_interval 3s",))
    done = caddy.run(short)
    assert (done.code, done.status) == (0, "changed"), done.progress
    first = caddy.smtp_served()
    assert first == done.summary["facts"]["smtp_certificate"]["sha256"]
    changed = wait_until(lambda: caddy.smtp_served() not in ("", first), SHORT_SECONDS * 1.5)
    if not changed and "JWS verification error" in caddy.sh("journalctl -u caddy -n 80 -o cat --no-pager"):
        # Debian's Caddy registers an account for each of the first names at once, and may mix up their keys.
        caddy.sh(
            "systemctl stop caddy; rm -r /var/lib/caddy/.local/share/caddy/acme/pebble-short*; systemctl start caddy"
        )
        changed = wait_until(lambda: caddy.smtp_served() not in ("", first), SHORT_SECONDS * 1.5)
    assert changed, caddy.sh("journalctl -u caddy -u mailstack-smtp-certificate -n 80 -o cat --no-pager; date")
    assert wait_until(lambda: caddy.smtp_served() == caddy.served(SMTP_NAME), 15)
    log = caddy.sh("journalctl -u mailstack-smtp-certificate -o cat --no-pager")
    assert "restarting the SMTP container" in log
    assert caddy.sh("stat -L -c '%u:%g %a' /opt/postal/config/smtp.cert /opt/postal/config/smtp.key").split() == [
        "999:999", "400", "999:999", "400",
    ]  # fmt: skip


def test_an_smtp_server_that_serves_another_certificate_gets_the_pair_before_back(caddy: CaddyHost) -> None:
    before = caddy.smtp_served()
    caddy.sh("cp -L /opt/postal/config/smtp.* /srv/override/; chown -R 999:999 /srv/override")
    try:
        failed = caddy.run(definition(certificates=Internal()))
        assert (failed.code, failed.summary["error"]["step"]) == (1, "smtp")
        assert "The pair before is back" in failed.error
        assert caddy.sh("systemctl is-failed mailstack-smtp-certificate || true").strip() == "failed"
        in_force = caddy.sh("openssl x509 -in /opt/postal/config/smtp.cert -noout -fingerprint -sha256")
        assert in_force.strip().rpartition("=")[2].replace(":", "").lower() == before
        # The timer does not restart the server every hour for a pair that was refused.
        started = caddy.sh("docker inspect -f '{{.State.StartedAt}}' postal-smtp-1")
        assert "the next try is in" in caddy.sh(
            "systemctl start mailstack-smtp-certificate || journalctl -u mailstack-smtp-certificate -n 5 -o cat"
        )
        assert started == caddy.sh("docker inspect -f '{{.State.StartedAt}}' postal-smtp-1")
    finally:
        caddy.sh("rm -f /srv/override/*")
    mended = caddy.run()
    assert mended.code == 0, mended.progress
    assert caddy.smtp_served() == mended.summary["facts"]["smtp_certificate"]["sha256"]
    assert mended.summary["facts"]["smtp_certificate"]["served"] is True


EDITS = {
    "echo '# mine' >> /etc/caddy/Caddyfile": "/etc/caddy/Caddyfile has other content",
    "chmod 600 /etc/caddy/Caddyfile.mailstack 2>/dev/null || chmod 600 /etc/caddy/acme-ca.pem": "has mode 0600",
    "rm /etc/systemd/system/mailstack-smtp-certificate.timer": "mailstack-smtp-certificate.timer is missing",
    "chown -R root /var/lib/caddy/.local/share/caddy/acme": "is not owned by caddy",
    "systemctl disable --quiet caddy": "does not start at boot",
    "systemctl stop mailstack-smtp-certificate.path": "mailstack-smtp-certificate.path is not running",
    "rm /opt/postal/config/smtp.key": "smtp.key is missing",
}


def test_check_sees_every_hand_edit_changes_nothing_and_the_next_run_mends_all(caddy: CaddyHost) -> None:
    for edit in EDITS:
        caddy.sh(edit)
    files = caddy.files()
    check = caddy.run(action="check")
    assert (check.code, check.status) == (2, "drift")
    for words in EDITS.values():
        assert any(words in what for what in check.summary["changed"]), words
    assert caddy.files() == files
    mended = caddy.run()
    assert (mended.code, mended.status) == (0, "changed"), mended.progress
    assert caddy.run(action="check").code == 0


def test_check_compares_what_is_served_with_what_is_on_disk(caddy: CaddyHost) -> None:
    caddy.sh(
        f"cd /var/lib/caddy/.local/share/caddy/certificates/*pebble-14000-dir; cp -a {TRACK_NAME} /root/saved;"
        f"for end in crt key; do cat {WEB_NAME}/{WEB_NAME}.$end > {TRACK_NAME}/{TRACK_NAME}.$end; done"
    )
    check = caddy.run(action="check")
    assert check.code == 2
    assert any(f"https://{TRACK_NAME} is served with another certificate" in what for what in check.summary["changed"])
    caddy.sh(
        "cd /var/lib/caddy/.local/share/caddy/certificates/*pebble-14000-dir;"
        f"cp -a /root/saved/* {TRACK_NAME}/; rm -r /root/saved"
    )
    caddy.sh("systemctl stop caddy")
    assert caddy.run(action="check").summary["changed"] == ["service caddy is not running"]


class Company:
    """A company's CA with an intermediate, and certificates by it."""

    def __init__(self) -> None:
        self.root = trustme.CA(organization_name="Company root")
        self.issuing = self.root.create_child_ca()

    def pair(self, *names: str, days: float = 365) -> tuple[str, str]:
        until = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        leaf = self.issuing.issue_cert(*(names or NAMES), not_before=until - dt.timedelta(days=400), not_after=until)
        chain = "".join(blob.bytes().decode() for blob in leaf.cert_chain_pems)
        return chain, leaf.private_key_pem.bytes().decode()


@pytest.fixture(scope="module")
def company(stage: Stage) -> Company:
    made = Company()
    stage.caddy.ground.copy_in(stage.caddy.host, made.root.cert_pem.bytes(), "/root/company-ca.pem")
    return made


def custom(chain: str, **changes: Any) -> CaddyDefinition:
    return definition(certificates=Custom(certificate=chain, ca_file="/root/company-ca.pem"), **changes)


def test_a_custom_certificate_that_would_not_work_is_refused_and_the_old_one_stays(
    caddy: CaddyHost, company: Company
) -> None:
    before = (caddy.process(), caddy.files(), caddy.served(WEB_NAME), caddy.smtp_served())
    chain, key = company.pair()
    expired = company.pair(days=-1)
    leaf_only = chain[: chain.index("-----END CERTIFICATE-----") + 26]
    refused = {
        "has expired": expired,
        "does not belong to the certificate": (chain, company.pair()[1]),
        "append the certificate of": (leaf_only, key),
        f"does not cover {TRACK_NAME}": company.pair(WEB_NAME, STS_NAME, SMTP_NAME),
    }
    for words, (bad_chain, bad_key) in refused.items():
        failed = caddy.run(custom(bad_chain), {"certificate_key": bad_key})
        assert (failed.code, failed.summary["error"]["step"]) == (1, "certificate"), words
        assert words in failed.error
    assert before == (caddy.process(), caddy.files(), caddy.served(WEB_NAME), caddy.smtp_served())


def test_a_custom_certificate_is_used_everywhere_and_replaced_without_a_restart(
    caddy: CaddyHost, company: Company
) -> None:
    process = caddy.process()
    for days in (300, 10):
        chain, key = company.pair(days=days)
        done = caddy.run(custom(chain), {"certificate_key": key})
        assert (done.code, done.status) == (0, "changed"), done.progress
        assert caddy.run(custom(chain), {"certificate_key": key}).status == "unchanged"
        assert {caddy.served(name) for name in NAMES} == {fingerprint(chain)}
        assert caddy.smtp_served() == fingerprint(chain)
        assert bool(done.summary["warnings"]) == (days == 10)
    assert any(f"the certificate of {WEB_NAME} expires in" in warning for warning in done.summary["warnings"])
    assert caddy.process() == process
    assert caddy.served("other.example.com") == ""
    kept = caddy.sh("stat -c '%a %U %n' /etc/caddy/certificates/*/key.pem").splitlines()
    assert [line.rpartition(" ")[0] for line in kept] == ["400 caddy"]


def test_no_secret_is_seen_by_others(caddy: CaddyHost, company: Company) -> None:
    chain, key = company.pair()
    mark = key.splitlines()[2]
    assert caddy.run(custom(chain), {"certificate_key": key}).code == 0
    # Everything an ordinary user of the host can look at, and what a support bundle would have in it.
    places = "/proc/[0-9]*/environ /proc/[0-9]*/cmdline /etc /var/log /run /opt /var/lib"
    caddy.ground.copy_in(caddy.host, mark, "/srv/mark")  # not on a command line, which would be found
    found = caddy.sh(f"runuser -u nobody -- grep -rsaF -f /srv/mark {places} | head -3 || true")
    assert found == ""
    logged = caddy.sh("journalctl --no-pager | grep -cF -f /srv/mark || true").strip()
    assert logged == "0"
    config = caddy.sh("curl -s --unix-socket /run/mailstack-caddy/admin.sock -H 'Host;' http://caddy/config/")
    assert WEB_NAME in config
    assert mark not in config


def test_challenge_dns_is_refused_before_anything_changes_where_the_build_lacks_it(caddy: CaddyHost) -> None:
    before = (caddy.process(), caddy.files())
    wanted = definition(certificates=dataclasses.replace(acme("pebble"), challenge="dns"))
    failed = caddy.run(wanted, {"dns_token": "planted-token-0123456789"})
    assert (failed.code, failed.summary["error"]["step"]) == (1, "settings")
    assert "dns.providers.cloudflare" in failed.error
    assert before == (caddy.process(), caddy.files())


def test_certificates_that_never_come_are_reported_with_the_issuers_words(caddy: CaddyHost) -> None:
    wanted = definition(tracking_names=(TRACK_NAME, "nowhere.example.com"), issue_wait_seconds=5)
    failed = caddy.run(wanted)
    assert (failed.code, failed.summary["error"]["step"]) == (1, "issue")
    assert "https://nowhere.example.com is not served" in failed.error
    assert "nowhere.example.com" in failed.error.partition("last lines")[2]
    assert caddy.served(WEB_NAME) != ""


def test_a_run_killed_at_any_moment_leaves_a_server_that_the_next_run_completes(caddy: CaddyHost) -> None:
    wanted = definition(hsts_seconds=99)
    document = payload("caddy", role_settings(wanted), {})
    caddy.ground.copy_in(caddy.host, document, "/root/payload", mode=0o600)
    caddy.ground.copy_in(caddy.host, command_line("apply"), "/root/command", mode=0o600)
    for seconds in (0.6, 1.0, 1.4, 1.8):
        caddy.sh(
            "systemd-run --quiet --unit=killed --collect sh -c 'bash /root/command < /root/payload';"
            f"sleep {seconds}; systemctl kill --signal=KILL killed 2>/dev/null || true;"
            "while systemctl is-active --quiet killed; do sleep 0.05; done"
        )
        assert caddy.served(WEB_NAME) != ""
        again = caddy.run()
        assert again.code == 0, again.progress
    done = caddy.run(wanted)
    assert done.code == 0, done.progress
    assert "max-age=99" in caddy.curl(f"https://{WEB_NAME}/", "--include").stdout


def test_the_same_sites_run_in_a_container_and_back(caddy: CaddyHost) -> None:
    wanted = definition(certificates=Internal(), placement="container", image=CADDY_IMAGE)
    done = caddy.run(wanted)
    assert (done.code, done.status) == (0, "changed"), done.progress
    assert caddy.run(wanted).status == "unchanged"
    assert caddy.smtp_served() == done.summary["facts"]["names"][SMTP_NAME]["sha256"]
    assert caddy.sh("systemctl is-active caddy || true").strip() == "inactive"
    assert "X-Postal-Track-Host: 1" in caddy.curl(f"https://{TRACK_NAME}/").stdout
    shown = json.loads(caddy.sh("docker inspect mailstack-caddy"))[0]
    assert shown["HostConfig"]["CapDrop"] == ["ALL"]
    assert shown["HostConfig"]["ReadonlyRootfs"] is True
    listening = caddy.sh("ss -Hltn").split()
    assert not [place for place in listening if place.endswith(":2019")]
    started = caddy.sh("docker inspect -f '{{.State.StartedAt}}' mailstack-caddy")
    bad = dataclasses.replace(wanted, extra_web=("nonsense yes",))
    assert caddy.run(bad).summary["error"]["step"] == "validate"
    reloaded = caddy.run(dataclasses.replace(wanted, hsts_seconds=77))
    assert reloaded.code == 0, reloaded.progress
    assert "max-age=77" in caddy.curl(f"https://{WEB_NAME}/", "--include").stdout
    assert started == caddy.sh("docker inspect -f '{{.State.StartedAt}}' mailstack-caddy")
    back = caddy.run()
    assert back.code == 0, back.progress
    assert caddy.sh("docker ps -aq --filter name=mailstack-caddy") == ""


def test_remove_leaves_the_certificates_and_nothing_else_behind(stage: Stage) -> None:
    caddy = stage.caddy
    assert caddy.run().code == 0
    caddy.sh("docker rm -f postal-smtp-1 >/dev/null")
    removed = caddy.run(action="remove")
    assert (removed.code, removed.status) == (0, "removed"), removed.progress
    assert "package caddy removed" in removed.summary["changed"]
    left = caddy.sh(
        "ls -d /etc/caddy /etc/systemd/system/caddy* /etc/mailstack /usr/local/lib/mailstack /var/lib/mailstack/caddy "
        "/etc/systemd/system/*mailstack* /opt/postal/config/smtp* 2>/dev/null || true"
    )
    assert left == ""
    assert WEB_NAME in caddy.sh("ls /var/lib/caddy/.local/share/caddy/certificates/*pebble-14000-dir")
    assert caddy.run(action="remove").summary["changed"] == []
    # Without the package this time: only the container's data is there to go.
    in_container = definition(
        certificates=Internal(), placement="container", image=CADDY_IMAGE, smtp=None, on_remove="remove"
    )
    assert caddy.run(in_container).status == "changed"
    assert caddy.run(in_container, action="remove").code == 0
    assert caddy.sh("ls -d /var/lib/caddy/.local /var/lib/mailstack-caddy 2>/dev/null || true") == ""
