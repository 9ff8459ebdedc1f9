"""Print, as one JSON object, what the relay has done: deliveries from its log files, the queue as it is now.

Installed as mailstack-relay-stats; needs root. Without arguments it reads the log of the running relay and its
rotated parts; log files given as arguments are read instead, and then the queue is left out.

``recipients`` counts log lines of deliveries: a message to three recipients counts three times, a message that
was deferred twice and then sent counts as two ``deferred`` and one ``sent``.
"""

import glob
import gzip
import io
import json
import re
import subprocess
import sys
import time
from typing import Any, Dict, Iterator, List

# Beside a reply that the relay treats as temporary although it came as 5xx.
QUOTA_MARK = "(limit of the upstream: mailstack tries again)"
DELIVERY = re.compile(
    r"postfix/(?P<agent>smtp|relay/smtp|error|local)\[\d+\]: (?P<id>\w+): to=<.*?>, .*?status=(?P<status>\w+) "
)
REUSED = re.compile(r", conn_use=(\d+),")
# Mail that only asks whether it would be taken.
ASKED = ("deliverable", "undeliverable")
TLS = re.compile(
    r"postfix/smtp\[\d+\]: (?P<trust>Verified|Trusted|Untrusted|Anonymous) TLS connection established to "
    r"(?P<peer>\S+?)\["
)


def main(arguments: List[str]) -> int:
    """Print the object and return 0."""
    files = arguments or log_files()
    result = count(line for name in files for line in lines(name))
    result["log_files"] = files
    if not arguments:
        result["queue"] = queue()
    sys.stdout.write(json.dumps(result, sort_keys=True) + "\n")
    return 0


def log_files() -> List[str]:
    """Return the relay's log with its rotated parts, the oldest first."""
    name = subprocess.check_output(["postconf", "-h", "maillog_file"]).decode().strip()
    return sorted(glob.glob(glob.escape(name) + ".*")) + glob.glob(glob.escape(name)) if name else []


def lines(name: str) -> Iterator[str]:
    """Yield the lines of a log file, compressed or not."""
    with gzip.open(name) if name.endswith(".gz") else open(name, "rb") as raw:
        for line in io.TextIOWrapper(raw, encoding="utf-8", errors="replace"):
            yield line


def count(text: Iterator[str]) -> Dict[str, Any]:
    """Return the counts over log lines."""
    recipients = {"sent": 0, "deferred": 0, "bounced": 0, "expired": 0}
    deliveries = {"new_connection": 0, "reused_connection": 0, "longest_reuse": 0}
    tls: Dict[str, int] = {}
    quota_deferred = rejected = 0
    for line in text:
        delivery = DELIVERY.search(line)
        if delivery:
            status = delivery.group("status")
            if status in ASKED:
                continue
            recipients[status] = recipients.get(status, 0) + 1
            quota_deferred += status == "deferred" and QUOTA_MARK in line
            if status == "sent":
                use = REUSED.search(line)
                deliveries["reused_connection" if use else "new_connection"] += 1
                deliveries["longest_reuse"] = max(deliveries["longest_reuse"], int(use.group(1)) if use else 1)
        elif ": reject: " in line:
            rejected += 1
        elif "status=expired, " in line:
            recipients["expired"] += 1
        else:
            session = TLS.search(line)
            if session:
                tls[session.group("trust").lower()] = tls.get(session.group("trust").lower(), 0) + 1
    return {
        "recipients": recipients,
        "quota_deferred": quota_deferred,
        "rejected": rejected,
        "deliveries": deliveries,
        "tls_sessions": tls,
    }


def queue() -> Dict[str, Any]:
    """Return number, bytes and greatest age in seconds of queued messages, and the number in each queue."""
    messages: Dict[str, int] = {}
    size = 0
    oldest = now = time.time()
    for line in subprocess.check_output(["postqueue", "-j"]).decode(errors="replace").splitlines():
        entry = json.loads(line)
        messages[entry["queue_name"]] = messages.get(entry["queue_name"], 0) + 1
        size += entry["message_size"]
        oldest = min(oldest, entry["arrival_time"])
    return {
        "messages": sum(messages.values()),
        "by_queue": messages,
        "bytes": size,
        "oldest_seconds": int(now - oldest),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
