"""The way of an accepted task: queue, batch, device, answer."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Sequence

from app.batching.admission import HOPELESS_SHARE, Backlog
from app.batching.delivery import Delivery
from app.batching.device import DeviceStopped
from app.batching.execution_time import ExecutionTime
from app.batching.lane import (
    DeviceLane,
    free_in_s,
    give_up,
    give_up_all,
    lanes_of,
    next_lane,
)
from app.batching.policy import BatchPolicy
from app.batching.reporting import BatchReporter
from app.batching.runner import BatchOutcome
from app.batching.sharing import least_to_join, ready_at, share_of
from app.batching.task import BatchTask
from app.batching.task_queue import TaskQueue
from app.batching.timer import CallLater, MomentTimer
from app.batching.watchdog import Watchdog
from app.errors import DeadlineExceededError, ServableNotReadyError, ServerFaultError
from app.types import Clock, Priority, Servable, TimerOf

logger = logging.getLogger(__name__)


class Dispatcher:
    """Holds every accepted task until it is answered; ``DynamicBatcher`` states the contract.

    There is no worker task: three callbacks on the event loop (something came, a batch came back,
    the timer fired) do everything, each through ``_guarded``. A task is always in exactly one
    place: the queue, a batch with a device, or a batch being answered; ``fail_all`` empties all
    three.

    All attributes are owned by the event loop.

    Attributes:
        execution_time: What executions take.
        delivery: What has been executed and is being answered.
        is_refusing: Set where somebody is refused; until the next batch comes back.
    """

    def __init__(
        self,
        servable: Servable,
        policy: BatchPolicy,
        *,
        reporter: BatchReporter,
        clock: Clock,
        name: str,
        on_failure: Callable[[str], object],
        timer_of: TimerOf,
    ) -> None:
        """Prepare; nothing runs before ``start()``. ``on_failure`` is told each reason."""
        self.policy = policy
        self.queue = TaskQueue()
        self.execution_time = ExecutionTime()
        self.delivery = Delivery(clock, self._settle)
        self.is_refusing = False
        self.is_started = False
        self.drained = asyncio.Event()  # in a hurry, or dead, and nothing is left
        self.device_ended = asyncio.Event()
        self._reporter = reporter
        self._clock = clock
        self._name = name
        self._loop: asyncio.AbstractEventLoop  # these two are set by start(),
        self._timer: MomentTimer  # before anything can be accepted
        self._lanes, self._joins_at = lanes_of(
            servable, policy, clock, self._report, name=name, timer_of=timer_of
        )
        self._on_failure = on_failure
        self._has_stalled = False  # once: to ask every lane each time takes longer
        self._watchdog = Watchdog(
            self._lanes,
            clock,
            stall_after_s=policy.stall_after_s,
            expected_s=lambda size: (
                self._expected_s(size) if self.execution_time.is_known else None
            ),
            on_overdue=lambda: self._guarded(self._pump),
            on_stall=self._on_stall,
        )
        self._is_pump_due = False
        self._is_in_hurry = False
        self._death: str | None = None

    @property
    def is_dead(self) -> bool:
        """Whether nothing can be answered any more."""
        return self._death is not None

    @property
    def is_stalled(self) -> bool:
        """Whether no device is expected to answer any more."""
        return self._has_stalled and all(lane.is_stalled or lane.has_died for lane in self._lanes)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, is with a device, or is being answered."""
        is_waiting = self.queue or not self.delivery.is_empty
        return not is_waiting and not any(lane.newest for lane in self._lanes)

    @property
    def is_device_free(self) -> bool:
        """Whether a new image would be executed at once; another device may work, or hang."""
        if self.queue:
            return False
        lane = self._next_lane(1)
        return lane is not None and lane.is_free

    @property
    def devices(self) -> int:
        """Those that have not died."""
        return sum(not lane.has_died for lane in self._lanes)

    @property
    def failure(self) -> str | None:
        """What is wrong; None where nothing is."""
        if self._death is not None:
            return self._death
        now_s, count = self._clock(), len(self._lanes)
        for number, lane in enumerate(self._lanes, start=1):
            failure = lane.failure(now_s, self.policy.stall_after_s)
            if failure is not None:
                return failure if count == 1 else f"device {number} of {count}: {failure}"
        return None

    def backlog(self, now_s: float, count: int = 1) -> Backlog:
        """Return what ``count`` new images would wait for."""
        company_until_s = self.policy.batch_timeout_s
        if self.queue:
            closes_at_s = self.policy.closes_at_s(self.queue.oldest_enqueued_at_s)
            company_until_s = max(0.0, closes_at_s - now_s)
        return Backlog(
            devices_free_in_s=self._devices_free_in_s(now_s, len(self.queue) + count),
            interactive=self.queue.interactive_size,
            bulk=self.queue.bulk_size,
            company_until_s=company_until_s,
            delivery_s=self.delivery.delay_s,
        )

    def _devices_free_in_s(self, now_s: float, waiting: int) -> tuple[float, ...]:
        lanes = [lane for lane in self._lanes if not (lane.has_died or lane.is_overdue)]
        all_s = free_in_s(lanes, now_s, self._expected_s)
        working = [each_s for lane, each_s in zip(lanes, all_s, strict=True) if not lane.is_free]
        if working and waiting < self._least_to_join:  # the others are free only after the first
            all_s = [max(each_s, min(working)) for each_s in all_s]
        return tuple(all_s) or (0.0,)

    def _expected_s(self, size: int) -> float:
        # A batch from before the policy shrank may be larger than the largest size of now.
        size = min(size, self.policy.max_batch_size)
        return self.execution_time.expected_s(self.policy.padded_size(size))

    def start(self, loop: asyncio.AbstractEventLoop, call_later: CallLater) -> None:
        """Start the device threads; ``loop`` is the running one."""
        self._loop = loop
        self._timer = MomentTimer(self._on_timer, self._clock, call_later)
        self._watchdog.start(call_later)
        for lane in self._lanes:
            lane.start()
        self.is_started = True

    def push(self, tasks: Iterable[BatchTask]) -> None:
        """Queue ``tasks``; batches are formed at the end of this turn of the event loop."""
        now_s = self._clock()  # of a task that comes from the bulk line, later than it came
        for task in tasks:
            self.queue.push(task)
            if task.priority == "interactive":
                self.delivery.interactive_at_s = now_s
        # A turn later, not here: images whose decoding ended in one turn go in one batch, and
        # the first of them does not travel alone while the others wait for a whole execution.
        waiting = len(self.queue)
        if not self._is_pump_due and self._next_lane(waiting) is not None:
            self._is_pump_due = True
            self._loop.call_soon(self._guarded, self._pump)
        self._reporter.queue_size_changed(waiting)

    def forget(self, task: BatchTask) -> None:
        """Take a cancelled task out of the queue, if it is still there."""
        if self.queue.discard(task):
            if task.has_expired(self._clock()):
                self.delivery.note_missed(task)
            self._reporter.queue_size_changed(len(self.queue))

    def extend(self, task: BatchTask, deadline_s: float | None, priority: Priority) -> None:
        """Give a task the later deadline and the higher priority; ``push`` again where it waits."""
        if task.deadline_s is not None:
            task.deadline_s = None if deadline_s is None else max(task.deadline_s, deadline_s)
        if task.priority == "bulk" and priority == "interactive" and self.queue.discard(task):
            task.priority = priority
            self.push((task,))

    def hurry(self) -> None:
        """From now on wait for no company, and set ``drained`` when nothing is left."""
        self._is_in_hurry = True
        if self.queue:
            self._guarded(self._pump)
        self._settle()

    def stop_device(self) -> None:
        """Have the device threads end after their present work; ``device_ended`` tells."""
        for lane in self._lanes:
            lane.stop()

    def fail_all(self, make_error: Callable[[], ServerFaultError]) -> int:
        """Answer everybody with an error of their own; return how many were not answered yet."""
        tasks = [*self.delivery.clear(), *give_up_all(self._lanes), *self.queue.clear()]
        self._timer.set(None)
        self._watchdog.stop()
        self.drained.set()
        answered = sum(task.answer(make_error()) for task in tasks)
        self._reporter.queue_size_changed(0)
        return answered

    def _guarded(self, step: Callable[..., None], *args: object) -> None:
        """Run ``step``; whatever it raises must not leave callers waiting."""
        try:
            step(*args)
        except BaseException as error:
            self._die("the batcher failed, see the log", error)
            if not isinstance(error, Exception):
                raise  # KeyboardInterrupt and its like belong to the event loop

    def _on_timer(self, now_s: float) -> None:
        self._guarded(self._pump, now_s)

    def _pump(self, now_s: float | None = None) -> None:
        """Close every batch that may close now, and see to the next time."""
        self._is_pump_due = False
        now_s = self._clock() if now_s is None else now_s
        waiting = len(self.queue)
        all_expired: list[BatchTask] = []
        while (lane := self._next_lane(len(self.queue))) and self._may_close(now_s, lane):
            batch, expired = self._take(lane, now_s)
            all_expired += expired
            if batch:
                lane.submit(batch, now_s)
                self._watchdog.watch(now_s)
        self._timer.set(
            self.policy.closes_at_s(self.queue.oldest_enqueued_at_s)
            if self.queue and lane is not None and lane.is_free
            else None
        )
        for task in all_expired:
            self.delivery.note_missed(task)
            task.answer(
                DeadlineExceededError("The deadline would pass before the image was executed.")
            )
        if len(self.queue) != waiting:
            self._reporter.queue_size_changed(len(self.queue))

    @property
    def _least_to_join(self) -> int:
        return least_to_join(self._joins_at, self.policy)

    def _next_lane(self, waiting: int) -> DeviceLane | None:
        return next_lane(self._lanes, waiting, self._least_to_join)

    def _take(self, lane: DeviceLane, now_s: float) -> tuple[list[BatchTask], list[BatchTask]]:
        """Take the next batch for a device, without those who would expire in its execution."""
        waiting = len(self.queue)
        share = share_of(self._lanes, waiting, now_s, self._joins_at, self.policy)
        size = self.policy.size_to_take(share)
        ends_in_s = 0.0
        if self.execution_time.is_known:
            takers = [each for each in self._lanes if each.shelf is lane.shelf]
            free_s = 0.0 if lane.is_free else min(free_in_s(takers, now_s, self._expected_s))
            ends_in_s = free_s + self._expected_s(size)
        batch, late = self.queue.take(size, now_s + HOPELESS_SHARE * ends_in_s)
        if not batch and lane.is_free:
            # The device would have nothing to do, and show nothing: an expectation that is too
            # high must be found out.
            batch = [task for task in late if not task.has_expired(now_s)][:size]
            chosen = set(batch)
            late = [task for task in late if task not in chosen]
        return batch, late

    def _may_close(self, now_s: float, lane: DeviceLane) -> bool:
        return self.policy.may_close(
            ready_at=ready_at(lane, self._joins_at, self.policy),
            interactive=self.queue.interactive_size,
            bulk=self.queue.bulk_size,
            is_device_busy=not lane.is_free,
            # Nobody new comes when draining: waiting for company would be in vain.
            oldest_enqueued_at_s=(
                -math.inf if self._is_in_hurry else self.queue.oldest_enqueued_at_s
            ),
            now_s=now_s,
        )

    def _report(
        self,
        lane: DeviceLane,
        report: BatchOutcome | DeviceStopped,
        following: Sequence[BatchTask] | None,
    ) -> None:
        """Bring a report from a device thread to the event loop: one wake-up per batch."""
        self._loop.call_soon_threadsafe(self._guarded, self._on_report, lane, report, following)

    def _on_report(
        self,
        lane: DeviceLane,
        report: BatchOutcome | DeviceStopped,
        following: Sequence[BatchTask] | None,
    ) -> None:
        if isinstance(report, BatchOutcome):
            if lane.current is not None:  # else everybody has been failed meanwhile
                self._on_outcome(lane, report, following)
            return
        lane.is_ended = True
        if all(lane.is_ended for lane in self._lanes):
            self.device_ended.set()
        if report.error is not None:
            self._on_death(lane, report.error)

    def _on_death(self, lane: DeviceLane, error: BaseException) -> None:
        """Fail what was with a device that died; the others go on, if there are any."""
        lane.has_died = True
        if not self.devices:
            self._die("the device thread ended, see the log", error)
            return
        fields = {"servable": self._name, "devices_left": self.devices}
        logger.error("device died", extra=fields, exc_info=error)
        for task in give_up(lane, self._lanes):
            task.answer(self._death_error(error))
        self._on_failure("a device thread ended")
        self._pump()  # what waited for it to end
        self._settle()

    def _on_outcome(
        self, lane: DeviceLane, outcome: BatchOutcome, following: Sequence[BatchTask] | None
    ) -> None:
        is_refusing, self.is_refusing = self.is_refusing, False
        batch = lane.take_back(outcome, following)
        self.delivery.take(outcome, batch, self._soon, in_slices=is_refusing)
        # Each device shrinks by itself; all get what fits the one with the least memory.
        has_shrunk = outcome.policy.max_batch_size < self.policy.max_batch_size
        if has_shrunk:
            self.policy = outcome.policy
        self._pump()  # the device first: it must not idle while answers are written
        self.delivery.begin()
        for execution in outcome.executions:
            self.execution_time.observe(execution.size + execution.padded, execution.duration_s)
        self._reporter.batch_finished(outcome)
        if lane.is_sick:
            self._on_failure("the device fails on an image that it could classify before")
        if has_shrunk:
            self._reporter.batches_shrank(self.policy.max_batch_size)

    def _soon(self, step: Callable[[], None]) -> None:
        self._loop.call_soon(self._guarded, step)

    def _settle(self) -> None:
        # In a hurry, tasks wait only while the device works: the end of a batch is the only
        # moment, after the beginning, at which nothing can be left.
        if self._is_in_hurry and self.is_idle:
            self.drained.set()

    def _die(self, reason: str, error: BaseException) -> None:
        if self._death is not None:
            return
        self._death = reason
        logger.error("batcher died", extra={"servable": self._name}, exc_info=error)
        self.fail_all(lambda: self._death_error(error))
        self._on_failure(reason)

    def _on_stall(self, reason: str) -> None:
        self._has_stalled = True
        logger.error("device hangs", extra={"servable": self._name, "reason": reason})
        self._on_failure(reason)

    def _death_error(self, cause: BaseException) -> ServableNotReadyError:
        failure = ServableNotReadyError(f"{self._name or 'The servable'} stopped working.")
        failure.__cause__ = cause
        return failure
