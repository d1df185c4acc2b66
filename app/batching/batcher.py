"""Takes single images, executes them in batches, and answers each one exactly once."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence

from app.batching.admission import answered_in_s, executed_in_s, retry_in_s
from app.batching.caution import MOST
from app.batching.dispatcher import Dispatcher
from app.batching.lane import LANE_DEPTH
from app.batching.policy import BatchPolicy
from app.batching.reporting import BatchReporter
from app.batching.runner import NO_TIMER
from app.batching.task import BatchTask
from app.batching.timer import CallLater
from app.errors import (
    BatcherStoppedError,
    QueueFullError,
    ServableNotReadyError,
    TooLateError,
)
from app.tracing.request_trace import RequestTrace
from app.types import BatchObserver, Clock, ImageArray, Priority, Servable, TimerOf


class DynamicBatcher:
    """Batches the images of many callers onto one servable; one batcher per servable version.

    A lone image on an idle device is executed at once. While the device works, the next batch
    grows. Nothing is tuned: the batches are as large as the load makes them.

    Contract:

    Loop
        Every method runs on the event loop that called ``start()``. All state belongs to that
        loop; there are no locks. ``Servable.execute``, and the stacking of the images, run in one
        thread of the batcher's own, so two executions never overlap; of a ``ServableGroup``, in
        one thread for each device, all of which take from the one queue. A batch that lies ready
        for a device with memory of its own is copied there meanwhile, in a thread of its own; for
        an engine with a queue, it lies there (``QueueingServable``).
    Accept
        ``schedule()`` never waits. It raises ``QueueFullError`` where ``max_queue_size`` images
        wait, with the time after which the queue will be gone; ``TooLateError`` where the answer
        is expected after the deadline, with the time after which it would not be;
        ``BatcherStoppedError`` once draining; ``ServableNotReadyError`` before ``start()`` and
        after the batcher died. ``schedule_many()`` accepts all of its images or none. ``refusal()``
        says beforehand what ``schedule()`` would do now. What is expected follows the executions
        seen (``ExecutionTime``); before enough of them, and where a device is free and nobody
        waits, nobody is refused for it, so that a wrong expectation does not last.
    Close
        A batch is closed when the device is free and at least one task waits (and the oldest has
        waited ``batch_timeout_s``), or when it is full. "At once" is the end of the present turn
        of the event loop, so that uploads whose decoding ended together travel together.
        Interactive tasks go first, first in, first out; one place of each batch is kept for bulk
        where bulk waits. A full batch of interactive tasks closes while the device still works
        and lies ready for it (one at most for each device). A batch that would need much filling
        is cut to the next smaller allowed size, and the rest goes first in the one after it.
        Where several devices share one (``ServableGroup.joins_at``), fewer images than that wait
        for one of those that work, and count as if no other were free; where two are free and
        enough for both wait, each takes its part; without ``batch_timeout_s`` a batch lies ready
        as soon as it is as large as the one before it; and whichever is done first takes the
        oldest that lies ready.
    Answer
        Each accepted task exactly once: a ``TaskResult`` with its own row, an error, or its
        caller's own cancellation. The next batch is on its way to the device before the answers
        of the last one are given; these are given in slices while others are refused.
    Cancel
        A cancelled task stops counting at once and is left out of the next batch; an expired one
        (``deadline_s`` has passed when its batch is formed, or will well before its execution
        ends) gets ``DeadlineExceededError`` instead of a place. If a task is already executing, its
        row is discarded. Others do not notice. There is no timer per task: who wants to be told at
        the deadline cancels then.
    Failure
        If ``execute`` raises, or answers in a wrong shape, the batch is split and retried until
        the culprit is found, with ceil(log2 n) + 1 executions more at most where there is one: it
        gets ``ExecutionError`` with the cause chained, the cause is logged. A row that is not
        finite fails its own image only. ``OutOfDeviceMemoryError`` halves the largest allowed size
        for good. If the device thread or the batcher's own code dies, all accepted tasks fail with
        ``ServableNotReadyError`` and ``is_healthy`` is false for good. If one of several devices
        dies, so do the tasks with it, two batches at most; the others go on with all the rest, and
        ``is_healthy`` is false all the same. A device whose execution takes far longer than
        expected gets nothing more until it ends, and nobody waits to join it. ``is_healthy`` is
        false for as long as an execution runs longer than ``stall_after_s``, or as an image that
        could be classified before fails as well (for ``stall_after_s`` at most if nothing more is
        executed). Where every device hangs so, ``schedule()`` raises ``ServableNotReadyError``.
        ``on_failure`` is told of each of these. An observer that raises is logged once and
        otherwise ignored.
    Bound
        On D devices that live, queue delay of an interactive task <= batch_timeout_s + (1 +
        ceil(max_queue_size / (D x max_batch_size))) x longest execution, splitting included, and
        where the last batch before it is cut, one execution of each smaller allowed size more;
        where devices share one, one more, which the last few wait for. Of a bulk task, while
        interactive tasks fill every batch: (2 + ceil(max_queue_size / D)) x longest execution;
        without bound only at ``max_batch_size`` 1, where no place can be kept.
    """

    def __init__(
        self,
        servable: Servable,
        policy: BatchPolicy,
        *,
        observer: BatchObserver,
        clock: Clock = time.monotonic,
        name: str = "",
        call_later: CallLater | None = None,
        on_failure: Callable[[str], object] = lambda reason: None,
        timer_of: TimerOf = lambda device_id: NO_TIMER,
    ) -> None:
        """Build a stopped batcher.

        Args:
            servable: Warmed up; called by this batcher's threads only. Its owner closes it, once
                ``is_closed``.
            policy: Sizes and times.
            observer: Told of every batch and every change of the queue.
            clock: Monotonic seconds; ``deadline_s`` is measured on it.
            name: The servable's identity, for logs and messages.
            call_later: Timer that goes with ``clock``; the event loop's by default.
            on_failure: Told on the event loop, with the reason, when it dies, when a device dies,
                hangs or fails on all images: it may need to be replaced. Must not raise.
            timer_of: Gives the timer of each device, entered while it executes.
        """
        self._clock = clock
        self._name = name or "the servable"
        self._call_later = call_later
        self._reporter = BatchReporter(observer, name)
        self._dispatcher = Dispatcher(
            servable,
            policy,
            reporter=self._reporter,
            clock=clock,
            name=name,
            on_failure=on_failure,
            timer_of=timer_of,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_draining = False

    @property
    def policy(self) -> BatchPolicy:
        """The policy as of now: batches become smaller when the device runs out of memory."""
        return self._dispatcher.policy

    @property
    def queue_size(self) -> int:
        """Images waiting; those handed to the device do not count."""
        return len(self._dispatcher.queue)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is with the device."""
        return self._dispatcher.is_idle

    @property
    def is_closed(self) -> bool:
        """Whether no device thread runs: only then may the servable be closed."""
        return not self._dispatcher.is_started or self._dispatcher.device_ended.is_set()

    @property
    def is_healthy(self) -> bool:
        """Whether images can be expected to be answered; ``failure`` says why not."""
        return self.failure is None

    @property
    def failure(self) -> str | None:
        """Why the batcher is not healthy; None where it is."""
        if not self._dispatcher.is_started:
            return "the batcher has not been started"
        return self._dispatcher.failure

    def retry_after_s(self) -> float:
        """Return when the present queue will have been executed, in seconds, at least 1."""
        share = -(-self.queue_size // max(1, self._dispatcher.devices))  # of each device
        return self._reporter.retry_after_s(share)

    def start(self) -> None:
        """Start the device thread on the running event loop.

        Raises:
            RuntimeError: It was started before, or no event loop runs.
        """
        if self._dispatcher.is_started:
            raise RuntimeError(f"the batcher of {self._name} starts only once")
        loop = asyncio.get_running_loop()
        self._dispatcher.start(loop, self._call_later or loop.call_later)
        self._loop = loop

    def schedule(
        self,
        image: ImageArray,
        *,
        deadline_s: float | None = None,
        priority: Priority = "interactive",
        trace: RequestTrace | None = None,
    ) -> BatchTask:
        """Accept one image, or refuse it; never wait.

        Args:
            image: ``(H, W, C)`` uint8, 0..255; must not be written to until answered.
            deadline_s: Time on the batcher's clock after which it need not be executed.
            priority: ``bulk`` lets ``interactive`` go before.
            trace: Told of its batch, where its request is traced.

        Returns:
            The task; await it or its ``result()``, or ``cancel()`` it.

        Raises:
            QueueFullError: ``max_queue_size`` images wait, or (``TooLateError``) the answer would
                come after the deadline.
            BatcherStoppedError: The batcher is draining.
            ServableNotReadyError: It has not been started, or it died.
        """
        return self.schedule_many((image,), deadline_s=deadline_s, priority=priority, trace=trace)[
            0
        ]

    def schedule_many(
        self,
        images: Sequence[ImageArray],
        *,
        deadline_s: float | None = None,
        priority: Priority = "interactive",
        trace: RequestTrace | None = None,
    ) -> list[BatchTask]:
        """Accept all ``images`` or none; otherwise as ``schedule()``.

        They need not travel in one batch. Await every task: with ``asyncio.gather``, say.
        """
        loop, expected_s = self._admit(len(images), deadline_s, priority)
        now_s = self._clock()
        tasks = [
            BatchTask(
                image,
                loop.create_future(),
                enqueued_at_s=now_s,
                deadline_s=deadline_s,
                priority=priority,
                expected_s=expected_s,
                forget=self._dispatcher.forget,
                trace=trace,
            )
            for image in images
        ]
        self._dispatcher.push(tasks)
        return tasks

    def extend(self, task: BatchTask, *, deadline_s: float | None, priority: Priority) -> None:
        """Have an accepted task serve one more caller: the later deadline and the higher priority.

        From the bulk line it goes to the end of the interactive one, as if it came now; its queue
        delay counts from before. Once with the device, or answered, nothing changes for it.
        """
        self._dispatcher.extend(task, deadline_s, priority)

    def refusal(
        self,
        count: int = 1,
        *,
        deadline_s: float | None = None,
        priority: Priority = "interactive",
    ) -> QueueFullError | None:
        """Return what ``schedule_many()`` of ``count`` images would raise for want of room now.

        It promises nothing: ask before the work of an upload that would be refused anyway.
        """
        return self._judge(count, deadline_s, priority)[0]

    def answered_in_s(self) -> float:
        """Return when an interactive image accepted now would be answered at the latest, s.

        As far as it can be expected; 0 where nothing was executed yet.
        """
        return self._expected_s(1, "interactive") * self._dispatcher.delivery.caution.factor

    async def drain(self) -> None:
        """Refuse new images and return once every accepted one is answered.

        May be called several times, by several callers. What waits is executed without waiting
        for company. It takes as long as the device needs.
        """
        self._is_draining = True
        self._dispatcher.hurry()
        await self._dispatcher.drained.wait()

    async def close(self, *, timeout_s: float | None = None) -> int:
        """Drain, then end the device thread. The servable stays open: its owner closes it.

        Args:
            timeout_s: After this time, what is not answered yet fails with
                ``BatcherStoppedError``, and the device thread is left to end by itself: see
                ``is_closed``. None: wait for as long as it takes.

        Returns:
            How many images were cut off.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self.drain()
                if self._dispatcher.is_started:
                    self._dispatcher.stop_device()
                    await self._dispatcher.device_ended.wait()
        except TimeoutError:
            text = f"The batcher of {self._name} stopped before this image was answered."
            self._dispatcher.stop_device()
            return self._dispatcher.fail_all(lambda: BatcherStoppedError(text))
        return 0

    async def closed(self) -> None:
        """Wait until ``is_closed``, after ``close()``; for ever where an execution does not end."""
        if self._dispatcher.is_started:
            await self._dispatcher.device_ended.wait()

    def _admit(
        self, count: int, deadline_s: float | None, priority: Priority
    ) -> tuple[asyncio.AbstractEventLoop, float | None]:
        """Return the event loop if ``count`` images can be accepted, else raise.

        Beside it, when the last of them is expected to be answered, s; None where nothing is known.
        """
        if self._loop is None or self._dispatcher.is_dead:
            raise ServableNotReadyError(f"The batcher of {self._name} is not running.")
        if self._dispatcher.is_stalled:  # nobody is to wait in vain
            raise ServableNotReadyError(f"{self._name} does not answer: {self.failure}.")
        if self._is_draining:
            raise BatcherStoppedError(f"The batcher of {self._name} takes no new images.")
        refusal, expected_s = self._judge(count, deadline_s, priority)
        if refusal is not None:
            try:
                raise refusal
            finally:
                del refusal  # a frame that keeps what it raised is a cycle
        return self._loop, expected_s

    def _judge(
        self, count: int, deadline_s: float | None, priority: Priority
    ) -> tuple[QueueFullError | None, float | None]:
        """Return why ``count`` images are refused, and when they are expected to be answered."""
        if not count:  # all images of a request were unreadable: they are told that
            return None, None
        dispatcher = self._dispatcher
        limit, waiting = dispatcher.policy.max_queue_size, len(dispatcher.queue)
        if waiting + count > limit:
            dispatcher.is_refusing = True
            refusal = QueueFullError(
                f"{waiting:,} images wait for {self._name} and {count:,} more came; "
                f"the limit is {limit:,} (KERASERVE_MAX_QUEUE_SIZE).",
                retry_after_s=self.retry_after_s(),
            )
            return refusal, None
        if not dispatcher.execution_time.is_known:
            return None, None
        if deadline_s is not None and self._is_far(deadline_s, count):
            return None, None
        expected_s = self._expected_s(count, priority)
        # Somebody is always accepted: what is expected is learned from those who are. One who is
        # late already is told so with his turn: his deadline has passed, the queue is not full.
        within_s = math.inf if deadline_s is None else deadline_s - self._clock()
        factor = dispatcher.delivery.caution.factor
        if dispatcher.is_device_free or expected_s * factor <= within_s or within_s <= 0:
            return None, expected_s
        idle = (0.0,) * max(1, dispatcher.devices)
        own_s = executed_in_s(dispatcher.policy, dispatcher.execution_time, count, idle)
        dispatcher.is_refusing = True
        refusal = TooLateError(
            f"{waiting:,} images wait for {self._name}: the answer may take "
            f"{expected_s * factor:.3f} s, the deadline is in {within_s:.3f} s "
            "(timeout_ms, KERASERVE_REQUEST_TIMEOUT_MS).",
            retry_after_s=retry_in_s(expected_s, own_s, within_s / factor),
        )
        return refusal, expected_s

    def _is_far(self, deadline_s: float, count: int) -> bool:
        """Whether ``count`` images more will be answered by then in any case.

        All that waits in full batches, one after the other on one device, behind all that it may
        hold and a wait for company, and the least trust in all of it: 1 µs, where looking closely
        takes ten.
        """
        dispatcher = self._dispatcher
        policy = dispatcher.policy
        longest_s = dispatcher.execution_time.expected_s(policy.max_batch_size)
        batches = (len(dispatcher.queue) + count) // policy.max_batch_size + 1 + LANE_DEPTH
        worst_s = batches * longest_s + policy.batch_timeout_s + dispatcher.delivery.delay_s
        return worst_s * MOST <= deadline_s - self._clock()

    def _expected_s(self, count: int, priority: Priority) -> float:
        dispatcher = self._dispatcher
        backlog = dispatcher.backlog(self._clock(), count)
        return answered_in_s(
            self.policy, dispatcher.execution_time, backlog, count=count, priority=priority
        )
