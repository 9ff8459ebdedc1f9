"""Mail through the stand-in for Postal, with a real MariaDB and a relay that keeps what it gets.

With MAILSTACK_POSTAL_IMAGE the same tests run on another image, such as Postal's own.
"""

import re
import smtplib
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from rehearsal.ground import Ground, wait_for_port
from rehearsal.images import ensure_images
from tests.rehearsal.mail_tools import client, header, mail, signature_is_valid
from tests.rehearsal.postal_site import ADMIN_PASSWORD, SELECTOR, WEB_HOST, PostalSite, eventually

pytestmark = pytest.mark.hosts

RELAY = "smtp://sink.example.com:2525?ssl_mode=Auto"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostalSite]:
    images = ensure_images(print)
    with Ground("postal-mail") as ground:
        yield PostalSite(ground, images, tmp_path_factory.mktemp("postal") / "config")


# --- from the application to the relay -------------------------------------------------------------------


@pytest.fixture(scope="module")
def sent(site: PostalSite) -> dict[str, int]:
    """Numbers of messages that one worker has looked at; its single thread takes those of a domain in order."""
    with client(site, tls=True) as smtp:
        smtp.login("any name at all", "smtp-live")
        smtp.send_message(mail("one@out.example"), to_addrs=["one@out.example", "two@out.example"])
    numbers = {
        "api": site.send("api@out.example"),
        "unchecked": site.send("unchecked@out.example", sender="a@unsigned.example"),
        "first failure": site.send("hard@out.example"),
        "second failure": site.send("hard@out.example"),
        "after failures": site.send("hard@out.example"),
        "temporary": site.send("soft@out.example"),
        "trial": site.send("held@out.example", sender="a@trial.example", key="api-trial"),
    }
    with site.worker(RELAY, WORKER_THREADS="1"):
        for name, number in numbers.items():
            site.outcome(number, "api-trial" if name == "trial" else "api-live")
    return numbers


def test_mail_by_smtp_arrives_signed_and_with_postals_own_envelope(site: PostalSite, sent: dict[str, int]) -> None:
    arrived = site.arrived("one@out.example")[0]
    raw = arrived["raw"]
    sender = f"{site.token}@psrp.signed.example"
    assert arrived["recipients"] == ["one@out.example"]
    assert len(site.arrived("two@out.example")) == 1
    assert (arrived["sender"], arrived["helo"], arrived["tls"]) == (sender, "helo.example.com", True)
    assert raw.startswith(f"Resent-Sender: {sender}\r\nDKIM-Signature:")
    assert len(header(raw, "X-Postal-MsgID")) == 16
    assert "by mx.example.com with SMTP;" in header(raw, "Received")
    published = {f"postal-{SELECTOR}._domainkey.signed.example": site.domain_record}
    assert signature_is_valid(raw, published)
    assert not signature_is_valid(raw.replace("Hello", "Hullo"), published)


def test_mail_by_api_arrives_and_its_delivery_can_be_read_back(site: PostalSite, sent: dict[str, int]) -> None:
    outcome = site.outcome(sent["api"])
    assert (outcome["status"], outcome["sent_with_ssl"], outcome["output"]) == ("Sent", True, "250 2.0.0 kept")
    assert "api@out.example" in outcome["details"]
    assert "(sink.example.com)" in outcome["details"]
    raw = site.arrived("api@out.example")[0]["raw"]
    assert signature_is_valid(raw, {f"postal-{SELECTOR}._domainkey.signed.example": site.domain_record})
    assert f"by {WEB_HOST} with HTTP;" in header(raw, "Received")
    expansions = ["status", "details", "plain_body"]
    told = site.api("messages/message", {"id": sent["api"], "_expansions": expansions})["data"]
    assert told["status"]["status"] == "Sent"
    assert told["details"]["rcpt_to"] == "api@out.example"
    assert told["plain_body"].splitlines() == ["Hello", "."]


def test_until_its_dns_is_checked_a_domain_has_the_installations_key_and_return_path(
    site: PostalSite, sent: dict[str, int]
) -> None:
    arrived = site.arrived("unchecked@out.example")[0]
    assert arrived["sender"] == f"{site.token}@rp.example.com"
    assert "d=rp.example.com;" in header(arrived["raw"], "DKIM-Signature")
    assert signature_is_valid(arrived["raw"], {"postal._domainkey.rp.example.com": site.installation_record})


def test_mail_to_a_development_server_is_held(site: PostalSite, sent: dict[str, int]) -> None:
    outcome = site.outcome(sent["trial"], "api-trial")
    assert (outcome["status"], outcome["details"]) == ("Held", "Server is in development mode.")
    assert site.arrived("held@out.example") == []


