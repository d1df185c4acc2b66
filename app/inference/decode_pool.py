"""The threads that turn uploads into pixels, with a bound on what waits for them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeVar

from app.errors import DecodeQueueFullError
from app.types import Clock

T = TypeVar("T")

# Weight of the past in the mean decoding time: about the last ten images count.
_MEMORY = 0.9


class DecodePool:
    """Runs decoding off the event loop.

    Loop: ``run`` is called on one event loop, which owns the count of what is pending.
    Bound: at most ``max_pending`` uploads wait or decode; the next one is refused, because each
    of them holds its whole body in memory. So is one that would not be decoded in time.
    Cancel: an upload whose caller left before a thread took it is never decoded.
    """

    def __init__(self, threads: int, max_pending: int, clock: Clock = perf_counter) -> None:
        """Threads start when first needed."""
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._thread_count = threads
        self._max_pending = max_pending
        self._pending = 0  # owned by the event loop, as is the next one
        self._mean_s: float | None = None
        self._clock = clock

    def refusal(self, within_s: float = math.inf) -> DecodeQueueFullError | None:
        """Return what ``run`` would raise now.

        Args:
            within_s: After what time nobody wants the pixels any more. Where a thread is free, it
                refuses nobody: what it expects follows the images that it decodes.
        """
        mean_s = self._mean_s or 0.0
        if self._pending >= self._max_pending:
            return DecodeQueueFullError(
                f"{self._pending} uploads wait to be decoded, the limit is {self._max_pending} "
                "(KERASERVE_MAX_QUEUE_SIZE).",
                retry_after_s=max(1.0, self._pending * mean_s / self._thread_count),
            )
        expected_s = (self._pending + 1) * mean_s / self._thread_count
        if self._pending < self._thread_count or expected_s <= within_s or within_s <= 0:
            return None
        return DecodeQueueFullError(
            f"{self._pending} uploads wait to be decoded, which takes {expected_s:.3f} s; the "
            f"deadline is in {within_s:.3f} s (timeout_ms, KERASERVE_REQUEST_TIMEOUT_MS).",
            retry_after_s=expected_s - max(within_s, mean_s / self._thread_count),
        )

    async def run(self, decode: Callable[[], T], within_s: float = math.inf) -> tuple[T, float]:
        """Return what ``decode`` returns, and the seconds it took in its thread.

        Raises:
            DecodeQueueFullError: ``max_pending`` uploads are already waiting, or so many that this
                one would not be decoded within ``within_s``.
        """
        refusal = self.refusal(within_s)
        if refusal is not None:
            try:
                raise refusal
            finally:
                del refusal  # a frame that keeps what it raised is a cycle
        self._pending += 1
        try:
            loop = asyncio.get_running_loop()
            result, seconds = await loop.run_in_executor(self._threads, self._timed, decode)
        finally:
            self._pending -= 1
        before = seconds if self._mean_s is None else self._mean_s
        self._mean_s = _MEMORY * before + (1 - _MEMORY) * seconds
        return result, seconds

    def close(self) -> None:
        """Stop the threads once they are done with what they have."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _timed(self, decode: Callable[[], T]) -> tuple[T, float]:
        start = self._clock()
        result = decode()
        return result, self._clock() - start
