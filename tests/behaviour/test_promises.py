"""What the relay promises, wherever it runs. These tests run unchanged against every placement."""

import contextlib
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from mailstack.operate import relay as operating
from mailstack.operate.relay import Tried, act, all_logs, configurations, deliver, logs, queues, trial
from mailstack.operate.status import Part, gather, looks
from mailstack.postfix.log_search import LogChoice
from mailstack.postfix.queue_view import Choice
from mailstack.reach import place as reaching
from mailstack.reach.place import Place as Where
from tests.behaviour.place import PASSWORD, USER, Place, login

pytestmark = pytest.mark.hosts

NEW_PASSWORD = "new pass: =2 ü"
# For so long Postfix keeps an idle connection to the upstream; a later one logs in afresh.
CONNECTION_CACHE_SECONDS = 11
STATUS_SECONDS = 90


def test_mail_leaves_over_verified_tls_under_the_name_the_upstream_knows(place: Place) -> None:
    sent = place.send("hello")
    assert sent.outcome == "accepted", sent
    place.wait(lambda: place.arrived() == {"hello": 1}, "the message")
    [message] = place.google.messages()
    assert message.ehlo == "relay.mailstack.test"
    assert message.tls is not None
    place.wait(lambda: "Verified TLS connection established to smtp-relay.gmail.com" in place.log(), "the log")
    assert "someone" not in str(place.queued())


def test_mail_waits_while_the_upstream_is_away_and_arrives_once(place: Place) -> None:
    place.google.take_down()
    subjects = [f"waiting {number}" for number in range(10)]
    assert {sent.outcome for sent in place.messages(subjects)} == {"accepted"}
    place.wait(lambda: sum("delay_reason" in str(entry) for entry in place.queued()) == 10, "deliveries to fail")
    place.google.clear_faults()
    place.retry_now()
    place.wait(lambda: place.arrived() == dict.fromkeys(subjects, 1), "the mail")
    place.wait(lambda: not place.queued(), "the queue to empty")


@pytest.mark.parametrize("certificate", ["wrong-name", "unknown-ca", "expired"])
def test_with_a_wrong_certificate_mail_waits_and_nothing_is_said(place: Place, certificate: str) -> None:
    place.cut_sessions()
    place.google.serve_certificate(certificate)
    assert place.send("secret content").outcome == "accepted"
    place.wait(lambda: "delay_reason" in str(place.queued()), "a refused certificate")
    assert place.google.counters().transactions == 0
    place.google.clear_faults()
    place.retry_now()
    place.wait(lambda: place.arrived() == {"secret content": 1}, "the mail after the repair")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_full_queue_survives_the_end_of_the_relay(place: Place, how: str) -> None:
    place.google.take_down()
    subjects = [f"kept {number}" for number in range(200)]
    sent = place.messages(subjects, threads=8)
    assert {one.outcome for one in sent} == {"accepted"}
    place.stop() if how == "stop" else place.kill()
    place.google.clear_faults()
    place.start()
    place.retry_now()
    place.wait(lambda: set(place.arrived()) == set(subjects), "the mail")
    assert set(place.arrived().values()) == {1}


def test_a_password_is_rotated_while_mail_waits_for_it(place: Place) -> None:
    place.grant(require_smtp_auth=True)
    place.apply(**login(PASSWORD))
    assert place.send("with the old one").outcome == "accepted"
    place.wait(lambda: place.arrived() == {"with the old one": 1}, "mail with the old password")
    place.grant(require_smtp_auth=True, smtp_auth_users={USER: NEW_PASSWORD})
    place.wait(lambda: not place.queued(), "the queue to empty")
    time.sleep(CONNECTION_CACHE_SECONDS)
    waiting = ["one", "two", "three"]
    assert {sent.outcome for sent in place.messages(waiting)} == {"accepted"}
    place.wait(lambda: "535" in str(place.queued()) and len(place.queued()) == 3, "mail to wait for the password")
    place.apply(**login(NEW_PASSWORD))
    place.retry_now()
    place.wait(lambda: set(waiting) <= set(place.arrived()), "the waiting mail")
    assert set(place.arrived().values()) == {1}
    assert {message.auth_user for message in place.google.messages()} == {USER}


