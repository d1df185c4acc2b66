"""The last requests of one version."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

WINDOW_REQUESTS = 500
"""Enough for a p95 that 25 requests stand above, and soon filled by a small share."""

_P95 = 0.95

_FAILED, _UNTIMED = -1.0, -2.0
"""In the place of a time."""


class RequestWindow:
    """How many of the last requests failed, and how long the others took.

    Owned by one event loop. Holds ``WINDOW_REQUESTS`` numbers at most.
    """

    __slots__ = ("_errors", "_requests")

    def __init__(self) -> None:
        """Begin empty."""
        self._requests: deque[float] = deque(maxlen=WINDOW_REQUESTS)
        self._errors = 0

    def __len__(self) -> int:
        """Return the number of requests in it."""
        return len(self._requests)

    def add_error(self) -> None:
        """Take in a request that failed."""
        self._add(_FAILED)

    def add_answer(self, latency_s: float | None) -> None:
        """Take in a request that was answered.

        Args:
            latency_s: How long it took, s; None where that says nothing of the version.
        """
        self._add(_UNTIMED if latency_s is None else latency_s)

    def _add(self, entry: float) -> None:
        if len(self._requests) == WINDOW_REQUESTS and self._requests[0] == _FAILED:
            self._errors -= 1
        self._requests.append(entry)
        self._errors += entry == _FAILED

    @property
    def errors(self) -> int:
        """How many failed."""
        return self._errors

    @property
    def error_rate(self) -> float:
        """Share of those that failed, 0..1; 0 without any request."""
        return self._errors / len(self._requests) if self._requests else 0.0

    def latencies_s(self) -> list[float]:
        """Return the times of those that have one, ascending, s. Sorts: some 30 µs when full."""
        return sorted(entry for entry in self._requests if entry >= 0)

    def p95_s(self) -> float | None:
        """Return the time that 95 % of those with one stayed below, s; None without any."""
        return p95(self.latencies_s())


def p95(ascending: Sequence[float]) -> float | None:
    """Return the number that 95 % of the others are not above; None of none."""
    if not ascending:
        return None
    return ascending[min(int(_P95 * len(ascending)), len(ascending) - 1)]
