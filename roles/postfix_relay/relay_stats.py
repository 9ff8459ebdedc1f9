"""Print, as one JSON object, what the relay has done: deliveries from its log files, the queue as it is now.

Run as mailstack-relay-stats; needs root. Without arguments it reads the log of the running relay and its
rotated parts; log files given as arguments are read instead, and then the queue is left out.

``recipients`` counts log lines of deliveries: a message to three recipients counts three times, a message that
was deferred twice and then sent counts as two ``deferred`` and one ``sent``.
"""

import glob
import gzip
import io
import json
import subprocess
import sys
import time
from typing import Any, Dict, Iterator, List

from mailstack.postfix.log_lines import QUOTA_MARK, delivery, parse, tls_session


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
    for text_line in text:
        line = parse(text_line)
        if line is None:
            continue
        found, session = delivery(line), tls_session(line)
        if found:
            recipients[found.status] = recipients.get(found.status, 0) + 1
            quota_deferred += found.status == "deferred" and QUOTA_MARK in found.reason
            if found.status == "sent":
                deliveries["reused_connection" if found.connection_use > 1 else "new_connection"] += 1
                deliveries["longest_reuse"] = max(deliveries["longest_reuse"], found.connection_use)
        elif ": reject: " in line.text:
            rejected += 1
        elif line.program == "qmgr" and "status=expired, " in line.text:
            recipients["expired"] += 1
        elif session and not session.reused and not session.incoming:
            tls[session.trust.lower()] = tls.get(session.trust.lower(), 0) + 1
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
