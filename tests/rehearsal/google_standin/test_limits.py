"""Sizes and limits are those of Google, with its replies."""

from rehearsal.google_standin import GoogleStandin, GoogleStandinClient, RelayRule
from rehearsal.google_standin.policy import LimitTracker
from tests.rehearsal.google_standin.talking import BODY, RULE, SENDER, Files, envelope, talk


def test_recipient_101_is_refused_and_the_first_100_are_delivered(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with talk(standin, files) as session:
        session.ask(f"MAIL FROM:<{SENDER}>")
        answers = [session.ask(f"RCPT TO:<r{number}@example.org>") for number in range(101)]
        assert all(answer.startswith("250 2.1.5") for answer in answers[:100])
        assert answers[100].startswith("452-4.5.3 Your message has too many recipients.")
        assert session.ask("DATA").startswith("354 ")
        session.send(BODY + b".\r\n")
        assert session.reply().startswith("250 ")
    assert len(control.messages()[0].rcpt_to) == 100
    counters = control.counters()
    assert (counters.recipients_accepted, counters.refused) == (100, {"too-many-recipients": 1})


def test_message_larger_than_advertised_is_refused_by_declaration_and_by_count(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.put_rule({**RULE, "limits": {"message_size_bytes": 1000}})
    with talk(standin, files) as session:
        assert session.ask(f"MAIL FROM:<{SENDER}> BODY=8BITMIME SIZE=1001").startswith("552-5.3.4 ")
        for length, expected in ((1001, "552-5.3.4 "), (300_000, "552-5.3.4 "), (1000, "250 2.0.0")):
            assert envelope(session)[2].startswith("354 ")
            session.send(b"x" * (length - 2) + b"\r\n.\r\n")
            assert session.reply().startswith(expected)
    assert [message.size for message in control.messages()] == [1000]
    assert control.counters().refused == {"message-too-large": 3}


def test_customer_over_the_daily_limit_gets_the_permanent_code_at_data(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.put_rule({**RULE, "limits": {"customer_recipients_per_day": 2}})
    with talk(standin, files) as session:
        for _ in range(2):
            envelope(session)
            session.send(BODY + b".\r\n")
            session.reply()
        refused = envelope(session)[2]
    assert refused.split("\n")[0] == ("550-5.7.1 Daily SMTP relay limit exceeded for customer. For more information on")
    assert refused.split("\n")[-1].startswith("550 5.7.1 ")
    assert control.counters().messages_accepted == 2


def test_user_limit_counts_registered_envelope_senders_only(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    rule = {**RULE, "registered_users": ["alice@example.com"], "limits": {"user_messages_per_day": 1}}
    control.put_rule(rule)
    with talk(standin, files) as session:
        for sender in ("alice@example.com", "service@example.com", "service@example.com"):
            assert envelope(session, sender)[2].startswith("354 ")
            session.send(BODY + b".\r\n")
            session.reply()
        refused = envelope(session, "Alice@example.com")[2]
    assert refused.split("\n")[0].startswith("550-5.4.5 Daily SMTP relay limit exceeded for user.")
    assert control.counters().refused == {"daily-limit-user": 1}


def test_ten_minute_peak_is_answered_temporarily(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.put_rule({**RULE, "limits": {"customer_recipients_per_10_minutes": 1}})
    with talk(standin, files) as session:
        envelope(session)
        session.send(BODY + b".\r\n")
        session.reply()
        refused = envelope(session)[2]
    assert refused.startswith("450-4.2.1 Peak SMTP relay limit exceeded for customer.")
    assert control.counters().refused == {"peak-limit-customer": 1}


def test_limits_clear_when_their_window_has_passed() -> None:
    now = [0.0]
    tracker = LimitTracker(clock=lambda: now[0])
    rule = RelayRule.from_json(
        {
            **RULE,
            "registered_users": ["alice@example.com"],
            "limits": {
                "customer_recipients_per_day": 6,
                "customer_recipients_per_10_minutes": 3,
                "user_unique_recipients_per_day": 2,
            },
        }
    )
    two = ["a@example.org", "b@example.org"]
    assert tracker.refusal(rule, SENDER, two) is None
    tracker.record(SENDER, two)
    assert tracker.refusal(rule, SENDER, two) == "peak-limit-customer"
    now[0] = 601.0
    assert tracker.refusal(rule, SENDER, two) is None
    tracker.record("alice@example.com", [*two, "A@example.org"])
    now[0] = 1300.0
    assert tracker.refusal(rule, "alice@example.com", ["A@example.org"]) is None
    assert tracker.refusal(rule, "alice@example.com", ["c@example.org"]) == "daily-limit-user"
    assert tracker.refusal(rule, SENDER, ["c@example.org"] * 3) == "daily-limit-customer"
    now[0] = 24 * 3600.0 + 1
    assert tracker.refusal(rule, SENDER, ["c@example.org"] * 3) is None
    assert tracker.refusal(rule, "alice@example.com", ["c@example.org"]) == "daily-limit-user"
    now[0] = 24 * 3600.0 + 602
    assert tracker.refusal(rule, "alice@example.com", ["c@example.org"]) is None
