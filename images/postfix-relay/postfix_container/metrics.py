"""The container's metrics: what the supervisor reads of the log is counted, and told to whoever asks over HTTP."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from mailstack.postfix.metrics import RelayMetrics, quota_rules
from mailstack.postfix.metrics_http import MetricsServer, Scrape
from mailstack.postfix.served_certificate import submission_places
from postfix_container.health import trouble

__all__ = ["start_metrics"]

# Pods of some clusters have IPv6 only; where the kernel has none, IPv4 is left.
ADDRESSES = ("::", "0.0.0.0")  # noqa: S104 - who reaches the container is its network's business


def start_metrics(settings: Mapping[str, Any], port: int, say: Callable[[str], None]) -> Callable[[str], None]:
    """Serve metrics on ``port``, where it is not 0, and return what is to be told each line of the log.

    Mail does not depend on it: where the port cannot be had, ``say`` is told why.
    """
    if port == 0:
        return lambda _line: None
    metrics = RelayMetrics(quota_rules(settings))
    scrape = Scrape(metrics, list(submission_places(settings)))
    reasons = []
    for address in ADDRESSES:
        try:
            server = MetricsServer((address, port), scrape.text, trouble=trouble)
        except OSError as error:
            reasons.append(f"{address}: {error.strerror}")
        else:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            return metrics.feed
    say(f"no metrics on port {port}: {'; '.join(reasons)}")
    return metrics.feed
