"""The last requests of one version."""

from __future__ import annotations

from collections import deque

WINDOW_REQUESTS = 500
"""Enough for a p95 that 25 requests stand above, and soon filled by a small share."""

_P95 = 0.95


class RequestWindow:
    """How many of the last requests failed, and how long the others took.

    Owned by one event loop. Holds ``WINDOW_REQUESTS`` numbers at most.
    """

    __slots__ = ("_errors", "_requests")

    def __init__(self) -> None:
        """Begin empty."""
        self._requests: deque[float | None] = deque(maxlen=WINDOW_REQUESTS)  # None: failed
        self._errors = 0

    def __len__(self) -> int:
        """Return the number of requests in it."""
        return len(self._requests)

    def add(self, latency_s: float | None) -> None:
        """Take in one request: how long it took, s, or None where it failed."""
        if len(self._requests) == WINDOW_REQUESTS and self._requests[0] is None:
            self._errors -= 1
        self._requests.append(latency_s)
        self._errors += latency_s is None

    @property
    def errors(self) -> int:
        """How many failed."""
        return self._errors

    @property
    def error_rate(self) -> float:
        """Share of those that failed, 0..1; 0 without any request."""
        return self._errors / len(self._requests) if self._requests else 0.0

    def p95_s(self) -> float | None:
        """Return the time that 95 % of those which did not fail stayed below, s; None without any.

        Sorts: some 30 µs for a full window.
        """
        latencies = sorted(latency for latency in self._requests if latency is not None)
        if not latencies:
            return None
        return latencies[min(int(_P95 * len(latencies)), len(latencies) - 1)]
