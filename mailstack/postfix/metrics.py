"""The relay's metrics: counters fed with Postfix's log, line by line, and the queue as it is, for Prometheus.

Where Hsn723/postfix_exporter (the maintained fork of kumina's) has a metric, its name and labels are used; they start
with ``postfix_``. What it has not is named ``mailstack_relay_``. Why it is not used itself: docs/adr/0014. A role and
the container image carry this module, so it keeps to Python 3.6 and the standard library.
"""

import contextlib
import re
import threading
import time
from typing import Any, Iterator, List, Mapping, Optional, Sequence, TypeVar, Union

from mailstack.postfix.exposition import OTHER, Family, Histogram
from mailstack.postfix.log_lines import PROBE_ADDRESS, QUOTA_MARK, Delivery, Line, delivery, parse, tls_session
from mailstack.postfix.queue_listing import QUEUES, SHOWQ, QueueState

__all__ = ["RelayMetrics", "quota_rules"]

STATUSES = ("sent", "deferred", "bounced", "expired")
# RFC 3463 §3: the second part of a code says what it is about.
SUBJECTS = ("other", "address", "mailbox", "system", "network", "protocol", "content", "policy")
STAGES = ("before_queue_manager", "queue_manager", "connection_setup", "transmission")
LEVELS = ("warning", "error", "fatal", "panic")
# As the exporter has them: dashboards draw them as a heat map.
DELAYS = (1e-3, 1e-2, 1e-1, 1, 10, 60, 3600, 86400, 2 * 86400)
TOTAL_DELAYS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 86400)
SIZES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
AGES = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
RECIPIENTS = (1, 2, 4, 8, 16, 32, 64, 128)

CONNECT = re.compile(r"connect to \S+\[.*?\]:\d+: (?P<reason>.*)")
CONNECT_REASONS = (("refused", "refused"), ("timed out", "timeout"), ("unreachable", "unreachable"))
# 535: wrong password; 530: the upstream wants one and got none (RFC 4954 §6).
LOGIN_REFUSED = re.compile(r"SASL authentication failed|said: 53[05][ -]|no worthy mechs found")
CERTIFICATE = (("Server certificate not trusted", "not_trusted"), ("Server certificate not verified", "not_verified"))
NO_TLS = re.compile(r"TLS is required, but (?:was not offered|our TLS engine)|Cannot start TLS")
REJECT = re.compile(r"\w+: reject: \w+ from \S+: (?P<code>[245]\d\d) ")
LOST = re.compile(r"(?:NOQUEUE: )?lost connection after (?P<stage>[A-Za-z-]+)(?: \(.*?\))? from ")
STAGE_NAMES = ("CONNECT", "EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT",
               "END-OF-MESSAGE", "UNKNOWN")  # fmt: skip
CLIENT = re.compile(r"\w+: client=\S+?(?:, sasl_method=(?P<method>[\w-]+))?(?:,|\Z)")
CLIENT_LOGIN_REFUSED = re.compile(r"warning: \S+: SASL \S+ authentication failed")
QUEUED = re.compile(r"\w+: from=<.*>, size=(?P<size>\d+), nrcpt=(?P<recipients>\d+) ")
EXPIRED = re.compile(r"\w+: from=<.*>, status=(?:force-)?expired, returned to sender")
TLS_LABELS = ("trust", "protocol", "cipher", "secret_bits", "algorithm_bits")


def quota_rules(settings: Mapping[str, Any]) -> List[str]:
    """Return the patterns of the map that makes some 5xx replies temporary, from a relay's settings."""
    return [pattern for pattern, _ in settings.get("maps", {}).get("temporary_replies", {}).get("rules", [])]


def _compiled(patterns: Sequence[str]) -> Iterator["re.Pattern[str]"]:
    for pattern in patterns:
        # Postfix reads them as POSIX writes them; what Python cannot read counts by its mark alone.
        with contextlib.suppress(re.error):
            yield re.compile(pattern, re.IGNORECASE)


def _singles(values: Sequence[str]) -> List[Any]:
    return [(value,) for value in values]


