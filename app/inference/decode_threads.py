"""A few threads that decode, whose end is noticed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeAlias

Work: TypeAlias = Callable[[], Any]
Report: TypeAlias = Callable[[Work, Any, BaseException | None], object]
"""Called in a thread with what was done and its result, or with what it raised."""


class DecodeThreads:
    """Threads that take work from one queue, in order.

    Not ``ThreadPoolExecutor``: that one goes on counting on threads that have died, cannot be given
    up where its threads hang, and keeps the process from ending then.

    Every piece of work that a thread takes is reported once, unless it hangs. Whatever is no
    ``Exception`` (``SystemExit``, …) ends the thread that met it, after it was reported.
    """

    def __init__(self, count: int, report: Report) -> None:
        """Start ``count`` threads.

        Args:
            count: At least one.
            report: Called in the threads. It may raise ``RuntimeError`` where nobody listens any
                more (the event loop is closed).

        Raises:
            RuntimeError: The system has no thread left.
        """
        self._report = report
        self._inbox: SimpleQueue[Work | None] = SimpleQueue()
        self._is_abandoned = False
        # Daemons: one that hangs must not keep the process from exiting.
        self._threads = [
            threading.Thread(target=self._run, name=f"decode_{number}", daemon=True)
            for number in range(count)
        ]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:
            self.stop()
            raise

    def submit(self, work: Work) -> None:
        """Have ``work`` done."""
        self._inbox.put(work)

    def stop(self) -> None:
        """Let the threads end after what was submitted."""
        for _ in self._threads:
            self._inbox.put(None)

    def abandon(self) -> None:
        """Let the threads end, and take nothing more of what was submitted; others do that."""
        self._is_abandoned = True
        self.stop()

    def _run(self) -> None:
        while self._serve_next():
            pass

    def _serve_next(self) -> bool:
        # A function of its own, so that nothing keeps an upload while the thread waits.
        work = self._inbox.get()
        if work is None or self._is_abandoned:
            return False
        error: BaseException | None = None
        result = None
        try:
            result = work()
        except BaseException as raised:
            # SystemExit and its like too: a thread that ends in silence leaves its caller hanging.
            error = raised
        with suppress(RuntimeError):  # the event loop is closed: nobody is left to be told
            self._report(work, result, error)
        return error is None or isinstance(error, Exception)
