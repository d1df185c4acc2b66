"""A server measured from one client to more than it can take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from app.load.connection import Address
from app.load.counters import Spent, spent
from app.load.knee import Knee, find_knee, share_in_time
from app.load.measuring import ANSWER_WAIT_S, CONNECTIONS, Window, run_closed, run_open
from app.load.recorder import LOSSES, LoadResult
from app.types import Clock

SHARES_OF_CAPACITY = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5)
"""Rates of the open loop, where none are given: from ease to overload, closer around the knee."""

REFINEMENTS = 2
"""Further rates between the last one that held and the first that did not, each halving it."""

_SPARE_S = 5.0
"""Left for the last answers of a measurement when the time limit is near; else it is left out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        clients: Closed loops, each of so many clients.
        rates_per_s: Open loops; empty: derived from what the closed loops reach.
        seconds: Length of each measurement.
        warm_up_s: Before each, not counted.
        deadline_s: Within which an answer is in time.
        time_limit_s: When everything has ended; what no longer fits is left out.
        connections: Most requests of an open loop without an answer at one time.
    """

    clients: Sequence[int] = (1, 4, 16, 64)
    rates_per_s: Sequence[float] = ()
    seconds: float = 5.0
    warm_up_s: float = 1.0
    deadline_s: float = 0.1
    time_limit_s: float = 300.0
    connections: int = CONNECTIONS


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement.

    Attributes:
        clients: Of a closed loop; None in an open one.
        rate_per_s: Of an open loop; None in a closed one.
        result: What the clients saw.
        spent: What the server counted, warm-up included; None where it does not tell.
    """

    clients: int | None
    rate_per_s: float | None
    result: LoadResult
    spent: Spent | None

    @property
    def name(self) -> str:
        """What was done."""
        if self.clients is not None:
            return closed_name(self.clients)
        return open_name(self.rate_per_s or 0.0)

    @property
    def share_in_time(self) -> float:
        """Share of the requests that were answered 200 within the deadline, 0..1."""
        return share_in_time(self.result.offered_per_s, self.result.in_deadline_per_s)

    @property
    def failed(self) -> dict[str, int]:
        """Outcomes that are no fault of the load: losses, and answers but 200 and 429."""
        return {
            outcome: count
            for outcome, count in self.result.outcomes.items()
            if outcome in LOSSES or (outcome.isdigit() and outcome not in ("200", "429"))
        }


@dataclass(slots=True)
class Study:
    """What was measured so far; grows while ``carry_out`` runs, and is whole at any time.

    Attributes:
        plan: What was to be measured.
        points: In the order of measuring.
        left_out: Measurements for which no time was left.
        ended: Why it ended early; empty if it did not.
    """

    plan: Plan
    points: list[Point] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    ended: str = ""

    @property
    def closed(self) -> list[Point]:
        """The closed loops, by clients."""
        return sorted(
            (point for point in self.points if point.clients is not None),
            key=lambda point: point.clients or 0,
        )

    @property
    def open(self) -> list[Point]:
        """The open loops, by rate."""
        return sorted(
            (point for point in self.points if point.rate_per_s is not None),
            key=lambda point: point.rate_per_s or 0.0,
        )

    @property
    def capacity_per_s(self) -> float:
        """The most images per second that a closed loop reached; 0 without any."""
        return max((point.result.images_per_s for point in self.closed), default=0.0)

    @property
    def knee(self) -> Knee:
        """Up to which rate the answers were in time."""
        return find_knee((point.rate_per_s or 0.0, point.share_in_time) for point in self.open)

    @property
    def failed(self) -> dict[str, int]:
        """What should not have happened, over all measurements."""
        total: dict[str, int] = {}
        for point in self.points:
            for outcome, count in point.failed.items():
                total[outcome] = total.get(outcome, 0) + count
        return total


Counters = Callable[[], Mapping[str, float] | None]
"""Reads the server's ``/metrics``, summed over labels; None where they are out of reach."""