@pytest.mark.parametrize(
    "sender",
    [
        "someone@elsewhere.test",
        "someone@notmailstack.test",
        "someone@mailstack.test.elsewhere.test",
        "someone%mailstack.test@elsewhere.test",
        '"someone@mailstack.test"@elsewhere.test',
    ],
)
def test_a_foreign_sender_is_refused(place: Place, sender: str) -> None:
    sent = place.send("foreign", sender=sender)
    assert (sent.outcome, sent.reply[:3]) == ("refused", "554"), sent
    assert place.queued() == []


@pytest.mark.parametrize(
    "recipient",
    [
        "someone%recipient.test@relay.mailstack.test",
        "@relay.mailstack.test:someone@recipient.test",
        "recipient.test!someone@relay.mailstack.test",
        '"someone@recipient.test"@relay.mailstack.test',
    ],
)
def test_routing_tricks_in_recipients_do_not_open_the_relay(place: Place, recipient: str) -> None:
    sent = place.send("trick", sender="stranger@elsewhere.test", recipient=recipient)
    assert (sent.outcome, sent.reply[:1]) == ("refused", "5"), sent
    assert place.arrived() == {}


def test_a_client_that_is_not_declared_is_refused(place: Place) -> None:
    sent = place.send_as_stranger("stranger")
    # Refused by Postfix, or already by the network.
    kept_out = sent.outcome == "gave up" and any(word in sent.reply for word in ("timed out", "ConnectionRefused"))
    assert (sent.outcome, sent.reply[:3]) == ("refused", "554") or kept_out, sent
    assert place.queued() == []


def test_the_null_sender_passes(place: Place) -> None:
    assert place.send("a bounce", sender="").outcome == "accepted"
    place.wait(lambda: place.arrived() == {"a bounce": 1}, "the bounce")
    assert place.google.messages()[0].mail_from == ""


def test_host_names_are_cut_off_senders(place: Place) -> None:
    sent = place.send("masquerade", sender="app@web7.mailstack.test", **{"from": "app@web7.mailstack.test"})
    assert sent.outcome == "accepted", sent
    place.wait(lambda: place.arrived() == {"masquerade": 1}, "the message")
    [message] = place.google.messages()
    assert (message.mail_from, message.header("From")) == ("app@mailstack.test", "<app@mailstack.test>")


@pytest.mark.parametrize("scope", ["customer", "user"])
def test_a_daily_quota_reply_delays_mail_and_does_not_bounce_it(place: Place, scope: str) -> None:
    place.google.exceed_quota(scope)
    assert place.send("over the limit").outcome == "accepted"
    place.wait(lambda: "limit exceeded" in str(place.queued()), "the answer of the upstream")
    place.google.clear_faults()
    place.retry_now()
    place.wait(lambda: place.arrived() == {"over the limit": 1}, "the mail when the limit clears")


def test_every_other_permanent_refusal_bounces(place: Place) -> None:
    place.google.refuse("mail-sending-denied", count=1)
    assert place.send("refused for good").outcome == "accepted"
    place.wait(lambda: [message.mail_from for message in place.google.messages()] == [""], "the bounce")


def test_metrics_move_with_the_mail(place: Place) -> None:
    delivered = "mailstack_relay_upstream_deliveries_total"
    before = place.counted(delivered)
    assert place.send("counted").outcome == "accepted"
    place.wait(lambda: place.counted(delivered) == before + 1, "the delivery to be counted")
    place.google.take_down()
    subjects = ["put off", "and this"]
    assert {sent.outcome for sent in place.messages(subjects)} == {"accepted"}
    place.wait(lambda: place.counted("postfix_showq_queue_depth") == len(subjects), "the queue to be seen")
    assert place.counted(delivered) == before + 1


