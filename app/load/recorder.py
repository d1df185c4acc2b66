"""What is kept of each request, and the figures that are made of it."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from app.load.answer import REFUSALS

OK = 200
LOST = "connection lost"
NOT_CONNECTED = "no connection"
NOT_SENT = "not sent"
UNANSWERED = "no answer"

LOSSES = (LOST, NOT_CONNECTED, UNANSWERED)
"""Outcomes that a server must not let happen. ``NOT_SENT`` is none: the generator's own limit."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of one load. Rates are per second of the window; times are NaN for no answer.

    Attributes:
        seconds: Length of the window, without warm-up.
        offered_per_s: Requests that began in the window; in an open loop, that were due in it.
        images_per_s: Answers 200 that arrived in the window.
        in_deadline_per_s: Answers 200 within the deadline; without one, all of them.
        p50_ms: Median over the answers 200: in a closed loop from sending, in an open loop from the
            time at which the request was due; p90, p95 and p99 likewise.
        refused_p50_ms: The same over the answers 429 and 503; ``refused_p99_ms`` likewise.
        late_p99_ms: How late the generator was in sending; 0 in a closed loop.
        max_outstanding: Most requests that waited for their answer at one time.
        outcomes: Requests of the window by status, or by what happened instead of an answer. Losses
            outside of the window count, too: a server that drops requests is never fine.
    """

    seconds: float
    offered_per_s: float
    images_per_s: float
    in_deadline_per_s: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    refused_p50_ms: float
    refused_p99_ms: float
    late_p99_ms: float
    max_outstanding: int
    outcomes: dict[str, int]


class Recorder:
    """Counts the requests of one measurement; as cheap as a list.

    Attributes:
        offered: Requests of the window so far.
        completed: Answers 200 that arrived in the window so far.
        max_outstanding: Most requests without an answer at one time.
        late_s: Sent minus due, of each request of an open loop.
    """

    def __init__(self, deadline_s: float = math.inf) -> None:
        """Keep the deadline, seconds from sending or from being due."""
        self.offered = 0
        self.completed = 0
        self.max_outstanding = 0
        self.late_s = array("d")
        self._deadline_s = deadline_s
        self._ok_s = array("d")
        self._refused_s = array("d")
        self._outcomes: Counter[int | str] = Counter()

    def answered(self, status: int, latency_s: float) -> None:
        """Count one answer."""
        self._outcomes[status] += 1
        if status == OK:
            self._ok_s.append(latency_s)
        elif status in REFUSALS:
            self._refused_s.append(latency_s)

    def failed(self, outcome: str) -> None:
        """Count a request without an answer."""
        self._outcomes[outcome] += 1

    @property
    def outcomes(self) -> dict[str, int]:
        """Requests by what became of them, so far."""
        return {str(outcome): count for outcome, count in self._outcomes.items()}

    def result(self, seconds: float) -> LoadResult:
        """Return the figures of a window of so many seconds, above 0."""
        p50, p90, p95, p99 = _percentiles_ms(self._ok_s, (50, 90, 95, 99))
        refused_p50, refused_p99 = _percentiles_ms(self._refused_s, (50, 99))
        (late,) = _percentiles_ms(self.late_s, (99,))
        in_deadline = sum(1 for latency_s in self._ok_s if latency_s <= self._deadline_s)
        return LoadResult(
            seconds=seconds,
            offered_per_s=self.offered / seconds,
            images_per_s=self.completed / seconds,
            in_deadline_per_s=in_deadline / seconds,
            p50_ms=p50,
            p90_ms=p90,
            p95_ms=p95,
            p99_ms=p99,
            refused_p50_ms=refused_p50,
            refused_p99_ms=refused_p99,
            late_p99_ms=late if self.late_s else 0.0,
            max_outstanding=self.max_outstanding,
            outcomes=self.outcomes,
        )


def _percentiles_ms(values_s: Sequence[float], percents: Sequence[int]) -> list[float]:
    """Return percentiles in milliseconds, linear between two values; NaN of nothing."""
    if not values_s:
        return [math.nan] * len(percents)
    ordered = sorted(values_s)
    found = []
    for percent in percents:
        at = (len(ordered) - 1) * percent / 100
        low = ordered[math.floor(at)]
        found.append((low + (ordered[math.ceil(at)] - low) * (at - math.floor(at))) * 1e3)
    return found
