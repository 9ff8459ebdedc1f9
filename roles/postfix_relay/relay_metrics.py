"""Serve the relay's metrics on this host: follow the log from now on, and ask Postfix for its queue.

The service mailstack-relay-metrics. Its one argument names a JSON file: ``listen`` [address, port], ``networks`` that
may ask, ``log`` the relay's log file, ``quota`` patterns, ``places`` of submission and ``version``, see
mailstack.postfix.metrics_http.
"""

import codecs
import contextlib
import json
import os
import sys
import threading
import time
from typing import BinaryIO, Callable, List, Optional

from mailstack.postfix.metrics import RelayMetrics
from mailstack.postfix.metrics_http import MetricsServer, Scrape
from mailstack.postfix.served_certificate import Place

# So that the log of a busy relay is never far behind; whoever asks gets everything up to the moment.
PAUSE_SECONDS = 1.0
CHUNK_BYTES = 1 << 20


class Follower:
    """Hands on each whole line that is added to a log file, over rotations of it: the old file to its end first."""

    def __init__(self, path: str, feed: Callable[[str], None]) -> None:
        """Start at the end of the file that is there; a file that comes later is read from its start."""
        self._path, self._feed = path, feed
        self._lock = threading.Lock()
        self._file: Optional[BinaryIO] = None
        self._rest = ""
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        with contextlib.suppress(OSError):
            self._file = open(path, "rb")  # noqa: SIM115 - kept open
            self._file.seek(0, os.SEEK_END)

    def read(self) -> None:
        """Hand on what is new."""
        with self._lock:
            self._drain()
            while self._replaced():
                # postlogd(8) may have written once more between the reading and the renaming.
                self._drain()
                if not self._reopen():
                    return
                self._drain()

    def _replaced(self) -> bool:
        """Tell whether the name stands for another file now, or for this one cut short."""
        try:
            there = os.stat(self._path)
        except OSError:
            return False
        if self._file is None:
            return True
        mine = os.fstat(self._file.fileno())
        return (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino) or there.st_size < self._file.tell()

    def _reopen(self) -> bool:
        try:
            opened = open(self._path, "rb")  # noqa: SIM115 - kept open
        except OSError:
            return False
        if self._file is not None:
            self._file.close()
        self._file, self._rest = opened, ""
        return True

    def _drain(self) -> None:
        while self._file is not None:
            chunk = self._file.read(CHUNK_BYTES)
            if not chunk:
                return
            *lines, self._rest = (self._rest + self._decode(chunk)).split("\n")
            for line in lines:
                self._feed(line)


def main(arguments: List[str]) -> int:
    """Serve until the service ends."""
    with open(arguments[0], encoding="utf-8") as handle:
        told = json.load(handle)
    metrics = RelayMetrics(told["quota"])
    follower = Follower(told["log"], metrics.feed)
    scrape = Scrape(metrics, [Place(*place) for place in told["places"]], before=follower.read)
    place = told["listen"][0], told["listen"][1]
    server = MetricsServer(place, scrape.text, networks=told["networks"], version=told["version"])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        follower.read()
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
