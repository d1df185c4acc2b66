"""Clients that send as soon as their last answer is there."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Iterator, Sequence
from time import perf_counter

from app.load.connection import Connection, Opener
from app.load.recorder import LOST, NOT_CONNECTED, OK, UNANSWERED, Recorder


class ClosedLoop:
    """So many clients, each with one connection and one request at a time.

    Each begins at another request and goes round all of them. A client whose connection the server
    closes opens another; one that cannot is done.

    Contract:
        Loop: every method runs on the event loop that made it.
        Answer: each request is counted once: by its status, as lost, or as unanswered.

    Attributes:
        is_counting: Whether the window is open.
        all_done: Set once no client sends any more.
    """

    def __init__(
        self,
        dialer: Opener,
        requests: Sequence[bytes],
        clients: int,
        recorder: Recorder,
        *,
        honours_retry_after: bool = False,
    ) -> None:
        """Prepare so many clients; ``start`` connects them.

        Args:
            dialer: Opens the connections.
            requests: Whole requests, at least one.
            clients: 1 or more.
            recorder: Where outcomes are counted.
            honours_retry_after: Whether a refused client waits as long as the refusal says.
        """
        self.is_counting = False
        self.all_done = asyncio.Event()
        self._dialer = dialer
        self._recorder = recorder
        self._honours_retry_after = honours_retry_after
        self._clients = clients
        self._running = clients
        self._stopping = False
        self._is_over = False
        self._waiting = [_round(requests, number, clients) for number in range(clients)]
        self._sending: dict[Connection, Iterator[bytes]] = {}
        self._pauses: dict[Connection, asyncio.TimerHandle] = {}
        recorder.max_outstanding = clients

    def start(self) -> None:
        """Connect all clients; each begins to send at once."""
        for _ in range(self._clients):
            self._dialer.open(self)

    def stop(self) -> None:
        """Let the requests under way be answered, and send no other."""
        self._stopping = True
        for connection in list(self._pauses):
            self._pauses.pop(connection).cancel()
            connection.close()

    def give_up(self) -> None:
        """Close everything; requests without an answer are counted as such."""
        self._stopping = self._is_over = True
        for connection in self._sending:
            if connection.is_busy:
                self._recorder.failed(UNANSWERED)
            connection.close()

    def opened(self, connection: Connection) -> None:
        """Give the connection to a client that has none."""
        self._sending[connection] = self._waiting.pop()
        self._send(connection)

    def not_opened(self) -> None:
        """Let a client end that cannot reach the server."""
        self._waiting.pop()
        if not self._stopping:
            self._recorder.failed(NOT_CONNECTED)
        self._client_done()

    def answered(self, connection: Connection, latency_s: float) -> None:
        """Count the answer, and send the client's next request."""
        if self.is_counting:
            self._recorder.answered(connection.status, latency_s)
            if connection.status == OK:
                self._recorder.completed += 1
        if not connection.keeps_alive:
            return  # it ends, and the client opens another
        pause_s = connection.retry_after_s if self._honours_retry_after else math.nan
        if pause_s > 0 and connection.status != OK and not self._stopping:
            loop = asyncio.get_running_loop()
            self._pauses[connection] = loop.call_later(pause_s, self._resume, connection)
            return
        self._send(connection)

    def lost(self, connection: Connection, *, was_busy: bool) -> None:
        """Count what was lost with it, and connect its client again."""
        requests = self._sending.pop(connection)
        if pause := self._pauses.pop(connection, None):
            pause.cancel()
        if was_busy and not self._is_over:
            self._recorder.failed(LOST)
        if self._stopping:
            self._client_done()
            return
        self._waiting.append(requests)
        self._dialer.open(self)

    def _send(self, connection: Connection) -> None:
        if self._stopping:
            connection.close()
            return
        if self.is_counting:
            self._recorder.offered += 1
        connection.send(next(self._sending[connection]), perf_counter())

    def _resume(self, connection: Connection) -> None:
        del self._pauses[connection]
        self._send(connection)

    def _client_done(self) -> None:
        self._running -= 1
        if not self._running:
            self.all_done.set()


def _round(requests: Sequence[bytes], number: int, clients: int) -> Iterator[bytes]:
    start = number * len(requests) // clients
    return itertools.cycle([*requests[start:], *requests[:start]])
