"""Schedules the images of one version, each of them once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from app.batching.batcher import DynamicBatcher
from app.batching.task import BatchTask, TaskResult
from app.errors import QueueFullError
from app.inference.pixel_key import pixel_bytes
from app.inference.result_cache import CacheSection
from app.inference.shared_task import Flight, Reuse, SharedTask
from app.tracing.request_trace import RequestTrace
from app.types import Clock, ImageArray, Priority, ScoreArray

CountReuse = Callable[[Reuse], None]
"""Told of each accepted image how it comes to its scores."""


class ReusingScheduler:
    """Stands before one version's batcher, and gives it only images that are not known.

    Known are images that wait or are being executed (where it coalesces) and images whose scores
    are kept (where it has a cache). Pixels are compared, all of them, not their hashes alone: any
    hash is right, a good one is fast.

    Contract:

    Loop
        Everything runs on the event loop of the batcher.
    Accept
        As the batcher does, for the images that are new: all of a request or none. Of the others
        as many may wait as the batcher's ``max_queue_size``; the next one is refused with
        ``QueueFullError``. Kept images are answered also where the batcher takes none any more.
    Answer
        Each accepted image exactly once, by a future of its own; the scores are one array that
        nobody can write to. An image that fails fails for all that wait for it, each with an error
        of its own; nothing of it is kept.
    Cancel
        Who leaves, leaves alone, the first one too: an execution is given up when nobody waits.
    Deadline
        An execution waits in the queue as long as any of its callers would.
    Priority
        An interactive image that meets a waiting bulk one takes it along into the interactive
        line, behind those that are there.
    """

    def __init__(
        self,
        batcher: DynamicBatcher,
        *,
        coalesces: bool,
        cache: CacheSection | None,
        count: CountReuse,
        digest: Callable[[bytes], int] = hash,
        clock: Clock = time.monotonic,
    ) -> None:
        """Join the parts.

        Args:
            batcher: Executes what is new.
            coalesces: Whether identical images wait for one execution.
            cache: This version's part of the cache, or None.
            count: Told of each accepted image.
            digest: Hash of pixels. Python's own is keyed anew in each process, and the fastest of
                the standard library.
            clock: The batcher's.
        """
        self._batcher = batcher
        self._coalesces = coalesces
        self._cache = cache
        self._count = count
        self._digest = digest
        self._clock = clock
        self._flights: dict[int, Flight] = {}  # one place for each hash, as in the cache
        self._followers = 0  # images that wait for a flight beside its first one

    def schedule(
        self,
        image: ImageArray,
        *,
        deadline_s: float | None = None,
        priority: Priority = "interactive",
        trace: RequestTrace | None = None,
    ) -> SharedTask:
        """Accept one image; as ``DynamicBatcher.schedule`` does."""
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
    ) -> list[SharedTask]:
        """Accept all ``images`` or none; as ``DynamicBatcher.schedule_many`` does.

        Raises:
            QueueFullError: The new ones do not fit the queue, or too many wait for others.
            BatcherStoppedError: Some are new, and the batcher is draining.
            ServableNotReadyError: Some are new, and the batcher is not running.
        """
        began: list[Flight] = []
        new: list[ImageArray] = []
        by_digest: dict[int, Flight] = {}  # those of this request: it may repeat itself
        sources: list[Flight | ScoreArray] = []
        for image in images:
            pixels = pixel_bytes(image)
            digest = self._digest(pixels)
            source = self._find(digest, pixels, by_digest)
            if source is None:
                source = by_digest[digest] = Flight(digest, pixels)
                began.append(source)
                new.append(image)
            sources.append(source)
        self._admit(sum(isinstance(source, Flight) for source in sources) - len(began))
        if new:
            tasks = self._batcher.schedule_many(
                new, deadline_s=deadline_s, priority=priority, trace=trace
            )
            for flight, task in zip(began, tasks, strict=True):
                self._begin(flight, task)
        # Nothing is refused from here on.
        arrived_s = began[0].task.enqueued_at_s if began else self._clock()
        return [self._join(source, arrived_s, deadline_s, priority) for source in sources]

    async def close(self) -> None:
        """Forget what is kept for the version; what waits is the batcher's to end."""
        if self._cache is not None:
            await self._cache.close()

    def _find(
        self, digest: int, pixels: bytes, by_digest: dict[int, Flight]
    ) -> Flight | ScoreArray | None:
        """Return what gives these pixels their scores; None where they are new."""
        if self._cache is not None:
            scores = self._cache.find(digest, pixels)
            if scores is not None:
                return scores
        if not self._coalesces:
            return None
        flight = by_digest.get(digest)
        if flight is not None and flight.pixels == pixels:
            return flight
        flight = self._flights.get(digest)
        # One that has just been answered may have been answered for its first callers alone:
        # their deadline has passed, that of the present one has not.
        if flight is not None and not flight.task.is_done and flight.pixels == pixels:
            return flight
        return None

    def _admit(self, followers: int) -> None:
        """Raise where too many images would wait for others: each holds memory, too."""
        limit = self._batcher.policy.max_queue_size
        if followers and self._followers + followers > limit:
            raise QueueFullError(
                f"{self._followers:,} images wait for identical ones and {followers:,} more came; "
                f"the limit is {limit:,} (KERASERVE_MAX_QUEUE_SIZE).",
                retry_after_s=self._batcher.retry_after_s(),
            )

    def _begin(self, flight: Flight, task: BatchTask) -> None:
        flight.task = task
        self._flights[flight.digest] = flight
        task.when_done(partial(self._land, flight))

    def _join(
        self,
        source: Flight | ScoreArray,
        arrived_s: float,
        deadline_s: float | None,
        priority: Priority,
    ) -> SharedTask:
        future: asyncio.Future[TaskResult] = asyncio.get_running_loop().create_future()
        if not isinstance(source, Flight):
            self._count("hit")
            task = SharedTask(future, "hit", arrived_s)
            task.answer(TaskResult(source, queue_delay_s=0.0, execution_s=0.0, batch_size=0))
            return task
        reuse: Reuse = "coalesced" if source.waiting else "miss"
        if source.waiting:
            self._followers += 1
            self._batcher.extend(source.task, deadline_s=deadline_s, priority=priority)
        self._count(reuse)
        task = SharedTask(future, reuse, arrived_s, partial(self._leave, source))
        source.waiting[task] = None
        return task

    def _leave(self, flight: Flight, task: SharedTask) -> None:
        if task not in flight.waiting:
            return  # it left before, or the flight has landed
        del flight.waiting[task]
        if flight.waiting:
            self._followers -= 1
            return
        flight.task.cancel()  # which makes it done: nobody joins it any more

    def _land(self, flight: Flight, outcome: TaskResult | Exception | None) -> None:
        """Pass an answer on to all that wait for it; None: it was given up, nobody does."""
        if self._flights.get(flight.digest) is flight:
            del self._flights[flight.digest]
        waiting, flight.waiting = flight.waiting, {}
        self._followers -= max(0, len(waiting) - 1)
        if isinstance(outcome, TaskResult):
            scores = _immutable(outcome.scores)
            taken_at_s = flight.task.enqueued_at_s + outcome.queue_delay_s
            now_s = self._clock()
            for task in waiting:
                task.answer(_own_part(outcome, scores, task.arrived_s, taken_at_s, now_s))
            if self._cache is not None:
                self._cache.keep(flight.digest, flight.pixels, scores)
        elif outcome is not None:
            for task in waiting:
                task.answer(_own_error(outcome))


def _own_part(
    result: TaskResult, scores: ScoreArray, arrived_s: float, taken_at_s: float, now_s: float
) -> TaskResult:
    """Return a result with the times that this caller spent: it may have come in the middle."""
    return TaskResult(
        scores,
        queue_delay_s=max(0.0, taken_at_s - arrived_s),
        execution_s=min(result.execution_s, max(0.0, now_s - arrived_s)),
        batch_size=result.batch_size,
    )


def _own_error(error: Exception) -> Exception:
    """Return the error anew: raised by several tasks, one would collect all of their tracebacks."""
    own = type(error).__new__(type(error), *error.args)  # __init__ may want more than args
    own.__dict__.update(error.__dict__)
    own.__cause__ = error.__cause__
    return own


def _immutable(scores: ScoreArray) -> ScoreArray:
    """Return a copy of one row, ``(K,)`` float32, that nobody can make writable.

    A copy also because the row is a view that keeps the scores of its whole batch.
    """
    return np.frombuffer(scores.tobytes(), np.float32)
