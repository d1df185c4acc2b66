"""One caller's image, and the execution that several such may wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from app.batching.task import BatchTask, TaskResult

Reuse: TypeAlias = Literal["hit", "coalesced", "miss"]
"""How an image came to its scores: kept from before, of an execution that another image had
begun, or of its own."""


class ImageTask(Protocol):
    """An accepted image, whoever computes it."""

    async def result(self) -> TaskResult:
        """Wait for the answer; cancelling the caller withdraws the image."""
        ...

    def cancel(self) -> None:
        """Withdraw the image."""
        ...


class SharedTask:
    """One image of one caller; it has a future of its own, so that it can leave by itself.

    Attributes:
        reuse: How it comes to its scores.
        arrived_s: When it was accepted, on the batcher's clock.
    """

    __slots__ = ("_future", "_leave", "arrived_s", "reuse")

    def __init__(
        self,
        future: asyncio.Future[TaskResult],
        reuse: Reuse,
        arrived_s: float,
        leave: Callable[[SharedTask], None] | None = None,
    ) -> None:
        """Keep the record; ``leave`` is told of a cancellation."""
        self._future = future
        self._leave = leave
        self.reuse: Reuse = reuse
        self.arrived_s = arrived_s

    def answer(self, outcome: TaskResult | Exception) -> None:
        """Answer it, unless its caller has left. The only function that sets the future."""
        if self._future.done():
            return
        if isinstance(outcome, Exception):
            self._future.set_exception(outcome)
            self._future.exception()  # seen: a caller that left between two awaits is no bug
        else:
            self._future.set_result(outcome)

    def cancel(self) -> None:
        """Leave; what others wait for goes on."""
        self._future.cancel()
        if self._leave is not None:
            self._leave(self)

    async def result(self) -> TaskResult:
        """Wait for the answer. Cancelling the caller cancels this task alone.

        Raises:
            ServingError: As ``BatchTask.result`` does.
        """
        try:
            return await self._future
        except asyncio.CancelledError:
            self.cancel()
            raise


class Flight:
    """One execution under way, or waiting for it.

    Attributes:
        digest: Hash of the pixels.
        pixels: C-ordered bytes: those of every image that waits.
        task: What the batcher has; set when it is accepted, before anybody can wait.
        waiting: Who waits, in the order of arrival.
    """

    __slots__ = ("digest", "pixels", "task", "waiting")

    task: BatchTask

    def __init__(self, digest: int, pixels: bytes) -> None:
        """Begin with nobody."""
        self.digest = digest
        self.pixels = pixels
        self.waiting: dict[SharedTask, None] = {}
