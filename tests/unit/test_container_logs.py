"""Postfix's log lines on their way out of the container."""

import json

import pytest

from postfix_container.logs import PROBE_ADDRESS, fault, formatted

SENT = "Nov 28 22:13:30 relay postfix/smtp[338]: 4jcPbj0LtkzCr0r: to=<a@recipient.test>, status=sent (250 2.0.0 OK)"
BROKEN = "Nov 28 22:13:30 relay postfix/smtpd[294]: error: open database /etc/postfix/mailstack/senders.db: gone"
THROTTLED = (
    "Nov 28 22:13:30 relay postfix/master[238]: warning: /usr/lib/postfix/sbin/smtpd: bad command startup -- throttling"
)


def test_a_plain_line_stays_as_it_is_and_one_about_the_probe_is_left_out() -> None:
    assert formatted(SENT, "plain") == SENT
    for form in ("plain", "json"):
        probe = f"Nov 28 22:13:30 relay postfix/smtpd[294]: connect from unknown[{PROBE_ADDRESS}]"
        assert formatted(probe, form) is None


def test_a_json_line_has_service_queue_id_level_and_message() -> None:
    found = json.loads(formatted(SENT, "json") or "")
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "service": "postfix/smtp",
        "pid": 338,
        "queue_id": "4jcPbj0LtkzCr0r",
        "level": "info",
        "message": "to=<a@recipient.test>, status=sent (250 2.0.0 OK)",
    }
    assert json.loads(formatted(BROKEN, "json") or "")["level"] == "error"
    assert json.loads(formatted("no line of Postfix's", "json") or "")["message"] == "no line of Postfix's"


@pytest.mark.parametrize(
    ("line", "told"), [(BROKEN, "postfix/smtpd: error: open database"), (THROTTLED, "postfix/master: ")]
)
def test_a_daemon_that_does_not_work_is_told(line: str, told: str) -> None:
    assert (fault(line) or "").startswith(told)


@pytest.mark.parametrize(
    "line", [SENT, "Nov 28 22:13:30 relay postfix/tlsproxy[347]: warning: TLS server role is disabled", "x"]
)
def test_every_other_line_tells_of_no_fault(line: str) -> None:
    assert fault(line) is None
