"""Batches that lie ready behind those that are executed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeAlias

from app.batching.staging import Staging
from app.batching.task import BatchTask

Work: TypeAlias = Sequence[BatchTask] | Staging
"""What a device thread executes: a batch, perhaps on the device already."""


class Shelf:
    """What lies ready for a device, or for several lanes that share one; oldest first.

    Whichever of those lanes is done first takes the oldest. Where each lane had its own, one that
    was held up held up what lay ready behind it as well (``benchmarks/README.md``).

    Threads: ``take()`` is called by the device threads as well; all else, and ``batches``, belong
    to the event loop.

    Attributes:
        batches: Those that are not known to have been taken, oldest first.
    """

    __slots__ = ("_ready", "_room", "batches")

    def __init__(self, room: int = 1) -> None:
        """Make room for so many batches."""
        self.batches: deque[Sequence[BatchTask]] = deque()
        self._ready: SimpleQueue[Work] = SimpleQueue()
        self._room = room

    @property
    def has_room(self) -> bool:
        """Whether another batch may lie ready."""
        return len(self.batches) < self._room

    def put(
        self,
        batch: Sequence[BatchTask],
        prepare: Callable[[Sequence[BatchTask]], Work],
    ) -> None:
        """Lay a batch ready; ``prepare`` makes of it what a thread gets.

        What that raises leaves the batch among ``batches``, where those who wait can be found.
        """
        self.batches.append(batch)
        self._ready.put(prepare(batch))

    def take(self) -> Work | None:
        """Return the oldest, which nobody else gets then; None where nothing lies ready."""
        try:
            return self._ready.get_nowait()
        except Empty:
            return None

    def note_taken(self, batch: Sequence[BatchTask]) -> None:
        """Note that somebody has ``batch``."""
        # By identity: the first one, but where two threads have taken at about the same time.
        for index, each in enumerate(self.batches):
            if each is batch:
                del self.batches[index]
                return

    def clear(self) -> list[BatchTask]:
        """Forget everything; return whom it held."""
        tasks = [task for batch in self.batches for task in batch]
        self.batches.clear()
        while self.take() is not None:
            pass
        return tasks


def batch_of(work: Work) -> Sequence[BatchTask]:
    """Return the batch itself."""
    return work.tasks if isinstance(work, Staging) else work
