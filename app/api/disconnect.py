"""Cancels work whose client has left."""

from __future__ import annotations

import asyncio
from types import TracebackType

from starlette.requests import ClientDisconnect
from starlette.types import Receive

# Most answers are there before, and the one who listens is a task of its own. Work whose client
# leaves earlier goes on for as long, at most.
_LISTEN_AFTER_S = 0.02


class CancelOnDisconnect:
    """``with CancelOnDisconnect(receive): await work`` raises ``ClientDisconnect`` if they leave.

    The body must have been read: only then does the next message say that the client left.

    Loop: used in one task, the one that awaits the work.
    Bound: who leaves is noticed at once, or ``listen_after_s`` after the beginning.
    Cancel: the work is cancelled as by ``Task.cancel()``; a cancellation from elsewhere passes
    through. After the block nothing is cancelled any more, whatever the client does.
    """

    __slots__ = ("_cancelling", "_has_left", "_is_over", "_receive", "_start", "_task", "_watcher")

    def __init__(self, receive: Receive, *, listen_after_s: float = _LISTEN_AFTER_S) -> None:
        """``receive``: the request's, with no other reader."""
        task = asyncio.current_task()
        assert task is not None, "requests are answered in tasks"
        self._task = task
        self._receive = receive
        self._cancelling = task.cancelling()
        self._has_left = False
        self._is_over = False
        self._watcher: asyncio.Task[None] | None = None
        self._start = task.get_loop().call_later(listen_after_s, self._watch)

    def __enter__(self) -> None:
        """Begin; the clock has run since the object was made."""

    def _watch(self) -> None:
        self._watcher = self._task.get_loop().create_task(_until_disconnect(self._receive))
        self._watcher.add_done_callback(self._watcher_done)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching, and name the cause of a cancellation that was ours."""
        self._is_over = True
        self._start.cancel()
        if self._watcher is None:
            return
        self._watcher.cancel()
        if not self._has_left:
            return
        is_ours_alone = self._task.uncancel() <= self._cancelling
        if is_ours_alone and isinstance(error, asyncio.CancelledError):
            raise ClientDisconnect from error

    def _watcher_done(self, watcher: asyncio.Task[None]) -> None:
        # The check of _is_over: the client may leave in the very turn in which the work ends;
        # a cancellation would then hit whatever the task does next.
        if watcher.cancelled() or watcher.exception() is not None or self._is_over:
            return
        self._has_left = True
        self._task.cancel()


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # servers send nothing else after the body; if one does, it is of no interest
