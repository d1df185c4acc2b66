"""One of the devices that a batcher executes on, with the batches that it was handed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeAlias

from app.batching.device import DeviceStopped, DeviceThread
from app.batching.policy import BatchPolicy
from app.batching.runner import NO_TIMER, BatchOutcome, BatchRunner
from app.batching.shelf import Shelf, batch_of
from app.batching.task import BatchTask
from app.types import Clock, ExecutionTimer, Servable, ServableGroup, TimerOf

LANE_DEPTH = 2
"""Batches handed over at once for each lane: the one it executes, and one that lies ready."""


class DeviceLane:
    """One device, its thread, and the batches with it; owned by the event loop.

    Attributes:
        current: What it executes.
        shelf: What lies ready behind it.
        is_ended: Whether its thread has ended.
        has_died: Whether it ended by itself: nothing can be handed to it any more.
        is_sick: Whether its last batch failed as a whole, with an image that was fine before.
        is_overdue: Whether what it executes takes far longer than expected: nobody waits for it.
        is_stalled: Whether it takes so long that it is not expected to end; see ``Watchdog``.
    """

    def __init__(
        self,
        servable: Servable,
        policy: BatchPolicy,
        clock: Clock,
        report: LaneReport,
        *,
        name: str,
        shelf: Shelf | None = None,
        timer: ExecutionTimer = NO_TIMER,
    ) -> None:
        """Prepare the thread.

        Args:
            servable: On this device; called by this lane's thread only.
            policy: To begin with.
            clock: Monotonic seconds.
            report: Called in the thread, with this lane, what became of a batch, and which one
                the lane has now.
            name: Of the thread.
            shelf: Where it shares one.
            timer: Of the device.
        """
        self.current: Sequence[BatchTask] | None = None
        self.shelf = shelf or Shelf()
        self.is_ended = False
        self.has_died = False
        self.is_sick = False
        self.is_overdue = False
        self.is_stalled = False
        self._since_s = 0.0  # when the batch in execution could start
        self._thread = DeviceThread(
            BatchRunner(servable, policy, clock, timer),
            self.shelf,
            partial(report, self),
            name=name,
        )

    @property
    def is_free(self) -> bool:
        """Whether a batch would be executed at once."""
        return self.current is None and not self.has_died

    @property
    def has_room(self) -> bool:
        """Whether a batch may be handed to it."""
        if self.has_died or self.is_overdue:
            return False
        return self.current is None or self.shelf.has_room

    @property
    def is_joinable(self) -> bool:
        """Whether it works, and will have done so soon."""
        return self.current is not None and not self.is_overdue

    @property
    def since_s(self) -> float:
        """When what it does began; on the batcher's clock."""
        return self._since_s

    @property
    def newest(self) -> Sequence[BatchTask] | None:
        """What was handed over last and has not been reported; None if nothing is."""
        return self.shelf.batches[-1] if self.shelf.batches else self.current

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Have the thread end after what it was handed."""
        self._thread.stop()

    def submit(self, batch: Sequence[BatchTask], now_s: float) -> None:
        """Hand a batch to the device, or lay it ready."""
        for task in batch:
            task.left_at_s = now_s
        if self.current is None:
            self.current, self._since_s = batch, now_s
            self._thread.submit(batch)
        else:
            self.shelf.put(batch, self._thread.prepare)

    def take_back(
        self, outcome: BatchOutcome, following: Sequence[BatchTask] | None
    ) -> Sequence[BatchTask]:
        """Note what became of the batch in execution, and return it.

        Args:
            outcome: As it was reported.
            following: What the thread goes on with.
        """
        batch = self.current
        assert batch is not None, "what was not handed over is not reported"
        self.is_overdue = self.is_stalled = False
        if outcome.executions or outcome.failures:
            self.is_sick = outcome.is_device_sick
        self.current, self._since_s = following, outcome.finished_at_s
        if following is not None:
            self.shelf.note_taken(following)
        else:
            self.feed()
        return batch

    def feed(self) -> None:
        """Hand over what lies ready, if the lane has nothing: it was laid down too late for it."""
        work = self.shelf.take() if self.is_free else None
        if work is not None:
            self.current = batch_of(work)
            self.shelf.note_taken(self.current)
            self._thread.submit(work)

    def failure(self, now_s: float, stall_after_s: float) -> str | None:
        """Say what is wrong; None where nothing is."""
        if self.has_died:
            return "the device thread ended, see the log"
        busy_s = now_s - self._since_s
        # It expires: readiness keeps the requests away that could show that the device is well.
        if self.is_sick and busy_s <= stall_after_s:
            return "the device fails on an image that it could classify before"
        if self.is_stalled or (self.current is not None and busy_s > stall_after_s):
            return f"one execution has been running for {busy_s:.0f} s, limit {stall_after_s:.0f} s"
        return None


LaneReport: TypeAlias = Callable[
    [DeviceLane, BatchOutcome | DeviceStopped, Sequence[BatchTask] | None], object
]
"""What a lane's thread calls."""