def test_a_stop_under_load_loses_nothing_and_doubles_only_what_it_cut_off(place: Place) -> None:
    place.google.slow_down(0.02)
    load = place.load(400, threads=4)
    place.wait(lambda: len(place.google.messages()) >= 40, "the load to begin")
    place.stop()
    place.google.clear_faults()
    place.start()
    sent = load.sent()
    assert {one.outcome for one in sent} == {"accepted"}, [one for one in sent if one.outcome != "accepted"][:3]
    place.retry_now()
    place.wait(lambda: set(place.arrived()) == {one.subject for one in sent}, "all accepted mail")
    # An application whose answer was lost sends again: that one may arrive twice.
    unsure = {one.subject for one in sent if one.unsure}
    doubled = {subject for subject, times in place.arrived().items() if times > 1} - unsure
    assert len(doubled) <= place.cut_off_by_stop, doubled


def waiting(place: Place) -> dict[str, Any]:
    """Return what an operator is told of the queue."""
    return queues(place.entry().relay()).total()


def test_an_operator_sees_why_mail_waits_and_sends_it_off_once_the_upstream_is_back(place: Place) -> None:
    places = place.entry().relay()
    place.google.take_down()
    subjects = [f"waiting {number}" for number in range(4)]
    assert {sent.outcome for sent in place.messages(subjects)} == {"accepted"}
    place.wait(lambda: waiting(place)["by_queue"] == {"deferred": 4}, "the queue to be told")
    told = waiting(place)
    assert (told["messages"], told["by_domain"], told["by_age"]) == (4, {"recipient.test": 4}, {"under 5 min": 4})
    assert all("smtp-relay.gmail.com" in reason for reason in told["by_reason"]), told
    place.google.clear_faults()
    everything = Choice(everything=True)
    agreed = trial(places, "flush", everything)
    assert agreed.count == 4
    assert sum(act(places, "flush", everything, agreed).done.values()) == 4
    place.wait(lambda: place.arrived() == dict.fromkeys(subjects, 1), "the mail")
    assert waiting(place)["messages"] == 0


def test_an_operator_holds_releases_and_deletes_exactly_what_was_named(place: Place) -> None:
    places = place.entry().relay()
    place.google.take_down()
    for name in ("kept", "held", "deleted"):
        assert place.send(name, recipient=f"someone@{name}.test").outcome == "accepted"
    place.wait(lambda: waiting(place)["by_queue"] == {"deferred": 3}, "deliveries to fail")
    held, deleted = (Choice(recipients=(f"@{name}.test",)) for name in ("held", "deleted"))
    assert sum(act(places, "hold", held, trial(places, "hold", held)).done.values()) == 1
    agreed = trial(places, "delete", deleted)
    [message] = [one for told in agreed.messages.values() for one in told]
    assert message["recipients"][0]["address"] == "someone@deleted.test"
    assert sum(act(places, "delete", deleted, agreed).done.values()) == 1
    again = act(places, "delete", deleted, agreed)
    assert (sum(again.done.values()), [*again.not_done.values()]) == (0, [[message["id"]]]), "it is gone already"
    place.google.clear_faults()
    place.retry_now()
    place.wait(lambda: place.arrived() == {"kept": 1}, "what is not on hold")
    assert waiting(place)["by_queue"] == {"hold": 1}
    assert sum(act(places, "release", held, trial(places, "release", held)).done.values()) == 1
    place.wait(lambda: place.arrived() == {"kept": 1, "held": 1}, "what was released")
    assert waiting(place)["messages"] == 0


