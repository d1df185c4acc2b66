"""One of the devices that a batcher executes on, with the batches that it was handed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from app.batching.device import DeviceStopped, DeviceThread
from app.batching.policy import BatchPolicy
from app.batching.runner import BatchOutcome, BatchRunner
from app.batching.task import BatchTask
from app.types import Clock, Servable

LANE_DEPTH = 2
"""Batches handed to a device at once: the one it executes, and one that lies ready behind it."""


class DeviceLane:
    """One device, its thread, and the batches with it; owned by the event loop.

    Attributes:
        batches: The first one is being executed.
        is_ended: Whether its thread has ended.
        has_died: Whether it ended by itself: nothing can be handed to it any more.
        is_sick: Whether its last batch failed as a whole, with an image that was fine before.
    """

    def __init__(
        self,
        servable: Servable,
        policy: BatchPolicy,
        clock: Clock,
        report: LaneReport,
        *,
        name: str,
    ) -> None:
        """Prepare the thread.

        Args:
            servable: On this device; called by this lane's thread only.
            policy: To begin with.
            clock: Monotonic seconds.
            report: Called in the thread, with this lane and what became of a batch.
            name: Of the thread.
        """
        self.batches: deque[list[BatchTask]] = deque()
        self.is_ended = False
        self.has_died = False
        self.is_sick = False
        self._since_s = 0.0  # when the batch in execution could start
        self._thread = DeviceThread(
            BatchRunner(servable, policy, clock), partial(report, self), name=name
        )

    @property
    def is_free(self) -> bool:
        """Whether a batch would be executed at once."""
        return not self.batches and not self.has_died

    @property
    def has_room(self) -> bool:
        """Whether a batch may be handed to it."""
        return len(self.batches) < LANE_DEPTH and not self.has_died

    @property
    def since_s(self) -> float:
        """When what it does began; on the batcher's clock."""
        return self._since_s

    @property
    def tasks(self) -> Iterator[BatchTask]:
        """Every task that it was handed and has not reported."""
        for batch in self.batches:
            yield from batch

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Have the thread end after what it was handed."""
        self._thread.stop()

    def submit(self, batch: list[BatchTask], now_s: float) -> None:
        """Hand a batch to the device."""
        is_behind = bool(self.batches)
        if not is_behind:
            self._since_s = now_s
        for task in batch:
            task.left_at_s = now_s
        self.batches.append(batch)
        self._thread.submit(batch, is_behind=is_behind)

    def take_back(self, outcome: BatchOutcome) -> list[BatchTask]:
        """Note what became of the batch in execution, and return it."""
        self._since_s = outcome.finished_at_s
        if outcome.executions or outcome.failures:
            self.is_sick = outcome.is_device_sick
        return self.batches.popleft()

    def failure(self, now_s: float, stall_after_s: float) -> str | None:
        """Say what is wrong; None where nothing is."""
        if self.has_died:
            return "the device thread ended, see the log"
        busy_s = now_s - self._since_s
        # It expires: readiness keeps the requests away that could show that the device is well.
        if self.is_sick and busy_s <= stall_after_s:
            return "the device fails on an image that it could classify before"
        if self.batches and busy_s > stall_after_s:
            return f"one execution has been running for {busy_s:.0f} s, limit {stall_after_s:.0f} s"
        return None


LaneReport: TypeAlias = Callable[[DeviceLane, BatchOutcome | DeviceStopped], object]
"""What a lane's thread calls."""


def next_lane(lanes: list[DeviceLane], waiting: int = 1, joins_at: int = 1) -> DeviceLane | None:
    """Return where the next batch goes: to a free device, else behind what has run longest.

    Of several free ones to the first: the thread and the device that were used last are warm.

    None where every device has all that it may be handed. While one works, others count as free
    only for ``joins_at`` images or more.
    """
    may_join = waiting >= joins_at or not any(lane.batches for lane in lanes)
    return min(
        (lane for lane in lanes if lane.has_room and (may_join or lane.batches)),
        key=lambda lane: (len(lane.batches), lane.since_s if lane.batches else 0.0),
        default=None,
    )
