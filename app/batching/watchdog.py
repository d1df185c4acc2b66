"""Notices devices that do not come back, with one timer and none while nothing is executed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.batching.lane import DeviceLane
from app.batching.timer import CallLater, MomentTimer
from app.types import Clock

OVERDUE_FACTOR = 10.0
"""An execution that takes so many times as long as expected is not waited for any more.

Executions vary by a factor of two or three where something else takes the cores. A wrong guess
costs little: where a second device is free, it executes what would have joined the first.
"""

LEAST_OVERDUE_S = 1.0
"""The least time for that: small networks take milliseconds, and a busy machine may pause."""

STOOD_STILL_S = 1.0
"""A timer that comes so late says that the process itself stood still, and the devices with it."""


class Watchdog:
    """Looks after the devices of one batcher; owned by the event loop.

    Overdue: a device whose execution takes ``OVERDUE_FACTOR`` times as long as expected gets
        nothing more until it answers, and others do not wait for it; ``on_overdue`` is told.
    Stalled: after ``stall_after_s``, ``on_stall`` is told, once for each execution.
    Cost: one timer while something is executed, which is set anew when it fires, not per batch.
    """

    def __init__(
        self,
        lanes: Sequence[DeviceLane],
        clock: Clock,
        *,
        stall_after_s: float,
        expected_s: Callable[[int], float | None],
        on_overdue: Callable[[], None],
        on_stall: Callable[[str], None],
    ) -> None:
        """Look after ``lanes``; ``expected_s`` of a batch of some size, None where not known."""
        self._lanes = lanes
        self._clock = clock
        self._stall_after_s = stall_after_s
        self._expected_s = expected_s
        self._on_overdue = on_overdue
        self._on_stall = on_stall
        self._timer: MomentTimer | None = None
        self._due_s = 0.0
        self._awake_since_s = 0.0  # for as long as the process did not stand still
        self.is_set = False

    def start(self, call_later: CallLater) -> None:
        """Have a timer from now on."""
        self._timer = MomentTimer(self._look, self._clock, call_later)

    def stop(self) -> None:
        """Look no more."""
        self.is_set = True  # nobody sets it again
        if self._timer is not None:
            self._timer.set(None)

    def watch(self, now_s: float) -> None:
        """Begin, because a device has been given something; nothing if ``is_set``."""
        if not self.is_set:
            self.is_set = True
            self._set(now_s + min(LEAST_OVERDUE_S, self._stall_after_s))

    def _set(self, moment_s: float) -> None:
        assert self._timer is not None, "started before anything is executed"
        self._due_s = moment_s
        self._timer.set(moment_s)

    def _look(self, now_s: float) -> None:
        # Not the time that a timer is given where it fired too early, but what the clock says.
        if self._clock() - self._due_s > STOOD_STILL_S:
            self._awake_since_s = self._clock()
        moments_s, is_news = [], False
        for lane in self._lanes:
            if lane.current is None or lane.has_died:
                continue
            since_s = max(lane.since_s, self._awake_since_s)
            overdue_s = since_s + self._overdue_after_s(len(lane.current))
            stall_s = since_s + self._stall_after_s
            if now_s >= overdue_s and not lane.is_overdue:
                lane.is_overdue = is_news = True
            if now_s < stall_s:
                moments_s.append(stall_s if lane.is_overdue else overdue_s)
            elif not lane.is_stalled:
                lane.is_stalled = True
                self._on_stall(lane.failure(now_s, self._stall_after_s) or "it hangs")
        self.is_set = bool(moments_s)
        if moments_s:
            self._set(max(min(moments_s), now_s))
        if is_news:
            self._on_overdue()

    def _overdue_after_s(self, size: int) -> float:
        expected_s = self._expected_s(size)
        if expected_s is None:
            return self._stall_after_s
        return min(self._stall_after_s, max(LEAST_OVERDUE_S, OVERDUE_FACTOR * expected_s))
