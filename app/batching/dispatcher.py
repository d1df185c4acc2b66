"""The way of an accepted task: queue, batch, device, answer."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain

from app.batching.admission import HOPELESS_SHARE, Backlog
from app.batching.caution import Caution
from app.batching.device import DeviceStopped, DeviceThread
from app.batching.execution_time import ExecutionTime
from app.batching.policy import BatchPolicy
from app.batching.reporting import MEMORY, BatchReporter
from app.batching.runner import BatchOutcome, BatchRunner
from app.batching.task import BatchTask
from app.batching.task_queue import TaskQueue
from app.batching.timer import CallLater, MomentTimer
from app.errors import DeadlineExceededError, ServableNotReadyError, ServerFaultError
from app.types import Clock, Servable

logger = logging.getLogger(__name__)

DEVICE_DEPTH = 2
"""Batches handed to the device thread at once: the one it executes, and a full one behind it."""


class Dispatcher:
    """Holds every accepted task until it is answered; ``DynamicBatcher`` states the contract.

    There is no worker task: three callbacks on the event loop (something came, a batch came back,
    the timer fired) do everything, each through ``_guarded``. A task is always in exactly one
    place: the queue, a batch with the device, or the batch being answered; ``fail_all`` empties
    all three.

    All attributes are owned by the event loop.
    """

    def __init__(
        self,
        servable: Servable,
        policy: BatchPolicy,
        *,
        reporter: BatchReporter,
        clock: Clock,
        name: str,
    ) -> None:
        """Prepare; nothing runs before ``start()``."""
        self.policy = policy
        self.queue = TaskQueue()
        self.execution_time = ExecutionTime()
        self.caution = Caution()
        self.is_started = False
        self.drained = asyncio.Event()  # in a hurry, or dead, and nothing is left
        self.device_ended = asyncio.Event()
        self._reporter = reporter
        self._clock = clock
        self._name = name
        self._loop: asyncio.AbstractEventLoop  # these two are set by start(),
        self._timer: MomentTimer  # before anything can be accepted
        self._device = DeviceThread(
            BatchRunner(servable, policy, clock), self._report, name=f"device {name}".rstrip()
        )
        self._in_device: deque[list[BatchTask]] = deque()  # the first one is being executed
        self._device_since_s = 0.0  # when that one could start
        self._delivery_s = 0.0  # from the end of an execution until its answers are out, of late
        self._has_missed = False  # whether images were given up since the last answers
        self._being_answered: list[BatchTask] = []
        self._is_pump_due = False
        self._is_in_hurry = False
        self._death: str | None = None
        self._is_device_sick = False

    @property
    def is_dead(self) -> bool:
        """Whether nothing can be answered any more."""
        return self._death is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is with the device."""
        return not self.queue and not self._in_device

    @property
    def failure(self) -> str | None:
        """What is wrong; None where nothing is."""
        if self._death is not None:
            return self._death
        # It expires: readiness keeps the requests away that could show that the device is well.
        if self._is_device_sick and (
            self._clock() - self._device_since_s <= self.policy.stall_after_s
        ):
            return "the device fails on an image that it could classify before"
        if self._in_device:
            busy_s = self._clock() - self._device_since_s
            if busy_s > self.policy.stall_after_s:
                limit_s = self.policy.stall_after_s
                return f"one execution has been running for {busy_s:.0f} s, limit {limit_s:.0f} s"
        return None

    def backlog(self, now_s: float) -> Backlog:
        """Return what a new image would wait for."""
        company_until_s = self.policy.batch_timeout_s
        if self.queue:
            closes_at_s = self.policy.closes_at_s(self.queue.oldest_enqueued_at_s)
            company_until_s = max(0.0, closes_at_s - now_s)
        return Backlog(
            device_free_in_s=self._device_free_in_s(now_s),
            interactive=self.queue.interactive_size,
            bulk=self.queue.bulk_size,
            company_until_s=company_until_s,
            delivery_s=self._delivery_s,
        )

    def _device_free_in_s(self, now_s: float) -> float:
        if not self._in_device:
            return 0.0
        expected_s = [self._expected_s(len(batch)) for batch in self._in_device]
        # One that runs longer than expected is expected to end now: nobody knows better.
        present_s = max(0.0, self._device_since_s + expected_s[0] - now_s)
        return present_s + sum(expected_s[1:])

    def _expected_s(self, size: int) -> float:
        # A batch from before the policy shrank may be larger than the largest size of now.
        size = min(size, self.policy.max_batch_size)
        return self.execution_time.expected_s(self.policy.padded_size(size))

    def start(self, loop: asyncio.AbstractEventLoop, call_later: CallLater) -> None:
        """Start the device thread; ``loop`` is the running one."""
        self._loop = loop
        self._timer = MomentTimer(self._on_timer, self._clock, call_later)
        self._device.start()
        self.is_started = True

    def push(self, tasks: Iterable[BatchTask]) -> None:
        """Queue ``tasks``; batches are formed at the end of this turn of the event loop."""
        for task in tasks:
            self.queue.push(task)
        # A turn later, not here: images whose decoding ended in one turn go in one batch, and
        # the first of them does not travel alone while the others wait for a whole execution.
        if not self._is_pump_due and len(self._in_device) < DEVICE_DEPTH:
            self._is_pump_due = True
            self._loop.call_soon(self._guarded, self._pump)
        self._reporter.queue_size_changed(len(self.queue))

    def forget(self, task: BatchTask) -> None:
        """Take a cancelled task out of the queue, if it is still there."""
        if self.queue.discard(task):
            self._has_missed |= task.has_expired(self._clock())
            self._reporter.queue_size_changed(len(self.queue))

    def hurry(self) -> None:
        """From now on wait for no company, and set ``drained`` when nothing is left."""
        self._is_in_hurry = True
        if self.queue:
            self._guarded(self._pump)
        self._settle()

    def stop_device(self) -> None:
        """Have the device thread end after its present work; ``device_ended`` tells."""
        self._device.stop()

    def fail_all(self, make_error: Callable[[], ServerFaultError]) -> int:
        """Answer everybody with an error of their own; return how many were not answered yet."""
        tasks = [*self._being_answered, *chain.from_iterable(self._in_device), *self.queue.clear()]
        self._being_answered = []
        self._in_device.clear()
        self._timer.set(None)
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
        while len(self._in_device) < DEVICE_DEPTH and self._may_close(now_s):
            batch, expired = self._take(now_s)
            all_expired += expired
            if batch:
                if not self._in_device:
                    self._device_since_s = now_s
                self._in_device.append(batch)
                self._device.submit(batch)
        self._timer.set(
            self.policy.closes_at_s(self.queue.oldest_enqueued_at_s)
            if self.queue and not self._in_device
            else None
        )
        self._has_missed |= bool(all_expired)
        for task in all_expired:
            task.answer(
                DeadlineExceededError("The deadline would pass before the image was executed.")
            )
        if len(self.queue) != waiting:
            self._reporter.queue_size_changed(len(self.queue))

    def _take(self, now_s: float) -> tuple[list[BatchTask], list[BatchTask]]:
        """Take the next batch, without those who would expire while it is executed."""
        size = self.policy.size_to_take(len(self.queue))
        ends_in_s = 0.0
        if self.execution_time.is_known:
            ends_in_s = self._device_free_in_s(now_s) + self._expected_s(size)
        batch, late = self.queue.take(size, now_s + HOPELESS_SHARE * ends_in_s)
        if not batch and not self._in_device:
            # The device would have nothing to do, and show nothing: an expectation that is too
            # high must be found out.
            batch = [task for task in late if not task.has_expired(now_s)][:size]
            chosen = set(batch)
            late = [task for task in late if task not in chosen]
        return batch, late

    def _may_close(self, now_s: float) -> bool:
        return self.policy.may_close(
            interactive=self.queue.interactive_size,
            bulk=self.queue.bulk_size,
            is_device_busy=bool(self._in_device),
            # Nobody new comes when draining: waiting for company would be in vain.
            oldest_enqueued_at_s=(
                -math.inf if self._is_in_hurry else self.queue.oldest_enqueued_at_s
            ),
            now_s=now_s,
        )

    def _report(self, report: BatchOutcome | DeviceStopped) -> None:
        """Bring a report from the device thread to the event loop: one wake-up per batch."""
        self._loop.call_soon_threadsafe(self._guarded, self._on_report, report)

    def _on_report(self, report: BatchOutcome | DeviceStopped) -> None:
        if isinstance(report, BatchOutcome):
            if self._in_device:  # else everybody has been failed meanwhile
                self._on_outcome(report)
            return
        self.device_ended.set()
        if report.error is not None:
            self._die("the device thread ended, see the log", report.error)

    def _on_outcome(self, outcome: BatchOutcome) -> None:
        self._being_answered = self._in_device.popleft()
        has_shrunk = outcome.policy is not self.policy
        self.policy = outcome.policy
        self._device_since_s = outcome.finished_at_s
        for execution in outcome.executions:
            self.execution_time.observe(execution.size + execution.padded, execution.duration_s)
        if outcome.executions or outcome.failures:
            self._is_device_sick = outcome.is_device_sick
        self._pump()  # the device first: it must not idle while answers are written
        outcome.answer()
        # Behind the callers that the answers have woken: they write their responses until then.
        self._loop.call_soon(self._guarded, self._on_answered, outcome, self._being_answered[0])
        self._being_answered = []
        self._reporter.batch_finished(outcome)
        if has_shrunk:
            self._reporter.batches_shrank(self.policy.max_batch_size)
        self._settle()

    def _on_answered(self, outcome: BatchOutcome, first: BatchTask) -> None:
        """Learn how long answers take that are ready, and how right the expectation was."""
        now_s = self._clock()
        self._delivery_s += (1 - MEMORY) * (now_s - outcome.finished_at_s - self._delivery_s)
        if first.expected_s is not None:
            actual_s = now_s - first.enqueued_at_s
            self.caution.observe(first.expected_s, actual_s, has_missed=self._has_missed)
        self._has_missed = False

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

    def _death_error(self, cause: BaseException) -> ServableNotReadyError:
        failure = ServableNotReadyError(f"{self._name or 'The servable'} stopped working.")
        failure.__cause__ = cause
        return failure