def test_a_second_permanent_failure_suppresses_the_recipient(site: PostalSite, sent: dict[str, int]) -> None:
    names = ("first failure", "second failure", "after failures")
    first, second, third = (site.outcome(sent[name]) for name in names)
    for failure in (first, second):
        assert (failure["status"], failure["output"]) == ("HardFail", "550 5.1.1 No such user")
    assert "suppression" not in first["details"]
    assert "Recipient added to suppression list (too many hard fails)" in second["details"]
    assert third["status"] == "Held"
    assert "on the suppression list (reason: too many hard fails)" in third["details"]


def test_a_temporary_failure_is_tried_again_after_five_minutes(site: PostalSite, sent: dict[str, int]) -> None:
    outcome = site.outcome(sent["temporary"])
    assert (outcome["status"], outcome["output"]) == ("SoftFail", "451 4.3.0 Try again later")
    row = next(row for row in site.queue() if row["message_id"] == sent["temporary"])
    assert (row["locked"], row["attempts"]) == (False, 1)
    assert row["due"] - outcome["timestamp"] == pytest.approx(5 * 60, abs=5)


# --- the relay setting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relays", "tls"),
    [
        ("smtp://sink.example.com:2525", True),
        ("smtp://sink.example.com:2527?ssl_mode=Auto", False),
        ("smtps://user:password@sink.example.com:2525?ssl_mode=None", False),
        ("smtp://nowhere.example:2525,smtp://sink.example.com:2525?ssl_mode=STARTTLS", False),
        ("smtp://other.example.com:2525?ssl_mode=STARTLS", True),
        ("smtp://sink.example.com:4650?ssl_mode=TLS", True),
    ],
    ids=["auto", "auto-broken-tls", "none", "starttls-as-it-should-be-spelt", "starttls-as-it-is-spelt", "tls"],
)
def test_tls_follows_the_relays_mode_letter_by_letter(site: PostalSite, relays: str, tls: bool) -> None:
    number = site.send("mode@out.example")
    with site.worker(*relays.split(","), trusting=True):
        outcome = site.outcome(number)
    assert (outcome["status"], outcome["sent_with_ssl"]) == ("Sent", tls)
    assert site.arrived("mode@out.example")[-1]["tls"] is tls


@pytest.mark.parametrize(
    ("relay", "complaint"),
    [
        ("smtp://sink.example.com:2525?ssl_mode=STARTLS", "certificate verify failed"),
        ("smtp://sink.example.com:2526?ssl_mode=STARTLS", "STARTTLS is not supported"),
    ],
    ids=["unknown-authority", "not-offered"],
)
def test_the_strict_mode_sends_nothing_without_verified_tls(site: PostalSite, relay: str, complaint: str) -> None:
    number = site.send("strict@out.example")
    with site.worker(relay):
        outcome = site.outcome(number)
    assert outcome["status"] == "SoftFail"
    assert outcome["details"].startswith("No SMTP servers were available for out.example. Tried sink.example.com")
    assert complaint in outcome["output"]
    assert site.arrived("strict@out.example") == []


def test_a_relay_given_by_address_or_only_in_the_hosts_file_is_not_found(site: PostalSite) -> None:
    address = site.sink.address
    number = site.send("dns@out.example")
    relays = (f"smtp://{address}:2526", "smtp://in-hosts.example:2526")
    with site.worker(*relays, extra_run_args=["--add-host", f"in-hosts.example:{address}"]):
        outcome = site.outcome(number)
    assert outcome["status"] == "SoftFail"
    assert outcome["details"] == "No SMTP servers were available for out.example. No hosts to try."
    assert site.arrived("dns@out.example") == []


# --- workers ---------------------------------------------------------------------------------------------


def test_threads_that_begin_at_the_same_time_both_send(site: PostalSite) -> None:
    numbers = [site.send(f"together@{domain}.example") for domain in ("left", "right")]
    with site.worker(RELAY, WORKER_THREADS="2"):
        assert [site.outcome(number)["status"] for number in numbers] == ["Sent", "Sent"]


