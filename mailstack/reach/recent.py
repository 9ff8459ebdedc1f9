"""Answers of a moment ago, kept in a file.

`pulumi up` runs the program twice: for the preview, and again for the update. With a thousand zones each run would ask
Cloudflare a thousand questions, and the second would run into its rate limit. What is kept is what public DNS tells
anybody. It is never needed: where the file cannot be read or written, everything is asked again.
"""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Recent"]

KEPT_SECONDS = 900.0


class Recent:
    """Answers by question, and the times of all calls of late. ``file`` None keeps nothing beyond this process."""

    def __init__(self, file: Path | None, *, clock: Callable[[], float] = time.time) -> None:
        """Read the file; ``clock`` gives seconds since 1970."""
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        document = _read(file)
        oldest = clock() - KEPT_SECONDS
        self._answers = {key: kept for key, kept in document["answers"].items() if kept["at"] >= oldest}
        self.calls: list[float] = [at for at in document["calls"] if at >= oldest]

    def get(self, question: str) -> Any:
        """Return the answer, None where there is none."""
        with self._lock:
            kept = self._answers.get(question)
            return None if kept is None else kept["answer"]

    def put(self, question: str, answer: Any) -> None:
        """Keep an answer."""
        with self._lock:
            self._answers[question] = {"at": self._clock(), "answer": answer}

    def forget(self, part: str) -> None:
        """Drop the answers to questions that contain ``part``."""
        with self._lock:
            self._answers = {key: kept for key, kept in self._answers.items() if part not in key}

    def save(self, calls: list[float]) -> None:
        """Write the file, with the times of the last calls."""
        if self._file is None:
            return
        with self._lock:
            text = json.dumps({"answers": self._answers, "calls": calls})
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new = self._file.with_suffix(".new")
            new.write_text(text)
            new.replace(self._file)
        except OSError:
            return  # a checkout that nobody may write to


def _read(file: Path | None) -> dict[str, Any]:
    empty: dict[str, Any] = {"answers": {}, "calls": []}
    if file is None:
        return empty
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError):
        return empty
    return document if isinstance(document, dict) and document.keys() == empty.keys() else empty
