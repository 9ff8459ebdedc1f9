"""Postfix's log on the way to standard output: plain, or one JSON object a line."""

import json
import re
from datetime import UTC, datetime
from typing import Literal

__all__ = ["PROBE_ADDRESS", "fault", "formatted"]

# The health probe comes from this address; what Postfix says of it is left out.
PROBE_ADDRESS = "127.0.0.8"
# "Nov 28 21:04:05 host postfix/smtpd[12]: text", as postlogd(8) writes it.
LINE = re.compile(r"\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ (?P<service>[^\s\[]+)\[(?P<pid>\d+)\]: (?P<text>.*)\Z")
# With enable_long_queue_ids: RFC-less, see postconf(5).
QUEUE_ID = re.compile(r"(?P<id>[0-9A-Za-z]{10,}): (?P<rest>.*)\Z")
LEVEL = re.compile(r"(warning|error|fatal|panic): ")
THROTTLED = "bad command startup"


def formatted(line: str, form: Literal["plain", "json"]) -> str | None:
    """Return ``line`` as it is to be shown, None for one about the probe."""
    if f"[{PROBE_ADDRESS}]" in line:
        return None
    if form == "plain":
        return line
    found = LINE.match(line)
    shown: dict[str, object] = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    text = line
    if found is not None:
        shown |= {"service": found["service"], "pid": int(found["pid"])}
        text = found["text"]
        queued = QUEUE_ID.match(text)
        if queued is not None:
            shown["queue_id"], text = queued["id"], queued["rest"]
    level = LEVEL.match(text)
    shown |= {"level": level[1] if level else "info", "message": text}
    return json.dumps(shown, ensure_ascii=False)


def fault(line: str) -> str | None:
    """Return what a line tells about a daemon that does not work, None for any other line."""
    found = LINE.match(line)
    if found is None:
        return None
    level = LEVEL.match(found["text"])
    broken = level is not None and level[1] != "warning"
    if not broken and THROTTLED not in found["text"]:
        return None
    return f"{found['service']}: {found['text']}"
