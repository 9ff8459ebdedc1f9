"""The counts of mailstack-relay-stats, from log lines as Postfix writes them."""

import gzip
import json
from typing import Any

from postfix_relay import relay_stats

LOG = """\
Nov 21 05:05:06 relay postfix/smtp[803]: Verified TLS connection established to smtp-relay.gmail.com[10.0.0.1]:587: TLSv1.3 with cipher X
Nov 21 05:05:06 relay postfix/tlsproxy[90]: Verified TLS connection established to smtp-relay.gmail.com[10.0.0.1]:587: TLSv1.3 with cipher X
Nov 21 05:05:06 relay postfix/smtp[803]: 4jWgBB19Cwz9BPl: to=<a@b.test>, relay=smtp-relay.gmail.com[10.0.0.1]:587, delay=0.4, delays=0/0.34/0.06/0, dsn=2.0.0, status=sent (250 2.0.0 OK)
Nov 21 05:05:06 relay postfix/smtp[803]: 4jWgBB19Cwz9BPm: to=<a@b.test>, orig_to=<x>, relay=smtp-relay.gmail.com[10.0.0.1]:587, conn_use=2, delay=0.4, delays=0/0/0/0, dsn=2.0.0, status=sent (250 2.0.0 OK)
Nov 21 05:05:06 relay postfix/smtp[803]: Verified TLS connection reused to smtp-relay.gmail.com[10.0.0.1]:587: TLSv1.3
Nov 21 05:05:06 relay postfix/smtp[804]: 4jWgBB19Cwz9BPn: to=<a@b.test>, relay=smtp-relay.gmail.com[10.0.0.1]:587, conn_use=7, delay=0.4, delays=0/0/0/0, dsn=4.7.1, status=deferred (host x said: 550-5.7.1 Daily SMTP relay limit exceeded for customer (in reply to end of DATA command) (limit of the upstream: mailstack tries again))
Nov 21 05:05:06 relay postfix/error[805]: 4jWgBB19Cwz9BPo: to=<a@b.test>, relay=none, delay=1, delays=1/0/0/0, dsn=4.4.1, status=deferred (delivery temporarily suspended: connect refused)
Nov 21 05:05:06 relay postfix/smtp[804]: 4jWgBB19Cwz9BPp: to=<a@b.test>, relay=x[10.0.0.1]:587, delay=1, delays=1/0/0/0, dsn=5.1.1, status=bounced (host x said: 550 5.1.1 no)
Nov 21 05:05:06 relay postfix/smtpd[763]: NOQUEUE: reject: RCPT from unknown[127.0.0.1]: 554 5.7.1 <bad@x.test>: Sender address rejected: Access denied; from=<bad@x.test> to=<u@c.test> proto=ESMTP helo=<r>
Nov 21 05:05:06 relay postfix/qmgr[760]: 4jWgBB19Cwz9BPq: from=<a@example.com>, status=expired, returned to sender
"""


def test_every_kind_of_line_is_counted_once() -> None:
    counts = relay_stats.count(iter(LOG.splitlines()))
    assert counts == {
        "recipients": {"sent": 2, "deferred": 2, "bounced": 1, "expired": 1},
        "quota_deferred": 1,
        "rejected": 1,
        "deliveries": {"new_connection": 1, "reused_connection": 1, "longest_reuse": 2},
        "tls_sessions": {"verified": 1},
    }


def test_rotated_and_compressed_parts_count_too(tmp_path: Any, capsys: Any) -> None:
    plain, packed = tmp_path / "postfix.log", tmp_path / "postfix.log.20261120-000000.gz"
    plain.write_text(LOG)
    packed.write_bytes(gzip.compress(LOG.encode()))
    assert relay_stats.main([str(packed), str(plain)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["recipients"]["sent"] == 4
    assert printed["log_files"] == [str(packed), str(plain)]
    assert "queue" not in printed


def test_a_sender_cannot_forge_counts_by_its_address() -> None:
    line = (
        "Nov 21 05:05:06 relay postfix/smtpd[763]: 4jW: client=x[1.2.3.4], sasl_username=status=sent, "
        "from=<status=bounced@x.test>"
    )
    assert relay_stats.count(iter([line]))["recipients"] == {"sent": 0, "deferred": 0, "bounced": 0, "expired": 0}
