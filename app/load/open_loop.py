"""Requests that leave when they are due, whatever the answers do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Protocol

from app.load.connection import Connection, Opener
from app.load.recorder import LOST, NOT_CONNECTED, NOT_SENT, OK, UNANSWERED, Recorder
from app.types import Clock

IDLE_S = 2.0
"""A connection that was free for longer is closed, not used: servers close such ones themselves
(uvicorn after 5 s), and a request that crosses the close would be lost by nobody's fault."""


class Waker(Protocol):
    """Calls back at a point in time; ``Alarm`` is one."""

    def set(self, at_s: float) -> None:
        """Call back at this time of the clock, once; replaces an earlier one."""
        ...


class OpenLoop:
    """Sends at the times of a schedule over a pool of keep-alive connections.

    Contract:
        Loop: every method runs on the event loop that made it.
        Schedule: a request leaves when it is due, or, where the generator was late, at once; its
            time counts from when it was due (no coordinated omission).
        Bound: at most ``limit`` requests are without an answer, each on its own connection. One
            that is due beyond that is not sent, and counted as ``NOT_SENT``.
        Answer: each request is counted once: by its status, as lost, not connected, not sent or
            unanswered.
        Connection: the one that was freed last is used first; if none is free another is opened.

    Attributes:
        window_answered: Set once the window has passed and each request of it has its outcome.
    """

    def __init__(
        self,
        dialer: Opener,
        requests: Iterator[bytes],
        due: Iterator[float],
        limit: int,
        recorder: Recorder,
        *,
        clock: Clock = perf_counter,
    ) -> None:
        """Prepare; ``start`` begins.

        Args:
            dialer: Opens the connections.
            requests: Whole requests, without end.
            due: When each is due, seconds from the start, ascending, without end.
            limit: Most connections, 1 or more.
            recorder: Where outcomes are counted.
            clock: That of the connections.
        """
        self.window_answered = asyncio.Event()
        self._dialer = dialer
        self._requests = requests
        self._due = due
        self._limit = limit
        self._recorder = recorder
        self._clock = clock
        self._set_alarm: Callable[[float], None] | None = None
        self._start_at = self._next_at = 0.0
        self._window = (0.0, 0.0)
        self._is_sending = False
        self._is_over = False
        self._free: list[Connection] = []
        self._busy: set[Connection] = set()
        self._waiting: deque[tuple[bytes, float]] = deque()  # for connections being opened
        self._connections = 0  # open or being opened
        self._unanswered = 0  # of the window

    def start(self, waker: Waker, warm_up_s: float, seconds: float) -> None:
        """Begin now; requests count that are due in ``seconds`` after the warm-up."""
        self._set_alarm = waker.set
        self._start_at = self._clock()
        begin_at = self._start_at + warm_up_s
        self._window = (begin_at, begin_at + seconds)
        self._is_sending = True
        self._next_at = self._start_at + next(self._due)
        waker.set(self._next_at)

    def wake(self) -> None:
        """Send whatever is due."""
        if not self._is_sending:
            return
        assert self._set_alarm is not None
        now = self._clock()
        while self._next_at <= now:
            self._dispatch(self._next_at, now)
            self._next_at = self._start_at + next(self._due)
        self._check_window(now)
        self._set_alarm(self._next_at)

    def stop(self) -> None:
        """Send no other request."""
        self._is_sending = False
        self._check_window(self._clock())

    def give_up(self) -> None:
        """Close everything; requests of the window without an answer are counted as such."""
        self.stop()
        self._is_over = True
        for connection in self._busy:
            if self._counts(connection.began_at):
                self._recorder.failed(UNANSWERED)
        for _, began_at in self._waiting:
            if self._counts(began_at):
                self._recorder.failed(UNANSWERED)
        self._waiting.clear()
        for connection in (*self._busy, *self._free):
            connection.close()

    def opened(self, connection: Connection) -> None:
        """Send what waits for a connection, or keep it for later."""
        if self._is_over:
            connection.close()
            return
        self._send_or_keep(connection)

    def not_opened(self) -> None:
        """Count the request that has waited longest; the server takes no connection."""
        self._connections -= 1
        if self._waiting:  # an answer may have set another connection free for it
            _, began_at = self._waiting.popleft()
            self._failed(NOT_CONNECTED, began_at)

    def answered(self, connection: Connection, latency_s: float) -> None:
        """Count the answer, and use the connection again."""
        self._busy.discard(connection)
        begin_at, end_at = self._window
        if self._counts(connection.began_at):
            self._recorder.answered(connection.status, latency_s)
            self._settled()
        if connection.status == OK and begin_at <= connection.freed_at < end_at:
            self._recorder.completed += 1
        if connection.keeps_alive:
            self._send_or_keep(connection)

    def lost(self, connection: Connection, *, was_busy: bool) -> None:
        """Count what was lost with it."""
        self._connections -= 1
        self._busy.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        if was_busy and not self._is_over:
            self._failed(LOST, connection.began_at)

    def _dispatch(self, due_at: float, now: float) -> None:
        counts = self._counts(due_at)
        if counts:
            self._recorder.offered += 1
            self._recorder.late_s.append(now - due_at)
            self._unanswered += 1
        while self._free and now - self._free[-1].freed_at > IDLE_S:
            self._free.pop().close()
        request = next(self._requests)
        if self._free:
            self._send(self._free.pop(), request, due_at)
        elif self._connections < self._limit:
            self._waiting.append((request, due_at))
            self._connections += 1
            self._note_outstanding()
            self._dialer.open(self)
        elif counts:
            self._recorder.failed(NOT_SENT)
            self._settled()

    def _send_or_keep(self, connection: Connection) -> None:
        if self._waiting:
            self._send(connection, *self._waiting.popleft())
        else:
            self._free.append(connection)

    def _send(self, connection: Connection, request: bytes, began_at: float) -> None:
        self._busy.add(connection)
        connection.send(request, began_at)
        self._note_outstanding()

    def _note_outstanding(self) -> None:
        outstanding = len(self._busy) + len(self._waiting)
        if outstanding > self._recorder.max_outstanding:
            self._recorder.max_outstanding = outstanding

    def _counts(self, began_at: float) -> bool:
        return self._window[0] <= began_at < self._window[1]

    def _failed(self, outcome: str, began_at: float) -> None:
        # Counted outside of the window too: a server that drops requests is never fine.
        self._recorder.failed(outcome)
        if self._counts(began_at):
            self._settled()

    def _settled(self) -> None:
        self._unanswered -= 1
        self._check_window(self._clock())

    def _check_window(self, now: float) -> None:
        # Nothing that is due in the window may still be to come.
        has_passed = not self._is_sending or min(now, self._next_at) >= self._window[1]
        if has_passed and not self._unanswered:
            self.window_answered.set()
