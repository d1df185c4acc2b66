"""Who waits, and in which order they leave."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TypeAlias

from app.batching.task import BatchTask

_Line: TypeAlias = OrderedDict[BatchTask, None]


class TaskQueue:
    """Waiting tasks in two lines; first in, first out within each. Owned by the event loop.

    Interactive tasks go first. Where they alone would fill a batch again and again, one place in
    each batch goes to bulk, so that a bulk task is late but never left for ever.

    A cancelled task is taken out at once and leaves nothing behind: ordered dictionaries remove
    from the middle in constant time, where a deque would keep the image until its turn.
    """

    __slots__ = ("_bulk", "_interactive")

    def __init__(self) -> None:
        """Start empty."""
        self._interactive: _Line = OrderedDict()
        self._bulk: _Line = OrderedDict()

    def __len__(self) -> int:
        """Tasks of both lines."""
        return len(self._interactive) + len(self._bulk)

    @property
    def interactive_size(self) -> int:
        """Tasks of the interactive line."""
        return len(self._interactive)

    @property
    def bulk_size(self) -> int:
        """Tasks of the bulk line."""
        return len(self._bulk)

    @property
    def oldest_enqueued_at_s(self) -> float:
        """When the oldest task of both lines came; infinite where nobody waits."""
        return min(
            next(iter(self._interactive)).enqueued_at_s if self._interactive else math.inf,
            next(iter(self._bulk)).enqueued_at_s if self._bulk else math.inf,
        )

    def push(self, task: BatchTask) -> None:
        """Put ``task`` at the end of its line, and note its place: bulk stands behind all."""
        line = self._interactive
        if task.priority == "bulk":
            line = self._bulk
            task.queue_position = len(self._interactive) + len(line) + 1
        else:
            task.queue_position = len(line) + 1
        line[task] = None

    def discard(self, task: BatchTask) -> bool:
        """Take ``task`` out, wherever it stands.

        Returns:
            Whether it was still waiting.
        """
        line = self._bulk if task.priority == "bulk" else self._interactive
        if task not in line:
            return False
        del line[task]
        return True

    def take(self, limit: int, moment_s: float) -> tuple[list[BatchTask], list[BatchTask]]:
        """Remove the next batch.

        Args:
            limit: Most tasks in it.
            moment_s: Clock time; nobody gets a place who will have expired then.

        Returns:
            At most ``limit`` tasks to execute, and the expired ones met on the way. Tasks that
            were cancelled a moment ago are dropped.
        """
        batch: list[BatchTask] = []
        expired: list[BatchTask] = []
        places_for_bulk = 1 if self._bulk and limit > 1 else 0
        _move(self._interactive, batch, expired, limit - places_for_bulk, moment_s)
        _move(self._bulk, batch, expired, limit, moment_s)
        # The place for bulk is free again where all of bulk turned out to be expired or cancelled.
        _move(self._interactive, batch, expired, limit, moment_s)
        return batch, expired

    def clear(self) -> list[BatchTask]:
        """Remove and return everybody."""
        tasks = [*self._interactive, *self._bulk]
        self._interactive.clear()
        self._bulk.clear()
        return tasks


def _move(
    line: _Line, batch: list[BatchTask], expired: list[BatchTask], limit: int, moment_s: float
) -> None:
    while line and len(batch) < limit:
        task, _ = line.popitem(last=False)
        if task.is_done:
            continue
        (expired if task.has_expired(moment_s) else batch).append(task)
