"""Postfix's log on the way to standard output: plain, or one JSON object a line."""

import json
import re
from datetime import UTC, datetime
from typing import Literal

from mailstack.postfix.log_lines import PROBE_ADDRESS, parse

__all__ = ["PROBE_ADDRESS", "fault", "formatted"]

# With enable_long_queue_ids: RFC-less, see postconf(5).
QUEUE_ID = re.compile(r"(?P<id>[0-9A-Za-z]{10,}): (?P<rest>.*)\Z")
BROKEN = ("error", "fatal", "panic")
THROTTLED = "bad command startup"


def formatted(line: str, form: Literal["plain", "json"]) -> str | None:
    """Return ``line`` as it is to be shown, None for one about the probe."""
    if f"[{PROBE_ADDRESS}]" in line:
        return None
    if form == "plain":
        return line
    found = parse(line)
    shown: dict[str, object] = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    text = line
    if found is not None:
        shown |= {"service": found.service, "pid": found.pid}
        text = found.text
        queued = QUEUE_ID.match(text)
        if queued is not None:
            shown["queue_id"], text = queued["id"], queued["rest"]
    shown |= {"level": found.level if found else "info", "message": text}
    return json.dumps(shown, ensure_ascii=False)


def fault(line: str) -> str | None:
    """Return what a line tells about a daemon that does not work, None for any other line."""
    found = parse(line)
    if found is None or not (found.level in BROKEN or THROTTLED in found.text):
        return None
    return f"{found.service}: {found.text}"
