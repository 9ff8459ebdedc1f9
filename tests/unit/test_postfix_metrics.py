"""The relay's metrics from log lines as Postfix 3.5 to 3.10 writes them, and the text that Prometheus reads."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mailstack.postfix.exposition import MOST_SERIES
from mailstack.postfix.maps import maps
from mailstack.postfix.metrics import RelayMetrics, quota_rules
from mailstack.postfix.queue_listing import QUEUES, QueueState
from mailstack.postfix.relay import RelayDefinition, role_settings
from mailstack.upstreams import PRESETS

HEAD = "Nov 21 05:05:06 relay postfix/"
TO = "to=<a@b.test>, relay=smtp-relay.gmail.com[10.0.0.1]:587"
DELAYS = "delay=0.4, delays=0.01/0.02/0.3/0.07"
SENT = f"smtp[803]: 4jWgBB19Cwz9BPl: {TO}, {DELAYS}, dsn=2.0.0, status=sent (250 2.0.0 OK)"
REUSED = f"smtp[803]: 4jWgBB19Cwz9BPl: {TO}, conn_use=3, {DELAYS}, dsn=2.0.0, status=sent (250 2.0.0 OK)"
RECIPIENTS = "mailstack_relay_recipients_total"
LOGIN = "mailstack_relay_upstream_authentication_failures_total"
TLS = "mailstack_relay_upstream_tls_failures_total"
QUOTA = "mailstack_relay_quota_replies_total"
CONNECT = "mailstack_relay_upstream_connect_failures_total"

Counts = dict[str, float]


def deferred(reason: str, dsn: str = "4.7.1", service: str = "smtp") -> str:
    return f"{service}[804]: 4jWgBB19Cwz9BPn: {TO}, {DELAYS}, dsn={dsn}, status=deferred ({reason})"


def samples(text: str) -> Counts:
    return {
        sample.name + (json.dumps(sample.labels) if sample.labels else ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def moved(*lines: str, metrics: RelayMetrics | None = None) -> Counts:
    """Return what the lines added to each series, without buckets and sums."""
    counting = metrics or RelayMetrics()
    before = samples(counting.render(up=True))
    for line in lines:
        counting.feed(HEAD + line)
    after = samples(counting.render(up=True))
    return {
        name: value - before.get(name, 0.0)
        for name, value in after.items()
        if value != before.get(name, 0.0) and "_bucket{" not in name and "_sum" not in name
    }


SENT_ONCE = {
    'postfix_smtp_messages_processed_total{"status": "sent"}': 1.0,
    'postfix_smtp_delivery_delay_seconds_count{"stage": "before_queue_manager"}': 1.0,
    'postfix_smtp_delivery_delay_seconds_count{"stage": "queue_manager"}': 1.0,
    'postfix_smtp_delivery_delay_seconds_count{"stage": "connection_setup"}': 1.0,
    'postfix_smtp_delivery_delay_seconds_count{"stage": "transmission"}': 1.0,
    f'{RECIPIENTS}{{"status": "sent"}}': 1.0,
    "mailstack_relay_delivery_delay_seconds_count": 1.0,
}
SESSION = {"trust": "Verified", "protocol": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "secret_bits": "256"}
SESSION_LABELS = json.dumps({**SESSION, "algorithm_bits": "256"})
CIPHER = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
KEY = "key-exchange X25519 server-signature ECDSA (prime256v1) server-digest SHA256"  # since 3.4, with TLS 1.3
DEFERRED = {
    'postfix_smtp_messages_processed_total{"status": "deferred"}': 1.0,
    "postfix_smtp_deferred_messages_total": 1.0,
    "postfix_smtp_status_deferred": 1.0,
    f'{RECIPIENTS}{{"status": "deferred"}}': 1.0,
}
POLICY = {'mailstack_relay_deferrals_total{"subject": "policy"}': 1.0}
BY_471 = {'postfix_smtp_deferred_messages_by_dsn_total{"dsn": "4.7.1"}': 1.0}


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        (SENT, {**SENT_ONCE, 'mailstack_relay_upstream_deliveries_total{"connection": "new"}': 1.0}),
        (REUSED, {**SENT_ONCE, 'mailstack_relay_upstream_deliveries_total{"connection": "reused"}': 1.0}),
        (
            f"smtp[8]: Verified TLS connection established to smtp-relay.gmail.com[10.0.0.1]:587: {CIPHER} {KEY}",
            {f"postfix_smtp_tls_connections_total{SESSION_LABELS}": 1.0},
        ),
        (
            f"smtp[8]: Verified TLS connection reused to smtp-relay.gmail.com[10.0.0.1]:587: {CIPHER}",
            {"mailstack_relay_upstream_tls_reuses_total": 1.0},
        ),
        # The same session, told by the process that keeps it.
        (f"tlsproxy[9]: Verified TLS connection established to smtp-relay.gmail.com[10.0.0.1]:587: {CIPHER}", {}),
        (
            f"smtpd[8]: Anonymous TLS connection established from app[10.0.0.2]: {CIPHER} {KEY}",
            {f"postfix_smtpd_tls_connections_total{SESSION_LABELS.replace('Verified', 'Anonymous')}": 1.0},
        ),
        ("smtpd[763]: connect from unknown[10.0.0.2]", {"postfix_smtpd_connects_total": 1.0}),
        ("smtpd[763]: disconnect from unknown[10.0.0.2] ehlo=1 quit=1", {"postfix_smtpd_disconnects_total": 1.0}),
        ("smtpd[763]: connect from unknown[127.0.0.8]", {}),
        (
            "smtpd[763]: lost connection after DATA (123 bytes) from unknown[10.0.0.2]",
            {'postfix_smtpd_connections_lost_total{"after_stage": "DATA"}': 1.0},
        ),
        (
            "smtpd[763]: lost connection after END-OF-MESSAGE from unknown[10.0.0.2]",
            {'postfix_smtpd_connections_lost_total{"after_stage": "END-OF-MESSAGE"}': 1.0},
        ),
        (
            "smtpd[763]: 4jWgBB19Cwz9BPl: client=unknown[10.0.0.2]",
            {'postfix_smtpd_messages_processed_total{"sasl_method": "NONE"}': 1.0},
        ),
        (
            "smtpd[763]: 4jWgBB19Cwz9BPl: client=app[10.0.0.2], sasl_method=PLAIN, sasl_username=shop",
            {'postfix_smtpd_messages_processed_total{"sasl_method": "PLAIN"}': 1.0},
        ),
        (
            "smtpd[763]: NOQUEUE: reject: RCPT from unknown[10.0.0.2]: 554 5.7.1 <a@x.test>: Sender address rejected: Access denied; from=<a@x.test> to=<u@c.test> proto=ESMTP helo=<r>",
            {'postfix_smtpd_messages_rejected_total{"code": "554"}': 1.0},
        ),
        (
            "smtpd[763]: 4jWgBB19Cwz9BPl: reject: DATA from unknown[10.0.0.2]: 503 5.5.0 <DATA>: Data command rejected",
            {'postfix_smtpd_messages_rejected_total{"code": "503"}': 1.0},
        ),
        (
            "smtpd[763]: warning: unknown[10.0.0.2]: SASL PLAIN authentication failed: (reason unavailable)",
            {
                "postfix_smtpd_sasl_authentication_failures_total": 1.0,
                'mailstack_relay_log_messages_total{"level": "warning"}': 1.0,
            },
        ),
        (
            "smtpd[763]: warning: unknown[10.0.0.2]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=x",
            {
                "postfix_smtpd_sasl_authentication_failures_total": 1.0,
                'mailstack_relay_log_messages_total{"level": "warning"}': 1.0,
            },
        ),
        ("cleanup[7]: 4jWgBB19Cwz9BPl: message-id=<x@y.test>", {"postfix_cleanup_messages_processed_total": 1.0}),
        (
            "qmgr[760]: 4jWgBB19Cwz9BPl: from=<a@example.com>, size=1301, nrcpt=2 (queue active)",
            {
                "postfix_qmgr_messages_inserted_size_bytes_count": 1.0,
                "postfix_qmgr_messages_inserted_recipients_count": 1.0,
            },
        ),
        ("qmgr[760]: 4jWgBB19Cwz9BPl: removed", {"postfix_qmgr_messages_removed_total": 1.0}),
        *(
            (
                f"qmgr[760]: 4jWgBB19Cwz9BPl: from=<a@example.com>, status={status}, returned to sender",
                {"postfix_qmgr_messages_expired_total": 1.0, f'{RECIPIENTS}{{"status": "expired"}}': 1.0},
            )
            for status in ("expired", "force-expired")
        ),
        (
            "bounce[7]: 4jWgBB19Cwz9BPl: sender non-delivery notification: 4jWgBB19Cwz9BPm",
            {"postfix_bounce_non_delivery_notification_total": 1.0},
        ),
        (
            "smtp[8]: connect to smtp-relay.gmail.com[10.0.0.1]:587: Connection refused",
            {f'{CONNECT}{{"reason": "refused"}}': 1.0},
        ),
        (
            "smtp[8]: connect to smtp-relay.gmail.com[2001:db8::1]:587: Network is unreachable",
            {f'{CONNECT}{{"reason": "unreachable"}}': 1.0},
        ),
        (
            "smtp[8]: connect to smtp-relay.gmail.com[10.0.0.1]:587: Connection timed out",
            {f'{CONNECT}{{"reason": "timeout"}}': 1.0, "postfix_smtp_connection_timed_out_total": 1.0},
        ),
        (
            "master[238]: warning: /usr/lib/postfix/sbin/smtpd: bad command startup -- throttling",
            {'mailstack_relay_log_messages_total{"level": "warning"}': 1.0},
        ),
        (
            "smtpd[8]: fatal: no SASL authentication mechanisms",
            {'mailstack_relay_log_messages_total{"level": "fatal"}': 1.0},
        ),
        # qmgr did not try: what error(8) says of the reason is not a second login.
        (
            deferred("delivery temporarily suspended: SASL authentication failed; server x[10.0.0.1] said: 535 5.7.8 no",
                     "4.7.8", "error"),
            {f'{RECIPIENTS}{{"status": "deferred"}}': 1.0, **POLICY},
        ),
        (
            deferred("host x[10.0.0.1] said: 450 4.2.1 receiving mail too quickly (in reply to RCPT TO command)", "4.2.1"),
            {
                **DEFERRED,
                'postfix_smtp_deferred_messages_by_dsn_total{"dsn": "4.2.1"}': 1.0,
                'mailstack_relay_deferrals_total{"subject": "mailbox"}': 1.0,
            },
        ),
        *(
            (deferred(reason, "4.7.8"), {
                **DEFERRED, **POLICY, LOGIN: 1.0, 'postfix_smtp_deferred_messages_by_dsn_total{"dsn": "4.7.8"}': 1.0,
            })
            for reason in (
                "SASL authentication failed; server smtp.x[10.0.0.1] said: 535 5.7.8 Username and Password not accepted",
                "host smtp.x[10.0.0.1] said: 530 5.7.0 Authentication Required (in reply to MAIL FROM command)",
                "SASL authentication failed; cannot authenticate to server smtp.x[10.0.0.1]: no mechanism available",
            )
        ),
        *(
            (deferred(reason, "4.7.5"), {
                **DEFERRED, **POLICY, f'{TLS}{{"reason": "{name}"}}': 1.0,
                'postfix_smtp_deferred_messages_by_dsn_total{"dsn": "4.7.5"}': 1.0,
            })
            for reason, name in (
                ("Server certificate not trusted", "not_trusted"),
                ("Server certificate not verified", "not_verified"),
                ("TLS is required, but was not offered by host smtp.x[10.0.0.1]", "no_tls"),
            )
        ),
        (
            "smtp[8]: 4jWgBB19Cwz9BPl: to=<a@b.test>, orig_to=<root>, relay=x[10.0.0.1]:587, " + DELAYS
            + ", dsn=5.1.1, status=bounced (host x said: 550 5.1.1 no such user (in reply to RCPT TO command))",
            {
                **{name: 1.0 for name in SENT_ONCE if "stage" in name},
                'postfix_smtp_messages_processed_total{"status": "bounced"}': 1.0,
                'postfix_smtp_bounced_messages_by_dsn_total{"dsn": "5.1.1"}': 1.0,
                f'{RECIPIENTS}{{"status": "bounced"}}': 1.0,
            },
        ),
        ("postfix-script[1]: starting the Postfix mail system", {}),
    ],
)  # fmt: skip
def test_each_kind_of_line_counts_what_it_tells_and_nothing_else(line: str, counts: Counts) -> None:
    assert moved(line) == counts


def test_a_limit_counts_by_its_mark_and_where_the_upstream_says_it_with_a_temporary_code() -> None:
    definition = RelayDefinition(
        hostname="relay.example.com", sender_domains=("example.com",), upstream_host="x.test",
        temporary_reply_patterns=PRESETS["ses"].temporary_replies,
    )  # fmt: skip
    rules = quota_rules(role_settings(definition))
    assert rules == [pattern for pattern, _ in maps(definition)["temporary_replies"]["rules"]]
    metrics = RelayMetrics(rules)
    mark = "(limit of the upstream: mailstack tries again)"
    for reason, counted in (
        (f"host x[10.0.0.1] said: 550-5.7.1 Anything (in reply to end of DATA command) {mark}", 1),
        ("host x[10.0.0.1] said: 454 Throttling failure: Maximum sending rate exceeded. (in reply to DATA)", 1),
        ("host x[10.0.0.1] said: 452 4.2.2 The email account is over quota (in reply to RCPT TO command)", 0),
    ):
        assert moved(deferred(reason), metrics=metrics).get(QUOTA, 0) == counted, reason


def test_a_pattern_python_cannot_read_stops_nothing() -> None:
    assert moved(SENT, metrics=RelayMetrics(["(", "quota"]))[f'{RECIPIENTS}{{"status": "sent"}}'] == 1


@pytest.mark.parametrize(
    "address",
    [
        '<"x>, relay=y, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent ("@b.test>',
        '<"a\\"b> status=sent ("@b.test>',
    ],
)
def test_a_recipient_cannot_forge_a_result_by_its_address(address: str) -> None:
    line = deferred("host x said: 450 no").replace("<a@b.test>", address)
    assert {name for name in moved(line) if name.startswith(RECIPIENTS)} == {f'{RECIPIENTS}{{"status": "deferred"}}'}


def test_what_others_say_cannot_fill_the_memory() -> None:
    metrics = RelayMetrics()
    for number in range(5 * MOST_SERIES):
        metrics.feed(HEAD + deferred("x", f"4.{number % 90}.{number}"))
        metrics.feed(HEAD + f"smtpd[1]: 4jWgBB19Cwz9BPl: client=a[10.0.0.2], sasl_method=M{number}, sasl_username=x")
    series = samples(metrics.render(up=True))
    for name in ("postfix_smtp_deferred_messages_by_dsn_total", "postfix_smtpd_messages_processed_total"):
        own = {key: value for key, value in series.items() if key.startswith(f"{name}{{")}
        assert len(own) <= MOST_SERIES + 1
        assert sum(own.values()) == 5 * MOST_SERIES, "none is lost"


def test_every_series_with_known_labels_is_there_before_its_first_event() -> None:
    names = samples(RelayMetrics().render(up=False))
    assert names['postfix_up{"path": "unix:///var/spool/postfix/public/showq"}'] == 0
    for status in ("sent", "deferred", "bounced", "expired"):
        assert names[f'{RECIPIENTS}{{"status": "{status}"}}'] == 0
    for reason in ("not_trusted", "not_verified", "no_tls"):
        assert names[f'{TLS}{{"reason": "{reason}"}}'] == 0
    assert {names[LOGIN], names[QUOTA]} == {0}


def test_the_queue_is_told_by_state_with_the_age_of_the_oldest_and_left_out_where_it_is_not_known() -> None:
    state = QueueState({name: [] for name in QUEUES}, {name: [] for name in QUEUES})
    state.ages["deferred"] += [5.0, 4000.5]
    state.sizes["deferred"] += [900.0, 2000.0]
    names = samples(RelayMetrics().render(up=True, queue=state))
    oldest = "mailstack_relay_queue_oldest_message_age_seconds"
    assert names['postfix_showq_queue_depth{"queue": "deferred"}'] == 2
    assert names[f'{oldest}{{"queue": "deferred"}}'] == 4000.5
    assert names['postfix_showq_message_age_seconds_bucket{"queue": "deferred", "le": "10"}'] == 1
    assert names['postfix_showq_message_size_bytes_sum{"queue": "deferred"}'] == 2900
    for queue in set(QUEUES) - {"deferred"}:
        assert names[f'postfix_showq_queue_depth{{"queue": "{queue}"}}'] == 0
        assert names[f'{oldest}{{"queue": "{queue}"}}'] == 0
    assert not [name for name in samples(RelayMetrics().render(up=True)) if "showq_" in name]


def test_histograms_count_up_to_each_bound() -> None:
    metrics = RelayMetrics()
    for seconds in ("0.05", "0.5", "7", "100000"):
        metrics.feed(HEAD + SENT.replace("delay=0.4", f"delay={seconds}"))
    names = samples(metrics.render(up=True))
    bucket = "mailstack_relay_delivery_delay_seconds_bucket"
    assert [names[f'{bucket}{{"le": "{bound}"}}'] for bound in ("0.1", "0.5", "5", "10", "86400", "+Inf")] == [
        1, 2, 2, 3, 3, 4,
    ]  # fmt: skip
    assert names["mailstack_relay_delivery_delay_seconds_sum"] == pytest.approx(100007.55)


@given(st.text())
def test_no_line_whatever_it_holds_stops_the_counting_or_spoils_the_text(text: str) -> None:
    metrics = RelayMetrics(["quota"])
    for service in ("smtp", "smtpd", "qmgr", "cleanup", "bounce"):
        metrics.feed(f"{HEAD}{service}[1]: {text}")
    metrics.feed(HEAD + deferred(text))
    metrics.feed(text)
    samples(metrics.render(up=True))