Kept = TypeVar("Kept", Family, Histogram)


class RelayMetrics:
    """Counters of one relay since this program started.

    ``quota_patterns`` are those of ``quota_rules``; a reply with a 4xx code that says the same counts too.
    """

    def __init__(self, quota_patterns: Sequence[str] = (), *, socket_path: str = SHOWQ) -> None:
        """Start every counter at 0. ``socket_path`` is told as the place that was asked for the queue."""
        self._lock = threading.Lock()
        self._quota = list(_compiled(quota_patterns))
        self._path = f"unix://{socket_path}"
        self._started = time.time()
        self._families: List[Union[Family, Histogram]] = []
        self._clients()
        self._queue_manager()
        self._upstream()
        self._relay()

    def _counter(self, name: str, text: str, label: str = "", known: Sequence[str] = ()) -> Family:
        return self._keep(Family(name, "counter", text, (label,) if label else (), _singles(known)))

    def _keep(self, family: Kept) -> Kept:
        self._families.append(family)
        return family

    def _clients(self) -> None:
        count = self._counter
        self.connects = count("postfix_smtpd_connects_total", "Incoming connections.")
        self.disconnects = count("postfix_smtpd_disconnects_total", "Incoming disconnections.")
        self.lost = count("postfix_smtpd_connections_lost_total", "Connections clients broke off.", "after_stage")
        self.accepted = count(
            "postfix_smtpd_messages_processed_total", "Messages accepted from clients.", "sasl_method", ["NONE"]
        )
        self.rejected = count(
            "postfix_smtpd_messages_rejected_total", "Refusals, by reply code.", "code", ["421", "450", "554"]
        )
        self.client_logins = count(
            "postfix_smtpd_sasl_authentication_failures_total", "Logins of clients that were refused."
        )
        self.client_tls = self._keep(
            Family("postfix_smtpd_tls_connections_total", "counter", "Incoming TLS sessions.", TLS_LABELS)
        )
        self.cleaned = count("postfix_cleanup_messages_processed_total", "Messages processed by cleanup.")
        self.cleanup_rejected = count("postfix_cleanup_messages_rejected_total", "Messages rejected by cleanup.")

    def _queue_manager(self) -> None:
        self.queued_sizes = self._keep(
            Histogram("postfix_qmgr_messages_inserted_size_bytes", "Sizes of messages that became active.", SIZES)
        )
        self.queued_recipients = self._keep(
            Histogram("postfix_qmgr_messages_inserted_recipients", "Recipients of them.", RECIPIENTS)
        )
        self.removed = self._counter("postfix_qmgr_messages_removed_total", "Messages that left the queue.")
        self.expired = self._counter("postfix_qmgr_messages_expired_total", "Messages returned because of their age.")
        self.notices = self._counter("postfix_bounce_non_delivery_notification_total", "Bounce messages written.")

    def _upstream(self) -> None:
        count = self._counter
        self.smtp = count(
            "postfix_smtp_messages_processed_total", "Deliveries tried at the upstream.", "status", STATUSES[:3]
        )
        self.smtp_deferred = count("postfix_smtp_deferred_messages_total", "Of them deferred.")
        self.smtp_status_deferred = self._keep(
            Family("postfix_smtp_status_deferred", "untyped", "The same under its other name in postfix_exporter.")
        )
        self.deferred_dsn = count("postfix_smtp_deferred_messages_by_dsn_total", "Deferred, by status code.", "dsn")
        self.bounced_dsn = count("postfix_smtp_bounced_messages_by_dsn_total", "Bounced, by status code.", "dsn")
        self.timed_out = count("postfix_smtp_connection_timed_out_total", "Connections to the upstream that timed out.")
        self.stages = self._keep(
            Histogram("postfix_smtp_delivery_delay_seconds", "Time of a delivery in each stage.", DELAYS, ("stage",),
                      _singles(STAGES))
        )  # fmt: skip
        self.tls = self._keep(
            Family("postfix_smtp_tls_connections_total", "counter", "TLS sessions made with the upstream.", TLS_LABELS)
        )
        self.tls_reused = count("mailstack_relay_upstream_tls_reuses_total", "Times a TLS session was used again.")
        self.uses = count(
            "mailstack_relay_upstream_deliveries_total", "Deliveries sent, by connection.", "connection",
            ["new", "reused"],
        )  # fmt: skip
        self.connect_failures = count(
            "mailstack_relay_upstream_connect_failures_total", "Connections to the upstream that failed.", "reason",
            [*(name for _, name in CONNECT_REASONS), OTHER],
        )  # fmt: skip
        self.logins = count("mailstack_relay_upstream_authentication_failures_total", "Logins the upstream refused.")
        self.quota = count("mailstack_relay_quota_replies_total", "Deferrals because of the upstream's limits.")
        self.certificates = count(
            "mailstack_relay_upstream_tls_failures_total", "Deliveries put off because TLS proved nothing.", "reason",
            [*(name for _, name in CERTIFICATE), "no_tls"],
        )  # fmt: skip

    def _relay(self) -> None:
        self.recipients = self._counter(
            "mailstack_relay_recipients_total", "Recipients by result of a delivery, also without a try upstream.",
            "status", STATUSES,
        )  # fmt: skip
        self.deferrals = self._counter(
            "mailstack_relay_deferrals_total", "Deferrals by what they are about (RFC 3463).", "subject", SUBJECTS
        )
        self.delays = self._keep(
            Histogram("mailstack_relay_delivery_delay_seconds", "Time from arrival to delivery, of mail sent.",
                      TOTAL_DELAYS)
        )  # fmt: skip
        self.levels = self._counter(
            "mailstack_relay_log_messages_total", "Log messages worse than information.", "level", LEVELS
        )

    def feed(self, text: str) -> None:
        """Count a line of the log. Lines of others, and about our own checks, count nothing."""
        line = parse(text)
        if line is None or f"[{PROBE_ADDRESS}]" in text:
            return
        with self._lock:
            self._count(line)

    def _count(self, line: Line) -> None:
        if line.level in LEVELS:
            self.levels.add(line.level)
        program = line.program
        if program == "smtpd":
            self._count_client(line)
        elif program == "cleanup":
            if ": message-id=" in line.text:
                self.cleaned.add()
            elif ": reject: " in line.text:
                self.cleanup_rejected.add()
        elif program == "qmgr":
            self._count_queued(line)
        elif program == "bounce" and ": sender non-delivery notification: " in line.text:
            self.notices.add()
        else:
            found = delivery(line)
            if found is not None:
                self._count_delivery(found)
            elif program == "smtp":
                self._count_connection(line)

    def _count_client(self, line: Line) -> None:
        text = line.text
        rejected, lost, client = REJECT.match(text), LOST.match(text), CLIENT.match(text)
        session = tls_session(line)
        if text.startswith("connect from "):
            self.connects.add()
        elif text.startswith("disconnect from "):
            self.disconnects.add()
        elif rejected:
            self.rejected.add(rejected["code"])
        elif lost:
            self.lost.add(lost["stage"] if lost["stage"] in STAGE_NAMES else OTHER)
        elif client:
            self.accepted.add(client["method"] or "NONE")
        elif CLIENT_LOGIN_REFUSED.match(text):
            self.client_logins.add()
        elif session and session.incoming:
            self.client_tls.add(session.trust, session.protocol, *session[5:])

    def _count_queued(self, line: Line) -> None:
        queued = QUEUED.match(line.text)
        if queued:
            self.queued_sizes.observe(int(queued["size"]))
            self.queued_recipients.observe(int(queued["recipients"]))
        elif line.text.endswith(": removed"):
            self.removed.add()
        elif EXPIRED.match(line.text):
            self.expired.add()
            self.recipients.add("expired")

    def _count_connection(self, line: Line) -> None:
        session, failed = tls_session(line), CONNECT.match(line.text)
        if session and session.reused:
            self.tls_reused.add()
        elif session:
            self.tls.add(session.trust, session.protocol, *session[5:])
        elif failed:
            reason = next((name for words, name in CONNECT_REASONS if words in failed["reason"]), OTHER)
            self.connect_failures.add(reason)
            if reason == "timeout":
                self.timed_out.add()

    def _count_delivery(self, found: Delivery) -> None:
        status = found.status if found.status in STATUSES else OTHER
        self.recipients.add(status)
        if status == "sent":
            self.delays.observe(found.delay)
            if found.program == "smtp":
                self.uses.add("reused" if found.connection_use > 1 else "new")
        elif status == "deferred":
            subject = int(found.dsn.split(".")[1])
            self.deferrals.add(SUBJECTS[subject] if subject < len(SUBJECTS) else OTHER)
        # What error(8) says is the queue manager's repetition of what smtp(8) was told before.
        if found.program != "smtp":
            return
        self.smtp.add(status)
        if status == "deferred":
            self.smtp_deferred.add()
            self.smtp_status_deferred.add()
            self.deferred_dsn.add(found.dsn)
            self._count_reason(found.reason)
            return
        if status == "bounced":
            self.bounced_dsn.add(found.dsn)
            self._count_reason(found.reason)
        for stage, seconds in zip(STAGES, found.stages):
            self.stages.observe(seconds, stage)

    def _count_reason(self, reason: str) -> None:
        certificate = next((name for words, name in CERTIFICATE if words in reason), None)
        if LOGIN_REFUSED.search(reason):
            self.logins.add()
        elif certificate or NO_TLS.search(reason):
            self.certificates.add(certificate or "no_tls")
        # The rules are about replies with 5xx; smtp_delivery_status_filter has turned those into what has the mark.
        elif QUOTA_MARK in reason or any(pattern.search(f"5{reason}") for pattern in self._quota):
            self.quota.add()

    def render(
        self, *, up: bool, queue: Optional[QueueState] = None, certificates: Optional[Mapping[int, float]] = None
    ) -> str:
        """Return all metrics as text. ``up``: the master runs. ``certificates`` is port to end, seconds since 1970.

        A queue that could not be read is left out: 0 would look like an empty one.
        """
        with self._lock:
            lines = [line for family in self._families for line in family.lines()]
        for gauge in _gauges(up, self._path, self._started, certificates or {}):
            lines += gauge.lines()
        if queue is not None:
            for shown in _queue_families(queue):
                lines += shown.lines()
        return "\n".join(lines) + "\n"