def test_term_lets_a_worker_finish_and_kill_leaves_the_mail_locked_in_the_queue(site: PostalSite) -> None:
    finished = site.send("slow-one@out.example")
    with site.worker(RELAY, POSTAL_USE_RESENT_SENDER_HEADER="false") as worker:
        eventually(lambda: site.arrived("slow-one@out.example"))
        site.ground.stop(worker)
        assert [attempt["status"] for attempt in site.deliveries(finished)] == ["Sent"]
    assert site.arrived("slow-one@out.example")[0]["raw"].startswith("DKIM-Signature:")
    killed = site.send("slow-two@out.example")
    with site.worker(RELAY) as worker:
        eventually(lambda: site.arrived("slow-two@out.example"))
        site.ground.cut_power(worker)
    rows = {row["message_id"]: row for row in site.queue()}
    assert finished not in rows
    assert rows[killed]["locked"]
    assert site.deliveries(killed) == []


# --- refusals --------------------------------------------------------------------------------------------


def test_strangers_may_not_relay_and_senders_must_be_verified(site: PostalSite) -> None:
    with client(site) as smtp:
        assert smtp.mail("someone@elsewhere.example")[0] == 250
        assert smtp.rcpt("x@out.example") == (530, b"Authentication required")
        with pytest.raises(smtplib.SMTPAuthenticationError) as wrong:
            smtp.login("app", "not-the-key")
        assert (wrong.value.smtp_code, wrong.value.smtp_error) == (535, b"Invalid credential")
    with client(site) as smtp:
        # In clear: Postal has no setting that demands TLS first.
        smtp.user, smtp.password = "acme/live", "smtp-live"
        assert smtp.auth("CRAM-MD5", smtp.auth_cram_md5)[0] == 235
        with pytest.raises(smtplib.SMTPDataError) as refused:
            smtp.send_message(mail("x@out.example", sender="ceo@stranger.example"))
        assert refused.value.smtp_code == 530
        assert refused.value.smtp_error == b"From/Sender name is not valid"


