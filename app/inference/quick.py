"""One small image on its way from the queue to its answer, without a task that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from app.batching.task import BatchTask, TaskResult
from app.errors import Progress
from app.inference.answering import classification
from app.inference.counting import count_ok, late, outcome_of
from app.inference.live import LiveServable
from app.inference.progress import note_progress, progress_of
from app.inference.records import Classification, ClassifyOptions
from app.types import DecodedImage

OnEnd: TypeAlias = Callable[[Classification | Exception], None]
"""Told how an image ended, unless its caller gave it up.

An error that is no ``ServingError`` is one that nobody expected.
"""


class QuickImage:
    """An image that was decoded and queued in the very turn in which it came.

    What a task does that awaits the answer, by callbacks: of the 130 µs that a request takes beside
    its execution, tasks and what they are suspended in took a third (``benchmarks/README.md``).

    Loop: everything runs on the event loop that queued it.
    Answer: ``on_end`` is called once, in a turn after the present one: with the answer, or with
        one error, ``DeadlineExceededError`` at the deadline. The image is counted right behind
        it, in the same turn: the client need not wait for that. Must not raise.
    Cancel: ``cancel()`` withdraws the image and counts it; ``on_end`` is not called any more.
    """

    __slots__ = ("_decode_s", "_image", "_live", "_on_end", "_options", "_task", "_timer")

    def __init__(
        self,
        live: LiveServable,
        task: BatchTask,
        image: DecodedImage,
        decode_s: float,
        options: ClassifyOptions,
        on_end: OnEnd,
    ) -> None:
        """Follow ``task``, which nobody else awaits; see ``InferenceService.begin``."""
        self._live = live
        self._task = task
        self._image = image
        self._decode_s = decode_s
        self._options = options
        self._on_end: OnEnd | None = on_end
        loop = asyncio.get_running_loop()
        # uvloop takes twice as long for call_at().
        self._timer = loop.call_later(options.deadline_s - loop.time(), self._expire)
        task.follow(self._end)

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return progress_of(self._decode_s, self._task)

    def cancel(self) -> None:
        """Give the image up, because nobody wants its answer; nothing if it has ended."""
        if self._on_end is not None:
            self._give_up()
            self._live.metrics.image_ended(outcome_of(asyncio.CancelledError()))

    def _expire(self) -> None:
        on_end = self._give_up()
        if on_end is not None:
            on_end(late(self._live, 1, self._decode_s, self._task))

    def _give_up(self) -> OnEnd | None:
        on_end, self._on_end = self._on_end, None
        self._timer.cancel()
        self._task.cancel()
        return on_end

    def _end(self, outcome: TaskResult | Exception) -> None:
        on_end = self._on_end
        if on_end is None:
            return  # given up
        self._on_end = None
        self._timer.cancel()
        answer = self._answer(outcome)
        try:
            on_end(answer)
        finally:  # whatever the caller makes of it
            self._count(answer)

    def _count(self, answer: Classification | Exception) -> None:
        if isinstance(answer, Classification):
            count_ok(self._live, answer)
        else:
            self._live.metrics.image_ended(outcome_of(answer))

    def _answer(self, outcome: TaskResult | Exception) -> Classification | Exception:
        if not isinstance(outcome, TaskResult):
            note_progress(outcome, self._decode_s, self._task)
            return outcome
        top_k = self._options.top_k
        try:
            return classification(
                self._live,
                outcome,
                self._image,
                self._decode_s,
                top_k,
                queue_position=self._task.queue_position,
            )
        except Exception as error:  # nobody else would answer: callbacks have no caller
            return error
