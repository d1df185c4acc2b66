"""One accepted image, and the one place where it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.tracing.request_trace import RequestTrace
from app.types import ImageArray, Priority, ScoreArray


@dataclass(slots=True)  # not frozen: one is made for each image, and freezing takes the most time
class TaskResult:
    """The answer to one image.

    Attributes:
        scores: ``(K,)`` float32, sums to 1, finite.
        queue_delay_s: From ``schedule()`` until the device took the batch.
        execution_s: Duration of the execution that gave these scores, stacking included. After a
            split this is the execution that succeeded; the failed ones before are in neither.
        batch_size: Images in that execution, without padding.
    """

    scores: ScoreArray
    queue_delay_s: float
    execution_s: float
    batch_size: int


Follower: TypeAlias = Callable[[TaskResult | Exception], object]
"""Told how an image was answered."""


class BatchTask:
    """One image on its way through the batcher; await it for its ``TaskResult``.

    It belongs to one caller on the event loop. The device thread only reads ``image`` and
    ``is_done``. It carries its own future, so no table of pending requests can lose it.

    Attributes:
        image: ``(H, W, C)`` uint8, 0..255.
        enqueued_at_s: Clock time of acceptance.
        deadline_s: Clock time after which nobody wants the answer any more, or None.
        priority: ``interactive`` goes before ``bulk``.
        queue_position: Its place in the queue when it came, from 1; 0 before it was queued.
        left_at_s: Clock time at which it was handed to a device; None while it waits.
        expected_s: When it was expected to be answered, s after ``enqueued_at_s``; None where
            nothing was.
        trace: Told of its batch, where its request is traced.
    """

    __slots__ = (
        "_follower", "_forget", "_future", "deadline_s", "enqueued_at_s", "expected_s", "image",
        "left_at_s", "priority", "queue_position", "trace",
    )  # fmt: skip

    def __init__(
        self,
        image: ImageArray,
        future: asyncio.Future[TaskResult],
        *,
        enqueued_at_s: float,
        deadline_s: float | None = None,
        priority: Priority = "interactive",
        expected_s: float | None = None,
        forget: Callable[[BatchTask], None],
        trace: RequestTrace | None = None,
    ) -> None:
        """Keep the record; ``forget`` is told of a cancellation, to free the place in the queue."""
        self.image = image
        self.enqueued_at_s = enqueued_at_s
        self.deadline_s = deadline_s
        self.priority: Priority = priority
        self.expected_s = expected_s
        self.trace = trace
        self.queue_position = 0
        self.left_at_s: float | None = None
        self._future = future
        self._forget = forget
        self._follower: Follower | None = None

    @property
    def is_done(self) -> bool:
        """Whether it was answered or cancelled. Safe to read from any thread."""
        return self._future.done()

    def has_expired(self, now_s: float) -> bool:
        """Whether its deadline has passed at ``now_s``."""
        return self.deadline_s is not None and now_s >= self.deadline_s

    def answer(self, outcome: TaskResult | Exception) -> bool:
        """Answer it, unless it was answered or cancelled before.

        The only function that sets the future: a cancelled caller cannot break its batch here.

        Returns:
            Whether this was the answer.
        """
        if self._future.done():
            return False
        if isinstance(outcome, Exception):
            self._future.set_exception(outcome)
            # Mark it as seen: the batcher has logged the cause, and a caller that left between
            # two awaits must not cause a second record when the future is collected.
            self._future.exception()
        else:
            self._future.set_result(outcome)
        follower, self._follower = self._follower, None  # both know each other
        if follower is not None:
            try:
                follower(outcome)
            except Exception as error:
                self._report(error)
        return True

    def follow(self, follower: Follower) -> None:
        """Have ``follower`` called with the answer, in the turn in which it is given.

        For who answers its caller then: a turn later the answers of others would go before. There
        is one follower at most; of a cancellation it is not told. What it raises is reported to
        the event loop, and costs the others of the batch nothing.
        """
        self._follower = follower

    def _report(self, error: Exception) -> None:
        text = "the follower of an answered image raised"
        context = {"message": text, "exception": error, "future": self._future}
        self._future.get_loop().call_exception_handler(context)

    def when_done(self, callback: Callable[[TaskResult | Exception | None], object]) -> None:
        """Have ``callback`` told the outcome on the event loop; None where it was cancelled.

        For who answers several callers from one task, and must not wait in a task of its own.
        """
        self._future.add_done_callback(lambda future: callback(_outcome_of(future)))

    def cancel(self) -> None:
        """Give the image up: it stops counting at once, a row under way is discarded."""
        self._future.cancel()
        self._follower = None
        self._forget(self)

    async def result(self) -> TaskResult:
        """Wait for the answer. Cancelling the caller cancels the task.

        Raises:
            DeadlineExceededError: The deadline passed while it waited.
            ExecutionError: The network failed on this image.
            ServableNotReadyError: The batcher died.
            BatcherStoppedError: It was cut off by ``close(timeout_s=…)``.
        """
        try:
            return await self._future
        except asyncio.CancelledError:
            self.cancel()
            raise

    def __await__(self) -> Generator[Any, None, TaskResult]:
        """Wait for ``result()``."""
        return self.result().__await__()


def _outcome_of(future: asyncio.Future[TaskResult]) -> TaskResult | Exception | None:
    if future.cancelled():
        return None
    error = future.exception()
    assert error is None or isinstance(error, Exception), "answer() takes no other"
    return error or future.result()