class StudyRun:
    """Carries a study out, one measurement after the other."""

    def __init__(
        self,
        study: Study,
        address: Address,
        requests: Sequence[bytes],
        *,
        counters: Counters,
        tell: Callable[[str], None],
        clock: Clock = perf_counter,
    ) -> None:
        """Prepare.

        Args:
            study: Takes each measurement as soon as it is made.
            address: The server's.
            requests: Whole requests, at least one.
            counters: Called before and after each measurement.
            tell: Takes a line about what happens now.
            clock: For the time limit, which begins now.
        """
        self._study = study
        self._plan = study.plan
        self._address = address
        self._requests = requests
        self._counters = counters
        self._tell = tell
        self._clock = clock
        self._until = clock() + study.plan.time_limit_s

    async def carry_out(self) -> None:
        """Measure the closed loops, then the open ones, then around the knee."""
        for clients in self._plan.clients:
            await self._closed(clients)
        rates_per_s = self._plan.rates_per_s
        if not rates_per_s:
            capacity_per_s = self._study.capacity_per_s
            rates_per_s = [_rounded(share * capacity_per_s) for share in SHARES_OF_CAPACITY]
        for rate_per_s in rates_per_s:
            if rate_per_s > 0:
                await self._open(rate_per_s)
        for _ in range(0 if self._plan.rates_per_s else REFINEMENTS):
            between = self._study.knee.between
            if between is not None:
                await self._open(_rounded(between))

    async def _closed(self, clients: int) -> None:
        name = closed_name(clients)
        window = self._window(name)
        if window is None:
            return
        before = self._counters()
        result = await run_closed(self._address, self._requests, clients, window)
        self._take(Point(clients, None, result, _spent(before, self._counters())))

    async def _open(self, rate_per_s: float) -> None:
        name = open_name(rate_per_s)
        window = self._window(name)
        if window is None:
            return
        before = self._counters()
        result = await run_open(
            self._address,
            self._requests,
            rate_per_s,
            window,
            connections=self._plan.connections,
        )
        self._take(Point(None, rate_per_s, result, _spent(before, self._counters())))

    def _window(self, name: str) -> Window | None:
        """Return when the next measurement counts; None if it is to be left out."""
        plan = self._plan
        left_s = self._until - self._clock() - plan.warm_up_s - plan.seconds
        if self._study.ended or left_s < _SPARE_S:
            if not self._study.ended:
                self._study.left_out.append(name)
            return None
        self._tell(f"{name} …")
        return Window(
            plan.seconds,
            plan.warm_up_s,
            deadline_s=plan.deadline_s,
            # Half of what is left is for the last answers, the other for sending meanwhile.
            answer_wait_s=min(ANSWER_WAIT_S, left_s / 2),
        )

    def _take(self, point: Point) -> None:
        self._study.points.append(point)
        result = point.result
        told = f"  {result.images_per_s:,.0f} images/s, p99 {_ms(result.p99_ms)}"
        if point.rate_per_s is not None:
            told += f", {point.share_in_time:.1%} in time"
        for outcome, count in point.failed.items():
            told += f", {count} × {outcome}"
        self._tell(told)
        if not any(outcome.isdigit() for outcome in result.outcomes) and result.outcomes:
            self._study.ended = f"the server answered nothing any more ({point.name})"


def closed_name(clients: int) -> str:
    """Return how a closed loop is called."""
    return f"closed loop, {clients} {'client' if clients == 1 else 'clients'}"


def open_name(rate_per_s: float) -> str:
    """Return how an open loop is called."""
    return f"open loop, {rate_per_s:,g} requests/s"


def _spent(before: Mapping[str, float] | None, after: Mapping[str, float] | None) -> Spent | None:
    if before is None or after is None:
        return None
    return spent(before, after)


def _rounded(rate_per_s: float) -> float:
    """Return three significant digits: what is measured is no more exact."""
    return float(f"{rate_per_s:.3g}")


def _ms(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f} ms"
