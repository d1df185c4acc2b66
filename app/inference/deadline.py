"""The end of a request's time, at a tenth of what ``asyncio.timeout`` costs."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadline:
    """``with Deadline(at_s): await work`` raises ``TimeoutError`` once the loop's clock is there.

    What ``asyncio.timeout_at`` does, without being asynchronous itself and without states that
    nobody asks for: several of them are passed by every request.

    Loop: used in one task, the one that awaits the work.
    Cancel: the work is cancelled as by ``Task.cancel()``; a cancellation from elsewhere passes
    through. After the block nothing is cancelled any more.
    """

    __slots__ = ("_cancelling", "_handle", "_has_passed", "_task")

    def __init__(self, at_s: float) -> None:
        """Set the moment, on the clock of the running event loop."""
        task = asyncio.current_task()
        assert task is not None, "only tasks can be cancelled"
        self._task = task
        self._cancelling = task.cancelling()
        self._has_passed = False
        # A moment that has passed cancels at the first await, not before: what needs none is done.
        self._handle = task.get_loop().call_at(at_s, self._pass)

    def __enter__(self) -> None:
        """Begin; the clock has run since the object was made."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the clock, and name the cause of a cancellation that was ours."""
        self._handle.cancel()
        if not self._has_passed:
            return
        is_ours_alone = self._task.uncancel() <= self._cancelling
        if is_ours_alone and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def _pass(self) -> None:
        self._has_passed = True
        self._task.cancel()
