"""What the service tells of itself: metrics for Prometheus, and log lines as JSON, without users, texts or keys."""

import datetime
import json
import sys
import threading
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "prouter_requests", "Answered requests.", ["endpoint", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "prouter_request_seconds",
            "Time from request to answer.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.decisions = Counter("prouter_decisions", "Picks.", ["model", "basis", "reason"], registry=self.registry)
        self.feedback = Counter("prouter_feedback", "Pieces of feedback that count.", ["kind"], registry=self.registry)
        self.reloads = Counter("prouter_reloads", "Loads of a changed router.", ["result"], registry=self.registry)
        self.dropped = Gauge(
            "prouter_unusable_feedback", "Stored feedback that the router cannot use.", registry=self.registry
        )

    def page(self) -> bytes:
        """The metrics in Prometheus's text format."""
        return generate_latest(self.registry)


class Log:
    """Writes events as JSON lines; what a client sent is never among their values.

    Args:
      stream: where to; stdout by default.
    """

    def __init__(self, stream: TextIO | None = None):
        self._stream, self._lock = stream or sys.stdout, threading.Lock()

    def write(self, event: str, **values: Any) -> None:
        """Writes an event; values that are None are left out."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "event": event} | {name: value for name, value in values.items() if value is not None}
        with self._lock:
            print(json.dumps(line), file=self._stream, flush=True)
