"""The relay's log on this host: lines of chosen messages, those that are there and, on wish, those that come."""

import glob
import gzip
import io
import os
import sys
import time
from collections import deque
from typing import Any, Deque, Iterator, Optional

from mailstack.postfix.log_search import LogSearch, log_choice_of
from rolelib.commands import run
from rolelib.host import RoleError
from rolelib.protocol import Plan, Role

__all__ = ["ALIVE", "LINE", "search"]

# Standard error carries progress too: a line of the log begins with this. ``ALIVE`` says nothing but finds out whether
# anybody still listens, so that nobody's search goes on for ever.
LINE, ALIVE = "| ", "~"
DEFAULT_LIMIT = 1000
PAUSE_SECONDS = 0.3
ALIVE_SECONDS = 5.0
DAY_SECONDS = 86400


def search(role: Role) -> Plan:
    """Tell the last ``limit`` lines of ``choice`` since ``since`` (seconds since 1970) as fact ``lines``.

    With ``follow_seconds`` what comes after them is written to standard error as it comes, for so long.
    """
    settings = role.settings
    name = run(["postconf", "-h", "maillog_file"]).out.strip()
    if not name.startswith("/"):
        raise RoleError("log", f"maillog_file is {name!r}: Postfix writes no log file of its own here")
    finder = LogSearch(log_choice_of(settings.get("choice") or {}))
    since = None if settings.get("since") is None else float(settings["since"])
    last: Deque[str] = deque(maxlen=int(settings.get("limit") or DEFAULT_LIMIT))
    for path in _files(name, since):
        for line in _lines(path):
            for found in finder.feed(line):
                if since is None or _stamp(found) >= since:
                    last.append(found)
    follow = float(settings.get("follow_seconds") or 0)
    if not follow:
        role.facts["lines"] = list(last)
        return []
    for found in last:
        _write(found)
    _follow(name, finder, time.monotonic() + follow)
    return []


def _files(name: str, since: Optional[float]) -> Iterator[str]:
    """Yield the log's parts, the oldest first: all that may hold something since then."""
    for path in [*sorted(glob.glob(glob.escape(name) + ".*")), name]:
        if os.path.exists(path) and (since is None or os.path.getmtime(path) >= since):
            yield path


def _lines(path: str) -> Iterator[str]:
    raw: Any = gzip.open(path) if path.endswith(".gz") else open(path, "rb")  # noqa: SIM115 - closed below
    with raw:
        for line in io.TextIOWrapper(raw, encoding="utf-8", errors="replace"):
            yield line


def _stamp(line: str) -> float:
    """Return when a line was written, of ``Nov 29 14:28:07``: this year, or the last where that has not come yet."""
    now = time.time()
    for year in (time.localtime(now).tm_year, time.localtime(now).tm_year - 1):
        try:
            found = time.mktime(time.strptime(f"{year} {line[:15]}", "%Y %b %d %H:%M:%S"))
        except ValueError:
            continue  # no date, or none of that year: the 29th of February
        if found <= now + DAY_SECONDS:
            return found
    return now


def _follow(name: str, finder: LogSearch, deadline: float) -> None:
    told = time.monotonic()
    stream = open(name, "rb")  # noqa: SIM115 - closed below
    try:
        stream.seek(0, os.SEEK_END)
        rest = b""
        while time.monotonic() < deadline:
            rest += stream.read()
            *whole, rest = rest.split(b"\n")
            for line in whole:
                for found in finder.feed(line.decode("utf-8", "replace")):
                    _write(found)
            if not whole:
                if time.monotonic() - told > ALIVE_SECONDS:
                    _send(ALIVE)
                    told = time.monotonic()
                if _rotated(name, stream):
                    stream.close()
                    stream = open(name, "rb")  # noqa: SIM115 - likewise
                time.sleep(PAUSE_SECONDS)
    finally:
        stream.close()


def _rotated(name: str, stream: Any) -> bool:
    try:
        return os.stat(name).st_ino != os.fstat(stream.fileno()).st_ino
    except OSError:
        return False  # between two files: the next look will see it


def _write(line: str) -> None:
    _send(LINE + line)


def _send(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
