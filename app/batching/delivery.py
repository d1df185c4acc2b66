"""Gives executed batches their answers, and learns how late they come."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeAlias

from app.batching.caution import Caution
from app.batching.runner import BatchOutcome
from app.batching.task import BatchTask, TaskResult
from app.errors import ExecutionError
from app.types import Clock

Soon: TypeAlias = Callable[[Callable[[], None]], None]
"""Calls back in the next turn of the event loop."""

SLICE = 8
"""Answers between two looks at the sockets, where others are being refused.

Writing a response takes about 0.1 ms: the answers of a batch of 64 in one turn of the event loop
hold up every request that comes meanwhile, and a refusal is due within 10 ms.
"""

MEMORY = 0.9
"""Weight of the past per batch in the time that answers take to be written."""


@dataclass(slots=True)
class _Batch:
    """One batch on the way to its callers."""

    outcome: BatchOutcome
    tasks: Sequence[BatchTask]
    answers: Iterator[tuple[BatchTask, TaskResult | ExecutionError]]
    soon: Soon
    slice: int | None  # answers at once; None for all

    def answer_next(self) -> bool:
        """Give the next answers; return whether those were the last."""
        given = 0
        for task, answer in islice(self.answers, self.slice):
            task.answer(answer)
            given += 1
        return self.slice is None or given < self.slice


class Delivery:
    """The last part of the way of a task: executed, not answered yet.

    Batches are answered one after the other; each at once or, while others are refused, in slices.
    All attributes are owned by the event loop.

    Attributes:
        caution: How far expectations are to be trusted.
        delay_s: From the end of an execution until its answers have been written, of late.
        has_missed: Whether an image was given up that had been expected to be answered in time;
            until the next batch that tells how right expectations were.
        interactive_at_s: When the last interactive image came: bulk from before was overtaken.
    """

    def __init__(self, clock: Clock, on_answered: Callable[[], None]) -> None:
        """Have nothing; ``on_answered`` is called when a batch has all of its answers."""
        self.caution = Caution()
        self.delay_s = 0.0
        self.has_missed = False
        self.interactive_at_s = -math.inf
        self._clock = clock
        self._on_answered = on_answered
        self._batches: deque[_Batch] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether everybody who was executed has been answered."""
        return not self._batches

    def clear(self) -> list[BatchTask]:
        """Forget everything; return whom it held."""
        tasks = [task for batch in self._batches for task in batch.tasks]
        self._batches.clear()
        return tasks

    def note_missed(self, task: BatchTask) -> None:
        """Take note of an image that was given up, its deadline passed or about to.

        It says nothing of expectations where it was accepted in spite of them: it came late
        already, or the batcher was idle. Nor where it was overtaken: nothing foresees that.
        """
        if task.deadline_s is None or self._is_overtaken(task):
            return
        if task.deadline_s > task.enqueued_at_s + (task.expected_s or 0.0):
            self.has_missed = True

    def take(
        self, outcome: BatchOutcome, tasks: Sequence[BatchTask], soon: Soon, *, in_slices: bool
    ) -> None:
        """Hold a batch that came back from a device; ``begin`` answers it.

        Args:
            outcome: What became of it.
            tasks: All of it: held until all have been answered, whatever goes wrong.
            soon: Calls back in the next turn of the event loop.
            in_slices: Whether to let the event loop look at its sockets in between.
        """
        size = SLICE if in_slices else None
        self._batches.append(_Batch(outcome, tasks, outcome.answers(), soon, size))

    def begin(self) -> None:
        """Answer the batch that was taken, or leave it behind one that is being answered."""
        if len(self._batches) == 1:
            self._go_on()

    def _go_on(self) -> None:
        while self._batches:
            batch = self._batches[0]
            if not batch.answer_next():
                batch.soon(self._go_on)
                return
            self._batches.popleft()
            # Behind the callers whom the answers have woken: they write their responses first.
            batch.soon(partial(self._learn, batch.outcome, self._first_teller(batch.tasks)))
            self._on_answered()

    def _is_overtaken(self, task: BatchTask) -> bool:
        return task.priority == "bulk" and task.enqueued_at_s <= self.interactive_at_s

    def _first_teller(self, tasks: Sequence[BatchTask]) -> BatchTask | None:
        """Return the first task of a batch that tells how right the expectation was."""
        tellers = (t for t in tasks if t.expected_s is not None and not self._is_overtaken(t))
        return next(tellers, None)

    def _learn(self, outcome: BatchOutcome, first: BatchTask | None) -> None:
        """Learn how long answers take that are ready, and how right the expectation was."""
        now_s = self._clock()
        self.delay_s += (1 - MEMORY) * (now_s - outcome.finished_at_s - self.delay_s)
        if first is not None and first.expected_s is not None:
            self.caution.observe(
                first.expected_s,
                now_s - first.enqueued_at_s,
                within_s=(first.deadline_s or first.enqueued_at_s) - first.enqueued_at_s,
                has_missed=self.has_missed,
            )
            self.has_missed = False
