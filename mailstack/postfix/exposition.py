"""Counters, gauges and histograms, and the text that Prometheus reads (exposition format 0.0.4).

Only what the relay's metrics need of a client library: where they are kept there is nothing but the standard library,
and Python 3.6 on the oldest hosts. Source: prometheus.io/docs/instrumenting/exposition_formats.
"""

from typing import Dict, Iterator, List, Sequence, Tuple

__all__ = ["CONTENT_TYPE", "OTHER", "Family", "Histogram"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Stands for every further value of a label once there are MOST_SERIES: what others say must not fill the memory.
OTHER = "other"
MOST_SERIES = 64

Labels = Tuple[str, ...]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _sample(name: str, labels: Sequence[str], values: Labels, number: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(labels, values))
    return f"{name}{{{pairs}}} {_number(number)}" if pairs else f"{name} {_number(number)}"


class Family:
    """A counter, gauge or untyped metric with its series. ``known`` label values are there, as 0, from the start.

    A rate needs two points: a series that only appears with its first event hides that event.
    """

    def __init__(self, name: str, kind: str, text: str, labels: Labels = (), known: Sequence[Labels] = ()) -> None:
        """``kind`` is counter, gauge or untyped; ``text`` one line for people."""
        self.name, self.kind, self.text, self.labels = name, kind, text, labels
        self.series: Dict[Labels, float] = dict.fromkeys(known if labels else [()], 0.0)

    def key(self, values: Labels) -> Labels:
        """Return the series for ``values``: their own, or that of all others once there are many."""
        if values in self.series or len(self.series) < MOST_SERIES:
            return values
        return (OTHER,) * len(values)

    def add(self, *values: str) -> None:
        """Count one event."""
        key = self.key(values)
        self.series[key] = self.series.get(key, 0.0) + 1

    def lines(self) -> Iterator[str]:
        """Yield the text."""
        yield f"# HELP {self.name} {self.text}"
        yield f"# TYPE {self.name} {self.kind}"
        for values, number in sorted(self.series.items()):
            yield _sample(self.name, self.labels, values, number)


class Histogram:
    """Values by size. ``bounds`` are the upper ends of the buckets, ascending; one for all others is added."""

    def __init__(
        self, name: str, text: str, bounds: Sequence[float], labels: Labels = (), known: Sequence[Labels] = ()
    ) -> None:
        """Start with nothing observed."""
        self.name, self.text, self.bounds, self.labels = name, text, tuple(bounds), labels
        self.counts: Dict[Labels, List[int]] = {}
        self.sums: Dict[Labels, float] = {}
        for values in known if labels else [()]:
            self._start(values)

    def _start(self, values: Labels) -> None:
        self.counts[values] = [0] * (len(self.bounds) + 1)
        self.sums[values] = 0.0

    def observe(self, value: float, *values: str) -> None:
        """Count one value."""
        if values not in self.counts:
            self._start(values)
        place = next((index for index, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
        self.counts[values][place] += 1
        self.sums[values] += value

    def lines(self) -> Iterator[str]:
        """Yield the text: buckets count everything up to their bound."""
        yield f"# HELP {self.name} {self.text}"
        yield f"# TYPE {self.name} histogram"
        names = [_number(bound) for bound in self.bounds] + ["+Inf"]
        for values, counts in sorted(self.counts.items()):
            total = 0
            for name, count in zip(names, counts):
                total += count
                yield _sample(f"{self.name}_bucket", (*self.labels, "le"), (*values, name), total)
            yield _sample(f"{self.name}_sum", self.labels, values, self.sums[values])
            yield _sample(f"{self.name}_count", self.labels, values, total)
