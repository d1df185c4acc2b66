"""Remembers the last failed and the slowest requests, with where their time went."""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from operator import attrgetter

from app.api.record import RequestRecord
from app.inference.policy import RecorderPolicy

_FIRST_FAILURE, _FIRST_SERVER_FAILURE = 400, 500
_REFUSED = 429


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request that was kept.

    Attributes:
        record: What it was: ids and figures; no byte and no name of what was sent.
        route: Path of its route, with parameters unfilled.
        method: Of the request.
        status: Of its answer, or 499.
        elapsed_s: From its arrival to its answer.
        ended_at_s: Unix time of its answer.
    """

    record: RequestRecord
    route: str
    method: str
    status: int
    elapsed_s: float
    ended_at_s: float


class FlightRecorder:
    """Keeps what people ask for when they ask why something was slow.

    Slowest: of the classifications that were answered, those of the present and of the previous
        window: what was slow long ago says nothing of now. They are told by one comparison.
    Failed: the last ones, those that are the server's fault (5xx) beside those that are the
        caller's: neither can push the other out.
    Refused: 429 is kept nowhere. Under overload it is what most requests get, it costs nothing
        here, and the metrics count all of them.
    Bound: ``2 * slowest + 2 * failed`` records, of a few hundred bytes each.
    Loop: used on one event loop; nothing waits and there is no timer.
    """

    def __init__(self, policy: RecorderPolicy, wall_clock: Callable[[], float] = time.time) -> None:
        """Begin with nothing.

        Args:
            policy: How much is kept.
            wall_clock: Unix time, s.
        """
        self._policy = policy
        self._wall_clock = wall_clock
        self._failed: deque[RecordedRequest] = deque(maxlen=policy.failed)
        self._rejected: deque[RecordedRequest] = deque(maxlen=policy.failed)
        self._slowest: list[
            tuple[float, int, RecordedRequest]
        ] = []  # a heap, the least slow one first
        self._before: list[tuple[float, int, RecordedRequest]] = []
        self._numbers = count()  # of two that took equally long, the heap compares these
        # Of the window, on the clock of ``arrived_s``; and what a request must take to be of
        # interest: nothing while there is room. Where none is kept, nothing ever is.
        self._ends_s = self._least_s = -math.inf if policy.slowest else math.inf

    def end(
        self, record: RequestRecord, route: str, method: str, status: int, elapsed_s: float
    ) -> None:
        """Take note of a request that has been answered; called for each.

        Args:
            record: What it was.
            route: The path of its route.
            method: Of the request.
            status: Of its answer, or 499.
            elapsed_s: What it took.
        """
        if status < _FIRST_FAILURE:
            if elapsed_s > self._least_s or record.arrived_s >= self._ends_s:
                self._keep_if_slow(record, route, method, status, elapsed_s)
        elif status != _REFUSED:
            kept = self._failed if status >= _FIRST_SERVER_FAILURE else self._rejected
            kept.append(self._flight(record, route, method, status, elapsed_s))

    def _flight(
        self, record: RequestRecord, route: str, method: str, status: int, elapsed_s: float
    ) -> RecordedRequest:
        return RecordedRequest(record, route, method, status, elapsed_s, self._wall_clock())

    def _keep_if_slow(
        self, record: RequestRecord, route: str, method: str, status: int, elapsed_s: float
    ) -> None:
        policy = self._policy
        if record.timing is None:
            return  # nothing was classified: a page, or an order that waits on purpose
        if record.arrived_s >= self._ends_s:
            # The window before counts only if it was the one right before this.
            is_next = record.arrived_s < self._ends_s + policy.window_s
            self._before = self._slowest if is_next else []
            self._slowest = []
            self._ends_s = record.arrived_s + policy.window_s
            self._least_s = -math.inf
        if elapsed_s <= self._least_s:
            return
        flight = self._flight(record, route, method, status, elapsed_s)
        entry = (elapsed_s, next(self._numbers), flight)
        if len(self._slowest) < policy.slowest:
            heapq.heappush(self._slowest, entry)
        else:
            heapq.heapreplace(self._slowest, entry)
        if len(self._slowest) == policy.slowest:
            self._least_s = self._slowest[0][0]

    @property
    def window_s(self) -> float:
        """Seconds of a window; ``slowest`` goes back one to two of them."""
        return self._policy.window_s

    def slowest(self, now_s: float) -> list[RecordedRequest]:
        """Return the slowest classifications, slowest first.

        Args:
            now_s: The time on the clock of ``arrived_s``; what is older than two windows is left
                out.
        """
        least_s = now_s - 2 * self._policy.window_s
        entries: Iterable[tuple[float, int, RecordedRequest]] = [*self._slowest, *self._before]
        recent = (flight for _, _, flight in entries if flight.record.arrived_s >= least_s)
        return heapq.nlargest(self._policy.slowest, recent, key=attrgetter("elapsed_s"))

    def failed(self) -> list[RecordedRequest]:
        """Return the last failed requests, the last one first."""
        return sorted(self._all_failed(), key=attrgetter("ended_at_s"), reverse=True)

    def _all_failed(self) -> Iterator[RecordedRequest]:
        yield from self._failed
        yield from self._rejected
