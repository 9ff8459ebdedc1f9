"""The relay on a real host with several upstreams, a fallback, old devices, and clients that log in over TLS."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.postfix.relay import RelayDefinition, RelayUpstream, Submission, role_settings
from mailstack.reach.bundle import Action
from rehearsal.google_standin import GoogleStandinClient
from rehearsal.ground import Ground, Host
from rehearsal.pki import PrivateCa, make_server_pki
from rehearsal.standins import start_google
from tests.roles.support import Run, run_role

pytestmark = pytest.mark.hosts

FIRST, SECOND = "smtp-relay.gmail.com", "smtp.second.example"
USER, PASSWORD = "postmaster@example.org", "second pass #1"
CLIENT, CLIENT_PASSWORD = "printer2", "printer secret 0001"
SECRETS = {"upstream_passwords": {"second": PASSWORD}, "submission_passwords": {CLIENT: CLIENT_PASSWORD}}
# Runs on the host. Arguments: port, then lines of the conversation; prints every reply.
TALK = """
import socket, sys
port, *lines = sys.argv[1:]
with socket.create_connection(("127.0.0.1", int(port)), timeout=20) as connection:
    stream = connection.makefile("rwb")
    print(stream.readline().decode().strip())
    for line in lines:
        stream.write(line.encode() + b"\\r\\n"); stream.flush()
        reply = stream.readline().decode()
        while reply[3:4] == "-":
            print(reply.strip()); reply = stream.readline().decode()
        print(reply.strip())
"""
# Arguments: address, port, user, password (empty: no login), sender, subject. Says what happened.
LOGIN = """
import smtplib, ssl, sys
address, port, user, password, sender, subject = sys.argv[1:]
context = ssl.create_default_context(cafile="/etc/ssl/certs/ca-certificates.crt")
try:
    if port == "465":
        smtp = smtplib.SMTP_SSL(address, 465, timeout=30, context=context)
        smtp.ehlo()
    else:
        smtp = smtplib.SMTP(address, int(port), timeout=30)
        smtp.ehlo()
        print("before TLS:", "auth" in smtp.esmtp_features)
        if password:
            smtp.starttls(context=context)
            smtp.ehlo()
    print("offers AUTH:", "auth" in smtp.esmtp_features)
    if password:
        smtp.login(user, password)
    smtp.sendmail(sender, ["someone@recipient.test"], "Subject: %s\\r\\n\\r\\nbody\\r\\n" % subject)
    print("accepted")
except smtplib.SMTPException as error:
    print("refused", error)