def lanes_of(
    servable: Servable,
    policy: BatchPolicy,
    clock: Clock,
    report: LaneReport,
    *,
    name: str,
    timer_of: TimerOf,
) -> tuple[list[DeviceLane], int]:
    """Return a lane for each device of a servable, and how many images make a batch of their own.

    See ``ServableGroup.joins_at``; ``name`` is the servable's, for the threads, ``timer_of`` gives
    the timer of each device.
    """
    members = servable.members if isinstance(servable, ServableGroup) else (servable,)
    joins_at = servable.joins_at if isinstance(servable, ServableGroup) else 1
    # Those that share one device share what lies ready for it.
    shares = joins_at > 1 and len(members) > 1
    shelf = Shelf(len(members) * (LANE_DEPTH - 1)) if shares else None
    lanes = []
    for number, member in enumerate(members, start=1):
        thread = f"device {name} {number if len(members) > 1 else ''}".rstrip()
        timer = timer_of(member.info.device_id)
        lane = DeviceLane(member, policy, clock, report, name=thread, shelf=shelf, timer=timer)
        lanes.append(lane)
    return lanes, joins_at


def give_up(lane: DeviceLane, lanes: Iterable[DeviceLane]) -> list[BatchTask]:
    """Take away from a lane that has died what nobody else will execute, and return it."""
    tasks, lane.current = list(lane.current or ()), None
    others = [each for each in lanes if each.shelf is lane.shelf and not each.has_died]
    if not others:
        return tasks + lane.shelf.clear()
    for each in others:
        each.feed()
    return tasks


def give_up_all(lanes: Iterable[DeviceLane]) -> list[BatchTask]:
    """Take away everything from all lanes, and return it."""
    tasks = []
    for lane in lanes:
        tasks += list(lane.current or ()) + lane.shelf.clear()
        lane.current = None
    return tasks


def free_in_s(
    lanes: Sequence[DeviceLane], now_s: float, expected_s: Callable[[int], float]
) -> list[float]:
    """Return when each lane will have executed all that it was handed, s from ``now_s``.

    Args:
        lanes: All those that are to take what lies on their shelves.
        now_s: On the batcher's clock.
        expected_s: What an execution of so many images takes.
    """
    # One that runs longer than expected is expected to end now: nobody knows better.
    free = [
        max(0.0, lane.since_s + expected_s(len(lane.current)) - now_s) if lane.current else 0.0
        for lane in lanes
    ]
    if any(lane.shelf.batches for lane in lanes):
        for shelf in {lane.shelf: None for lane in lanes}:
            takers = [index for index, lane in enumerate(lanes) if lane.shelf is shelf]
            for batch in shelf.batches:
                free[min(takers, key=free.__getitem__)] += expected_s(len(batch))
    return free


def next_lane(lanes: list[DeviceLane], waiting: int = 1, joins_at: int = 1) -> DeviceLane | None:
    """Return where the next batch goes: to a free device, else behind what has run longest.

    Of several free ones to the first: the thread and the device that were used last are warm.

    None where every device has all that it may be handed. While one works, and is not overdue,
    others count as free only for ``joins_at`` images or more.
    """
    may_join = waiting >= joins_at or not any(lane.is_joinable for lane in lanes)
    return min(
        (lane for lane in lanes if lane.has_room and (may_join or lane.current is not None)),
        key=lambda lane: (0, 0.0) if lane.current is None else (1, lane.since_s),
        default=None,
    )