def _gauges(up: bool, path: str, started: float, certificates: Mapping[int, float]) -> Iterator[Family]:
    running = Family("postfix_up", "gauge", "Whether Postfix's master runs.", ("path",))
    running.series[(path,)] = float(up)
    yield running
    since = Family("process_start_time_seconds", "gauge", "When this program started, and with it the counters.")
    since.series[()] = round(started, 3)
    yield since
    if certificates:
        ends = Family(
            "mailstack_relay_certificate_expiry_timestamp_seconds", "gauge",
            "When the certificate that clients see on a port of submission ends.", ("port",),
        )  # fmt: skip
        ends.series.update({(str(port),): end for port, end in certificates.items()})
        yield ends


def _queue_families(queue: QueueState) -> Iterator[Union[Family, Histogram]]:
    known = _singles(QUEUES)
    depth = Family("postfix_showq_queue_depth", "gauge", "Messages in each queue.", ("queue",), known)
    oldest = Family(
        "mailstack_relay_queue_oldest_message_age_seconds", "gauge", "Age of the oldest message.", ("queue",), known
    )
    ages = Histogram("postfix_showq_message_age_seconds", "Ages of queued messages.", AGES, ("queue",), known)
    sizes = Histogram("postfix_showq_message_size_bytes", "Sizes of queued messages.", SIZES, ("queue",), known)
    for name in QUEUES:
        depth.series[(name,)] = float(queue.count(name))
        oldest.series[(name,)] = round(queue.oldest(name), 3)
        for age in queue.ages[name]:
            ages.observe(age, name)
        for size in queue.sizes[name]:
            sizes.observe(size, name)
    yield from (depth, oldest, ages, sizes)