"""


def rule(domain: str, host: Host, **changes: Any) -> dict[str, Any]:
    return {
        "domains": [domain],
        "allowed_ips": [f"{host.address}/32"],
        "allowed_senders": "domain-addresses",
        "registered_users": [],
        "require_tls": True,
        "require_smtp_auth": False,
        "smtp_auth_users": {},
        **changes,
    }


class Site:
    """A relay host between two upstreams."""

    def __init__(self, ground: Ground, authority: PrivateCa) -> None:
        self.ground = ground
        self.host = ground.create_host(
            "relay", hostname="relay.example.com", ca_certificates=[authority.certificate], unsafe_dpkg=True
        )
        first, second = (make_server_pki(name, ca=authority) for name in (FIRST, SECOND))
        self.first = start_google(ground, first, rule("example.com", self.host), host_name=FIRST, service="first")
        login = rule("example.org", self.host, require_smtp_auth=True, smtp_auth_users={USER: PASSWORD})
        self.second = start_google(ground, second, login, host_name=SECOND, service="second")
        pair = authority.issue("relay.example.com")
        self.ground.copy_in(self.host, pair.certificate.encode(), "/etc/ssl/relay.pem")
        self.ground.copy_in(self.host, pair.key.encode(), "/etc/ssl/relay.key", mode=0o600)
        self.sh("echo '127.0.1.1 relay.example.com' >>/etc/hosts")

    def sh(self, command: str, *, check: bool = True) -> str:
        return self.ground.exec(self.host, ["sh", "-c", command], check=check).stdout

    def role(self, definition: RelayDefinition, action: Action = "apply") -> Run:
        return run_role(self.ground, self.host, "postfix_relay", role_settings(definition), SECRETS, action=action)

    def talk(self, port: int, *lines: str) -> list[str]:
        done = self.ground.exec(self.host, ["python3", "-", str(port), *lines], input=TALK, check=False)
        return done.stdout.splitlines()

    def login(self, port: int, user: str, password: str, subject: str, sender: str = "app@example.com") -> str:
        arguments = ["relay.example.com", str(port), user, password, sender, subject]
        return self.ground.exec(self.host, ["python3", "-", *arguments], input=LOGIN, check=False).stdout

    def send(self, sender: str, subject: str) -> None:
        replies = self.talk(
            25, "EHLO app", f"MAIL FROM:<{sender}>", "RCPT TO:<someone@recipient.test>", "DATA",
            f"Subject: {subject}\r\n\r\nbody\r\n.", "QUIT",
        )  # fmt: skip
        assert [line for line in replies if line.startswith("250 2.0.0 Ok: queued")], replies

    def arrived(self, at: GoogleStandinClient, subject: str) -> Any:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            for message in at.messages():
                if message.header("Subject") == subject:
                    return message
            time.sleep(0.2)
        raise AssertionError(f"{subject} did not arrive: {self.sh('tail -30 /var/log/mailstack/postfix.log')}")


DEFINITION = RelayDefinition(
    hostname="relay.example.com", sender_domains=("example.com", "example.org"), upstream_host=FIRST
)
UPSTREAM = RelayUpstream(name="second", host=SECOND, sasl_username=USER, sender_domains=("example.org",))
SUBMISSION = Submission(
    listen_addresses=("127.0.1.1",),
    certificate_file="/etc/ssl/relay.pem",
    key_file="/etc/ssl/relay.key",
    users=(CLIENT,),
)
BOTH = dataclasses.replace(DEFINITION, upstreams=(UPSTREAM,))
FALLBACK = dataclasses.replace(DEFINITION, fallback=dataclasses.replace(UPSTREAM, sender_domains=()))
LOGINS = dataclasses.replace(DEFINITION, submission=SUBMISSION)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Ground("postfix-upstreams") as ground:
        made = Site(ground, PrivateCa())
        first = made.role(DEFINITION)
        assert (first.code, first.status) == (0, "changed"), first.progress
        yield made


@pytest.fixture(autouse=True)
def willing(site: Site) -> None:
    for upstream in (site.first, site.second):
        upstream.clear_faults()


def applied(site: Site, definition: RelayDefinition) -> None:
    """Apply twice: the second run has nothing to do, and a check finds nothing."""
    run = site.role(definition)
    assert run.code == 0, run.progress
    again = site.role(definition)
    assert (again.code, again.status, again.summary["changed"]) == (0, "unchanged", []), again.progress
    assert site.role(definition, action="check").code == 0


def test_each_sender_domain_goes_to_its_upstream_with_its_own_login_over_verified_tls(site: Site) -> None:
    applied(site, BOTH)
    site.send("app@example.com", "to the first")
    site.send("app@example.org", "to the second")
    assert site.arrived(site.first, "to the first").auth_user is None
    assert site.arrived(site.second, "to the second").auth_user == USER
    assert not [message for message in site.first.messages() if message.header("Subject") == "to the second"]
    log = site.sh("cat /var/log/mailstack/postfix.log")
    assert f"Verified TLS connection established to {SECOND}" in log
    found = site.sh("stat -c '%a %U' /etc/postfix/mailstack/sasl_passwd_second*").splitlines()
    assert found == ["600 root"] * 2
    assert PASSWORD not in site.sh(
        "postconf -n; postconf -Mf; find /var/lib/mailstack/postfix_relay/configs -type f -exec cat {} +"
    )


def test_a_null_sender_goes_to_the_first_upstream(site: Site) -> None:
    applied(site, BOTH)
    replies = site.talk(
        25, "EHLO app", "MAIL FROM:<>", "RCPT TO:<someone@example.com>", "DATA", "Subject: bounce\r\n\r\nx\r\n.", "QUIT"
    )
    assert any("queued" in line for line in replies), replies
    assert site.arrived(site.first, "bounce").mail_from == ""


def test_the_fallback_takes_over_when_the_first_does_not_answer_and_only_then(site: Site) -> None:
    applied(site, FALLBACK)
    site.second.put_rule(rule("example.com", site.host, require_smtp_auth=True, smtp_auth_users={USER: PASSWORD}))
    site.send("app@example.com", "first answers")
    site.arrived(site.first, "first answers")
    address = site.sh(f"getent ahostsv4 {FIRST} | awk '{{print $1; exit}}'").strip()
    site.sh(f"ip route add prohibit {address}/32")
    try:
        site.send("app@example.com", "first is away")
        message = site.arrived(site.second, "first is away")
        assert message.auth_user == USER, "with its own login"
        assert message.tls is not None
    finally:
        site.sh(f"ip route del prohibit {address}/32")
    time.sleep(12)  # a session with the fallback is used for as long as mail keeps coming, and 10 s more
    site.send("app@example.com", "first is back")
    site.arrived(site.first, "first is back")
    site.second.put_rule(rule("example.org", site.host, require_smtp_auth=True, smtp_auth_users={USER: PASSWORD}))


def test_an_old_device_may_leave_out_the_brackets_unless_strict(site: Site) -> None:
    applied(site, DEFINITION)
    old = ("HELO scanner", "MAIL FROM: app@example.com", "RCPT TO: someone@recipient.test")
    assert [line[:3] for line in site.talk(25, *old)] == ["220", "250", "250", "250"]
    applied(site, dataclasses.replace(DEFINITION, strict_envelopes=True))
    assert site.talk(25, *old)[2].startswith("501")


def test_smtputf8_is_refused_at_once_where_the_upstream_does_not_take_it(site: Site) -> None:
    applied(site, dataclasses.replace(DEFINITION, smtputf8=False))
    replies = site.talk(25, "EHLO app")
    assert not [line for line in replies if "SMTPUTF8" in line]
    asked = site.talk(25, "EHLO app", "MAIL FROM:<app@example.com> SMTPUTF8")
    assert asked[-1].startswith("5"), asked
    sender = site.talk(25, "EHLO app", "MAIL FROM:<müller@example.com>", "RCPT TO:<someone@recipient.test>")
    recipient = site.talk(25, "EHLO app", "MAIL FROM:<app@example.com>", "RCPT TO:<jürgen@recipient.test>")
    assert sender[-1].startswith("553 5.6.7"), sender
    assert recipient[-1].startswith("553 5.6.7"), recipient
    applied(site, DEFINITION)
    assert [line for line in site.talk(25, "EHLO app") if "SMTPUTF8" in line]


@pytest.mark.parametrize("port", [587, 465])
def test_a_client_elsewhere_logs_in_over_tls_and_never_without(site: Site, port: int) -> None:
    applied(site, LOGINS)
    subject = f"submitted on {port}"
    said = site.login(port, CLIENT, CLIENT_PASSWORD, subject)
    assert "accepted" in said, said
    assert "before TLS: True" not in said
    assert "offers AUTH: True" in said
    site.arrived(site.first, subject)
    assert "refused" in site.login(port, CLIENT, "wrong password 01", "no")
    foreign = site.login(port, CLIENT, CLIENT_PASSWORD, "no", sender="someone@elsewhere.test")
    assert "refused" in foreign, "the list of allowed senders counts here too"
    assert "accepted" not in site.login(587, CLIENT, "", "in clear"), "no mail without TLS"


def test_passwords_of_users_are_kept_as_hashes_and_a_user_who_is_gone_is_gone(site: Site) -> None:
    applied(site, LOGINS)
    users = site.sh("cat /etc/mailstack-submission/users")
    assert users.startswith(f"{CLIENT}:{{SHA512-CRYPT}}$6$")
    assert CLIENT_PASSWORD not in users
    assert site.sh("stat -c '%a %U:%G' /etc/mailstack-submission/users").strip() == "640 root:dovecot"
    assert "dovecot" not in site.sh("ss -Hltnp"), "it listens on no network"
    applied(site, DEFINITION)
    assert site.sh("ls /etc/mailstack-submission 2>/dev/null", check=False) == ""
    assert site.sh("systemctl is-active mailstack-submission-auth", check=False).strip() != "active"
    assert site.talk(25, "EHLO app")[0].startswith("220 relay.example.com")


def test_removal_takes_logins_and_their_package_away(site: Site) -> None:
    applied(site, LOGINS)
    site.sh("postsuper -d ALL", check=False)
    removed = site.role(LOGINS, action="remove")
    assert (removed.code, removed.status) == (0, "removed"), removed.progress
    assert site.sh("ls /etc/mailstack-submission /etc/systemd/system/mailstack* 2>/dev/null", check=False) == ""
    listed = site.sh("dpkg-query -W -f '${db:Status-Status} ${Package}\\n' dovecot-core postfix", check=False)
    assert "installed" not in listed.replace("not-installed", "")
    assert ":587 " not in site.sh("ss -Hltn")