def test_a_message_over_the_limit_and_one_that_went_round_are_refused(site: PostalSite) -> None:
    big = mail("x@out.example")
    big.set_content("x" * 70 + "\n", cte="7bit")
    text = big.as_bytes().replace(b"\n", b"\r\n")
    with client(site) as smtp:
        smtp.login("app", "smtp-live")
        with pytest.raises(smtplib.SMTPDataError, match="552"):
            smtp.sendmail("a@b.example", ["x@out.example"], text + text[-72:] * (1024 * 1024 // 72))
        looped = b"Received: from x by mx.example.com with SMTP; now\r\n" * 4 + text
        with pytest.raises(smtplib.SMTPDataError, match="Loop detected"):
            smtp.sendmail("a@b.example", ["x@out.example"], looped)


def test_only_crlf_around_the_dot_ends_a_message(site: PostalSite) -> None:
    with client(site) as smtp:
        smtp.login("app", "smtp-live")
        smtp.mail("news@signed.example")
        smtp.rcpt("smuggled@out.example")
        smtp.putcmd("DATA")
        assert smtp.getreply()[0] == 354
        smtp.send(b"From: news@signed.example\r\n\r\nfirst\n.\r\nMAIL FROM:<evil@signed.example>\n.\nlast\r\n.\r\n")
        assert smtp.getreply() == (250, b"OK")
        assert smtp.noop()[0] == 250


def test_errors_of_the_api_come_with_status_200(site: PostalSite) -> None:
    def code(action: str, parameters: object, key: str | None = "api-live") -> tuple[str, str | None]:
        answer = site.api(action, parameters, key)
        return answer["status"], answer["data"].get("code")

    complete = {"to": ["x@out.example"], "from": "a@signed.example", "plain_body": "x"}
    cases = {
        "NoRecipients": complete | {"to": []},
        "NoContent": complete | {"plain_body": ""},
        "FromAddressMissing": complete | {"from": ""},
        "UnauthenticatedFromAddress": complete | {"from": "a@stranger.example"},
        "TooManyToAddresses": complete | {"to": [f"{number}@out.example" for number in range(51)]},
        "AttachmentMissingName": complete | {"attachments": [{"data": "eA=="}]},
        "AttachmentMissingData": complete | {"attachments": [{"name": "x"}]},
    }
    for expected, parameters in cases.items():
        assert code("send/message", parameters) == ("error", expected)
    assert code("send/message", complete, None) == ("error", "AccessDenied")
    assert code("send/message", complete, "nonsense") == ("error", "InvalidServerAPIKey")
    assert code("messages/deliveries", {"id": 99999}) == ("error", "MessageNotFound")
    assert code("messages/deliveries", {}) == ("parameter-error", None)
    assert code("send/raw", {"rcpt_to": ["x@out.example"]}) == ("parameter-error", None)


def test_only_broken_json_has_a_status_of_its_own(site: PostalSite) -> None:
    kind = "application/json"
    path = "/api/v1/send/message"
    assert site.request("POST", path, "{", Content_Type=kind, X_Server_API_Key="api-live")[0] == 400
    assert site.request("POST", path, "{", Content_Type=kind)[0] == 200


def test_the_api_takes_json_in_a_form_field_too(site: PostalSite) -> None:
    status, _headers, body = site.request(
        "POST",
        "/api/v1/messages/message",
        "params=%7B%22id%22%3A%2099999%7D",
        Content_Type="application/x-www-form-urlencoded",
        X_Server_API_Key="api-live",
    )
    assert (status, b"MessageNotFound" in body) == (200, True)


# --- incoming --------------------------------------------------------------------------------------------


def test_a_bounce_marks_the_original_and_mail_for_a_route_is_taken_from_anybody(
    site: PostalSite, sent: dict[str, int]
) -> None:
    original = site.arrived("api@out.example")[0]
    with client(site) as smtp:
        assert smtp.mail("<>")[0] == 250
        assert smtp.rcpt("nobody@rp.example.com") == (550, b"Invalid server token")
        assert smtp.rcpt(original["sender"])[0] == 250
        assert smtp.data(f"Subject: Undeliverable\r\n\r\n{original['raw']}".encode())[0] == 250
        smtp.sendmail("someone@elsewhere.example", ["info@signed.example"], "Subject: question\r\n\r\nHello\r\n")
    for_the_route = site.queue()[-1]["message_id"]
    with site.worker(RELAY):
        assert site.outcome(for_the_route)["status"] == "Processed"
        eventually(lambda: [item["status"] for item in site.deliveries(sent["api"])] == ["Sent", "Bounced"])


# --- web and health --------------------------------------------------------------------------------------


def test_only_the_web_host_name_is_served(site: PostalSite) -> None:
    assert site.request("GET", "/login")[0] == 200
    assert site.request("GET", "/login", Host="other.example.com")[0] == 403
    assert site.request("GET", "/login", Host=site.web.address)[0] == 403
    status, _headers, body = site.request("GET", "/", Host="track.example.com", X_Postal_Track_Host="1")
    assert (status, body) == (200, b"Hello.")
    status, headers, _body = site.request("GET", "/")
    assert status == 302
    assert "/login" in headers["location"]
    assert b'"kty":"RSA"' in site.request("GET", "/.well-known/jwks.json")[2]


def test_the_first_user_can_log_in_and_a_wrong_password_cannot(site: PostalSite) -> None:
    def log_in(password: str) -> tuple[int, dict[str, str]]:
        _status, headers, page = site.request("GET", "/login")
        token = re.search(rb'name="authenticity_token" value="([^"]+)"', page)
        assert token is not None
        form = {
            "authenticity_token": token[1].decode(),
            "email_address": "admin@example.com",
            "password": password,
        }
        cookie = headers["set-cookie"].partition(";")[0]
        kind = "application/x-www-form-urlencoded"
        status, answer, _page = site.request("POST", "/login", urlencode(form), Content_Type=kind, Cookie=cookie)
        return status, answer

    status, headers = log_in(ADMIN_PASSWORD)
    assert status == 302
    assert "/login" not in headers["location"]
    assert log_in("wrong")[0] == 200


def test_health_servers_answer_in_their_containers(site: PostalSite) -> None:
    def ask(service: str, port: int, path: str) -> str:
        target = site.smtp if service == "smtp" else site.ground.services["worker"]
        url = f"http://127.0.0.1:{port}{path}"
        return site.ground.exec(target, ["curl", "-s", url], check=False).stdout

    assert ask("smtp", 9091, "/health") == "OK"
    assert ask("smtp", 9091, "/").startswith("smtp-server (pid: ")
    metrics = ask("smtp", 9091, "/metrics")
    assert 'postal_smtp_server_commands_total{command="EHLO"}' in metrics
    assert "postal_smtp_server_connections_total" in metrics
    with site.worker(RELAY):
        eventually(lambda: ask("worker", 9090, "/health") == "OK")
        assert "postal_worker_job_runtime" in ask("worker", 9090, "/metrics")


def test_a_health_port_that_is_taken_does_not_stop_the_process(site: PostalSite) -> None:
    second = "PORT=2626 bundle exec ruby script/smtp_server.rb >second.log 2>&1 &"
    site.ground.exec(site.smtp, ["sh", "-c", second], user="postal")
    wait_for_port(site.smtp.address, 2626, 30)
    eventually(lambda: "already in use" in site.ground.exec(site.smtp, ["cat", "second.log"]).stdout)
