"""The threads that turn uploads into pixels, with a bound on what waits for them."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

from app.errors import DecodeQueueFullError, ServableNotReadyError
from app.inference.decode_threads import DecodeThreads, Work
from app.restarts import RestartBudget, RestartPolicy
from app.types import Clock

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Weight of the past in the mean decoding time: about the last ten images count.
_MEMORY = 0.9
# A timer that comes so late says that the process stood still, and the threads with it.
_STOOD_STILL_S = 1.0


class _Upload:
    """One upload on its way through a thread; ``future`` belongs to the event loop."""

    __slots__ = ("_clock", "_decode", "future", "started_at_s")

    def __init__(self, decode: Callable[[], Any], future: asyncio.Future[Any], clock: Clock):
        self._decode = decode
        self._clock = clock
        self.future = future
        self.started_at_s: float | None = None  # set by the thread, read on the event loop

    def __call__(self) -> tuple[Any, float] | None:
        """Decode in a thread, unless nobody waits for it; also take the time."""
        if self.future.done():
            return None
        self.started_at_s = time.monotonic()
        start = self._clock()
        result = self._decode()
        return result, self._clock() - start

    def fail(self, reason: str, cause: BaseException | None = None) -> None:
        """Answer that it was not decoded, unless its caller has left."""
        if not self.future.done():
            error = ServableNotReadyError(f"The image was not decoded: {reason}.")
            error.__cause__ = cause
            self.future.set_exception(error)


class DecodePool:
    """Runs decoding off the event loop.

    Loop: ``run`` is called on one event loop, which owns all attributes.
    Bound: at most ``max_pending`` uploads wait or decode; the next one is refused, because each
        of them holds its whole body in memory. So is one that would not be decoded in time.
    Cancel: an upload whose caller left before a thread took it is never decoded.
    Failure: a thread that dies, or that takes longer than ``stall_after_s`` for one upload, fails
        this one with ``ServableNotReadyError``; new threads take over what waits, as often as
        ``restarts`` allow. Once that is spent, and no thread is left, all uploads fail at once,
        ``failure`` says so and ``is_given_up``, until the budget allows another attempt.
    """

    def __init__(
        self,
        threads: int,
        max_pending: int,
        clock: Clock = perf_counter,
        *,
        stall_after_s: float = 30.0,
        restarts: RestartPolicy | None = None,
    ) -> None:
        """Threads start when first needed."""
        self._threads: DecodeThreads | None = None
        self._thread_count = threads
        self._max_pending = max_pending
        self._pending = 0  # owned by the event loop, as are all that follow
        self._mean_s: float | None = None
        self._clock = clock
        self._stall_after_s = stall_after_s
        self._budget = RestartBudget(restarts or RestartPolicy())
        self._submitted: set[_Upload] = set()  # until a thread reports it
        self._lost = 0  # threads of the present ones that died or hang
        self._watch: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._is_closed = False
        self.failure: str | None = None

    @property
    def is_given_up(self) -> bool:
        """Whether no thread is left and none is started for now."""
        return self.failure is not None

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
            ServableNotReadyError: The thread died or hangs, or none is left.
        """
        refusal = self.refusal(within_s)
        if refusal is not None:
            try:
                raise refusal
            finally:
                del refusal  # a frame that keeps what it raised is a cycle
        upload = _Upload(decode, asyncio.get_running_loop().create_future(), self._clock)
        self._pending += 1
        try:
            self._submit(upload)
            result, seconds = await upload.future
        finally:
            self._pending -= 1
        before = seconds if self._mean_s is None else self._mean_s
        self._mean_s = _MEMORY * before + (1 - _MEMORY) * seconds
        return result, seconds

    def close(self) -> None:
        """Stop the threads once they are done with what they have."""
        self._is_closed = True
        for timer in (self._watch, self._retry):
            if timer is not None:
                timer.cancel()
        for upload in self._submitted:
            if upload.started_at_s is None:
                upload.future.cancel()
        if self._threads is not None:
            self._threads.stop()

    def _submit(self, upload: _Upload) -> None:
        if self.failure is not None or self._is_closed:
            raise ServableNotReadyError(f"Images are not decoded: {self.failure or 'it stops'}.")
        if self._threads is None:
            self._start()
        self._submitted.add(upload)
        assert self._threads is not None, "just started"
        self._threads.submit(upload)
        if self._watch is None:
            self._watch_from_now()

    def _start(self) -> None:
        """Start threads, which take over what waits."""
        loop = asyncio.get_running_loop()

        def report(work: Work, result: Any, error: BaseException | None) -> None:
            loop.call_soon_threadsafe(self._on_report, threads, work, result, error)

        try:
            threads = DecodeThreads(self._thread_count, report)
        except RuntimeError as error:
            logger.exception("threads for decoding not started")
            raise ServableNotReadyError("The system has no thread for decoding.") from error
        self._threads, self._lost, self.failure = threads, 0, None
        for upload in self._submitted:
            if upload.started_at_s is None:
                threads.submit(upload)

    def _on_report(
        self, threads: DecodeThreads, work: Work, result: Any, error: BaseException | None
    ) -> None:
        assert isinstance(work, _Upload), "nothing else is submitted"
        self._submitted.discard(work)
        if error is not None and not isinstance(error, Exception):
            work.fail("its thread ended", error)
            logger.error("thread for decoding died", exc_info=error)
            if threads is self._threads:
                self._lose(1)
        elif work.future.done():
            return
        elif error is not None:
            work.future.set_exception(error)
        else:
            work.future.set_result(result)

    def _watch_from_now(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._stall_after_s
        self._watch = loop.call_at(due_s, self._look, due_s)

    def _look(self, due_s: float) -> None:
        """Find uploads that hang; look again after as long if there are others."""
        self._watch = None
        stood_still = asyncio.get_running_loop().time() - due_s > _STOOD_STILL_S
        long_ago_s = time.monotonic() - self._stall_after_s
        hung = [
            upload
            for upload in self._submitted
            if upload.started_at_s is not None and upload.started_at_s <= long_ago_s
        ]
        if hung and not stood_still:
            reason = f"it took longer than {self._stall_after_s:g} s (KERASERVE_STALL_AFTER_S)"
            logger.error("decoding hangs", extra={"uploads": len(hung)})
            for upload in hung:
                upload.fail(reason)
                self._submitted.discard(upload)
            self._lose(len(hung))
        if self._submitted and self._watch is None:
            self._watch_from_now()

    def _lose(self, count: int) -> None:
        """Go on without so many threads: with new ones, or with what is left."""
        self._lost += count
        wait_s = self._budget.take()
        if not wait_s:
            self._restart()
        elif self._lost >= self._thread_count:
            self._give_up("no thread is left, and none is started any more", wait_s)

    def _restart(self) -> None:
        if self._threads is not None:
            self._threads.abandon()
        try:
            self._start()
        except ServableNotReadyError:
            self._give_up("the system has no threads left", self._budget.retry_s)

    def _give_up(self, reason: str, retry_s: float) -> None:
        self.failure = f"decoding: {reason}"
        logger.error("decoding given up", extra={"reason": reason})
        waiting = [upload for upload in self._submitted if upload.started_at_s is None]
        for upload in waiting:
            upload.fail(reason)
            self._submitted.discard(upload)
        if not math.isinf(retry_s):
            self._retry = asyncio.get_running_loop().call_later(retry_s, self._restart)