def test_a_test_message_is_followed_to_its_end_and_a_refusal_names_cause_and_fix(place: Place) -> None:
    entry = place.entry()
    first, at = entry.relay()[0], entry.operations.relay
    assert at is not None

    def tried() -> Tried:
        return deliver(first, at, sender="app@mailstack.test", recipient="someone@recipient.test", seconds=60)

    sent = tried()
    assert (sent.state, sent.cause) == ("sent", None), sent
    assert place.google.messages()[0].header("Message-ID") == sent.message_id
    assert any("status=sent" in line for line in logs(first, LogChoice(ids=(str(sent.queue_id),)), since=60, limit=50))
    place.google.refuse("mail-sending-denied", count=1)
    refused = tried()
    assert (refused.state, refused.reply[:9]) == ("bounced", "550 5.7.0"), refused
    assert refused.cause is not None
    assert refused.cause.name == "sending-denied"
    place.google.take_down()
    put_off = tried()
    assert put_off.state == "deferred", put_off
    assert put_off.cause is not None
    foreign = deliver(first, at, sender="a@elsewhere.test", recipient="someone@recipient.test", seconds=60)
    assert (foreign.state, foreign.reply[:3]) == ("refused", "554")
    [told, *_] = configurations(entry.relay(), entry.plan)
    assert (told["configuration"]["myhostname"], told["differences"]) == ("relay.mailstack.test", [])


def relay_part(place: Place) -> Part:
    """Return what `mailstack status` says of the relay, wherever it runs."""
    asked = looks(place.entry(), {}, None, datetime.now(UTC))
    [name] = [name for name in asked if name.startswith("relay")]
    [part] = gather({name: asked[name]}, STATUS_SECONDS)
    return part


def test_status_is_right_while_the_relay_is_well_while_its_upstream_is_down_and_while_it_does_not_run(
    place: Place,
) -> None:
    assert place.send("hello").outcome == "accepted"
    place.wait(lambda: place.arrived() == {"hello": 1}, "the message")
    well = relay_part(place)
    assert well.state == "ok", well
    assert {one["queue"]["messages"] for one in well.details["places"]} == {0}
    assert any(one["last_delivery"] for one in well.details["places"]), well
    assert all(one["greeting"].startswith("220 relay.mailstack.test") for one in well.details["places"])
    place.google.take_down()
    assert place.send("waits").outcome == "accepted"
    place.wait(lambda: waiting(place)["by_queue"] == {"deferred": 1}, "the delivery to fail")
    down = relay_part(place)
    assert (down.state, "1 deferred" in down.told, "smtp-relay.gmail.com" in down.told) == ("warn", True, True), down
    place.stop()
    try:
        gone = relay_part(place)
    finally:
        place.google.clear_faults()
        place.start()
    assert gone.state == "fail", gone
    place.retry_now()
    place.wait(lambda: place.arrived() == {"hello": 1, "waits": 1}, "what waited")
    place.wait(lambda: relay_part(place).state == "ok", "the relay to be well again")


def test_the_log_of_each_place_is_read_whole_or_by_its_last_lines(place: Place) -> None:
    for subject in ("one", "two", "three"):
        assert place.send(subject).outcome == "accepted"
    place.wait(lambda: set(place.arrived()) == {"one", "two", "three"}, "the mail")
    found, unseen = all_logs(place.entry().relay(), LogChoice(), since=300, limit=2)
    assert unseen == {}
    assert all(len(lines) <= 2 for lines in found.values())
    sent = LogChoice(senders=("app@mailstack.test",))
    found, _ = all_logs(place.entry().relay(), sent, since=300, limit=1000)
    assert sum("status=sent" in line for lines in found.values() for line in lines) >= 3
    assert all_logs(place.entry().relay(), sent, since=0, limit=1000)[0] == {name: [] for name in found}


def test_the_log_is_followed_as_it_grows(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "FOLLOW_SECONDS", 30)
    seen: list[str] = []
    choice = LogChoice(recipients=("followed@recipient.test",))

    def watch(one: Where) -> None:
        with contextlib.suppress(RuntimeError):  # it ends with the place
            operating.follow(one, choice, seen.append, since=0.0)

    for one in place.entry().relay():
        threading.Thread(target=watch, args=(one,), daemon=True).start()
    time.sleep(2)
    for subject, recipient in (("other", "someone@recipient.test"), ("followed", "followed@recipient.test")):
        assert place.send(subject, recipient=recipient).outcome == "accepted"
    place.wait(lambda: any("status=sent" in line for line in seen), "the line to be told")
    assert not [line for line in seen if "someone@" in line]
    assert any("from=<app@mailstack.test>" in line for line in seen), "lines of before it was known are told too"
